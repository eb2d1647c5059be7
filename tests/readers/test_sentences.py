"""The sentence of every finding of the readers, word for word."""

import pytest

from replay.data.finding import Finding, Kind
from replay.report.sentences import sentence, sentences
from replay.report.sentences.readers import SENTENCES

LOG = "logs/a"

#: Of what lies in files and folders: kind, facts, and what follows the path.
OF_FILES = [
    (Kind.UNREADABLE, {"error": "No space", "entry": "file"}, "No space; the file is left out"),
    (Kind.UNREADABLE, {"error": "No space", "entry": "folder"}, "No space; the folder is left out"),
    (Kind.UNREADABLE, {"error": "No space", "entry": None}, "No space; it is left out"),
    (Kind.NOT_A_FILE, {}, "not a regular file, so it is not read"),
    (Kind.LINK_LOOP, {}, "a link that leads back to itself; it is left out"),
    (Kind.EMPTY_FILE, {}, "the file is empty"),
    (Kind.EMPTY_FILE, {"blank": True}, "the file holds nothing but blanks or zero bytes"),
    (
        Kind.EMPTY_ARCHIVE,
        {},
        (
            "the archive is empty, because Comet writes it when a training ends and this one was killed; what"
            " was logged is in messages.json, in a folder tmp… of the folder for temporary files"
        ),
    ),
    (Kind.BINARY_FILE, {"suffix": ""}, "a binary file; it is left out"),
    (
        Kind.LFS_POINTER,
        {},
        "a pointer of Git LFS, not the log itself; it is left out. Fetch the logs with git lfs pull",
    ),
    (Kind.BINARY_FILE, {"suffix": ".csv"}, "a binary file, though it is named *.csv; it is left out"),
    (Kind.MISNAMED_FILE, {}, "not what its name says; no format that replay reads recognises it"),
    (Kind.UNKNOWN_FORMAT, {}, "not a log in a format that replay reads"),
    (Kind.UNKNOWN_FORMAT, {"binary": True}, "not a log in a format that replay reads; it is a binary file"),
    (
        Kind.UNKNOWN_FORMAT,
        {"what": "Parquet files", "package": "pyarrow"},
        (
            "not a log in a format that replay reads; looking into Parquet files needs pyarrow: pip install"
            " pyarrow"
        ),
    ),
    (
        Kind.UNKNOWN_FORMAT,
        {"line": "{", "broken": 1200},
        (
            "not a log in a format that replay reads; it is JSON that is cut off at character 1,200, before"
            " any entry of a log"
        ),
    ),
    (
        Kind.UNKNOWN_FORMAT,
        {"columns": ("a", "b"), "rows": 1, "options": ()},
        (
            "not a log in a format that replay reads; it has 1 row of a, b. If it is a log, say which column"
            " is what: replay inspect logs/a --step COLUMN --metric COLUMN"
        ),
    ),
    (Kind.UNKNOWN_FORMAT, {"line": "Hi"}, "not a log in a format that replay reads; it begins with 'Hi'"),
    (
        Kind.UNKNOWN_FORMAT,
        {"line": "loss 1", "lacks": "place"},
        (
            "not a log in a format that replay reads; it begins with 'loss 1'. Its metrics have no epoch or"
            " step, or do not say that they are of held-out data. If a training prints it, print both with"
            " the value: epoch 3: val_loss 0.41"
        ),
    ),
    (
        Kind.UNKNOWN_FORMAT,
        {"columns": ("lap", "a b"), "rows": 9, "options": ("--step", "lap", "--metric", "a b")},
        (
            "not a log in a format that replay reads; it has 9 rows of lap, a b. If it is a log, say which"
            " column is what: replay inspect logs/a --step lap --metric 'a b'"
        ),
    ),
    (
        Kind.READER_FAILED,
        {"format": "csv", "error_type": "KeyError", "error": "'x'"},
        "could not be read as csv (KeyError: 'x'); it is left out",
    ),
]

#: Of what is inside a log.
OF_LOGS = [
    (
        Kind.UNSUPPORTED_VERSION,
        {"version": 2, "supported": 1},
        "eval log version 2; this replay reads version 1",
    ),
    (
        Kind.ZERO_BYTES,
        {},
        "there are zero bytes in it, as a crash or a full disk leaves them; the rows around them are kept",
    ),
    (Kind.ROWS_WITHOUT_STEP, {"rows": 1, "of": 9}, "1 of 9 rows has no step; it is left out"),
    (
        Kind.ROWS_WITHOUT_STEP,
        {"rows": 2, "of": 9, "column": "lap"},
        "2 of 9 rows have no step in the column lap; they are left out",
    ),
    (
        Kind.NO_STEP,
        {"columns": ("a", "b"), "option": "--step"},
        "no column that could be the step; it has a, b. Give --step COLUMN",
    ),
    (
        Kind.NO_VALUES,
        {"columns": ("a", "b"), "option": "--metric"},
        "no column is named like a metric of held-out data; it has numbers in a, b. Give --metric COLUMN",
    ),
    (Kind.CUT_OFF, {"part": "line"}, "its last line is cut off; it is left out"),
    (Kind.CUT_OFF, {"part": "line", "number": 12}, "its last line (12) is cut off; it is left out"),
    (
        Kind.CUT_OFF,
        {"part": "compressed block"},
        "the compressed file is cut off or damaged; what comes before that is kept",
    ),
    (
        Kind.CUT_OFF,
        {"character": 1234, "kept": 1500},
        "the file is cut off at character 1,234; the 1500 entries before are kept",
    ),
    (
        Kind.CUT_OFF,
        {"character": 9, "kept": 1},
        "the file is cut off at character 9; the entry before is kept",
    ),
    (
        Kind.CUT_OFF,
        {"character": 1, "kept": 0},
        "the file is cut off at character 1; nothing before it is usable",
    ),
    (
        Kind.CUT_OFF,
        {"byte": 1000, "zeros": True, "kept": 1500},
        "cut off at byte 1,000: only zero bytes follow; the 1,500 events before are kept",
    ),
    (
        Kind.CUT_OFF,
        {"byte": 9, "zeros": False, "kept": 0},
        "cut off at byte 9: its last record is not complete; nothing before it is usable",
    ),
    (
        Kind.CORRUPT_RECORD,
        {"byte": 9, "part": "length", "kept": 2},
        "corrupt at byte 9: the length of a record does not fit its checksum; the 2 events before are kept",
    ),
    (
        Kind.CORRUPT_RECORD,
        {"byte": 9, "part": "data", "kept": 2},
        "corrupt at byte 9: a record does not fit its checksum; the 2 events before are kept",
    ),
    (
        Kind.CORRUPT_RECORD,
        {"record": 3, "part": "event", "kept": 2},
        "corrupt: record 3 is no event; the 2 events before are kept",
    ),
    (Kind.INVALID_HEADER, {"format": "csv", "error": "odd"}, "its header is not readable (odd)"),
    (Kind.INVALID_HEADER, {"format": "eval-log", "error": "odd"}, "the header line is not readable (odd)"),
    (Kind.INVALID_JSON, {"line": 4}, "line 4 is not readable; it is left out"),
    (Kind.INVALID_JSON, {"lines": 1, "of": 6}, "1 of 6 lines is not a JSON object; it is left out"),
    (Kind.INVALID_JSON, {"lines": 2, "of": 6}, "2 of 6 lines are not JSON objects; they are left out"),
    (Kind.INVALID_JSON, {"parts": 2, "of": 6}, "2 of 6 parts are not JSON objects; they are left out"),
    (
        Kind.INVALID_JSON,
        {"character": 4000, "kept": 3},
        "the file is not valid JSON at character 4,000; the 3 entries before are kept",
    ),
    (Kind.INVALID_ROW, {"row": 7, "error": "odd"}, "row 7 is not readable (odd); the rows before are kept"),
    (
        Kind.PYTHON_TEXT,
        {"text": "tensor(", "kept": 3},
        (
            "an entry holds the Python text tensor(…), which is not JSON, and the file breaks there; the 3"
            " entries before are kept"
        ),
    ),
    (
        Kind.LONG_ROWS,
        {"rows": 2},
        (
            "2 rows have more values than there are column names, so which is which cannot be known; they are"
            " left out"
        ),
    ),
    (
        Kind.OVER_LIMIT,
        {"part": "line", "limit": 16777216, "count": 1},
        "1 line is longer than 16,777,216 characters, the most that replay reads at a time, and skipped",
    ),
    (
        Kind.OVER_LIMIT,
        {"part": "record", "limit": 4194304, "count": 1200},
        "1,200 records are longer than 4,194,304 bytes, the most that replay reads at a time, and skipped",
    ),
    (
        Kind.OVER_LIMIT,
        {"part": "name", "limit": 10000, "count": None},
        (
            "it has more than 10,000 names. The first 10,000 of the held-out metrics and the first 10,000"
            " others are read, and the rest are skipped"
        ),
    ),
    (
        Kind.TENSOR_TAG,
        {"tag": "a/b"},
        "tag 'a/b' holds tensors of more than one element, which are no scalars; they are left out",
    ),
    (
        Kind.SUMMARY_TABLE,
        {"rows": 3, "column": "model"},
        (
            "a table with one row per run (3 rows, told apart by model) and not the log of a training; give"
            " the logs of the runs, with one row per eval"
        ),
    ),
    (Kind.NO_STEP, {}, "no row has a step or an epoch"),
    (Kind.NO_STEP, {"columns": ("a", "b")}, "no column that could be the step; it has a, b"),
    (Kind.NO_ROWS, {}, "a header, but no row under it"),
    (Kind.NO_VALUES, {"format": "csv"}, "no column holds a number"),
    (Kind.NO_VALUES, {"format": "jsonl"}, "no row holds a number beside its step"),
    (Kind.NO_SCALARS, {"events": 1}, "no scalars in it, only its header"),
    (Kind.NO_SCALARS, {"events": 2}, "no scalars in it, only other data"),
    (Kind.NO_HISTORY, {"nested": True}, "nested too deeply to be a trainer_state.json"),
    (
        Kind.NO_HISTORY,
        {"empty": True},
        "its log_history is empty: nothing was logged before this checkpoint",
    ),
    (Kind.NO_HISTORY, {"type": "list"}, "a JSON list instead of the state of a Trainer"),
    (Kind.NO_HISTORY, {}, "it has no log_history, so it is no trainer_state.json of transformers"),
    (
        Kind.UNREADABLE_DATABASE,
        {"error": "file is not a database"},
        "the SQLite database cannot be read (file is not a database); it is left out",
    ),
    (
        Kind.LARGE_DATABASE,
        {"size": 3 * 1024**3, "largest": 2 * 1024**3, "beside": "a.db-wal"},
        (
            "the database is not read: a.db-wal lies beside it, so it has to be copied, and 3.0 GiB are more"
            " than the 2 GiB that are copied. Close the program that has it open, which merges that file"
        ),
    ),
    (
        Kind.LARGE_DATABASE,
        {"size": 3 * 1024**3, "largest": 2 * 1024**3, "beside": None},
        "the database is cut off, and too large to be copied up to its last whole page; it is left out",
    ),
    (
        Kind.INVALID_LINES,
        {"lines": 2, "of": 6, "form": "'timestamp value step'"},
        "2 of 6 lines are not of the form 'timestamp value step'; they are left out",
    ),
    (
        Kind.UNREADABLE_TABLE,
        {"error": "odd", "rows": 0},
        "the Parquet file cannot be read (odd); it is left out",
    ),
    (
        Kind.UNREADABLE_TABLE,
        {"error": "odd", "rows": 4096},
        "the Parquet file cannot be read (odd); the 4,096 rows before are kept",
    ),
    (
        Kind.MISSING_PACKAGE,
        {"package": "pyarrow", "what": "Parquet files"},
        "Parquet files are read with pyarrow, which is not installed. Install it with 'pip install pyarrow'",
    ),
    (Kind.NO_METRICS, {}, "the run has logged no metric"),
    (
        Kind.DELETED_RUNS,
        {"tool": "MLflow", "names": ("first",)},
        "1 run was deleted in MLflow and not read: first. Restore a run in MLflow to have it read",
    ),
    (
        Kind.DELETED_RUNS,
        {"tool": "MLflow", "names": ("a", "b", "c", "d", "e")},
        (
            "5 runs were deleted in MLflow and not read: a, b, c and 2 more. Restore a run in MLflow to have"
            " it read"
        ),
    ),
    (
        Kind.DAMAGED_TABLE,
        {"table": "metrics", "error": "malformed", "rows": 1200},
        (
            "the table 'metrics' of the database is damaged (malformed); the 1,200 rows before the damage are"
            " kept"
        ),
    ),
    (
        Kind.DAMAGED_TABLE,
        {"table": "metrics", "error": "malformed", "rows": 0},
        "the table 'metrics' of the database is damaged (malformed); no row of it could be read",
    ),
    (
        Kind.NO_METRICS_IN_TEXT,
        {"seen": ("MLX-LM", "a table of spaCy")},
        (
            "MLX-LM, a table of spaCy was seen, but no line that holds a metric and says at which step"
            " or epoch it was measured"
        ),
    ),
    (
        Kind.NO_METRICS_IN_TEXT,
        {"seen": ()},
        (
            "training output was seen, but no line that holds a metric and says at which step or epoch it"
            " was measured"
        ),
    ),
]

OF_LOGS += [
    (
        Kind.ZERO_FOR_NAN,
        {"metric": "loss/eval", "steps": (300.0, 350.0), "tool": "ClearML"},
        (
            "loss/eval is exactly 0 at step 300, 350, and ClearML writes 0 where a value was NaN or infinite;"
            " these evals count as the best ones, so leave this run out if the loss diverged"
        ),
    ),
    (
        Kind.ZERO_FOR_NAN,
        {"metric": "loss", "steps": tuple(float(step) for step in range(12)), "tool": "ClearML"},
        (
            "loss is exactly 0 at step 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more, and ClearML writes 0 where"
            " a value was NaN or infinite; these evals count as the best ones, so leave this run out if the"
            " loss diverged"
        ),
    ),
]

#: Of a run, without a path.
OF_RUNS = [
    (
        Kind.TWO_CLOCKS,
        {"metrics": ("val",), "placed": True},
        (
            "val counts epochs while the train series count steps; each eval is placed at the train step that"
            " was logged before it"
        ),
    ),
    (
        Kind.TWO_CLOCKS,
        {"metrics": ("a", "b"), "placed": False},
        (
            "a, b count epochs while the train series count steps, and the order of the log does not tell"
            " which belong together; the run is counted in epochs"
        ),
    ),
    (
        Kind.WITHIN_EPOCHS,
        {},
        "several rows per epoch and no step; each row is placed within its epoch by the rows before it",
    ),
    (
        Kind.ROWS_AS_EPOCHS,
        {"rows": 7},
        "no column is a step or an epoch, so each of the 7 rows is taken for one epoch",
    ),
    (
        Kind.ROWS_SORTED,
        {"rows": 12},
        "its 12 rows were not in the order of their steps, so they were sorted by step",
    ),
    (
        Kind.STEPS_COUNTED_ON,
        {"epochs": (5.0,)},
        "its steps begin again at epoch 5 while its epochs go on, so the steps are counted on",
    ),
    (
        Kind.STEPS_COUNTED_ON,
        {"epochs": (2.0, 3.0)},
        "its steps begin again at epochs 2, 3 while its epochs go on, so the steps are counted on",
    ),
    (
        Kind.EVERY_FEW_EPOCHS,
        {"evals": 5, "epochs": 10, "every": 2},
        (
            "it has 5 evals of 10 epochs and does not say of which, so one after every 2 epochs is assumed"
            " (validation_freq=2 of Keras)"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "jsonl", "every": None, "empty": "val_loss"},
        (
            "val_loss is in its rows, but without a value; evaluate on held-out data and log it under a name"
            " that says so, such as val_loss"
        ),
    ),
    (Kind.RESTART, {"number": 1, "of": 2}, "restart 1 of 2 in the same place"),
    (
        Kind.SAMPLED_STORE,
        {"count": 10000, "total": 2500000},
        (
            "10,000 of its 2,500,000 runs are used, drawn at random; replay simulate and replay choose take"
            " all of them with --jobs"
        ),
    ),
    (
        Kind.RESUMED,
        {"steps": (3.0, 40.0), "replaced": 5},
        "resumed at step 3, 40; 5 older values of the interrupted process dropped",
    ),
    (Kind.RESUMED, {"steps": (3.0,), "replaced": 0}, "resumed at step 3"),
    (
        Kind.LOGS_DISAGREE,
        {"metric": "loss", "step": 8.0, "kept": 0.5, "other": 0.25, "count": 1, "file": "b.csv"},
        "loss at step 8 is 0.5 in the log that is kept and 0.25 in b.csv",
    ),
    (
        Kind.LOGS_DISAGREE,
        {"metric": "loss", "step": 8.0, "kept": 0.5, "other": 0.25, "count": 3, "file": "b.csv"},
        "loss at step 8 is 0.5 in the log that is kept and 0.25 in b.csv, and 2 other values differ",
    ),
    (
        Kind.MORE_DIGITS,
        {"file": "evals_result.json"},
        (
            "evals_result.json has the values of this training with more digits, which move no best value; it"
            " lacks other trainings of this text. To use its digits, give that file alone"
        ),
    ),
    (
        Kind.REPEATED_VALUES,
        {"count": 2},
        "2 values logged again for the same step (the first is kept)",
    ),
    (
        Kind.FINISHED_MODEL,
        {"metrics": ("test_loss",), "step": 48.0},
        "test_loss at step 48, after the last eval, is of the finished model and is left out",
    ),
    (Kind.MISSING_HEAD, {"step": 350.0}, "begins at step 350; what was logged before is not there"),
    (
        Kind.EXTENDED,
        {
            "step": 200.0,
            "planned": 450.0,
            "planned_before": 200.0,
            "scheduler": "constant",
            "same_schedule": True,
            "learning_rate": 1e-3,
            "learning_rate_before": 1e-3,
        },
        (
            "the training had ended at step 200, the last of 200 planned ones, and was extended to 450 steps;"
            " its learning rates (constant) are those of that many steps from the start"
        ),
    ),
    (
        Kind.EXTENDED,
        {
            "step": 200.0,
            "planned": 450.0,
            "planned_before": 200.0,
            "scheduler": "cosine",
            "same_schedule": False,
            "learning_rate": 5e-4,
            "learning_rate_before": 0.0,
        },
        (
            "the training had ended at step 200, the last of 200 planned ones, and was extended to 450 steps;"
            " the schedule is cosine, so its learning rates (from 0 to 0.0005 there) are not those of that"
            " many steps from the start: what a stop would save and lose is about this training, and"
            " not about one that is planned so long"
        ),
    ),
    (
        Kind.EXTENDED,
        {
            "step": 200.0,
            "planned": None,
            "planned_before": None,
            "scheduler": None,
            "same_schedule": False,
            "learning_rate": None,
            "learning_rate_before": None,
        },
        (
            "the training had ended at step 200, and was extended; its schedule is unknown, so its learning"
            " rates are not those of that many steps from the start: what a stop would save and lose is about"
            " this training, and not about one that is planned so long"
        ),
    ),
    (
        Kind.TRAINED_AGAIN,
        {"steps": 8, "seconds": 4.0},
        "8 steps were trained again after an interruption (4 s); that is not counted as used",
    ),
    (
        Kind.TRAINED_AGAIN,
        {"steps": 8, "seconds": None},
        "8 steps were trained again after an interruption; that is not counted as used",
    ),
    (
        Kind.SEVERAL_WRITERS,
        {"line": 7},
        (
            "line 7 shows that two processes wrote this log at the same time; their evals are mixed, so the"
            " curve may be that of neither. Leave the log out, or keep the lines of one of them"
        ),
    ),
    (
        Kind.SAMPLED_EXPORT,
        {"tool": "W&B", "rows": 500},
        (
            "exactly 500 rows, the size of the sample that W&B exports: values may be missing between them."
            " Export the whole history with run.scan_history()"
        ),
    ),
    (
        Kind.SAMPLED_EXPORT,
        {"tool": "TensorBoard", "rows": 1000},
        (
            "exactly 1,000 rows, the most that TensorBoard's page exports: values may be missing between"
            " them. Read the event files instead"
        ),
    ),
    (
        Kind.BATCH_STEPS,
        {"tags": ["a", "b"]},
        "left out, as their steps count batches and not epochs: a, b",
    ),
    (
        Kind.STEPS_NOT_LOGGED,
        {},
        "no step was logged, so the values of the longest series are numbered instead",
    ),
    (
        Kind.STEPS_NOT_LOGGED,
        {"names": ("a", "b")},
        "left out, because all values were logged without a step while other metrics have steps: a, b",
    ),
    (
        Kind.ROUNDED_VALUES,
        {"metric": "eval_loss", "ties": 2, "evals": 20, "digits": 4},
        (
            "2 of 20 values of eval_loss equal the best one before them as far as they were printed"
            " (4 digits); on the full values, a rule with patience may stop at another eval"
        ),
    ),
    (
        Kind.STEPS_OF_EPOCHS,
        {"off": 4},
        "the text prints no steps; they were computed from its rounded epochs, and may be off by 4",
    ),
    (
        Kind.SHARED_EPOCHS,
        {"count": 23},
        (
            "23 evals print the same rounded epoch as another eval; they are placed at equal distances, in"
            " the order of the lines"
        ),
    ),
    (
        Kind.ONLY_IMPROVEMENTS,
        {"metric": "val_loss", "shown": 3, "of": 5},
        (
            "val_loss is printed only where it improved (3 of 5 values), so its other evals are missing and"
            " it is not read. Give a log with all evals, such as the CSV or TensorBoard files of this"
            " training"
        ),
    ),
    (
        Kind.ONLY_IMPROVEMENTS,
        {"metric": "val_loss", "shown": 1, "of": None},
        (
            "val_loss is printed only where it improved (1 value), so its other evals are missing and it is"
            " not read. Give a log with all evals, such as the CSV or TensorBoard files of this training"
        ),
    ),
    (
        Kind.COUNTED_EPOCHS,
        {"count": 23},
        (
            "no line says of which epoch its 23 evals are; they are counted as one per epoch, in the order of"
            " the lines"
        ),
    ),
    (
        Kind.ROWS_LEFT_OUT,
        {},
        "the table in the text is abbreviated (“...”), so evals in the middle of the run are missing",
    ),
    (
        Kind.ASSUMED_SETS,
        {"metrics": ("acc", "loss")},
        (
            "lines have two values behind acc, loss and do not name the sets; the first is read as that of"
            " the training set, the second as that of the validation set"
        ),
    ),
    (
        Kind.COLUMNS_WITHOUT_SET,
        {"metrics": ("AUC", "mIoU")},
        (
            "AUC, mIoU name no set and count as of the training; if they are of the validation set, monitor"
            " them with --monitor, or name all columns with --metric"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "mlx", "every": 5},
        "set --steps-per-eval 5 and put a valid.jsonl beside train.jsonl",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "torchtune", "every": 5},
        "set run_val_every_n_steps: 5 and a dataset_val in the recipe's config",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "litgpt", "every": 5},
        "set --eval.interval 5, and a validation split of the data",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "lightgbm", "every": 5},
        "pass valid_sets=[...] and callbacks=[log_evaluation(1)] to lightgbm.train",
    ),
    (Kind.EVAL_HINT, {"tool": "xgboost", "every": 5}, 'pass evals=[(data, "eval")] to xgboost.train'),
    (Kind.EVAL_HINT, {"tool": "catboost", "every": 5}, "pass eval_set=(X, y) to fit"),
    (
        Kind.EVAL_HINT,
        {"tool": "text", "every": 5},
        (
            "print the loss on held-out data under a name that says so, with its step or epoch: epoch 3:"
            " val_loss 0.41"
        ),
    ),
    (
        Kind.OTHER_LENGTH,
        {"names": ("a", "b"), "evals": 12},
        (
            "left out, as they do not have one value for each of the 12 evals, so their steps are not known:"
            " a, b"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "transformers", "every": 5},
        "set eval_strategy='steps', eval_steps=5 in TrainingArguments and pass an eval_dataset",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "llama-factory", "every": 5},
        "set eval_strategy: steps, eval_steps: 5 and val_size: 0.1 in the LLaMA-Factory config",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "ms-swift", "every": 5},
        "set --eval_strategy steps --eval_steps 5 and give --val_dataset or --split_dataset_ratio 0.05",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "detectron2", "every": 5},
        "set cfg.TEST.EVAL_PERIOD = 5 and register a DatasetEvaluator in build_evaluator",
    ),
    (Kind.EVAL_HINT, {"tool": "ultralytics"}, "train with val=True"),
    (
        Kind.EVAL_HINT,
        {"tool": "lightning"},
        "call self.log('val_loss', loss) in validation_step and pass val_dataloaders to trainer.fit",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "keras", "empty": "val_loss"},
        (
            "val_loss is in its header, but without a value; pass validation_data to model.fit (Keras), or"
            " write a column val_loss"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "keras-tensorboard"},
        "pass validation_data to model.fit beside the TensorBoard callback",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "summary-writer"},
        "log the validation loss under a tag that says so: writer.add_scalar('val/loss', loss, step)",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "csv", "every": 5},
        "evaluate on held-out data every 5 steps and write it to a column named for it, such as val_loss",
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "csv", "every": None},
        "evaluate on held-out data and write it to a column named for it, such as val_loss",
    ),
    (
        Kind.PLACEHOLDERS,
        {"fill": "nan", "names": ("val_acc", "val_loss"), "count": 20},
        "val_acc, val_loss are nan in 20 rows in which nothing was evaluated; these values are left out",
    ),
    (
        Kind.PLACEHOLDERS,
        {"fill": "-1", "names": ("val_loss",), "count": 1},
        "val_loss is -1 in 1 row in which nothing was evaluated; these values are left out",
    ),
    (
        Kind.CARRIED_FORWARD,
        {"names": ("val_loss",), "count": 32},
        (
            "val_loss repeats its last value in 32 rows between the evals; these rows are not evals and are"
            " left out"
        ),
    ),
    (
        Kind.CARRIED_FORWARD,
        {"names": ("val_acc", "val_loss"), "count": 2},
        (
            "val_acc, val_loss repeat their last value in 2 rows between the evals; these rows are not evals"
            " and are left out"
        ),
    ),
    (
        Kind.INTERLEAVED_SETS,
        {"name": "eval_f1", "count": 2, "names": ("eval_f1 (1st of 2)", "eval_f1 (2nd of 2)")},
        (
            "eval_f1 holds the values of 2 sets in turn, 2 at every step, and the log does not say which set"
            " is which; they are read as eval_f1 (1st of 2) and eval_f1 (2nd of 2). Give one of them as"
            " --monitor"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "jsonl", "every": 5, "evals": 4},
        (
            "4 evals ran (their duration is logged), but none of them gave a loss or another metric; log the"
            " validation loss beside the duration"
        ),
    ),
    (
        Kind.EVAL_HINT,
        {"tool": "jsonl", "every": 5},
        "evaluate on held-out data every 5 steps and log it under a name that says so, such as val_loss",
    ),
    (
        Kind.PLUGIN_FAILED,
        {"name": "x", "plugin": "p", "error_type": "KeyError", "error": "'y'"},
        "the format x of the plug-in p could not be loaded (KeyError: 'y'); logs in it are not read",
    ),
    (
        Kind.PLUGIN_FAILED,
        {"name": "csv", "plugin": "p"},
        "the format csv of the plug-in p is left out, because there is a format of this name already",
    ),
    (
        Kind.REMOTE_LIMIT,
        {"part": "files", "limit": 50_000, "left": 5, "names": ("a", "b", "c")},
        (
            "at most 50,000 files are fetched; 5 files are left out (a, b, c and others). To read them,"
            " download them and give the path of the copy"
        ),
    ),
    (
        Kind.REMOTE_LIMIT,
        {"part": "file_bytes", "limit": 10, "left": 1, "names": ("a",)},
        (
            "at most 10 bytes of one file are fetched; 1 file is left out (a). To read them, download them"
            " and give the path of the copy"
        ),
    ),
    (
        Kind.REMOTE_LIMIT,
        {"part": "names", "limit": 7, "left": None},
        (
            "at most 7 file names are listed; the files beyond that are left out. To read them, download"
            " them and give the path of the copy"
        ),
    ),
    (
        Kind.UNSAFE_NAME,
        {"names": ("../a",), "count": 1},
        "the name '../a' cannot be that of a local file; it is left out",
    ),
    (
        Kind.UNSAFE_NAME,
        {"names": ("../a", "/b"), "count": 2},
        "2 names cannot be those of local files ('../a', '/b'); they are left out",
    ),
]


@pytest.mark.parametrize(("kind", "facts", "text"), [*OF_FILES, *OF_LOGS])
def test_findings_of_files_begin_with_the_path(kind, facts, text):
    assert sentence(Finding(kind, log=LOG, facts=facts)) == f"{LOG}: {text}"


@pytest.mark.parametrize(("kind", "facts", "text"), OF_RUNS)
def test_findings_of_runs(kind, facts, text):
    assert sentence(Finding(kind, facts=facts)) == text


def test_findings_that_hold_others():
    parts = (Finding(Kind.NO_ROWS, log="a"), Finding(Kind.EMPTY_FILE, log="b"))
    both = Finding(Kind.UNUSABLE_LOG, facts={"findings": parts})
    assert sentence(both) == "a: a header, but no row under it; b: the file is empty"
    side = Finding(Kind.OF_LOGS, log="before", facts={"finding": parts[1]})
    assert sentences([side]) == ["before: b: the file is empty"]


def test_no_sentence_is_untested():
    tested = {kind for kind, _, _ in (*OF_FILES, *OF_LOGS, *OF_RUNS)}
    assert tested | {Kind.UNUSABLE_LOG} == SENTENCES.keys()


@pytest.mark.parametrize(
    "finding",
    [
        Finding(Kind.EMPTY_FILE, log="evil\x1b[2J.csv"),
        Finding(Kind.TENSOR_TAG, log="a", facts={"tag": "evil\x1b[2J"}),
        Finding(Kind.BATCH_STEPS, facts={"tags": ["evil\x1b[2J"]}),
        Finding(Kind.OTHER, facts={"text": "evil\x1b[2J"}),
    ],
)
def test_names_of_strangers_are_escaped(finding):
    assert "\x1b" not in sentence(finding)
    assert "\\x1b[2J" in sentence(finding)
