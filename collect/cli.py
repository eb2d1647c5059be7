"""The command line of collect: parse, call, print. torch is loaded when a training starts, not before."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from collect.disk import FULL
from replay.cli.exits import Guarded
from replay.cli.output import Failure
from replay.errors import InputError, OutputError, ReplayError, printable

if TYPE_CHECKING:
    from collect.config import Config

__all__ = ["cli", "main"]


_T = TypeVar("_T")

_FOLDER = click.Path(path_type=Path, file_okay=False)
_F = TypeVar("_F", bound=Callable[..., Any])
_OUT_HELP = "Each run gets a folder of its name below it; only --dry-run needs none."


def _dry_run_options(command: _F) -> _F:
    """The options of a command that can say what it would take."""
    options = [
        click.option(
            "--dry-run",
            is_flag=True,
            help="Train a few steps of each shape of run, keep nothing, and print what the runs will take.",
        ),
        click.option(
            "--price",
            type=click.FloatRange(min=0),
            metavar="P",
            help="With --dry-run: what an hour of the machine costs.",
        ),
        click.option(
            "--format",
            "output",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Of what --dry-run prints.",
        ),
        click.option("--started", type=float, hidden=True),
        click.option("--in-process", is_flag=True, hidden=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


class _Collect(Guarded):
    program = "collect"

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReplayError as error:
            raise Failure(error) from error
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("collect", "replay"):
                raise
            advice = "pip install 'stop-replay[collect]'"
            raise Failure(InputError(f"{error.name} is not installed; {advice}")) from None
        except OSError as error:
            raise Failure(_of_disk(error)) from error


def _of_disk(error: OSError) -> ReplayError:
    """An error of a training's files: a full disk (exit code 74), a read-only folder."""
    reason = f"{error.filename or 'writing'}: {(error.strerror or str(error)).lower()}"
    if error.errno in FULL:
        return OutputError(f"{reason}; once there is space, the same command goes on")
    return InputError(reason)


@click.group(
    cls=_Collect,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    no_args_is_help=True,
)
@click.version_option(package_name="stop-replay", prog_name="collect")
def cli() -> None:
    """Train LoRA adapters to the end, and write complete logs for replay.

    \b
      collect run config.toml --out logs/
      collect grid grid.toml --out logs/ --jobs 2
      replay logs/
    """


@cli.command(short_help="Fine-tune once for each config, never stopping early.")
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG.toml...", type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, metavar="DIR", help=_OUT_HELP)
@click.option(
    "--cache", type=_FOLDER, metavar="DIR", help="Fetched models and texts (default: ~/.cache/stop-replay)."
)
@_dry_run_options
def run(
    configs: tuple[Path, ...],
    out: Path | None,
    cache: Path | None,
    dry_run: bool,
    price: float | None,
    output: str,
    started: float | None,
    in_process: bool,
) -> None:
    """Fine-tune once for each config, one after the other, never stopping early.

    A run that is finished in DIR is skipped, one that was cut short goes on, and one that fails does not stop
    the others. The folder of a run gets
    eval_log.jsonl (all numbers, safe against a kill), step_signals.bin (each step's gradients and changes of
    the adapter), trainer_state.json and TensorBoard events. For several GPUs: accelerate launch -m collect
    run CONFIG.toml --out DIR.
    """
    from collect import config as settings
    from collect.packages import cache_folder

    read, errors = _read_each(lambda path: (path, settings.load(path)), configs)
    loaded = [config for _, config in read]
    names = [config.name for config in loaded]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"several configs are named {min(twice)}; each run needs a name of its own")
    if dry_run and in_process:
        if errors:
            raise errors[0]
        _measure_here(loaded[0], cache or cache_folder(), started)
        return
    if dry_run:
        paths = {config.name: str(path) for path, config in read}
        _forecast(
            loaded,
            out,
            lambda config: ["run", paths[config.name]],
            cache,
            errors,
            price=price,
            output=output,
        )
        return
    folder = _require_out(out, price, output)
    _keep_quiet(loaded)
    _fit_all([(config, folder / config.name) for config in loaded], cache or cache_folder(), errors)


@cli.command(short_help="Go on with runs that were cut short, from their folders alone.")
@click.argument("folders", nargs=-1, required=True, metavar="RUN...", type=_FOLDER)
@click.option(
    "--root",
    default=".",
    show_default=True,
    type=_FOLDER,
    metavar="DIR",
    help="What the config's local paths are relative to.",
)
@click.option(
    "--cache", type=_FOLDER, metavar="DIR", help="Fetched models and texts (default: ~/.cache/stop-replay)."
)
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Extend finished runs to so many steps in all; their config must have train.keep_state = true.",
)
def resume(folders: tuple[Path, ...], root: Path, cache: Path | None, max_steps: int | None) -> None:
    """Go on with runs that were cut short, or extend finished ones, one after the other.

    The config is that of the log in the folder. A run goes on from its newest complete checkpoint, or begins
    again where there is none; a finished one is skipped. With --max-steps it goes on from its end instead.
    The learning rate then follows the schedule over all N steps. Only a constant one gives the training that
    N steps from the start would have given; the log records the change.
    """
    from collect.packages import cache_folder
    from collect.resume import read_config

    loaded, errors = _read_each(lambda folder: (read_config(folder, root), folder), folders)
    _keep_quiet([config for config, _ in loaded])
    _fit_all(loaded, cache or cache_folder(), errors, max_steps=max_steps)


@cli.command(short_help="Fine-tune once for each run of a grid of settings.")
@click.argument("path", metavar="GRID.toml", type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, metavar="DIR", help=_OUT_HELP)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs trained at once.",
)
@click.option(
    "--shard", metavar="I/N", help="Every N-th run beginning with the I-th: one share for each of N machines."
)
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only the run of this name; may be given several times."
)
@click.option(
    "--list", "listed", is_flag=True, help="Print the names of the runs and how far each is; train nothing."
)
@click.option(
    "--cache", type=_FOLDER, metavar="DIR", help="Fetched models and texts (default: ~/.cache/stop-replay)."
)
@_dry_run_options
@click.option("--terminal", type=int, hidden=True)
def grid(
    path: Path,
    out: Path | None,
    jobs: int,
    shard: str | None,
    only: tuple[str, ...],
    listed: bool,
    cache: Path | None,
    dry_run: bool,
    price: float | None,
    output: str,
    started: float | None,
    in_process: bool,
    terminal: int | None,
) -> None:
    """Fine-tune once for each run of a grid, each run in a process of its own.

    The file is a config with a table [grid], whose keys are settings, in quotes, and whose values are lists.
    All combinations are trained:

    \b
      base = "common.toml"
      [grid]
      "lora.r" = [2, 8, 32]
      "train.learning_rate" = [1e-3, 2e-4]
      "train.seed" = [0, 1]

    A run is named after the file and its settings, as grid-r2-lr1e-3-s0, or by a template, as name =
    "{lora.r}-{train.seed}". Settings that move together share a key; what is no list is the same in all runs.
    Several tables are a union:

    \b
      [[grid]]
      "lora.r, lora.alpha" = [[2, 4], [8, 16]]
      [[grid]]
      "lora.r" = [64]
      "train.scheduler" = "cosine"

    A run that is finished in DIR is skipped, and a run that fails does not stop the others. What a run writes
    goes into collect_console.log in its folder. With several jobs, the visible GPUs are shared among
    them. The exit code is 2 if any run failed, or 74 if only a full disk made
    runs fail. Otherwise it is 75 if another process trains one of them.
    """
    from collect import grid as grids
    from collect.packages import cache_folder

    if in_process:
        picked = [grids.pick(path, name) for name in only]
        if dry_run:
            _measure_here(picked[0], cache or cache_folder(), started)
            return
        folder = _require_out(out, price, output)
        _fit_all(
            [(config, folder / config.name) for config in picked], cache or cache_folder(), terminal=terminal
        )
        return
    configs = grids.select(path, grids.expand(path), only)
    if shard is not None:
        configs = grids.shard(configs, shard)
    if dry_run:
        _forecast(
            configs,
            out,
            lambda config: ["grid", str(path), "--only", config.name],
            cache,
            jobs=jobs,
            price=price,
            output=output,
        )
        return
    from collect import jobs as processes

    folder = _require_out(out, price, output)
    if listed:
        width = max((len(config.name) for config in configs), default=0)
        for name, state in processes.list_states(configs, folder):
            click.echo(f"{name:<{width}}  {state}")
        return
    if code := processes.train_all(path, configs, folder, jobs=jobs, cache=cache):
        sys.exit(code)


def _require_out(out: Path | None, price: float | None, output: str) -> Path:
    """The folder that a training needs, without the options that a dry run has."""
    if out is None:
        raise click.MissingParameter(param_type="option", param_hint="'--out'")
    if price is not None or output != "text":
        raise click.UsageError("--price and --format are options of --dry-run, which was not given")
    return out


def _measure_here(config: Config, cache: Path, started: float | None) -> None:
    """Print what a run takes of the shape of this one, as a process of a dry run."""
    began = time.perf_counter() - (0.0 if started is None else max(time.time() - started, 0.0))
    from collect import train

    train.require(config)
    _keep_quiet([config])
    from collect.measure import measure

    click.echo(json.dumps(dataclasses.asdict(measure(config, cache, began))))


def _forecast(
    configs: Sequence[Config],
    out: Path | None,
    arguments: Callable[[Config], list[str]],
    cache: Path | None,
    unreadable: Sequence[ReplayError] = (),
    *,
    jobs: int = 1,
    price: float | None,
    output: str,
) -> None:
    """Print what runs will take, and exit with an error if one of them could not begin."""
    from collect import dry_run
    from collect.jobs import child_command

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--dry-run measures one process; start it without accelerate launch")
    shared = ["--dry-run", "--in-process", *([] if cache is None else ["--cache", str(cache)])]
    for error in unreadable:
        click.echo(f"Error: {error}", err=True)
    try:
        result = dry_run.forecast(
            configs,
            out,
            lambda config: [*child_command(), *arguments(config), *shared],
            jobs=jobs,
            price=price,
            say=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        sys.exit(130)
    if output == "json":
        click.echo(json.dumps(result.record(), indent=2))
    else:
        for line in dry_run.lines(result):
            click.echo(line)
    if unreadable or result.failed:
        sys.exit(2)


def _keep_quiet(configs: Sequence[Config]) -> None:
    """Before the libraries are imported: no hub where all is local, and no progress bars in a file or in
    CI.
    """
    from collect import data, model

    if all(model.is_local(config) and data.is_local(config) for config in configs):
        os.environ["HF_HUB_OFFLINE"] = "1"
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"


def _read_each(read: Callable[[Path], _T], paths: Sequence[Path]) -> tuple[list[_T], list[ReplayError]]:
    """What ``read`` gives for the paths that it can read, and the errors of the others."""
    loaded, errors = [], []
    for path in paths:
        try:
            loaded.append(read(path))
        except ReplayError as error:
            errors.append(error)
    return loaded, errors


def _fit_all(
    runs: Sequence[tuple[Config, Path]],
    cache: Path,
    unreadable: Sequence[ReplayError] = (),
    *,
    max_steps: int | None = None,
    terminal: int | None = None,
) -> None:
    """Train one run after the other, and exit with an error if one failed. A run that fails does not stop the
    others, unless several processes train together, which might then wait for each other.

    ``max_steps`` extends those that are finished. ``terminal`` is the file descriptor of a terminal that is
    to show the progress where stderr is a file.
    """
    from collect.machine import processes, rank

    codes = []
    for error in unreadable:  # said before hours of training, not after
        codes.append(error.exit_code)
        if rank() == 0:
            click.echo(f"Error: {error}", err=True)
    for config, folder in runs:
        try:
            _fit(config, folder, cache, max_steps, terminal)
        except ReplayError as error:
            codes.append(error.exit_code)
            if rank() == 0:  # all processes meet the same error
                click.echo(f"Error: {error}", err=True)
            if processes() > 1:
                break
    if codes:
        sys.exit(2 if 2 in codes else codes[0])


def _fit(config: Config, folder: Path, cache: Path, max_steps: int | None, terminal: int | None) -> None:
    from collect import train
    from collect.machine import rank
    from collect.metrics import metric_modes

    train.require(config)
    try:
        fit = train.fit(
            config,
            folder,
            cache,
            max_steps=max_steps,
            terminal=sys.stderr.fileno() if terminal is None and sys.stderr.isatty() else terminal,
            eval_lines=not sys.stderr.isatty(),
            say=lambda line: click.echo(f"{config.name}: {printable(line)}", err=True),
        )
    except KeyboardInterrupt:
        click.echo(f"\n{config.name}: interrupted; the same command goes on", err=True)
        sys.exit(130)
    if rank() > 0:
        return
    if not fit.trained:
        click.echo(
            f"{config.name}: finished already, skipped ({fit.evals} evals, {fit.step:g} steps)", err=True
        )
        return
    scores = ", ".join(
        f"{name} {value:.4g}" for name, value in fit.metrics.items() if name in metric_modes(config)
    )
    click.echo(f"{config.name}: done ({scores})", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ``arguments`` are those of the process by default."""
    cli(arguments, prog_name="collect")
