"""Sentences of what readers find: in files, inside a log, and in a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from replay.data.finding import Finding, Kind
from replay.errors import list_names, printable
from replay.report.format import say_among, say_count

__all__ = ["SENTENCES"]


def _unreadable(finding: Finding) -> str:
    entry = finding.get("entry")
    return f"{finding['error']}; {f'the {entry}' if entry else 'it'} is left out"


def _empty_file(finding: Finding) -> str:
    return "the file holds nothing but blanks or zero bytes" if finding.get("blank") else "the file is empty"


def _empty_archive(_: Finding) -> str:
    return (
        "the archive is empty, because Comet writes it when a training ends and this one was killed; what was"
        " logged is in messages.json, in a folder tmp… of the folder for temporary files"
    )


def _binary_file(finding: Finding) -> str:
    suffix = finding["suffix"]
    return f"a binary file{f', though it is named *{suffix}' if suffix else ''}; it is left out"


def _lfs_pointer(finding: Finding) -> str:
    return "a pointer of Git LFS, not the log itself; it is left out. Fetch the logs with git lfs pull"


def _unknown_format(finding: Finding) -> str:
    text = "not a log in a format that replay reads"
    if finding.get("columns"):
        text += f"; it has {say_count(finding['rows'], 'row')} of {list_names(finding['columns'], 8)}"
    elif finding.get("package"):
        text += (
            f"; looking into {finding['what']} needs {finding['package']}: pip install {finding['package']}"
        )
    elif finding.get("binary"):
        text += "; it is a binary file"
    elif finding.get("broken") is not None:
        text += f"; it is JSON that is cut off at character {finding['broken']:,}, before any entry of a log"
    elif finding.get("line"):
        text += f"; it begins with {finding['line']!r}"
    if finding.get("lacks") == "step":
        return (
            f"{text}, and no column that could be the step or epoch. Add one, such as a column step with the"
            " number of the row"
        )
    if finding.get("lacks") == "rows":
        return (
            f"{text}: a row per metric, and a column per epoch. Turn it over, so that each epoch is a row, as"
            " pandas does with read_csv(FILE, index_col=0).T"
        )
    if finding.get("lacks") == "place":
        return (
            f"{text}. Its metrics have no epoch or step, or do not say that they are of held-out data. If a"
            " training prints it, print both with the value: epoch 3: val_loss 0.41"
        )
    if finding.get("lacks") == "metric":
        return f"{text}, and no column that could be a metric of held-out data, such as val_loss"
    if finding.get("lacks") == "epochs":
        text += (
            f". Its column {finding['column']} holds times (the first is {finding['first']:.15g}) and not"
            " numbers of epochs"
        )
    if finding.get("lacks") == "training":
        text += (
            f". It has a column {finding['column']}, but none that only trainings log, such as val_loss or"
            " accuracy"
        )
    if finding.get("columns"):
        options = finding.get("options") or ("--step", "COLUMN", "--metric", "COLUMN")
        command = shlex.join(["replay", "inspect", finding.log or "", *options])
        text += f". If it is a log, say which column is what: {command}"
    return text


def _rows_without_step(finding: Finding) -> str:
    column = "" if finding.get("column") is None else f" in the column {finding['column']}"
    rows = say_among(finding["rows"], finding["of"], "row", "has", "have")
    return f"{rows} no step{column}; {_left_out(finding['rows'])}"


def _left_out(count: int) -> str:
    return "it is left out" if count == 1 else "they are left out"


def _reader_failed(finding: Finding) -> str:
    return (
        f"could not be read as {finding['format']} ({finding['error_type']}: {finding['error']}); it is"
        " left out"
    )


def _plugin_failed(finding: Finding) -> str:
    if "error" not in finding.facts:
        return (
            f"the format {finding['name']} of the plug-in {finding['plugin']} is left out, because there is a"
            " format of this name already"
        )
    return (
        f"the format {finding['name']} of the plug-in {finding['plugin']} could not be loaded"
        f" ({finding['error_type']}: {finding['error']}); logs in it are not read"
    )


#: What a limit on a URL counts, and what is left out beyond it.
_REMOTE_PARTS = {
    "names": ("file names are listed", "file"),
    "depth": ("folders below each other are listed", "folder"),
    "files": ("files are fetched", "file"),
    "file_bytes": ("bytes of one file are fetched", "file"),
    "table_bytes": ("bytes of one table, archive or database are fetched", "file"),
    "total_bytes": ("bytes are fetched", "file"),
    "runs": ("runs of an experiment are read", "run"),
}


def _remote_limit(finding: Finding) -> str:
    (what, noun), left = _REMOTE_PARTS[finding["part"]], finding.get("left")
    text = f"at most {finding['limit']:,} {what}; "
    if left is None:
        text += f"the {noun}s beyond that are left out"
    else:
        text += f"{left:,} {noun}{' is' if left == 1 else 's are'} left out"
        names = list_names(finding.get("names", ()))
        text += f" ({names}{' and others' * (left > len(finding.get('names', ())))})" if names else ""
    return f"{text}. To read them, download them and give the path of the copy"


def _unsafe_name(finding: Finding) -> str:
    count = finding["count"]
    names = list_names(map(repr, finding["names"]))
    if count == 1:
        return f"the name {names} cannot be that of a local file; it is left out"
    return f"{count} names cannot be those of local files ({names}); they are left out"


def _unsupported_version(finding: Finding) -> str:
    return f"eval log version {finding['version']!r}; this replay reads version {finding['supported']}"


def _kept(finding: Finding, noun: str) -> str:
    count = finding["kept"]
    if count == 1:
        return f"the {'entry' if noun == 'entries' else 'event'} before is kept"
    shown = f"{count:,}" if noun == "events" else str(count)
    return f"the {shown} {noun} before are kept" if count else "nothing before it is usable"


def _cut_off(finding: Finding) -> str:
    if "byte" in finding.facts:
        rest = "only zero bytes follow" if finding["zeros"] else "its last record is not complete"
        return f"cut off at byte {finding['byte']:,}: {rest}; {_kept(finding, 'events')}"
    if "character" in finding.facts:
        return f"the file is cut off at character {finding['character']:,}; {_kept(finding, 'entries')}"
    if finding["part"] == "compressed block":
        return "the compressed file is cut off or damaged; what comes before that is kept"
    number = finding.get("number")
    return f"its last {finding['part']}{'' if number is None else f' ({number})'} is cut off; it is left out"


def _corrupt_record(finding: Finding) -> str:
    reason = {
        "length": "the length of a record does not fit its checksum",
        "data": "a record does not fit its checksum",
    }.get(finding["part"])
    where = (
        f"corrupt: record {finding['record']} is no event"
        if reason is None
        else f"corrupt at byte {finding['byte']:,}: {reason}"
    )
    return f"{where}; {_kept(finding, 'events')}"


def _invalid_header(finding: Finding) -> str:
    name = "its header" if finding["format"] == "csv" else "the header line"
    return f"{name} is not readable ({finding['error']})"


def _invalid_json(finding: Finding) -> str:
    if "character" in finding.facts:
        where = f"at character {finding['character']:,}"
        return f"the file is not valid JSON {where}; {_kept(finding, 'entries')}"
    for unit in ("line", "part"):
        if (count := finding.get(f"{unit}s")) is not None:
            verbs = ("is not a JSON object", "are not JSON objects")
            return f"{say_among(count, finding['of'], unit, *verbs)}; {_left_out(count)}"
    return f"line {finding['line']} is not readable; it is left out"


def _invalid_row(finding: Finding) -> str:
    return f"row {finding['row']} is not readable ({finding['error']}); the rows before are kept"


def _python_text(finding: Finding) -> str:
    return (
        f"an entry holds the Python text {finding['text']}…), which is not JSON, and the file breaks there;"
        f" {_kept(finding, 'entries')}"
    )


def _long_rows(finding: Finding) -> str:
    return (
        f"{say_count(finding['rows'], 'row', 'has', 'have')} more values than there are column names, so"
        f" which is which cannot be known; {_left_out(finding['rows'])}"
    )


def _over_limit(finding: Finding) -> str:
    part, limit, count = finding["part"], finding["limit"], finding.get("count")
    if part in ("line", "record"):
        unit = "characters" if part == "line" else "bytes"
        these = f"1 {part} is" if count == 1 else f"{count:,} {part}s are"
        return f"{these} longer than {limit:,} {unit}, the most that replay reads at a time, and skipped"
    if part == "text":
        return f"it holds more than {limit:,} characters, the most that replay reads; the rest is skipped"
    return (
        f"it has more than {limit:,} {part}s. The first {limit:,} of the held-out metrics and the first"
        f" {limit:,} others are read, and the rest are skipped"
    )


def _tensor_tag(finding: Finding) -> str:
    return (
        f"tag {finding['tag']!r} holds tensors of more than one element, which are no scalars; they are left"
        " out"
    )


def _no_step(finding: Finding) -> str:
    columns = finding.get("columns")
    if columns is None:
        return "no row has a step or an epoch"
    option = ". Give --step COLUMN" if finding.get("option") else ""
    return f"no column that could be the step; it has {', '.join(columns)}{option}"


def _no_values(finding: Finding) -> str:
    if "columns" in finding.facts:
        return (
            "no column is named like a metric of held-out data; it has numbers in"
            f" {', '.join(finding['columns']) or 'none'}. Give --metric COLUMN"
        )
    return (
        "no column holds a number" if finding["format"] == "csv" else "no row holds a number beside its step"
    )


def _no_scalars(finding: Finding) -> str:
    return f"no scalars in it, only {'its header' if finding['events'] == 1 else 'other data'}"


def _no_history(finding: Finding) -> str:
    if finding.get("nested"):
        return "nested too deeply to be a trainer_state.json"
    if finding.get("empty"):
        return "its log_history is empty: nothing was logged before this checkpoint"
    if "type" in finding.facts:
        return f"a JSON {finding['type']} instead of the state of a Trainer"
    return "it has no log_history, so it is no trainer_state.json of transformers"


def _large_database(finding: Finding) -> str:
    gigabytes = 1024**3
    if finding["beside"] is None:
        return "the database is cut off, and too large to be copied up to its last whole page; it is left out"
    return (
        f"the database is not read: {finding['beside']} lies beside it, so it has to be copied, and"
        f" {finding['size'] / gigabytes:.1f} GiB are more than the {finding['largest'] / gigabytes:.0f} GiB"
        " that are copied. Close the program that has it open, which merges that file"
    )


def _damaged_table(finding: Finding) -> str:
    rows = finding["rows"]
    before = "row before the damage is" if rows == 1 else f"{rows:,} rows before the damage are"
    kept = f"the {before} kept" if rows else "no row of it could be read"
    return f"the table {finding['table']!r} of the database is damaged ({finding['error']}); {kept}"


def _unreadable_table(finding: Finding) -> str:
    rows = finding.get("rows", 0)
    before = "row before is" if rows == 1 else f"{rows:,} rows before are"
    kept = f"the {before} kept" if rows else "it is left out"
    return f"the Parquet file cannot be read ({finding['error']}); {kept}"


def _deleted_runs(finding: Finding) -> str:
    names, tool = finding["names"], finding["tool"]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    runs = "run was" if len(names) == 1 else "runs were"
    text = f"{len(names)} {runs} deleted in {tool} and not read: {shown}"
    return f"{text}. Restore a run in {tool} to have it read"


def _steps_not_logged(finding: Finding) -> str:
    if "names" not in finding.facts:
        return "no step was logged, so the values of the longest series are numbered instead"
    names = ", ".join(finding["names"])
    return f"left out, because all values were logged without a step while other metrics have steps: {names}"


def _no_metrics_in_text(finding: Finding) -> str:
    seen = ", ".join(finding["seen"]) or "training output"
    return f"{seen} was seen, but no line that holds a metric and says at which step or epoch it was measured"


def _only_improvements(finding: Finding) -> str:
    total = finding.get("of")
    shown = say_count(finding["shown"], "value") if total is None else f"{finding['shown']} of {total} values"
    return (
        f"{finding['metric']} is printed only where it improved ({shown}), so its other evals are missing and"
        " it is not read. Give a log with all evals, such as the CSV or TensorBoard files of this training"
    )


def _rounded_values(finding: Finding) -> str:
    ties, evals = finding["ties"], finding["evals"]
    return (
        f"{ties} of {evals} values of {finding['metric']} equal the best one before them as far as they"
        f" were printed ({finding['digits']} digits); on the full values, a rule with patience may stop at"
        " another eval"
    )


def _steps_of_epochs(finding: Finding) -> str:
    return (
        "the text prints no steps; they were computed from its rounded epochs, and may be off by"
        f" {finding['off']}"
    )


def _shared_epochs(finding: Finding) -> str:
    return (
        f"{finding['count']} evals print the same rounded epoch as another eval; they are placed at equal"
        " distances, in the order of the lines"
    )


def _counted_epochs(finding: Finding) -> str:
    return (
        f"no line says of which epoch its {finding['count']} evals are; they are counted as one per epoch, in"
        " the order of the lines"
    )


def _rows_left_out(finding: Finding) -> str:
    return "the table in the text is abbreviated (“...”), so evals in the middle of the run are missing"


def _assumed_sets(finding: Finding) -> str:
    names = ", ".join(finding["metrics"])
    return (
        f"lines have two values behind {names} and do not name the sets; the first is read as that of the"
        " training set, the second as that of the validation set"
    )


def _columns_without_set(finding: Finding) -> str:
    names = ", ".join(finding["metrics"])
    one = len(finding["metrics"]) == 1
    return (
        f"{names} {'names' if one else 'name'} no set and {'counts' if one else 'count'} as of the training;"
        f" if {'it is' if one else 'they are'} of the validation set, monitor {'it' if one else 'them'} with"
        " --monitor, or name all columns with --metric"
    )


def _two_clocks(finding: Finding) -> str:
    names = ", ".join(finding["metrics"])
    verb = "counts" if len(finding["metrics"]) == 1 else "count"
    if finding["placed"]:
        return (
            f"{names} {verb} epochs while the train series count steps; each eval is placed at the train step"
            " that was logged before it"
        )
    return (
        f"{names} {verb} epochs while the train series count steps, and the order of the log does not tell"
        " which belong together; the run is counted in epochs"
    )


def _summary_table(finding: Finding) -> str:
    return (
        f"a table with one row per run ({finding['rows']} rows, told apart by {finding['column']}) and not"
        " the log of a training; give the logs of the runs, with one row per eval"
    )


def _restart(finding: Finding) -> str:
    return f"restart {finding['number']} of {finding['of']} in the same place"


def _resumed(finding: Finding) -> str:
    at = ", ".join(f"{step:g}" for step in finding["steps"])
    replaced = finding["replaced"]
    values = f"{replaced} older value{'s' * (replaced != 1)}"
    dropped = f"; {values} of the interrupted process dropped" if replaced else ""
    return f"resumed at step {at}{dropped}"


def _repeated_values(finding: Finding) -> str:
    return f"{say_count(finding['count'], 'value')} logged again for the same step (the first is kept)"


def _finished_model(finding: Finding) -> str:
    place = f"{list_names(finding['metrics'])} at step {finding['step']:g}"
    return f"{place}, after the last eval, is of the finished model and is left out"


def _placeholders(finding: Finding) -> str:
    names, count = finding["names"], finding["count"]
    verb = "is" if len(names) == 1 else "are"
    rows = "row" if count == 1 else "rows"
    return (
        f"{list_names(names)} {verb} {finding['fill']} in {count} {rows} in which nothing was evaluated;"
        " these values are left out"
    )


def _rows_as_epochs(finding: Finding) -> str:
    rows = "the one row" if finding["rows"] == 1 else f"each of the {finding['rows']} rows"
    return f"no column is a step or an epoch, so {rows} is taken for one epoch"


def _rows_sorted(finding: Finding) -> str:
    return f"its {finding['rows']} rows were not in the order of their steps, so they were sorted by step"


def _steps_counted_on(finding: Finding) -> str:
    at = list_names([f"{epoch:g}" for epoch in finding["epochs"]], 4)
    epochs = "epoch" if len(finding["epochs"]) == 1 else "epochs"
    return f"its steps begin again at {epochs} {at} while its epochs go on, so the steps are counted on"


def _every_few_epochs(finding: Finding) -> str:
    evals, epochs, every = finding["evals"], finding["epochs"], finding["every"]
    return (
        f"it has {evals} evals of {epochs} epochs and does not say of which, so one after every"
        f" {every} epochs is assumed (validation_freq={every} of Keras)"
    )


def _carried_forward(finding: Finding) -> str:
    names, count = finding["names"], finding["count"]
    verb, its = ("repeats", "its") if len(names) == 1 else ("repeat", "their")
    return (
        f"{list_names(names)} {verb} {its} last value in {say_count(count, 'row')} between the evals;"
        f" {'this row is not an eval and is' if count == 1 else 'these rows are not evals and are'} left out"
    )


def _interleaved_sets(finding: Finding) -> str:
    count = finding["count"]
    return (
        f"{finding['name']} holds the values of {count} sets in turn, {count} at every step, and the log does"
        f" not say which set is which; they are read as {' and '.join(finding['names'])}. Give one of them as"
        " --monitor"
    )


def _missing_head(finding: Finding) -> str:
    return f"begins at step {finding['step']:g}; what was logged before is not there"


def _logs_disagree(finding: Finding) -> str:
    more = finding["count"] - 1
    others = f", and {more} other {'value differs' if more == 1 else 'values differ'}" if more else ""
    return (
        f"{finding['metric']} at step {finding['step']:g} is {finding['kept']:.6g} in the log that is kept"
        f" and {finding['other']:.6g} in {finding['file']}{others}"
    )


def _more_digits(finding: Finding) -> str:
    return (
        f"{finding['file']} has the values of this training with more digits, which move no best value; it"
        " lacks other trainings of this text. To use its digits, give that file alone"
    )


def _several_writers(finding: Finding) -> str:
    return (
        f"line {finding['line']} shows that two processes wrote this log at the same time; their evals are"
        " mixed, so the curve may be that of neither. Leave the log out, or keep the lines of one of them"
    )


def _trained_again(finding: Finding) -> str:
    seconds = finding["seconds"]
    return (
        f"{finding['steps']:g} steps were trained again after an interruption"
        f"{'' if seconds is None else f' ({seconds:.3g} s)'}; that is not counted as used"
    )


def _extended(finding: Finding) -> str:
    planned, before = (finding[key] for key in ("planned", "planned_before"))
    what = f"the training had ended at step {finding['step']:g}" + (
        "" if before is None else f", the last of {before:g} planned ones"
    )
    what += ", and was extended" + ("" if planned is None else f" to {planned:g} steps")
    scheduler = finding["scheduler"]
    if finding["same_schedule"]:
        return f"{what}; its learning rates ({scheduler}) are those of that many steps from the start"
    rates = [finding["learning_rate_before"], finding["learning_rate"]]
    change = "" if None in rates else f" (from {rates[0]:g} to {rates[1]:g} there)"
    schedule = "its schedule is unknown" if scheduler is None else f"the schedule is {scheduler}"
    return (
        f"{what}; {schedule}, so its learning rates{change} are not those of that many steps from the start:"
        " what a stop would save and lose is about this training, and not about one that is planned so long"
    )


def _sampled_export(finding: Finding) -> str:
    size = "the size of the sample that W&B exports"
    advice = "Export the whole history with run.scan_history()"
    if finding["tool"] == "TensorBoard":
        size = "the most that TensorBoard's page exports"
        advice = "Read the event files instead"
    return f"exactly {finding['rows']:,} rows, {size}: values may be missing between them. {advice}"


def _batch_steps(finding: Finding) -> str:
    return f"left out, as their steps count batches and not epochs: {', '.join(finding['tags'])}"


def _other_length(finding: Finding) -> str:
    return (
        f"left out, as they do not have one value for each of the {finding['evals']} evals, so their steps"
        f" are not known: {', '.join(finding['names'])}"
    )


def _zero_for_nan(finding: Finding) -> str:
    at = ", ".join(f"{step:g}" for step in finding["steps"][:10])
    more = len(finding["steps"]) - 10
    return (
        f"{finding['metric']} is exactly 0 at step {at}{f' and {more} more' if more > 0 else ''}, and"
        f" {finding['tool']} writes 0 where a value was NaN or infinite; these evals count as the best ones,"
        " so leave this run out if the loss diverged"
    )


def _eval_hint(finding: Finding) -> str:
    if finding.get("evals"):
        return _evals_without_metric(finding)
    empty = finding.get("empty")
    where = "header" if finding["tool"] != "jsonl" else "rows"
    seen = f"{empty} is in its {where}, but without a value; " if empty else ""
    return seen + _HINTS[finding["tool"]](finding)


def _evals_without_metric(finding: Finding) -> str:
    count = finding["evals"]
    text = f"{count} evals ran (their duration is logged), but none of them gave a loss or another metric"
    if count == 1:
        text = "1 eval ran (its duration is logged), but it gave neither a loss nor another metric"
    if finding["tool"] in ("transformers", "ms-swift"):
        return (
            f"{text}: the Trainer found no labels in the evaluation data, as happens with a wrapped model"
            " such as PEFT's. Set label_names=['labels'] in TrainingArguments, check that the column of the"
            " labels is not removed (remove_unused_columns), or pass compute_metrics"
        )
    return f"{text}; log the validation loss beside the duration"


def _csv_hint(finding: Finding) -> str:
    return (
        f"evaluate on held-out data{_every_steps(finding)} and write it to a column named for it, such as"
        " val_loss"
    )


def _every_steps(finding: Finding) -> str:
    every = finding.get("every")
    return "" if every is None else f" every {every} steps"


#: How to log evals, by the tool that wrote the log; ``every`` is a number of steps.
_HINTS: dict[str, Callable[[Finding], str]] = {
    "transformers": lambda finding: (
        f"set eval_strategy='steps', eval_steps={finding['every']} in TrainingArguments and pass an"
        " eval_dataset"
    ),
    "llama-factory": lambda finding: (
        f"set eval_strategy: steps, eval_steps: {finding['every']} and val_size: 0.1 in the LLaMA-Factory"
        " config"
    ),
    "ms-swift": lambda finding: (
        f"set --eval_strategy steps --eval_steps {finding['every']} and give --val_dataset or"
        " --split_dataset_ratio 0.05"
    ),
    "detectron2": lambda finding: (
        f"set cfg.TEST.EVAL_PERIOD = {finding['every']} and register a DatasetEvaluator in build_evaluator"
    ),
    "ultralytics": lambda _: "train with val=True",
    "lightning": lambda _: (
        "call self.log('val_loss', loss) in validation_step and pass val_dataloaders to trainer.fit"
    ),
    "keras": lambda _: "pass validation_data to model.fit (Keras), or write a column val_loss",
    "keras-tensorboard": lambda _: "pass validation_data to model.fit beside the TensorBoard callback",
    "summary-writer": lambda _: (
        "log the validation loss under a tag that says so: writer.add_scalar('val/loss', loss, step)"
    ),
    "csv": _csv_hint,
    "jsonl": lambda finding: (
        f"evaluate on held-out data{_every_steps(finding)} and log it under a name that says so, such as"
        " val_loss"
    ),
}


def _printed_hint(_: Finding) -> str:
    return (
        "print the loss on held-out data under a name that says so, with its step or epoch:"
        " epoch 3: val_loss 0.41"
    )


_HINTS |= {
    "mlx": lambda finding: (
        f"set --steps-per-eval {finding['every']} and put a valid.jsonl beside train.jsonl"
    ),
    "torchtune": lambda finding: (
        f"set run_val_every_n_steps: {finding['every']} and a dataset_val in the recipe's config"
    ),
    "litgpt": lambda finding: f"set --eval.interval {finding['every']}, and a validation split of the data",
    "lightgbm": lambda _: "pass valid_sets=[...] and callbacks=[log_evaluation(1)] to lightgbm.train",
    "xgboost": lambda _: 'pass evals=[(data, "eval")] to xgboost.train',
    "catboost": lambda _: "pass eval_set=(X, y) to fit",
    **dict.fromkeys(("nanogpt", "spacy", "fairseq", "opennmt", "text"), _printed_hint),
}


def _unusable_log(finding: Finding) -> str:
    return "; ".join(SENTENCES[part.kind](part) for part in finding["findings"])


def _of_log(text: Callable[[Finding], str]) -> Callable[[Finding], str]:
    """The sentence behind the path of its log, escaped, since logs and their names are untrusted."""

    def sentence(finding: Finding) -> str:
        said = text(finding)
        return printable(said if finding.log is None else f"{finding.log}: {said}")

    return sentence


SENTENCES: dict[Kind, Callable[[Finding], str]] = {
    Kind.UNUSABLE_LOG: _unusable_log,
    Kind.EVAL_HINT: _eval_hint,
    **{
        kind: _of_log(text)
        for kind, text in {
            Kind.UNREADABLE: _unreadable,
            Kind.NOT_A_FILE: lambda _: "not a regular file, so it is not read",
            Kind.LINK_LOOP: lambda _: "a link that leads back to itself; it is left out",
            Kind.EMPTY_FILE: _empty_file,
            Kind.EMPTY_ARCHIVE: _empty_archive,
            Kind.BINARY_FILE: _binary_file,
            Kind.LFS_POINTER: _lfs_pointer,
            Kind.MISNAMED_FILE: lambda _: "not what its name says; no format that replay reads recognises it",
            Kind.UNKNOWN_FORMAT: _unknown_format,
            Kind.READER_FAILED: _reader_failed,
            Kind.PLUGIN_FAILED: _plugin_failed,
            Kind.REMOTE_LIMIT: _remote_limit,
            Kind.UNSAFE_NAME: _unsafe_name,
            Kind.UNSUPPORTED_VERSION: _unsupported_version,
            Kind.CUT_OFF: _cut_off,
            Kind.CORRUPT_RECORD: _corrupt_record,
            Kind.INVALID_HEADER: _invalid_header,
            Kind.INVALID_JSON: _invalid_json,
            Kind.INVALID_ROW: _invalid_row,
            Kind.PYTHON_TEXT: _python_text,
            Kind.LONG_ROWS: _long_rows,
            Kind.ZERO_BYTES: lambda _: (
                "there are zero bytes in it, as a crash or a full disk leaves them; the rows around them are"
                " kept"
            ),
            Kind.OVER_LIMIT: _over_limit,
            Kind.TENSOR_TAG: _tensor_tag,
            Kind.NO_STEP: _no_step,
            Kind.ROWS_WITHOUT_STEP: _rows_without_step,
            Kind.NO_ROWS: lambda _: "a header, but no row under it",
            Kind.NO_VALUES: _no_values,
            Kind.NO_SCALARS: _no_scalars,
            Kind.NO_HISTORY: _no_history,
            Kind.UNREADABLE_DATABASE: lambda finding: (
                f"the SQLite database cannot be read ({finding['error']}); it is left out"
            ),
            Kind.LARGE_DATABASE: _large_database,
            Kind.DAMAGED_TABLE: _damaged_table,
            Kind.INVALID_LINES: lambda finding: (
                f"{say_among(finding['lines'], finding['of'], 'line', 'is', 'are')} not of the form"
                f" {finding['form']}; {_left_out(finding['lines'])}"
            ),
            Kind.UNREADABLE_TABLE: _unreadable_table,
            Kind.SAMPLED_STORE: lambda finding: (
                f"{finding['count']:,} of its {finding['total']:,} runs are used, drawn at random; replay"
                " simulate and replay choose take all of them with --jobs"
            ),
            Kind.MISSING_PACKAGE: lambda finding: (
                f"{finding['what']} are read with {finding['package']}, which is not installed. Install it"
                f" with 'pip install {finding['package']}'"
            ),
            Kind.NO_METRICS: lambda _: "the run has logged no metric",
            Kind.DELETED_RUNS: _deleted_runs,
            Kind.STEPS_NOT_LOGGED: _steps_not_logged,
            Kind.NO_METRICS_IN_TEXT: _no_metrics_in_text,
            Kind.ONLY_IMPROVEMENTS: _only_improvements,
            Kind.TWO_CLOCKS: _two_clocks,
            Kind.WITHIN_EPOCHS: lambda _: (
                "several rows per epoch and no step; each row is placed within its epoch by the rows"
                " before it"
            ),
            Kind.ROWS_AS_EPOCHS: _rows_as_epochs,
            Kind.ROWS_SORTED: _rows_sorted,
            Kind.STEPS_COUNTED_ON: _steps_counted_on,
            Kind.EVERY_FEW_EPOCHS: _every_few_epochs,
            Kind.SUMMARY_TABLE: _summary_table,
            Kind.RESTART: _restart,
            Kind.RESUMED: _resumed,
            Kind.REPEATED_VALUES: _repeated_values,
            Kind.FINISHED_MODEL: _finished_model,
            Kind.PLACEHOLDERS: _placeholders,
            Kind.CARRIED_FORWARD: _carried_forward,
            Kind.INTERLEAVED_SETS: _interleaved_sets,
            Kind.MISSING_HEAD: _missing_head,
            Kind.LOGS_DISAGREE: _logs_disagree,
            Kind.MORE_DIGITS: _more_digits,
            Kind.TRAINED_AGAIN: _trained_again,
            Kind.EXTENDED: _extended,
            Kind.SEVERAL_WRITERS: _several_writers,
            Kind.SAMPLED_EXPORT: _sampled_export,
            Kind.BATCH_STEPS: _batch_steps,
            Kind.ROUNDED_VALUES: _rounded_values,
            Kind.STEPS_OF_EPOCHS: _steps_of_epochs,
            Kind.SHARED_EPOCHS: _shared_epochs,
            Kind.COUNTED_EPOCHS: _counted_epochs,
            Kind.ASSUMED_SETS: _assumed_sets,
            Kind.COLUMNS_WITHOUT_SET: _columns_without_set,
            Kind.ROWS_LEFT_OUT: _rows_left_out,
            Kind.OTHER_LENGTH: _other_length,
            Kind.ZERO_FOR_NAN: _zero_for_nan,
        }.items()
    },
}
