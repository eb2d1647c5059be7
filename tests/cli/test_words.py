"""What a person reads: how much of it, and in which words."""

import inspect
import re

import click
import pytest
from click.testing import CliRunner

import replay
from collect.cli import cli as collect
from replay.cli import cli
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.readme import ROOT

#: Words that the project does not use for what has a standard name.
AVOIDED = re.compile(
    r"\btold\b|\bcens\b|held out there|held-out ones|\bluck|one row an? |one line an |is no log"
    r"|left out for it|\bpolicies watch|\bwatche[sd]\b|\bjudged by\b|\bour own\b|\bis told\b|\be\.g\."
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
    ["budget", "sample_logs", "--compute", "1000steps", "--group", "group"],
    ["explain", "sample_logs", "--policy", "patience=3"],
    ["check", ".ci/policies.toml"],
    ["diff", "patience=3", "patience=5", "sample_logs"],
    ["simulate", "sample_logs", "--policy", "asha:workers=8", "--policy", "patience=3"],
)
HELPS = sorted(name for name, command in cli.commands.items() if not command.hidden)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_the_first_screen_of_a_command(args, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = run(*args).stdout
    fits(text)
    fits_the_screen(text)
    assert "--verbose" in text
    assert AVOIDED.findall(text) == []
    assert sum(line.startswith("! ") for line in text.splitlines()) <= 3
    verbose = run(*args, "--verbose").stdout
    fits(verbose)
    assert AVOIDED.findall(verbose) == []


def test_figures_of_a_set_of_runs_have_heads_of_their_own(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = run("simulate", "sample_logs", "--policy", "asha:workers=8", "--policy", "patience=3").stdout
    assert re.search(r"^policy +total saved +lost by best +regret +best stopped +too early$", text, re.M)
    assert "These figures are about all runs together." in text
    assert "are compared with each other all the same" in " ".join(text.split())


def test_an_interval_beyond_the_guarantee_is_explained_where_both_are_shown(monkeypatch):
    monkeypatch.chdir(ROOT)
    for args, words in (
        (["sample_logs"], "it loses at most 5% on further runs (these logs alone say 0-16%)."),
        (["choose", "sample_logs"], "loses 0.8% (these logs alone say 0-16%)."),
        (
            ["choose", "sample_logs", "--verbose"],
            "The interval reaches 16%, because the guarantee is an average over the logs",
        ),
    ):
        assert words in " ".join(run(*args).stdout.split())
    # the interval (0-16) ends below this tolerance
    assert "the interval" not in run("choose", "sample_logs", "--max-lost", "20%").stdout


@pytest.mark.parametrize("name", HELPS)
def test_help_is_in_sentences(name):
    text = run(name, "--help").stdout
    fits(text)
    assert AVOIDED.findall(text) == []
    first = (cli.commands[name].help or "").strip().split("\n\n")[0]
    assert re.fullmatch(r"[A-Z][a-z]+ .*\.", " ".join(first.split())), first


def test_the_lists_are_in_these_words():
    for name in ("policies", "formats"):
        text = run(name).stdout
        fits(text)
        assert AVOIDED.findall(text) == []


@pytest.mark.parametrize("name", sorted(collect.commands))
def test_help_of_collect_is_in_these_words(name):
    text = CliRunner().invoke(collect, [name, "--help"]).output
    fits(text)
    assert AVOIDED.findall(text) == []


def test_options_are_explained_in_sentences():
    for group in (cli, collect):
        for command in group.commands.values():
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    help = re.sub(r"  \[default: .*\]$", "", option.help)
                    assert re.match(r"[A-Z`]|steps, ", help), (command.name, option.name, help)


def public_docstrings():
    """The docstrings of what replay exports, and of the public members of its classes."""
    for name in replay.__all__:
        thing = getattr(replay, name)
        yield name, inspect.getdoc(thing) or ""
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{member}", inspect.getdoc(value) or ""


def test_docstrings_of_the_public_names_are_in_these_words():
    found = dict(public_docstrings())
    assert found["load"]
    assert {name: AVOIDED.findall(text) for name, text in found.items() if AVOIDED.findall(text)} == {}


def test_help_groups_the_commands_by_task():
    text = run("--help").stdout
    for task in ("Look at logs:", "Compare policies:", "Guard a policy:", "Use a policy in a training:"):
        assert task in text
    listed = set(re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE))
    assert set(HELPS) <= listed
    assert isinstance(cli, click.Group)


@pytest.mark.parametrize("columns", [40, 60, 120])
@pytest.mark.parametrize(
    "args",
    [
        ["check", ".ci/policies.toml", "--require-lock"],
        ["diff", ".ci/replay.lock", ".ci/replay.lock"],
        ["simulate", "sample_logs", "--policy", "patience=3", "--per-run"],
    ],
    ids=lambda args: args[0],
)
def test_narrow_and_wide_terminals(args, columns, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", str(columns))
    for more in ((), ("--verbose",)):
        text = run(*args, *more).stdout
        # the id of a run is not broken
        fits(text.partition("Next: ")[0] if columns == 40 else text, columns)
