"""What a person reads: how much of it, and in which words."""

import re

import click
import pytest

from replay.cli import cli
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.readme import ROOT

#: Words that the project does not use for what has a standard name.
AVOIDED = re.compile(
    r"\btold\b|\bcens\b|held out there|held-out ones|\bluck|one row an? |one line an |is no log"
    r"|left out for it"
    r"|chosen on these runs|training shorter by|in the lock:",
    re.IGNORECASE,
)
#: Commands on the sample logs, as a reader of the docs would type them.
COMMANDS = (
    ["sample_logs"],
    ["simulate", "sample_logs", "--policy", "patience=3"],
    ["inspect", "sample_logs"],
    ["sweep", "sample_logs"],
    ["choose", "sample_logs"],
    ["plan", "sample_logs"],
    ["explain", "sample_logs", "--policy", "patience=3"],
    ["check", ".ci/policies.toml"],
)
HELPS = sorted(name for name, command in cli.commands.items() if not command.hidden)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_the_first_screen_of_a_command(args, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = run(*args).stdout
    fits(text)
    if args[0] != "explain":  # it has one line per eval around the stop
        fits_the_screen(text)
    assert "--verbose" in text
    assert AVOIDED.findall(text) == []
    assert sum(line.startswith("! ") for line in text.splitlines()) <= 3
    verbose = run(*args, "--verbose").stdout
    fits(verbose)
    assert AVOIDED.findall(verbose) == []


@pytest.mark.parametrize("name", HELPS)
def test_help_is_in_sentences(name):
    text = run(name, "--help").stdout
    fits(text)
    assert AVOIDED.findall(text) == []
    first = (cli.commands[name].help or "").strip().split("\n\n")[0]
    assert re.fullmatch(r"[A-Z][a-z]+ .*\.", " ".join(first.split())), first


def test_help_groups_the_commands_by_task():
    text = run("--help").stdout
    for task in ("Look at logs:", "Compare policies:", "Guard a policy:", "Use a policy in a training:"):
        assert task in text
    listed = set(re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE))
    assert set(HELPS) <= listed
    assert isinstance(cli, click.Group)
