"""The command line of collect: parse, call, print. torch is loaded when a training starts, not before."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.errors import InputError, ReplayError

if TYPE_CHECKING:
    from collect.config import Config

__all__ = ["cli", "main"]


_FOLDER = click.Path(path_type=Path, file_okay=False)


class _Failure(click.ClickException):
    exit_code = 2


class _Collect(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReplayError as error:
            raise _Failure(str(error)) from error
        except OSError as error:  # a full disk, a read-only folder
            raise _Failure(f"{error.filename or 'writing'}: {(error.strerror or str(error)).lower()}") from error


@click.group(cls=_Collect, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}, no_args_is_help=True)
@click.version_option(package_name="stop-replay", prog_name="collect")
def cli() -> None:
    """Train LoRA adapters to the end, and write complete logs for replay.

    \b
      collect run config.toml --out logs/
      replay logs/
    """


@cli.command(short_help="Fine-tune once for each config, never stopping early.")
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG.toml...", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=_FOLDER, metavar="DIR", help="Each run gets a folder of its name below it.")
@click.option("--cache", type=_FOLDER, metavar="DIR", help="Fetched models and texts (default: ~/.cache/stop-replay).")
def run(configs: tuple[Path, ...], out: Path, cache: Path | None) -> None:
    """Fine-tune once for each config, one after the other, never stopping early.

    A run that is finished in DIR is skipped. The folder of a run gets eval_log.jsonl (all numbers, safe against a kill),
    trainer_state.json and TensorBoard events.
    """
    from collect import config as settings
    from collect import model
    from collect.packages import cache_folder

    loaded = [settings.load(path) for path in configs]
    names = [config.name for config in loaded]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"several configs are named {min(twice)}; each run needs a name of its own")
    if all(model.is_local(config) for config in loaded):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported: nothing of it may go and ask
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"  # bars of the libraries, in a file or in CI
    for config in loaded:
        _one(config, out / config.name, cache or cache_folder())


def _one(config: Config, folder: Path, cache: Path) -> None:
    try:
        from collect import eval_log, train

        train.require()
    except ImportError as error:
        raise InputError(f"{error.name or error} is not installed; pip install 'stop-replay[collect]'") from None
    if (log := eval_log.existing(folder)) is not None:
        if found := log.differs({"config": config.record()}, ("config",)):
            raise InputError(f"{folder} holds a run of another config ({found}); nothing is written over it: give another name or --out")
        if log.ended:
            click.echo(f"{config.name}: finished already, skipped ({log.evals} evals, {log.step:g} steps)", err=True)
            return
        at = f"{log.evals} evals, cut short at step {log.step:g}"
        raise InputError(f"{folder} holds the beginning of this run ({at}); move it away to start again")
    metrics = train.run(config, folder, cache, progress=sys.stderr.isatty())
    scores = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name in train.modes(config))
    click.echo(f"{config.name}: done ({scores})", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ``arguments`` are those of the process by default."""
    cli(arguments, prog_name="collect")
