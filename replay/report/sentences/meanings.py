"""What each kind of finding means, what it does to the results, and what to do: the page of findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from replay.data.finding import Kind, Severity

__all__ = ["MEANINGS", "SEVERITIES", "Meaning"]


class Meaning(NamedTuple):
    """What a kind of finding says: what was found, what that does to the results, and what to do.

    ``advice`` is empty where there is nothing to do.
    """

    found: str
    effect: str
    advice: str = ""


_KEPT = "Everything before that place is used. What follows is missing."
_SKIPPED_FILE = "The file is skipped; all other logs are read."
_READ_ELSEWHERE = "Copy the log again from the machine that wrote it."

#: By section of the page, in the order of `Kind`.
MEANINGS: Mapping[str, Mapping[Kind, Meaning]] = {
    "Files that were not read": {
        Kind.UNREADABLE: Meaning(
            "The system refuses to open a file or folder, or an entry of an archive cannot be unpacked.",
            "It is skipped; all other logs are read.",
            "Check the permissions of the file, or unpack the archive yourself.",
        ),
        Kind.NOT_A_FILE: Meaning(
            "A path leads to a pipe, a socket or a device.",
            "It is not opened, because reading it could block or have effects.",
            "Write its content to a regular file.",
        ),
        Kind.LINK_LOOP: Meaning(
            "A symbolic link leads back to a folder that contains it.",
            "The link is not followed, so nothing is read twice.",
        ),
        Kind.EMPTY_FILE: Meaning(
            "A file that is named like a log is empty, or holds only blanks or zero bytes.",
            _SKIPPED_FILE,
            "Look for the log in the folder in which the training ran: a full disk or a crash leaves empty"
            " files.",
        ),
        Kind.EMPTY_ARCHIVE: Meaning(
            "An offline archive of Comet is empty, because the training was killed before Comet wrote it.",
            _SKIPPED_FILE,
            "Give the file messages.json of the temporary folder of Comet instead.",
        ),
        Kind.BINARY_FILE: Meaning(
            "A file is named like a text log, but holds binary data.",
            _SKIPPED_FILE,
            "Give the log itself. If the file is compressed in a format that replay does not unpack,"
            " unpack it.",
        ),
        Kind.LFS_POINTER: Meaning(
            "A file is a pointer of Git LFS, and the log itself was not downloaded.",
            _SKIPPED_FILE,
            "Download the logs with `git lfs pull`.",
        ),
        Kind.MISNAMED_FILE: Meaning(
            "A file has the name that a tool gives to its logs, but not their content.",
            _SKIPPED_FILE,
            "Check whether another program has replaced the file.",
        ),
        Kind.UNKNOWN_FORMAT: Meaning(
            "No format that replay reads recognises a file that was given.",
            _SKIPPED_FILE,
            "If it is a table, say which column is what: `--step COLUMN --metric COLUMN`."
            " See [Log formats](formats.md).",
        ),
        Kind.READER_FAILED: Meaning(
            "A reader ended with an unexpected error. This is a defect of replay or of a plug-in.",
            _SKIPPED_FILE,
            "Report the error together with the file.",
        ),
        Kind.PLUGIN_FAILED: Meaning(
            "A plug-in for a log format cannot be loaded, or has the name of a format of replay.",
            "Logs in that format are not read. All other formats work.",
            "Update or remove the plug-in that is named.",
        ),
        Kind.REMOTE_LIMIT: Meaning(
            "A URL names more files, or larger ones, than replay fetches.",
            "What is beyond the limit is skipped; the rest is read.",
            "Give the URL of a folder with fewer files, or download the logs and give their path.",
        ),
        Kind.UNSAFE_NAME: Meaning(
            "A server lists a name that could lead out of the folder of the copies.",
            "Nothing is fetched under this name; all other files are read.",
            "Rename the file on the server if it is a log.",
        ),
    },
    "Logs with parts that cannot be read": {
        Kind.UNUSABLE_LOG: Meaning(
            "A log was recognised, but nothing in it can be used. The sentence says why.",
            "The log gives no run; all other logs are read.",
            "Follow the advice of the sentence.",
        ),
        Kind.UNSUPPORTED_VERSION: Meaning(
            "An eval log was written in a newer version of the format than this replay reads.",
            "The log gives no run.",
            "Update stop-replay.",
        ),
        Kind.CUT_OFF: Meaning(
            "A log ends in the middle of a record, a line or an entry.",
            _KEPT
            + " The run counts as censored if the log states a longer plan, or if it is one JSON document or"
            " a compressed file.",
            _READ_ELSEWHERE + " If the training was killed, there is nothing more to read.",
        ),
        Kind.CORRUPT_RECORD: Meaning(
            "A record does not fit its checksum or its length.",
            _KEPT,
            _READ_ELSEWHERE,
        ),
        Kind.INVALID_HEADER: Meaning(
            "The first line of a log, which says what the columns or settings are, cannot be read.",
            "Without it the rows have no meaning, so the log gives no run or loses its settings.",
            "Restore the first line.",
        ),
        Kind.INVALID_JSON: Meaning(
            "A JSON file, or a line of a JSON lines file, is not valid.",
            "The entries before the place, or all other lines, are used.",
            "Correct or remove what is named.",
        ),
        Kind.INVALID_ROW: Meaning(
            "A row of a table cannot be read.",
            "The rows before it are used.",
            "Correct or remove the row.",
        ),
        Kind.PYTHON_TEXT: Meaning(
            "A JSON file holds text as Python prints an object, which is not JSON.",
            _KEPT,
            "Convert the value to a number before it is logged.",
        ),
        Kind.LONG_ROWS: Meaning(
            "Rows of a table have more values than the table has column names.",
            "These rows are skipped, because their values cannot be assigned to columns.",
            "Quote values that contain the separator.",
        ),
        Kind.ZERO_BYTES: Meaning(
            "A text contains zero bytes, as a crash or a full disk leaves them.",
            "The rows around them are used.",
            _READ_ELSEWHERE,
        ),
        Kind.OVER_LIMIT: Meaning(
            "A line, a text, or the number of series exceeds what replay reads at a time.",
            "The rest is skipped, so that one file cannot fill the memory.",
            "Split the file, or export only the metrics that you need.",
        ),
        Kind.TENSOR_TAG: Meaning(
            "A TensorBoard tag holds tensors of more than one element.",
            "The tag is skipped; scalars are read.",
        ),
        Kind.NO_STEP: Meaning(
            "No column or key says at which step or epoch a row was written.",
            "The log gives no run.",
            "Name the column with `--step COLUMN`, or log the step.",
        ),
        Kind.ROWS_WITHOUT_STEP: Meaning(
            "Some rows have no step.",
            "These rows are skipped.",
            "Log the step with every row.",
        ),
        Kind.NO_ROWS: Meaning(
            "A table has a header and no row.",
            "The log gives no run.",
        ),
        Kind.NO_VALUES: Meaning(
            "No column or key holds a number of a metric of held-out data.",
            "The log gives no run.",
            "Name the column with `--metric COLUMN`, or log the metric under a name such as `val_loss`.",
        ),
        Kind.NO_SCALARS: Meaning(
            "An event file or a run file holds no scalars, only other data.",
            "The file gives no run.",
            "Log the metric as a scalar.",
        ),
        Kind.NO_HISTORY: Meaning(
            "A file named like the state of a Trainer has no history of logged values, or an empty one.",
            "The file gives no run.",
            "Give the trainer_state.json of the last checkpoint.",
        ),
        Kind.UNREADABLE_DATABASE: Meaning(
            "An SQLite database cannot be opened or is damaged.",
            _SKIPPED_FILE,
            "Close the program that writes it, and copy the database again.",
        ),
        Kind.LARGE_DATABASE: Meaning(
            "A database would have to be copied to be read safely, and is too large for that.",
            _SKIPPED_FILE,
            "Close the program that has it open, so that its write-ahead log is merged.",
        ),
        Kind.DAMAGED_TABLE: Meaning(
            "A table of a database is damaged.",
            "The rows before the damage are used.",
            _READ_ELSEWHERE,
        ),
        Kind.INVALID_LINES: Meaning(
            "Lines of a metric's file do not have the form that the tool writes.",
            "These lines are skipped.",
        ),
        Kind.UNREADABLE_TABLE: Meaning(
            "A Parquet file cannot be read, or not to its end.",
            "The rows before the damage are used.",
            _READ_ELSEWHERE,
        ),
        Kind.SAMPLED_STORE: Meaning(
            "A store has more runs than a page can show.",
            "Runs drawn at random are used, the same ones each time; all figures are about these.",
            "For the figures of all runs, use simulate, choose or check; or choose runs with --where.",
        ),
        Kind.MISSING_PACKAGE: Meaning(
            "A file needs a package that is not installed.",
            _SKIPPED_FILE,
            "Install the package with the command that the sentence gives.",
        ),
        Kind.NO_METRICS: Meaning(
            "A run of a tracker has logged no metric.",
            "The run is skipped.",
        ),
        Kind.DELETED_RUNS: Meaning(
            "Runs were deleted in the tracker, but are still in its store.",
            "They are not read.",
            "Restore a run in the tracker to have it read.",
        ),
        Kind.NO_METRICS_IN_TEXT: Meaning(
            "A text looks like the output of a training, but no line has a metric together with its step"
            " or epoch.",
            "The text gives no run.",
            "Print the loss on held-out data with its step: `epoch 3: val_loss 0.41`.",
        ),
        Kind.ONLY_IMPROVEMENTS: Meaning(
            "A text holds a metric only in the lines that a callback prints where the metric improved.",
            "The metric is not read, because a curve of improvements alone never shows a worse eval.",
            "Give a log with all evals, such as the CSV or TensorBoard files of the training.",
        ),
    },
    "How a log was read": {
        Kind.TWO_CLOCKS: Meaning(
            "Metrics count epochs while the train series count steps.",
            "Where the order of the log allows it, each eval is placed at the step before it; otherwise"
            " the run"
            " is counted in epochs.",
            "Log the step with the metric.",
        ),
        Kind.WITHIN_EPOCHS: Meaning(
            "There are several rows per epoch, and no step.",
            "Each row is placed within its epoch by the number of rows before it.",
            "Log the step.",
        ),
        Kind.ROWS_AS_EPOCHS: Meaning(
            "No column is a step or an epoch.",
            "Each row counts as one epoch.",
            "Name the column with `--step COLUMN` if there is one.",
        ),
        Kind.ROWS_SORTED: Meaning(
            "The rows of a table are not in the order of their steps, and no step is there twice.",
            "The rows are sorted by step.",
        ),
        Kind.STEPS_COUNTED_ON: Meaning(
            "The steps of a log begin again while its epochs go on.",
            "It is one run, and its steps are counted on.",
            "Log a step that counts all updates of the training.",
        ),
        Kind.EVERY_FEW_EPOCHS: Meaning(
            "A history has fewer values of the validation metrics than epochs.",
            "The evals are placed at equal distances, as `validation_freq` of Keras makes them.",
            "Save the epochs with the values if the evals were made at others.",
        ),
        Kind.SUMMARY_TABLE: Meaning(
            "A table has one row per run, as an export of a run list has.",
            "It gives no run, because it has no curves.",
            "Export the history of each run.",
        ),
        Kind.RESTART: Meaning(
            "A training was started again from its first step in the same place.",
            "Each start is a run of its own.",
        ),
        Kind.RESUMED: Meaning(
            "A training was resumed from a checkpoint.",
            "The parts are joined. Values that the interrupted process had logged after the checkpoint are"
            " dropped.",
        ),
        Kind.REPEATED_VALUES: Meaning(
            "Values were logged again for the same step.",
            "The first one is used.",
        ),
        Kind.FINISHED_MODEL: Meaning(
            "The finished model was measured on the test set once, after the last eval.",
            "This is not an eval of the training, and is left out.",
        ),
        Kind.PLACEHOLDERS: Meaning(
            "A metric has a constant such as 0 in rows in which nothing was evaluated.",
            "These values are not evals and are dropped.",
        ),
        Kind.CARRIED_FORWARD: Meaning(
            "A metric repeats its last value in the rows between two evals.",
            "Each eval counts once, at the row where its value first appears.",
            "A patience would otherwise count every row.",
        ),
        Kind.INTERLEAVED_SETS: Meaning(
            "A metric holds the values of several held-out sets in turn, and the log does not name the sets.",
            "Each set becomes a metric of its own, with a number in its name.",
            "Give the one that you mean as `--monitor`.",
        ),
        Kind.MISSING_HEAD: Meaning(
            "A log begins in the middle of a training.",
            "What was trained before is not in the figures.",
            "Put the log of the earlier process beside it.",
        ),
        Kind.LOGS_DISAGREE: Meaning(
            "Two logs of the same run have different values at a step.",
            "The log that is more exact is used; the sentence names the other one.",
            "Remove the log that is wrong.",
        ),
        Kind.MORE_DIGITS: Meaning(
            "A text shows several trainings. A history beside it holds only some of them, with more digits.",
            "All trainings are read from the text. Its rounding changes no best value.",
            "Give the history alone to use its digits.",
        ),
        Kind.TRAINED_AGAIN: Meaning(
            "Steps were trained twice, because a training was interrupted.",
            "The repeated steps do not count as used.",
        ),
        Kind.EXTENDED: Meaning(
            "A training had ended, and was extended to more steps.",
            "Unless the learning rates do not depend on the plan, the figures are about this training and not"
            " about one that was planned so long.",
        ),
        Kind.SEVERAL_WRITERS: Meaning(
            "Two processes wrote one eval log at the same time: a segment or the end is there twice, or an"
            " eval is of a segment that was over.",
            "The evals of both are mixed, so the curve may be that of neither.",
            "Leave the log out, or keep the lines of one process.",
        ),
        Kind.SAMPLED_EXPORT: Meaning(
            "A table has exactly as many rows as a tool exports at most.",
            "Values may be missing, so a policy may stop elsewhere than in the training.",
            "Export the whole history, as the sentence says.",
        ),
        Kind.BATCH_STEPS: Meaning(
            "Some series count batches, while the others count epochs.",
            "These series are skipped.",
        ),
        Kind.STEPS_NOT_LOGGED: Meaning(
            "A run, or some of its metrics, was logged without steps.",
            "If no metric has steps, the values of the longest series are numbered. Otherwise the metrics"
            " without steps are skipped.",
            "Give the step when you log: `log_metric(name, value, step=step)`.",
        ),
        Kind.ROUNDED_VALUES: Meaning(
            "A text prints so few digits that values equal the best one before them.",
            "A policy with patience may stop at another eval than in the training.",
            "Use a log with full values, such as TensorBoard events or trainer_state.json.",
        ),
        Kind.STEPS_OF_EPOCHS: Meaning(
            "A text prints epochs and no steps.",
            "Steps are computed from the rounded epochs and may be off by a few.",
        ),
        Kind.SHARED_EPOCHS: Meaning(
            "A text prints no steps, and several evals within one rounded epoch.",
            "No eval is lost. Their places between two epochs follow from their order.",
        ),
        Kind.COUNTED_EPOCHS: Meaning(
            "A text prints evals, and no line that says of which epoch they are.",
            "Each eval counts as one epoch, so compute saved is counted in evals.",
        ),
        Kind.ROWS_LEFT_OUT: Meaning(
            "A table that pandas printed is abbreviated: a row of dots stands for rows that are not shown.",
            "The evals in the middle of the run are missing, so no figure of it is reliable."
            " Print the table with `to_string()`, or save it as CSV.",
        ),
        Kind.ASSUMED_SETS: Meaning(
            "A text prints two values behind the name of a metric (`acc: 0.8|0.7`), and names no sets.",
            "The second value is read as that of the validation set. If it is not, use no figure of the run.",
        ),
        Kind.COLUMNS_WITHOUT_SET: Meaning(
            "A table has losses of both sets, and behind them columns that name no set.",
            "These columns count as series of the training.",
            "If they are of the validation set, read the table with `--step` and a `--metric` for each.",
        ),
        Kind.OTHER_LENGTH: Meaning(
            "Some series do not have one value per eval.",
            "They are skipped, because their steps are not known.",
        ),
        Kind.ZERO_FOR_NAN: Meaning(
            "A metric is exactly 0 in a log of a tool that writes 0 where a value was NaN or infinite.",
            "For a loss, such an eval counts as the best one.",
            "If the loss diverged, remove this run.",
        ),
        Kind.EVAL_HINT: Meaning(
            "The log of a training has no evals on held-out data.",
            "No stop policy can be simulated on it.",
            "Switch evaluation on with the setting that the sentence names.",
        ),
        Kind.OF_LOGS: Meaning(
            "`replay diff` compares two sets of logs, and something was found in one of them.",
            "As the finding itself says.",
        ),
    },
    "Runs and policies that a simulation cannot use": {
        Kind.NO_EVALS: Meaning(
            "Runs have no evals.",
            "They are not part of any figure.",
            "`replay inspect` says what their logs hold.",
        ),
        Kind.NO_METRIC: Meaning(
            "Runs do not log the monitor.",
            "They are not part of any figure.",
            "Give another metric with `--monitor`, or simulate these runs by themselves.",
        ),
        Kind.TEST_SET_MONITOR: Meaning(
            "The monitor is measured on the test set.",
            "A checkpoint that was selected on the test set makes the test result too good.",
            "Monitor a validation metric, and give the test metric as `--objective`.",
        ),
        Kind.TRAIN_ONLY_MONITOR: Meaning(
            "The monitor is a train series, such as the train loss.",
            "Every log entry counts as an eval, and overfitting cannot be seen.",
            "Give a metric of held-out data with `--monitor`.",
        ),
        Kind.MODE_CONTRADICTED: Meaning(
            "`--mode` contradicts the log, or what is known of the metric's name.",
            "The results follow `--mode`.",
            "Check the direction.",
        ),
        Kind.WRONG_DIRECTION: Meaning(
            "A trainer optimised a metric in the direction that its name contradicts.",
            "The sentence says which direction the results follow. The checkpoint that the trainer kept"
            " may be"
            " its worst one.",
            "Correct `greater_is_better` (or the like) in the training; give `--mode` if the name misleads.",
        ),
        Kind.METRIC_CONSTANT: Meaning(
            "The monitor has the same value at every eval of a run.",
            "No stop rule can learn anything from it.",
            "Check how the metric is computed, or give another one with `--monitor`.",
        ),
        Kind.COMPANION_MISSING: Meaning(
            "A policy needs a column beside the monitor, and runs do not log it.",
            "The policy is skipped on these runs.",
            "Log the column; `replay policies NAME` says which it is.",
        ),
        Kind.REFUSED: Meaning(
            "A policy is not defined for the values of a run, such as the generalization loss of a loss"
            " below 0.",
            "The policy is skipped on the run.",
            "Use another policy for such a metric.",
        ),
        Kind.CAUTION: Meaning(
            "A policy reads an approximation of what its tool reads. The sentence says what differs.",
            "The tool may stop at another eval.",
        ),
        Kind.MONITOR_NOT_FINITE: Meaning(
            "The monitor of a run is never finite.",
            "The run has no best eval, and is not part of the figures.",
            "Check the training.",
        ),
        Kind.OBJECTIVE_NOT_LOGGED: Meaning(
            "Runs do not log the objective.",
            "They are not part of the figures.",
            "Give another metric with `--objective`.",
        ),
        Kind.OBJECTIVE_APART: Meaning(
            "The objective was never logged at an eval of the monitor.",
            "The loss of a stop is not known, and these runs are not part of the figures.",
            "Evaluate both at the same steps.",
        ),
        Kind.OBJECTIVE_UNKNOWN: Meaning(
            "The objective was not logged at the checkpoint that a policy keeps.",
            "The loss of that outcome is unknown and not part of the means.",
            "Evaluate the objective at every eval.",
        ),
        Kind.INFINITE_BEST: Meaning(
            "The best value of the objective is infinite.",
            "The regret of every other checkpoint is infinite.",
            "Check the log, or give another `--objective`.",
        ),
        Kind.NO_SCALE: Meaning(
            "A run improves by less than twice the noise of its evals.",
            "A share of that improvement means nothing, so the run is not part of `lost`. It is part of"
            " the regret.",
            "Compare such runs by regret.",
        ),
        Kind.POLICY_SKIPPED: Meaning(
            "A policy cannot be tried on any run.",
            "It has no row.",
            "The sentence says what it needs.",
        ),
        Kind.GRID_REFUSED: Meaning(
            "Points of a grid are not valid policies.",
            "They are not part of the sweep.",
            "Correct the values of `--grid`, unless the point is meaningless anyway.",
        ),
        Kind.UNTRIED: Meaning(
            "Policies of a grid could be tried on no run.",
            "They have no figures.",
            "Use a grid whose policies need only what your logs hold.",
        ),
        Kind.PARTLY_TRIED: Meaning(
            "Policies were tried on fewer runs than others.",
            "They cannot be compared with the others and are not on the Pareto front.",
            "Log what they need in all runs.",
        ),
    },
    "What the figures do not show": {
        Kind.MISSING_EVALS: Meaning(
            "Evals are missing between others, by the interval that the log states or shows.",
            "A policy that counts evals stops later on such a log than in the training.",
            "Use the log of another tool that has them, or remove the run.",
        ),
        Kind.MISSING_HEADS: Meaning(
            "Logs begin in the middle of a training.",
            "What was trained before is not in the figures.",
            "Put the logs of the earlier processes beside them, or remove the runs.",
        ),
        Kind.FALLING_RATE: Meaning(
            "Runs have a learning rate that falls towards the planned end.",
            "A training that is stopped early has not seen the low learning rates of a shorter plan. The"
            " figures"
            " are about stopping these trainings.",
            "To plan shorter trainings, train some of that length and compare.",
        ),
        Kind.PLATEAU_RATE: Meaning(
            "Runs lower the learning rate when the metric stalls.",
            "The figures hold for such trainings. What a drop gained counts as lost where a policy stops"
            " before it.",
            "With `reset_on=lr_drop` a policy waits anew after each drop.",
        ),
        Kind.MIXED_SETS: Meaning(
            "Runs of several groups or data sets are compared with each other.",
            "A policy that compares runs stops those of the harder data, however good they are there.",
            "Give `--group dataset` to compare within each data set, or the logs of one of them.",
        ),
        Kind.RESUMED_RUNS: Meaning(
            "Runs were resumed.",
            "Tools that keep the patience counter in memory reset it on resume and usually stop later than"
            " this"
            " replay, which does not reset it.",
            "`replay explain` says where such a tool would stop.",
        ),
        Kind.FEW_EVALS: Meaning(
            "Runs have fewer evals than a policy needs before it can stop.",
            "The policy saves nothing there, whatever the curve does.",
            "Evaluate more often, or use a policy that decides earlier.",
        ),
        Kind.FIRST_STRETCH: Meaning(
            "Runs make more than half of their improvement before the first or second eval.",
            "Every later stop seems to lose little.",
            "Compare policies by regret, or by `lost_later_mean`.",
        ),
        Kind.NEAR_ONE: Meaning(
            "A metric that cannot exceed 1 is near 1.",
            "A small relative regret can be a large part of the remaining error.",
            "Give the tolerance in the metric's own unit.",
        ),
        Kind.ADAPTIVE_BUDGET: Meaning(
            "Stop rules chose the length of logs, and the logs do not state a plan.",
            "The equal budget is a share of that length, so it is adaptive too.",
            "Use logs that state their planned steps.",
        ),
        Kind.CENSORED_RUNS: Meaning(
            "Logs end before the planned end, or a stop rule ended the training.",
            "Their losses are lower bounds, because the rest of the training might have been better.",
            "Train some runs to the end; `collect` does.",
        ),
        Kind.STILL_IMPROVING: Meaning(
            "Completed runs have their best eval at the end, or within the noise of it, and gained there more"
            " than that noise and at least 1% of their improvement.",
            "The figures are exact for the planned training. A longer one might be better.",
            "Train some runs longer.",
        ),
        Kind.PLAN_UNKNOWN: Meaning(
            "Logs do not state how long the training was planned to be.",
            "Each log is taken as complete.",
            "If trainings were ended early, use logs that state the planned steps.",
        ),
    },
    "Differences between two locks": {
        Kind.LOCKS_DIFFER: Meaning(
            "Two lock files were written with other settings or by other versions.",
            "A difference between their figures may come from that.",
            "Write both locks with the same settings.",
        ),
        Kind.NO_GROUPS: Meaning(
            "Lock files do not say which runs share data or a model.",
            "The intervals of the differences are those over single runs.",
            "To have groups counted, compare the policies on the logs.",
        ),
    },
    "Plug-ins": {
        Kind.OTHER: Meaning(
            "A reader or policy of another package reports something in its own words.",
            "As the sentence says.",
        ),
    },
}

_NOTED = (
    Kind.ADAPTIVE_BUDGET,
    Kind.BATCH_STEPS,
    Kind.CARRIED_FORWARD,
    Kind.DELETED_RUNS,
    Kind.EVAL_HINT,
    Kind.EVERY_FEW_EPOCHS,
    Kind.FALLING_RATE,
    Kind.FEW_EVALS,
    Kind.FINISHED_MODEL,
    Kind.LOGS_DISAGREE,
    Kind.MISSING_HEAD,
    Kind.MORE_DIGITS,
    Kind.OTHER_LENGTH,
    Kind.PLACEHOLDERS,
    Kind.PLAN_UNKNOWN,
    Kind.PLATEAU_RATE,
    Kind.REPEATED_VALUES,
    Kind.RESTART,
    Kind.RESUMED,
    Kind.RESUMED_RUNS,
    Kind.ROUNDED_VALUES,
    Kind.ROWS_AS_EPOCHS,
    Kind.ROWS_SORTED,
    Kind.SAMPLED_EXPORT,
    Kind.SHARED_EPOCHS,
    Kind.COUNTED_EPOCHS,
    Kind.ASSUMED_SETS,
    Kind.COLUMNS_WITHOUT_SET,
    Kind.STEPS_COUNTED_ON,
    Kind.STEPS_NOT_LOGGED,
    Kind.STEPS_OF_EPOCHS,
    Kind.STILL_IMPROVING,
    Kind.TRAINED_AGAIN,
    Kind.WITHIN_EPOCHS,
)
_EITHER = "warning or note, depending on what it does to the figures"

#: The severity of the kinds that are not always warnings, in words.
SEVERITIES: Mapping[Kind, str] = {
    **dict.fromkeys(_NOTED, str(Severity.NOTE)),
    **dict.fromkeys((Kind.EXTENDED, Kind.NO_METRICS, Kind.TWO_CLOCKS, Kind.OTHER), _EITHER),
    Kind.OF_LOGS: "that of the finding",
}
