"""Options that several commands share, each group as one decorator."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from replay.cli.columns import columns_words
from replay.cli.output import VERBOSE, keep_output
from replay.errors import InputError
from replay.urls import Url, as_path

if TYPE_CHECKING:
    from replay.engine.question import Question

__all__ = [
    "LogPath",
    "chart_option",
    "check_chart",
    "file_option",
    "given_settings",
    "guarantee_options",
    "guarantee_words",
    "output_options",
    "paths_argument",
    "policies_option",
    "policy_option",
    "question_options",
    "question_words",
    "setting_words",
    "typed_words",
    "verbose_option",
    "watch_options",
    "weight_option",
    "weight_words",
]

_F = TypeVar("_F", bound=Callable[..., Any])

#: The settings of a Question, by the names of their options.
_SETTINGS = ("monitor", "mode", "objective", "objective_mode", "unit", "price", "keep")


def _group(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Several options as one decorator; --help shows them in this order."""

    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class LogPath(click.Path):
    """The type of an argument that names logs: a path, or a URL."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = as_path(value)
        return path if isinstance(path, Url) else super().convert(path, param, ctx)


paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=LogPath())


class _Exemplified(click.Option):
    """A required option that says what to write where it is missing."""

    def __init__(self, *arguments: Any, example: str, **settings: Any) -> None:
        super().__init__(*arguments, required=True, **settings)
        self.example = example

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter as error:
            hint = f"Write for example: {self.opts[0]} {self.example}"
            raise click.MissingParameter(hint, ctx, self) from error


#: The one policy of a command.
policy_option = click.option(
    "--policy",
    "spec",
    cls=_Exemplified,
    example="patience=3",
    metavar="SPEC",
    help="The stop policy, such as patience=3.",
)

policies_option = click.option(
    "--policies",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file of named policies: [policies.NAME] with spec = …",
)

watch_options = _group(
    click.option(
        "--monitor",
        metavar="METRIC",
        help="The metric that policies monitor (default: the one the logs state, else the validation loss).",
    ),
    click.option(
        "--mode",
        type=click.Choice(["min", "max"]),
        help="Whether lower or higher is better (default: as the log states, or known by the name).",
    ),
)

_judging = _group(
    click.option(
        "--objective", metavar="METRIC", help="The metric that measures the outcomes (default: the monitor)."
    ),
    click.option(
        "--objective-mode",
        type=click.Choice(["min", "max"]),
        help="Whether lower or higher is better for the objective, if neither the log nor its name says.",
    ),
    click.option(
        "--unit",
        default="steps",
        show_default=True,
        metavar="UNIT",
        help="steps, epochs, tokens, flops, seconds, gpu_hours or cost.",
    ),
    click.option(
        "--price", type=float, metavar="PRICE", help="Price of one hour of a device, for --unit cost."
    ),
    click.option(
        "--keep",
        type=click.Choice(["best", "best-saved", "transformers", "last"]),
        default="best",
        show_default=True,
        help=(
            "The checkpoint a stop keeps: the best by the monitor, the best that was saved, what transformers"
            " loads, or the last."
        ),
    ),
)


def question_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The seven settings as options; the command gets them as one argument ``question``."""

    @functools.wraps(function)
    def command(**arguments: Any) -> Any:
        from replay.engine.question import Question

        question = Question(**{name: arguments.pop(name) for name in _SETTINGS})
        return function(question=question, **arguments)

    return watch_options(_judging(command))


def given_settings(question: Question) -> dict[str, Any]:
    """The settings of the question that were typed on the command line."""
    source = click.get_current_context().get_parameter_source
    return {
        name: getattr(question, name)
        for name in _SETTINGS
        if source(name) is not click.core.ParameterSource.DEFAULT
    }


def question_words() -> list[str]:
    """The settings of the question that were typed, as the words of a command that asks the same."""
    return columns_words() + typed_words(_SETTINGS)


def typed_words(names: Iterable[str]) -> list[str]:
    """Those of some options with one value that were typed, as words."""
    context = click.get_current_context()
    return [
        word
        for name in names
        if name in context.params
        and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        for word in (f"--{name.replace('_', '-')}", str(context.params[name]))
    ]


def setting_words(question: Question) -> list[str]:
    """The settings of a question that are not the defaults, and the columns that were typed, as the words of
    a command that asks the same.
    """
    from replay.engine.question import Question

    defaults = Question()
    return columns_words() + [
        word
        for name in _SETTINGS
        if (value := getattr(question, name)) != getattr(defaults, name)
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _read_confidence(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    from replay.search.tolerance import parse_confidence

    return None if text is None else parse_confidence(text)


guarantee_options = _group(
    click.option(
        "--confidence",
        callback=_read_confidence,
        metavar="PERCENT",
        help=(
            "Guarantee that the mean loss stays within --max-lost with this confidence, as in 90%"
            "  [default: a guarantee on average]"
        ),
    ),
    click.option(
        "--group",
        metavar="NAME",
        help=(
            "Answer for new groups instead of new runs, and hold out whole groups: folder, or dataset, model,"
            " learning_rate … as the log says."
        ),
    ),
)


def guarantee_words(confidence: float | None, group: str | None) -> list[str]:
    """The words of a command that asks for the same kind of guarantee."""
    words = [] if confidence is None else ["--confidence", f"{100 * confidence:g}%"]
    return words if group is None else [*words, "--group", group]


def weight_words(weight: str) -> list[str]:
    """The words of a command that ranks policies in the same way."""
    return [] if weight == "runs" else ["--weight", weight]


weight_option = click.option(
    "--weight",
    type=click.Choice(["runs", "compute"]),
    default="runs",
    show_default=True,
    help="Rank policies by the mean share saved per run, or by the share saved of the total compute.",
)


def file_option(name: str, description: str) -> Callable[[_F], _F]:
    """An option that names a file to write."""

    def keep(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
        if value is not None:
            keep_output(name, value)
        return value

    path = click.Path(path_type=Path, dir_okay=False)
    return click.option(name, type=path, metavar="FILE", help=description, callback=keep)


chart_option = click.option(
    "--chart",
    is_flag=True,
    help="Also draw saved against lost in the terminal (needs pip install 'stop-replay[chart]').",
)


def check_chart(style: str) -> None:
    """Raise InputError where ``--chart`` cannot be drawn: in formats for programs, and without plotext."""
    from replay.report.render.chart import require_plotext

    if style in ("json", "csv"):
        raise InputError(
            f"--chart cannot be drawn in --format {style}, only in table and markdown. For a figure as a"
            " file, give --plot FILE to replay sweep or replay simulate"
        )
    require_plotext()


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[VERBOSE] = value


verbose_option = click.option(
    "--verbose",
    "-v",
    is_flag=True,
    expose_value=False,
    callback=_set_verbose,
    help="Show every column and every note.",
)

output_options = _group(
    verbose_option,
    click.option(
        "--format",
        "style",
        type=click.Choice(["table", "json", "csv", "markdown"]),
        default="table",
        show_default=True,
        help="Output format.",
    ),
    file_option("--out", "Write to a file instead of the terminal."),
)
