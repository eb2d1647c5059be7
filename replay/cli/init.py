"""``replay init``."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replay import __version__
from replay.cli.candidates import choose_by_default
from replay.cli.columns import columns_options
from replay.cli.options import LogPath, watch_options
from replay.cli.output import exists, warn
from replay.cli.progress import read_logs
from replay.errors import InputError, list_names, printable
from replay.files import write_file
from replay.urls import Url, is_url

if TYPE_CHECKING:
    from replay.check.config import Config
    from replay.check.lock import Lock
    from replay.check.model import Checked
    from replay.data.types import Mode
    from replay.readers import ReadResult
    from replay.search.choice import Selection

__all__ = ["command"]

_TOLERANCES = ("5%", "10%", "20%", "30%", "50%")
_FALLBACK = "patience=3"


@click.command("init")
@click.argument("paths", nargs=-1, metavar="[LOGS]...", type=LogPath())
@click.option(
    "--policies",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default=Path("policies.toml"),
    show_default=True,
    help="The file of policies to write; the lock is written beside it.",
)
@click.option(
    "--max-lost",
    metavar="PERCENT",
    default="5%",
    show_default=True,
    help="The most of a run's improvement that may be lost on average.",
)
@watch_options
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "none"]),
    help="For which system to write a job  [default: by the repository, else github]",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@columns_options()
def command(
    paths: tuple[Path, ...],
    file: Path,
    max_lost: str,
    monitor: str | None,
    mode: Mode | None,
    ci: str | None,
    force: bool,
) -> None:
    """Begin to check a stop policy: write a file of policies, its lock and a job for CI.

    The policy is the one that replay choose gives for these LOGS (default: those below this folder), and its
    limits are those that it keeps now. A JSON schema for editors, a pre-commit hook and a .gitattributes are
    written as well. Nothing that exists is overwritten without --force.

    \b
      replay init logs/
      replay init --max-lost 10% --ci gitlab
    """
    from replay.engine.question import Question
    from replay.search.tolerance import parse_tolerance

    tolerance = parse_tolerance(None, max_lost)
    project = _Project.of(file)
    planned = project.planned(ci)
    taken = [path for path in planned if exists(path)]
    if taken and not force:
        names = list_names([os.path.relpath(path) for path in taken], 8)
        raise InputError(f"{names} would be overwritten; give --force to do so, or --policies another FILE")
    roots = list(paths) or [Path()]
    logs = read_logs(roots)
    warn(logs.findings)
    sources = [source for run in logs.runs for source in run.info.sources]
    read = {os.path.realpath(source) for source in sources}
    for path in taken:
        if os.path.realpath(path) in read:
            raise InputError(f"--policies {file} would overwrite {path}, which is read; give another file")
    selection = choose_by_default(logs.runs, Question(monitor=monitor, mode=mode), tolerance)
    remote = [str(root) for root in roots if isinstance(root, Url)]
    local = [source for source in sources if not is_url(source)]
    named = [*_log_roots(local, file.absolute().parent), *remote]
    text, made = _decided(selection, logs, roots, project, named, max_lost)
    from replay.check.lock import as_text
    from replay.report import starting

    folder, name, lock = project.folder, file.name, project.lock.name
    contents = {
        file.absolute(): text,
        project.schema: starting.schema_file(),
        project.lock: as_text(made),
    }
    version, (url, repository) = __version__, _origin()
    if project.job is not None:
        contents[project.job] = (
            starting.gitlab_job(folder, name, lock, version, url)
            if project.system == "gitlab"
            else starting.github_workflow(folder, name, lock, version, repository)
        )
    for path, content in contents.items():
        _write(path, content)
    below = "" if folder == "." else f"{folder}/"
    folders = {below + log: (file.absolute().parent / log).is_dir() for log in named if not is_url(log)}
    _extend(project.top / ".gitattributes", starting.git_attributes(below + lock, folders))
    hook = project.top / ".pre-commit-config.yaml"
    if exists(hook):
        click.echo(
            f"kept {os.path.relpath(hook)}; to check at each commit, add this to it:\n"
            + starting.pre_commit(folder, name, lock).partition("\n")[2].rstrip(),
            err=True,
        )
    else:
        _write(hook, starting.pre_commit(folder, name, lock))
    if project.job is not None and project.included:
        click.echo(f"To do: include it in .gitlab-ci.yml: include: [local: {project.included}]", err=True)
    known = url if project.system == "gitlab" else repository
    if project.job is not None and known is None:
        if project.system == "gitlab":
            variable, value = "CI/CD variable STOP_REPLAY_URL", "the URL"
        else:
            variable, value = f"Actions variable {starting.REPOSITORY_VARIABLE}", "owner/name"
        click.echo(f"To do: set the {variable} to {value} of the repository of stop-replay.", err=True)
    click.echo(f"Next: replay check {os.path.relpath(file)}")


@dataclass
class _Project:
    """Where the files of a project go: ``folder`` is that of the policies below ``top``."""

    top: Path
    folder: str
    file: Path
    system: str = "none"
    job: Path | None = None
    included: str | None = None

    @classmethod
    def of(cls, file: Path) -> _Project:
        from replay.check.revisions import top_of

        whole = Path(os.path.realpath(file.absolute().parent)) / file.name
        if not whole.parent.is_dir():
            raise InputError(f"--policies {file}: the folder {file.parent} does not exist")
        top = top_of(whole.parent) or whole.parent
        return cls(top, whole.parent.relative_to(top).as_posix(), whole)

    @property
    def lock(self) -> Path:
        return self.file.with_name("replay.lock")

    @property
    def schema(self) -> Path:
        from replay.check.schema import SCHEMA_NAME

        return self.file.with_name(SCHEMA_NAME)

    def planned(self, ci: str | None) -> list[Path]:
        """The files that will be written, after the system of CI was found out."""
        self.system = ci or self._find_system()
        if self.system == "gitlab":
            main = self.top / ".gitlab-ci.yml"
            self.included = ".gitlab/stop-policy.yml" if exists(main) else None
            self.job = self.top / self.included if self.included else main
        elif self.system == "github":
            self.job = self.top / ".github" / "workflows" / "stop-policy.yml"
        return [self.file, self.schema, self.lock, *([] if self.job is None else [self.job])]

    def _find_system(self) -> str:
        from replay.check.revisions import remotes_of

        if exists(self.top / ".github"):
            return "github"
        if exists(self.top / ".gitlab-ci.yml") or any("gitlab" in url for url in remotes_of(self.top)):
            return "gitlab"
        return "github"


def _decided(
    selection: Selection,
    logs: ReadResult,
    roots: Sequence[Path],
    project: _Project,
    named: Sequence[str],
    max_lost: str,
) -> tuple[str, Lock]:
    """The file of policies with the limits that these logs keep for sure, and the lock.

    A limit that cannot be decided, as on few runs, would fail every check: it is left as a comment.
    """
    from replay.data.finding import Kind
    from replay.report.choose import describe_status
    from replay.report.starting import policies_file

    policy = selection.policy or selection.guess
    spec = _FALLBACK if policy is None else policy.spec()
    status, why = str(selection.status).capitalize(), describe_status(selection)
    if not why.startswith(status):
        why = f"{status}: {why}"
    study = selection.outcomes.study
    settings = [("monitor", study.monitor.name), ("mode", study.monitor.mode)]

    def examined(limits: Sequence[tuple[str, str, str]]) -> tuple[str, Checked, Lock]:
        text = policies_file(named, settings, spec, limits, why)
        checked, made = _examine(text, logs, roots, project)
        return text, checked, made

    text, first, made = examined(())
    figures = first.policies[0].summary
    wanted = _limits(figures, selection.guaranteed is not None, max_lost)
    text, tried, made = examined(wanted)
    enough = {
        finding["limit"]: f"{math.ceil(100 * finding['enough'] - 1e-9)}%"
        for finding in tried.policies[0].findings
        if finding.kind is Kind.NOISE
    }
    if enough:  # a limit below the noise of the evals would fail by chance
        wanted = [(name, enough.get(name, value), remark) for name, value, remark in wanted]
        text, tried, made = examined(wanted)
    kept = {limit.name for limit in tried.policies[0].limits if limit.verdict == "kept"}
    undecided = {
        name
        for finding in tried.policies[0].findings
        if finding.severity in ("regression", "undecided")
        for name in (finding.get("limit"), *(finding.get("every") or ()))
    }
    limits = [
        (name, value, remark)
        if name in kept - undecided
        else (name, "", f"{value}: these {first.runs} runs cannot decide it; add logs of more runs")
        for name, value, remark in wanted
    ]
    if not any(name == "max_lost" and value for name, value, _ in limits):
        limits = [limit for limit in limits if limit[0] != "guarantee"]
    if limits != wanted:
        text, _, made = examined(limits)
    return text, made


def _limits(figures: Any, guaranteed: bool, max_lost: str) -> list[tuple[str, str, str]]:
    """Limits that leave room for chance: the tolerance, or the next one above what is lost now, and what is
    saved at least.
    """
    from replay.search.tolerance import parse_tolerance

    lost, saved, low = (figures[key] for key in ("lost_mean", "saved_mean", "saved_low"))
    out = []
    if lost is not None:
        choices = [max_lost, *_TOLERANCES]
        limit = next((text for text in choices if lost <= parse_tolerance(max_lost=text).value), "100%")
        out.append(("max_lost", limit, f"of a run's improvement, on average; now {100 * lost:.1f}%"))
        if guaranteed:
            out.append(("guarantee", "mean", "max_lost is proven for the next runs, if they are like these"))
    bound = saved if low is None or math.isnan(low) else low
    least = math.floor(100 * max(bound, 0.0) / 5) * 5
    if least > 0:
        out.append(("min_saved", f"{least}%", f"of the compute, on average; now {100 * saved:.1f}%"))
    return out


def _examine(text: str, logs: ReadResult, roots: Sequence[Path], project: _Project) -> tuple[Checked, Lock]:
    """What a check by this file would say, with the lock that it would write."""
    import tempfile

    from replay.check.checking import examine
    from replay.check.config import read_config

    config: Config
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, project.file.name)
        draft.write_text(text, encoding="utf-8")
        config = read_config(draft)
    # beside the lock, so that paths are relative to its folder, and not the old one
    return examine(config, logs, roots, project.lock.with_name(f".{os.getpid()}.lock"), update=True)


def _log_roots(sources: Sequence[str], folder: Path) -> list[str]:
    """The folder that holds all logs, relative to the file of policies; several where it would be its own."""
    relative = [Path(os.path.relpath(os.path.abspath(source), folder)) for source in sources]  # noqa: PTH100
    common = os.path.commonpath([str(path.parent) for path in relative]) if relative else ""
    parents = {path.parent for path in relative}
    if len(parents) == 1 and common not in ("", "."):
        common = os.path.dirname(common) or common  # noqa: PTH120 - next to one log, others will lie
    if common not in ("", "."):
        return [Path(common).as_posix()]
    return sorted({path.parts[0] for path in relative})


def _origin() -> tuple[str | None, str | None]:
    """Where this package was installed from: the URL of its repository, and owner/name on GitHub."""
    import json
    from importlib import metadata

    with contextlib.suppress(Exception):
        stated = json.loads(metadata.distribution("stop-replay").read_text("direct_url.json") or "{}")
        if "vcs_info" in stated:
            url = str(stated["url"])
            name = url.partition("github.com/")[2].removesuffix(".git").strip("/")
            return url, name if name.count("/") == 1 else None
    return None, None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text.encode("utf-8", "surrogateescape"))
    click.echo(f"wrote {printable(os.path.relpath(path))}")


def _extend(path: Path, lines: Sequence[str]) -> None:
    """Add the lines that a file lacks at its end."""
    old = path.read_text(encoding="utf-8", errors="surrogateescape") if exists(path) else ""
    new = [line for line in lines if line not in old.splitlines()]
    if new:
        gap = "" if not old or old.endswith("\n") else "\n"
        _write(path, old + gap + "\n".join(new) + "\n")
