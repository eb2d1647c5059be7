"""The eval log of a run: written by a Trainer's callback or a training loop, read to continue it.

`callback` is `EvalLog`, `writer` writes the lines, `counters` counts time and tokens, `reader` reads a log
that is there already, and `continuation` says where a log goes on after a kill.
"""

from collect.eval_log.callback import NOT_METRICS, EvalLog
from collect.eval_log.reader import FILE_NAME, ExistingLog, read_existing_log

__all__ = ["FILE_NAME", "NOT_METRICS", "EvalLog", "ExistingLog", "read_existing_log"]
