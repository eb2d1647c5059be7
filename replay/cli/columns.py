"""Options that say which column of a table is what, and which runs of a store; every command that reads logs
has them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from replay.readers import ColumnMap

__all__ = ["columns_options", "columns_words", "stated_columns", "stated_filter"]

_F = TypeVar("_F", bound=Callable[..., Any])
_META = "replay.columns"
_FLAGS = {
    "step": "--step",
    "metric": "--metric",
    "split": "--split",
    "run": "--run-column",
    "columns": "--columns",
    "where": "--where",
}


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option for `stated_columns`; no command has it as an argument."""
    if value:
        context.meta.setdefault(_META, {})[str(parameter.name).removesuffix("_of_table")] = value


def columns_options(*, run_flag: bool = True) -> Callable[[_F], _F]:
    """The options as a decorator; without ``run_flag`` the command has another option ``--run``."""
    run_names = ["--run-column", "--run"] if run_flag else ["--run-column"]
    shown: dict[str, dict[str, Any]] = {
        "step": {
            "metavar": "COLUMN",
            "help": "Read tables by their columns, this one as the step (CSV, TSV, JSON, JSONL, Parquet).",
        },
        "metric": {
            "metavar": "COLUMN[=NAME]",
            "multiple": True,
            "help": "A column of a table that holds a metric of held-out data (repeatable).",
        },
        "split": {"metavar": "COLUMN", "help": "The column that says on which set a row was measured."},
        "run": {"metavar": "COLUMN", "help": "The column that says to which run a row belongs."},
        "columns": {
            "metavar": "FILE",
            "type": click.Path(path_type=Path),
            "help": "A TOML file with step, metrics, split and run.",
        },
        "where": {
            "metavar": "EXPRESSION",
            "help": "Only the runs of a store of which this SQL is true: model = 'x' and evals >= 20.",
        },
    }

    def decorate(function: _F) -> _F:
        for name, settings in reversed(shown.items()):
            flags = run_names if name == "run" else [_FLAGS[name]]
            option = click.option(
                *flags, f"{name}_of_table", expose_value=False, callback=_keep, is_eager=True, **settings
            )
            function = option(function)
        return function

    return decorate


def stated_columns() -> ColumnMap | None:
    """What the options of the running command say of columns; None where they say nothing."""
    from replay.readers import ColumnMap

    context = click.get_current_context(silent=True)
    stated = {} if context is None else context.meta.get(_META, {})
    named = {name: value for name, value in stated.items() if name != "where"}
    return ColumnMap.of(**named) if named else None


def stated_filter() -> str | None:
    """The filter of ``--where`` of the running command; None where there is none."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_META, {}).get("where")


def columns_words() -> list[str]:
    """The options on columns that were typed, as the words of a command that reads the same."""
    context = click.get_current_context(silent=True)
    stated = {} if context is None else context.meta.get(_META, {})
    words = []
    for name, flag in _FLAGS.items():
        value = stated.get(name)
        for one in value if isinstance(value, tuple) else [value] if value else []:
            words += [flag, str(one)]
    return words
