"""Options that replay a store file by file: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay.cli.columns import stated_columns, stated_filter
from replay.cli.output import keep_inputs
from replay.cli.progress import show_files
from replay.errors import InputError, printable
from replay.urls import hide_credentials

if TYPE_CHECKING:
    from replay.engine.question import Question
    from replay.policies import Policy
    from replay.search.guarantee import Guarantee
    from replay.search.store_choice import StoreChoice
    from replay.search.store_simulation import StoreSimulation
    from replay.search.store_sweep import Resolved, StoreSweep
    from replay.search.tolerance import Tolerance
    from replay.stats.summary import Weight
    from replay.store import Store

__all__ = ["Workers", "choose_by_file", "simulate_by_file", "sweep_by_file", "workers_options"]


@dataclass(frozen=True)
class Workers:
    """Who replays the files of a store, as typed; neither is given where all runs are replayed at once."""

    jobs: int | None
    scheduler: str | None

    @property
    def are_given(self) -> bool:
        """Whether a store is to be replayed file by file."""
        return self.jobs is not None or self.scheduler is not None

    @property
    def option(self) -> str:
        """The option that was given, in messages."""
        return "--jobs" if self.scheduler is None else "--scheduler"

    def words(self) -> list[str]:
        """The words of a command that uses the same."""
        jobs = [] if self.jobs is None else ["--jobs", str(self.jobs)]
        return [*jobs, *([] if self.scheduler is None else ["--scheduler", hide_credentials(self.scheduler)])]

    def refuse(self, **options: object) -> None:
        """Raise InputError for an option that needs all runs at once."""
        for name, value in options.items():
            if value:
                raise InputError(
                    f"--{name.replace('_', '-')} needs all runs at once, and {self.option} replays a store"
                    " file by file; give one of the two"
                )

    def run_all(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        """The results of a function, in the order of the tasks."""
        if self.scheduler is not None:
            from replay.search.dask_cluster import run_on_cluster

            return run_on_cluster(function, tasks, self.scheduler)
        from replay.search.local_processes import run_in_processes

        jobs = self.jobs or 1
        return map(function, tasks) if jobs == 1 else run_in_processes(function, tasks, jobs)


def workers_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options ``--jobs`` and ``--scheduler``; the command gets them as one argument ``workers``."""

    @functools.wraps(function)
    def command(**arguments: Any) -> Any:
        workers = Workers(arguments.pop("jobs"), arguments.pop("scheduler"))
        return function(workers=workers, **arguments)

    jobs = click.option(
        "--jobs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Replay a store file by file, in N processes, also where it does not fit in memory.",
    )
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="The same on a Dask cluster whose scheduler is at this address, as in tcp://host:8786.",
    )
    decorated: Callable[..., Any] = jobs(scheduler(command))
    return decorated


def sweep_by_file(
    paths: Sequence[Path],
    policies: Sequence[Policy],
    question: Question,
    workers: Workers,
    *,
    optional: bool = False,
) -> StoreSweep:
    """What policies give over the runs of the one store that was given. Raises InputError for other paths."""
    from replay import __version__
    from replay.search.store_sweep import sweep_store

    store = _open(paths, workers)
    run_all = functools.partial(_run_all, workers)
    return sweep_store(store, policies, question, optional=optional, run_all=run_all, version=__version__)


def simulate_by_file(
    paths: Sequence[Path],
    policies: Sequence[Policy],
    question: Question,
    workers: Workers,
    typed: Mapping[str, str],
) -> StoreSimulation | StoreSweep:
    """What policies give over the runs of the one store that was given: with intervals and verdicts, unless
    there are too many outcomes to keep.
    """
    from replay import __version__
    from replay.policies.rules.never import Never
    from replay.search.store_simulation import MOST_OUTCOMES, count_outcomes, simulate_store

    store = _open(paths, workers)
    if count_outcomes(store, policies) > MOST_OUTCOMES:
        return sweep_by_file(paths, [Never(), *policies], question, workers)
    run_all = functools.partial(_run_all, workers)
    return simulate_store(store, policies, question, run_all=run_all, version=__version__, typed=typed)


def choose_by_file(
    paths: Sequence[Path],
    policies: Sequence[Policy],
    ladder: Sequence[Policy] | None,
    question: Question,
    workers: Workers,
    tolerance: Tolerance,
    *,
    confidence: float | None,
    weight: Weight,
    optional: bool,
) -> StoreChoice | tuple[Guarantee, Resolved]:
    """The choice on the runs of the one store that was given; only a guarantee where there are too many
    policies and runs for a best guess. Raises InputError for other paths.
    """
    from replay import __version__
    from replay.search.store_choice import MOST_TRIED, choose_from_store
    from replay.search.store_guarantee import guarantee_of_store

    store = _open(paths, workers)
    run_all = functools.partial(_run_all, workers)
    if len(policies) * store.manifest.runs <= MOST_TRIED:
        return choose_from_store(
            store,
            policies,
            question,
            tolerance,
            ladder_policies=ladder,
            confidence=confidence,
            weight=weight,
            optional=optional,
            run_all=run_all,
            version=__version__,
        )
    if tolerance.kind != "lost":
        raise InputError(
            f"--max-regret {tolerance.text}: a regret has no upper bound, so nothing can be guaranteed about"
            f" it, and a best guess takes at most {MOST_TRIED:,} runs times policies. Give fewer policies"
            " with --grid, or fewer runs with --where"
        )
    return guarantee_of_store(
        store,
        policies if ladder is None else ladder,
        question,
        tolerance.value,
        confidence=confidence,
        weight=weight,
        run_all=run_all,
        version=__version__,
    )


def _open(paths: Sequence[Path], workers: Workers) -> Store:
    """The one store that was given, with the filter that was."""
    from replay.store import Store, is_store
    from replay.store.reading import refuse_columns

    if workers.jobs is not None and workers.scheduler is not None:
        raise InputError("--jobs uses this machine, and --scheduler a cluster; give one of the two")
    refuse_columns(stated_columns())
    if len(paths) != 1 or not is_store(paths[0]):
        other = next((path for path in paths if not is_store(path)), None)
        what = "takes one store" if other is None else f"takes a store, and {printable(other)} is not one"
        named = " ".join(printable(path) for path in paths)
        raise InputError(
            f"{workers.option} {what}. Import all logs into one: replay import {named} --out STORE"
        )
    keep_inputs(paths)
    return Store.open(paths[0], stated_filter())


def _run_all(workers: Workers, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    """The results of the workers, with a bar on a terminal."""
    return show_files(workers.run_all(function, tasks), len(tasks))
