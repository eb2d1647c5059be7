"""The files with which a team begins to check its policies: the texts that ``replay init`` writes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from replay.check.schema import SCHEMA_NAME, policies_schema
from replay.errors import printable
from replay.report.render.json import json_text
from replay.report.render.text import wrapped

__all__ = ["git_attributes", "github_workflow", "gitlab_job", "policies_file", "pre_commit", "schema_file"]

#: The variable that names the repository of stop-replay; the one thing that a team may have to set.
REPOSITORY_VARIABLE = "STOP_REPLAY_REPOSITORY"
_CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"


def policies_file(
    logs: Sequence[str],
    settings: Sequence[tuple[str, str]],
    spec: str,
    limits: Sequence[tuple[str, str, str]],
    why: str,
) -> str:
    """A file of policies with one policy.

    ``settings`` are the keys at the top with their values. Each of ``limits`` has a name, its value (empty:
    it cannot be decided yet) and a remark. ``why`` says why it is this policy.
    """
    out = [
        f"#:schema ./{SCHEMA_NAME}",
        "# replay check replays these stop policies on the logs and holds them to their limits.",
        f"logs = [{', '.join(_text(log) for log in logs)}]",
        *(f"{name} = {_text(value)}" for name, value in settings),
        "",
        *(f"# {line}" for line in wrapped(why, width=100)),
        "[policies.default]",
        f"spec = {_text(spec)}",
    ]
    for name, value, remark in limits:
        line = f"{name} = {_text(value)}" if value else f"# {name}"
        out.append(f"{line}  # {printable(remark)}")
    return "\n".join(out) + "\n"


def _text(value: str) -> str:
    """A string of TOML."""
    return json.dumps(printable(value), ensure_ascii=False)


def schema_file() -> str:
    """The JSON schema that the file of policies refers to."""
    return json_text(policies_schema())


def git_attributes(lock: str, logs: Mapping[str, bool]) -> list[str]:
    """Lines that keep logs and lock the same in every checkout, whatever core.autocrlf says.

    Where two branches add lines to the lock at one place, git keeps both. Its checksums refuse every such
    merge that is not what an update would write. ``logs`` are paths, with whether each is a folder.
    """
    patterns = [_pattern(log, "/**" if is_folder else "") for log, is_folder in logs.items()]
    return [*(f"{pattern} -text" for pattern in patterns), f"{_pattern(lock)} text eol=lf merge=union"]


def _pattern(path: str, below: str = "") -> str:
    escaped = re.sub(r"([\[\]*?\\])", r"\\\1", path) + below
    return f'"{escaped}"' if " " in escaped else escaped


def github_workflow(folder: str, policies: str, lock: str, version: str, repository: str | None) -> str:
    """A workflow for GitHub. ``folder`` is that of the file of policies below the root of the repository."""
    where = f"\n          working-directory: {_text(folder)}" if folder != "." else ""
    name = repository or "${{ vars." + REPOSITORY_VARIABLE + " }}"
    return f"""# Checks the stop policies on every change. Written by replay init.
name: stop policy
on:
  pull_request:
  push:
    branches: [main, master]

permissions:
  contents: read

env:
  # Where stop-replay is kept on GitHub, as owner/name: write it here, or set the variable of the repository
  # (Settings, Secrets and variables, Actions, Variables).
  {REPOSITORY_VARIABLE}: {name}
  STOP_REPLAY_REVISION: v{version}

jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: {_CHECKOUT}
        with:
          persist-credentials: false

      - name: Find stop-replay
        shell: bash
        run: |
          if [ -z "${REPOSITORY_VARIABLE}" ]; then
            echo "::error::Set the variable {REPOSITORY_VARIABLE} to the owner/name of stop-replay."
            exit 2
          fi

      - uses: {_CHECKOUT}
        with:
          repository: ${{{{ env.{REPOSITORY_VARIABLE} }}}}
          ref: ${{{{ env.STOP_REPLAY_REVISION }}}}
          path: .stop-replay
          persist-credentials: false

      - id: replay
        uses: ./.stop-replay
        with:
          policies: {_text(policies)}
          lock: {_text(lock)}{where}
          require-lock: "true"
          sarif: "false"
"""


def gitlab_job(folder: str, policies: str, lock: str, version: str, url: str | None) -> str:
    """A job for GitLab; its image has git, which pip needs for an installation from a repository."""
    enter = f"\n    - cd {_shell(folder)}" if folder != "." else ""
    below = "" if folder == "." else f"{folder}/"
    arguments = f"{_shell(policies)} --lock {_shell(lock)} --require-lock $STOP_REPLAY_OPTIONS"
    return f"""# Checks the stop policies in each merge request. Written by replay init.
stop-policy:
  image: python:3.12
  variables:
    PIP_DISABLE_PIP_VERSION_CHECK: "1"
    # Where stop-replay is kept: write its URL here, or set the CI/CD variable STOP_REPLAY_URL of the project.
    STOP_REPLAY_SOURCE: {_text(url or "$STOP_REPLAY_URL")}
    STOP_REPLAY_REVISION: v{version}
    # Further options of replay check, such as --strict; --against origin/main needs GIT_DEPTH: "0" as well.
    STOP_REPLAY_OPTIONS: ""
  before_script:
    - >-
      case "$STOP_REPLAY_SOURCE" in ""|"\\$STOP_REPLAY_URL")
      echo "Set the CI/CD variable STOP_REPLAY_URL to the repository of stop-replay."; exit 2;; esac
    - python -m pip install --quiet "stop-replay @ git+$STOP_REPLAY_SOURCE@$STOP_REPLAY_REVISION"
  script:{enter}
    - replay check {arguments} --junit replay-junit.xml --code-quality replay-code-quality.json
  artifacts:
    when: always
    reports:
      junit: {_text(below + "replay-junit.xml")}
      codequality: {_text(below + "replay-code-quality.json")}
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
"""


def pre_commit(folder: str, policies: str, lock: str) -> str:
    """The hook of pre-commit: it runs the replay that is installed where the commit is made."""
    below = "" if folder == "." else f"{folder}/"
    entry = f"replay check {_shell(below + policies)} --lock {_shell(below + lock)} --require-lock"
    return f"""repos:
  - repo: local
    hooks:
      - id: replay-check
        name: check stop policies
        entry: {_text(entry)}
        language: system
        pass_filenames: false
        always_run: true
"""


def _shell(word: str) -> str:
    return shlex.quote(word)
