"""The command line: parse, call, print. Everything heavy is imported inside the commands, so that ``--help``
starts fast.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from replay.errors import ReplayError

if TYPE_CHECKING:
    from replay.data.finding import Finding
    from replay.policies import Policy
    from replay.policies.grid import Grid
    from replay.readers import Found

__all__ = ["cli", "main"]

_F = TypeVar("_F", bound=Callable[..., Any])

#: Simulated when no policy is given.
DEFAULT_POLICIES = (
    "patience=1",
    "patience=2",
    "patience=3",
    "patience=5",
    "patience=10",
    "transformers:patience=3",
)

#: Swept when neither a grid nor a policy is given.
DEFAULT_GRID = ("patience=1..10,15,20", "min_delta=0,1e-3,1e-2", "smooth=none,ema:0.3,mean:3")

_MANY_OUTCOMES = 200_000  # policies times runs that take about a second
_MANY = 50  # logs that take long enough to want a progress bar


class _Failure(click.ClickException):
    """A ReplayError as click shows it: one message on stderr, the error's own exit code."""

    def __init__(self, error: ReplayError) -> None:
        super().__init__(str(error))
        self.code = error.exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self.code

    def format_message(self) -> str:
        from replay.errors import printable

        return _shown("\n".join(printable(line) for line in self.message.splitlines()))


class _Replay(click.Group):
    """The group of verbs; ``replay PATH`` is short for ``replay simulate PATH``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            if Path(name).exists():
                return super().resolve_command(ctx, ["simulate", *args])
            verbs = ", ".join(self.list_commands(ctx))
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"{name!r} is neither a file or folder nor a command; the commands are {verbs}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReplayError as error:
            raise _Failure(error) from error


@click.group(
    cls=_Replay,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    no_args_is_help=True,
)
@click.version_option(package_name="stop-replay", prog_name="replay")
def cli() -> None:
    """Replay early-stop policies on finished training logs.

    Shows what each stop rule would have saved in compute, and what it would have cost in the best metric.
    Reads transformers' trainer_state.json, TensorBoard event files, CSV and JSONL logs, found recursively and
    recognised by their content.

    \b
      replay logs/                              a default set of policies
      replay simulate logs/ --policy patience=3
      replay inspect logs/                      what was found, and how it is read
      replay explain logs/ --policy patience=3  one run, one line an eval
      replay sweep logs/ --grid patience=1..20  a grid of policies, and its best
      replay choose logs/ --max-lost 5%         the policy to use, held out
      replay check policies.toml logs/          in CI: limits kept, stops the same
    """


def _paths(function: _F) -> _F:
    return click.argument(
        "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
    )(function)


def _options(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Several options as one decorator, shown by --help in this order."""

    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_watching = _options(
    click.option(
        "--monitor",
        metavar="METRIC",
        help="The metric to watch (default: the one the logs state, else the validation loss).",
    ),
    click.option(
        "--mode",
        type=click.Choice(["min", "max"]),
        help="Whether lower or higher is better (default: stated by the log, or known by name).",
    ),
)


_judging = _options(
    click.option("--objective", metavar="METRIC", help="The metric to judge by (default: the one watched)."),
    click.option(
        "--objective-mode",
        type=click.Choice(["min", "max"]),
        help="Its mode, where neither log nor name says.",
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


def _file(name: str, told: str) -> Callable[[Any], Any]:
    """An option that names a file to write."""
    return click.option(name, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=told)


_output = _options(
    click.option(
        "--format",
        "style",
        type=click.Choice(["table", "json", "csv", "markdown"]),
        default="table",
        show_default=True,
        help="Output format.",
    ),
    _file("--out", "Write to a file instead of the terminal."),
)


def _shown(text: str) -> str:
    """Text as it may be printed here: on GitHub, none of it must be a command to the runner."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return text
    from replay.report.annotations import without_commands

    return without_commands(text)


def _write(text: str, out: Path | None) -> None:
    from replay.errors import InputError

    if out is None:
        click.echo(_shown(text), nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror or error}") from None
    click.echo(f"wrote {out}", err=True)


def _read(paths: tuple[Path, ...]) -> Found:
    from replay.api import read

    def bar(items: Any) -> Any:
        return (
            click.progressbar(items, label="reading", file=sys.stderr)
            if len(items) > _MANY
            else contextlib.nullcontext(items)
        )

    return read(paths, bar) if sys.stderr.isatty() else read(paths)


def _texts(warnings: Iterable[Finding | str]) -> list[str]:
    from replay.report.sentences import texts

    return texts(warnings)


def _warn(texts: list[str]) -> None:
    from replay.report.tables import wrapped

    for text in texts:
        for line in wrapped(f"warning: {text}", indent="  "):
            click.echo(_shown(line), err=True)


def _policies(specs: tuple[str, ...], files: tuple[Path, ...]) -> list[str]:
    from replay.policies.spec import read_policies

    return [*specs, *(spec for file in files for spec in read_policies(file).values())]


@cli.command()
@_paths
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy, such as patience=3 (repeatable; see replay policies).",
)
@click.option(
    "--policies",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file of named policies ([policies.NAME] with spec = …).",
)
@_watching
@_judging
@click.option("--per-run", is_flag=True, help="One row a run and policy instead of one a policy.")
@_file("--plot", "Draw saved against lost, and the runs with their stops (png, svg, pdf).")
@_output
def simulate(
    paths: tuple[Path, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    monitor: str | None,
    mode: Any,
    objective: str | None,
    objective_mode: Any,
    unit: str,
    price: float | None,
    keep: Any,
    per_run: bool,
    plot: Path | None,
    style: str,
    out: Path | None,
) -> None:
    """What would each policy have saved and cost on these logs?

    \b
      replay simulate logs/ --policy patience=3 \\
        --policy transformers:patience=3,threshold=0.001
      replay simulate logs/ --policy patience=3 --monitor eval_loss \\
        --objective test_accuracy --unit gpu_hours --plot saved.png
    """
    from replay.engine.simulation import replay_runs
    from replay.report import inspect as report_found
    from replay.report import simulate as report
    from replay.stats.summary import summarise

    policies = _policies(specs, files) or list(DEFAULT_POLICIES)
    found = _read(paths)
    simulation = replay_runs(
        found.runs,
        policies,
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
        baselines=True,
    )
    simulation.warnings[:0] = _texts(found.findings)
    summary = summarise(simulation)
    _warn(simulation.warnings)
    if plot is not None:
        from replay.report.plot import save

        save(simulation, summary, plot)
        click.echo(f"drew {plot}", err=True)
    if style == "json":
        text = report.as_json(simulation, summary)
    elif style == "csv":
        text = report.as_csv(simulation, summary, per_run)
    elif style == "markdown":
        text = report.as_markdown(simulation, summary, per_run)
    else:
        where = [str(path) for path in paths]
        given = next((spec for spec in policies if spec in simulation.policies), policies[0])
        hints = [] if per_run else [["replay", "simulate", *where, "--per-run"]]
        hints.append(["replay", "explain", *where, "--policy", given, "--run", simulation.runs[0].id])
        text = report.as_text(simulation, summary, per_run, report_found.headline(found, paths), hints)
    _write(text, out)


_trying = _options(
    click.option(
        "--grid",
        "grids",
        multiple=True,
        metavar="NAME=VALUES",
        help=(
            "Values of a parameter, as in patience=1..20, min_delta=0,1e-4..1e-2*10 or rule=patience,keras"
            " (repeatable; all are crossed)."
        ),
    ),
    click.option(
        "--policy",
        "specs",
        multiple=True,
        metavar="SPEC",
        help="A single stop policy to try beside the grid (repeatable).",
    ),
    click.option(
        "--policies",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A TOML file of named policies ([policies.NAME] with spec = …).",
    ),
    click.option(
        "--max-lost",
        metavar="PERCENT",
        help="The most of a run's improvement that may be lost on average, as in 5%.  [default: 5%]",
    ),
    click.option(
        "--max-regret",
        metavar="LIMIT",
        help="The mean regret instead: 0.5% (of the best value) or 0.01 (in the metric's own unit).",
    ),
)


@cli.command()
@_paths
@_trying
@_watching
@_judging
@_file("--plot", "Draw saved against lost with the front, and heat maps of the grids (png, svg, pdf).")
@_output
def sweep(
    paths: tuple[Path, ...],
    grids: tuple[str, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    max_lost: str | None,
    max_regret: str | None,
    monitor: str | None,
    mode: Any,
    objective: str | None,
    objective_mode: Any,
    unit: str,
    price: float | None,
    keep: Any,
    plot: Path | None,
    style: str,
    out: Path | None,
) -> None:
    """Which of many policies are worth it, and where is the good region?

    Shows the Pareto front (no other policy saves as much and loses less), the region of the grid that saves
    most within what may be lost, its centre, and how far each parameter can move from there. Rules and
    presets are swept by rule=.

    \b
      replay sweep logs/ --grid patience=1..20 --grid min_delta=0,1e-4,1e-3 \\
        --grid smooth=none,ema:0.3,mean:3 --max-lost 5% --plot sweep.png
      replay sweep logs/ --grid rule=all --max-regret 0.01 --format csv
    """
    from replay.engine.simulation import Setup
    from replay.report import inspect as report_found
    from replay.report import sweep as report
    from replay.search.tolerance import parse_limit

    limit = parse_limit(max_regret, max_lost)
    parts, single = _tried(grids, specs, files)
    rules = [*(policy for part in parts for policy, _ in part.points), *single]
    found = _read(paths)
    setup = Setup(
        found.runs,
        rules,
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
    )
    setup.warnings[:0] = _texts(found.findings)
    with _counting(len(rules), len(setup.runs)) as count:
        swept = report.sweep(setup, parts, single, limit, optional=len(parts) > 1, progress=count)
    _warn(setup.warnings)
    if plot is not None:
        from replay.report.plot import save_sweep

        save_sweep(swept, plot)
        click.echo(f"drew {plot}", err=True)
    if style == "table":
        where = [str(path) for path in paths]
        asked = _asked(grids, specs, files, max_lost, max_regret)
        hints = [["replay", "choose", *where, *asked]]
        if swept.ranked:
            best = swept.ranked[0].marked[0]
            hints.append(["replay", "explain", *where, "--policy", swept.sweep.policies[best].spec()])
        text = report.as_text(swept, report_found.headline(found, paths), hints)
    else:
        text = {"json": report.as_json, "csv": report.as_csv, "markdown": report.as_markdown}[style](swept)
    _write(text, out)


def _tried(
    grids: tuple[str, ...], specs: tuple[str, ...], files: tuple[Path, ...]
) -> tuple[list[Grid], list[Policy]]:
    """The grids and the single policies that are asked for; the default grid where neither is."""
    from replay.engine.simulation import parsed
    from replay.policies.grid import parse_grids

    single = parsed(_policies(specs, files))
    texts = grids or (() if single else DEFAULT_GRID)
    return parse_grids(texts) if texts else [], single


def _asked(
    grids: tuple[str, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    max_lost: str | None,
    max_regret: str | None,
) -> list[str]:
    """The words that ask for the same policies and limit again."""
    given = [
        *(("--grid", text) for text in grids),
        *(("--policy", text) for text in specs),
        *(("--policies", str(file)) for file in files),
    ]
    limits = [(name, text) for name, text in (("--max-lost", max_lost), ("--max-regret", max_regret)) if text]
    return [word for option in (*given, *limits) for word in option]


@cli.command()
@_paths
@_trying
@click.option(
    "--confidence",
    type=float,
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Of the limit, the verdict and the intervals.",
)
@click.option(
    "--group",
    metavar="NAME",
    help="Hold out whole groups: folder, or dataset, model, learning_rate … as the log says.",
)
@click.option("--per-rule", is_flag=True, help="Choose within each rule of the grid, one row a rule.")
@_watching
@_judging
@_output
def choose(
    paths: tuple[Path, ...],
    grids: tuple[str, ...],
    specs: tuple[str, ...],
    files: tuple[Path, ...],
    max_lost: str | None,
    max_regret: str | None,
    confidence: float,
    group: str | None,
    per_rule: bool,
    monitor: str | None,
    mode: Any,
    objective: str | None,
    objective_mode: Any,
    unit: str,
    price: float | None,
    keep: Any,
    style: str,
    out: Path | None,
) -> None:
    """Which policy to use, with figures from runs that did not choose it.

    The policy that saves most of those whose mean loss keeps the limit with confidence. Its figures are
    cross-validated: each run is scored with the policy that was chosen without it (with --group, without its
    group).

    \b
      replay choose logs/ --max-regret 0.5%
      replay choose logs/ --grid patience=1..20 --grid smooth=none,mean:3 \\
        --max-lost 5% --group dataset --objective eval_accuracy
      replay choose logs/ --grid rule=all --per-rule

    The exit code is 3 where there are too few runs to tell.
    """
    from replay.engine.simulation import Setup
    from replay.report import choose as report
    from replay.report import inspect as report_found
    from replay.search.choice import TOO_FEW, choose_in
    from replay.search.tolerance import parse_limit

    limit = parse_limit(max_regret, max_lost)
    parts, single = _tried(grids, specs, files)
    found = _read(paths)
    watching: dict[str, Any] = {
        "monitor": monitor,
        "mode": mode,
        "objective": objective,
        "objective_mode": objective_mode,
        "unit": unit,
        "price": price,
        "keep": keep,
    }
    asked: dict[str, Any] = {"confidence": confidence, "group": group}
    where = [str(path) for path in paths]
    if per_rule:
        with _counting(sum(len(part.points) for part in parts) + len(single), len(found.runs)) as count:
            league = report.league(found.runs, parts, single, limit, watching, progress=count, **asked)
        _warn(_texts(found.findings))
        if style == "table":
            text = report.league_as_text(league, report_found.headline(found, paths))
        else:
            text = {
                "json": report.league_as_json,
                "csv": report.league_as_csv,
                "markdown": report.league_as_markdown,
            }[style](league)
        _write(text, out)
        return
    rules = [*(policy for part in parts for policy, _ in part.points), *single]
    setup = Setup(found.runs, rules, **watching)
    setup.warnings[:0] = [*_texts(found.findings), *report.refused(parts)]
    with _counting(len(rules), len(setup.runs)) as count:
        choice = choose_in(setup, rules, limit, optional=len(parts) > 1, progress=count, **asked)
    _warn(setup.warnings)
    if style == "table":
        hints = [["replay", "sweep", *where, *_asked(grids, specs, files, max_lost, max_regret)]]
        if choice.policy is not None:
            hints.append(["replay", "simulate", *where, "--policy", choice.policy.spec(), "--per-run"])
        text = report.as_text(choice, report_found.headline(found, paths), hints)
    else:
        text = {"json": report.as_json, "csv": report.as_csv, "markdown": report.as_markdown}[style](choice)
    _write(text, out)
    if choice.verdict == TOO_FEW:
        sys.exit(3)


@contextlib.contextmanager
def _counting(policies: int, runs: int) -> Iterator[Callable[[int], None] | None]:
    """Who is told how many policies are done: a progress bar, on a terminal and where it takes long
    enough.
    """
    if not sys.stderr.isatty() or policies * runs < _MANY_OUTCOMES:
        yield None
        return
    with click.progressbar(length=policies, label="sweeping", file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


@cli.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.argument("paths", nargs=-1, metavar="[LOGS]...", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "specs",
    multiple=True,
    metavar="SPEC",
    help="A stop policy to compare two sets of logs by (repeatable).",
)
@_watching
@_judging
@_output
def diff(
    before: str,
    after: str,
    paths: tuple[Path, ...],
    specs: tuple[str, ...],
    style: str,
    out: Path | None,
    **watching: Any,
) -> None:
    """Which runs stop elsewhere under B than under A, and by how much?

    A and B are two policies or two files of policies, on the same LOGS; two locks, as replay check writes
    them; or two sets of logs, under the same policies. Runs are paired by their ids, and the differences have
    intervals.

    \b
      replay diff transformers@4.46:patience=3 transformers:patience=3 logs/
      replay diff old/policies.toml policies.toml logs/
      replay diff old/replay.lock replay.lock
      replay diff old_logs/ new_logs/ --policy patience=3
    """
    from replay.check.diff import diff as compared
    from replay.report import diff as report

    source = click.get_current_context().get_parameter_source
    given = {
        name: value
        for name, value in watching.items()
        if source(name) is not click.core.ParameterSource.DEFAULT
    }
    told = compared(
        before, after, paths, specs, lambda paths: _read(tuple(paths)), defaults=DEFAULT_POLICIES, **given
    )
    _warn(_texts(told.warnings))
    text = {
        "json": report.as_json,
        "csv": report.as_csv,
        "markdown": report.as_markdown,
        "table": report.as_text,
    }[style](told)
    _write(text, out)


@cli.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("logs", nargs=-1, metavar="[LOGS]...", type=click.Path(path_type=Path))
@click.option(
    "--lock",
    type=click.Path(path_type=Path),
    metavar="LOCK",
    help="The lock (default: replay.lock beside FILE).",
)
@click.option(
    "--update",
    is_flag=True,
    help="Write the lock: what the policies do now is what later checks compare with.",
)
@click.option("--require-lock", is_flag=True, help="Do not pass without a lock (exit code 3).")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="Output format.",
)
@_file("--out", "Write to a file instead of the terminal.")
@_file("--junit", "Also write JUnit XML.")
@_file("--sarif", "Also write SARIF.")
@_file("--code-quality", "Also write GitLab's code quality.")
@_file("--plot", "Also draw saved against lost, now and in the lock.")
def check(
    file: Path,
    logs: tuple[Path, ...],
    lock: Path | None,
    update: bool,
    require_lock: bool,
    style: str,
    out: Path | None,
    junit: Path | None,
    sarif: Path | None,
    code_quality: Path | None,
    plot: Path | None,
) -> None:
    """Do the policies of a file still keep their limits, and do what they did?

    FILE is a TOML file of policies with limits; LOGS are the logs to replay (default: those that it names).
    What the policies did when the lock was made is compared on the same logs.

    \b
      replay check policies.toml logs/
      replay check policies.toml --update
      replay check policies.toml --require-lock --junit check.xml

    The exit code is 1 for a regression, 2 for a mistake, and 3 where it cannot be decided: too few runs, or
    no lock where one is required.
    """
    from replay.check.checking import examine, lock_beside, logs_of
    from replay.check.config import read_config
    from replay.check.lock import write_lock
    from replay.report import check as report

    config = read_config(file)
    roots = logs_of(config, logs)
    place = lock_beside(file) if lock is None else lock
    checked, made = examine(
        config, _read(tuple(roots)), roots, place, require_lock=require_lock, update=update
    )
    _warn(_texts(checked.warnings))
    if junit is not None:
        from replay.report.junit import as_junit

        _write(as_junit(checked), junit)
    if sarif is not None:
        from replay.report.sarif import as_sarif

        _write(as_sarif(checked), sarif)
    if code_quality is not None:
        from replay.report.code_quality import as_code_quality

        _write(as_code_quality(checked), code_quality)
    if plot is not None:
        from replay.report.annotations import small_plot

        small_plot(checked, plot)
        click.echo(f"drew {plot}", err=True)
    if style == "text":
        words = [
            "replay",
            "check",
            str(file),
            *(str(path) for path in logs),
            *(["--lock", str(lock)] if lock is not None else []),
        ]
        text = report.as_text(checked, words, [str(root) for root in roots], update=update)
    else:
        text = {"json": report.as_json, "markdown": report.as_markdown}[style](checked)
    if update:
        click.echo(f"wrote {place}" if write_lock(place, made) else f"{place} is up to date", err=True)
    _write(text, out)
    if os.environ.get("GITHUB_ACTIONS"):
        from replay.report.annotations import as_annotations, job_summary

        click.echo(as_annotations(checked), nl=False, err=style != "text" and out is None)
        if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            _append(job_summary(checked, plot.name if plot else None), Path(step_summary))
    sys.exit(checked.exit_code)


def _append(text: str, path: Path) -> None:
    """Add to a file that a CI system shows; a file that cannot be written is no reason to fail a check."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        click.echo(f"warning: {path}: {error.strerror or error}", err=True)


@cli.command()
@_paths
@_watching
@_output
def inspect(paths: tuple[Path, ...], monitor: str | None, mode: Any, style: str, out: Path | None) -> None:
    """What was found below the paths, and how it is read.

    Runs, formats, metrics, evals, the monitor and mode with the reason, eval noise, censoring, duplicates,
    and what was dropped. A log without evals is shown with the setting that would have logged them.

    \b
      replay inspect logs/
      replay inspect logs/ --monitor eval_rougeL --format json
    """
    from replay.report import inspect as report

    found = _read(paths)
    told = report.inspect(found, monitor, mode)
    if style == "table":
        text = report.as_text(told, paths)
    else:
        text = {"json": report.as_json, "csv": report.as_csv, "markdown": report.as_markdown}[style](told)
    _write(text, out)


@cli.command()
@_paths
@click.option("--policy", "spec", required=True, metavar="SPEC", help="The stop policy, such as patience=3.")
@click.option(
    "--run",
    "run_id",
    metavar="ID",
    help="The run, by its id or a part of it that no other has (default: the first).",
)
@_watching
@_judging
@_output
def explain(
    paths: tuple[Path, ...],
    spec: str,
    run_id: str | None,
    monitor: str | None,
    mode: Any,
    objective: str | None,
    objective_mode: Any,
    unit: str,
    price: float | None,
    keep: Any,
    style: str,
    out: Path | None,
) -> None:
    """Why does this policy stop this run where it does? One line an eval.

    \b
      replay explain logs/ --policy transformers:patience=3 --run lr1e-3
    """
    from replay.engine.simulation import pick_run, replay_runs
    from replay.policies.spec import parse_policy
    from replay.report import explain as report

    policy = parse_policy(spec)
    found = _read(paths)
    run = pick_run(found.runs, run_id)
    simulation = replay_runs(
        [run],
        [policy],
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
        traces=True,
    )
    _warn([*_texts(found.findings), *simulation.warnings])
    told = report.story(simulation, policy.spec())
    text = {
        "json": report.as_json,
        "csv": report.as_csv,
        "markdown": report.as_markdown,
        "table": report.as_text,
    }[style](told)
    _write(text, out)


@cli.command()
@_paths
@click.option("--policy", "spec", required=True, metavar="SPEC", help="The stop policy, such as patience=3.")
@_watching
def verify(paths: tuple[Path, ...], spec: str, monitor: str | None, mode: Any) -> None:
    """Does a policy stop live where replay says? Asks it after each eval of each run.

    \b
      replay verify logs/ --policy 'patience=3,smooth=ema:0.3'

    The exit code is 1 if any run is stopped elsewhere.
    """
    from replay.errors import InputError
    from replay.live.verify import verify as ask
    from replay.policies.spec import parse_policy
    from replay.report.tables import lines

    policy = parse_policy(spec)
    found = _read(paths)
    runs = [run for run in found.runs if len(run)]
    if not runs:
        raise InputError("no run has an eval to verify the policy on")
    checked = [one for run in runs for one in ask(run, policy, monitor=monitor, mode=mode)]
    _warn(_texts(found.findings))
    head = ["run", "evals", "replay", "live", "asked", ""]
    rows = [
        [
            one.run,
            str(one.evals),
            _place(one.replayed),
            _place(one.live),
            one.asked,
            "same" if one.same else "DIFFERENT",
        ]
        for one in checked
    ]
    click.echo("\n".join(lines(head, rows, left=(0, 4, 5))))
    wrong = sum(not one.same for one in checked)
    click.echo(f"{len(checked) - wrong} of {len(checked)} the same", err=True)
    if wrong:
        sys.exit(1)


def _place(eval: int | None) -> str:
    return "never" if eval is None else str(eval)


@cli.command()
@click.option("--policy", "spec", required=True, metavar="SPEC", help="The stop policy, such as patience=3.")
@click.option(
    "--to",
    "framework",
    required=True,
    type=click.Choice(["transformers", "keras", "lightning"]),
    help="For which framework.",
)
@_watching
def export(spec: str, framework: str, monitor: str | None, mode: Any) -> None:
    """A policy as code for a training script.

    \b
      replay export --policy patience=3 --to transformers
    """
    from replay.policies.spec import parse_policy
    from replay.report.export import code

    click.echo(code(parse_policy(spec), framework, monitor=monitor, mode=mode), nl=False)


@cli.command()
@_output
def policies(style: str, out: Path | None) -> None:
    """The stop policies, their parameters and modifiers."""
    from replay.report import catalogue

    _write(catalogue.policies(style), out)


@cli.command()
@_output
def formats(style: str, out: Path | None) -> None:
    """The log formats that can be read."""
    from replay.readers.registry import registry
    from replay.report import catalogue

    _warn(_texts(registry().findings))
    _write(catalogue.formats(style), out)


def main() -> None:
    """Run the command line; the console script ``replay``."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    cli()
