"""What a check says on GitHub: annotations as the runner reads them, the summary as a markdown parser reads
it, the plot."""

import dataclasses
import html
import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from replay.data.finding import Finding, Kind, Severity
from replay.errors import InputError, printable
from replay.report.annotations import as_annotations, without_commands
from replay.report.findings import location
from replay.report.job_summary import job_summary
from replay.report.plots.check import draw, save
from replay.report.sentences import sentence
from tests.report.checked import (
    CHECKS,
    HOSTILE,
    SAMPLE_SENTENCES,
    TEXTS,
    figures,
    moved,
    named,
    other,
    plain,
    sample,
    sentences_of,
    stop,
)

LEVELS = {"regression": "error", "undecided": "warning", "warning": "warning", "note": "notice"}
#: Every command that a runner knows, each able to do harm.
KNOWN = (
    "error",
    "warning",
    "notice",
    "debug",
    "group",
    "endgroup",
    "add-mask",
    "set-output",
    "set-env",
    "add-path",
    "save-state",
    "stop-commands",
    "echo",
    "add-matcher",
    "remove-matcher",
)


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    message: str


def unescaped(text, names):
    for code, char in (("%0D", "\r"), ("%0A", "\n"), *names, ("%25", "%")):
        text = text.replace(code, char)
    return text


def commands(text):
    """The commands in a log, found as actions/runner does: line by line, ``::name k=v,k=v::message``, or
    ``##[name k=v;k=v]message``."""
    found = []
    for line in re.split(r"\r\n|\r|\n", text):
        stripped = line.lstrip()
        end = stripped.find("::", 2)
        if stripped.startswith("::") and end > 0:
            name, _, rest = stripped[2:end].partition(" ")
            if name.lower() in KNOWN:
                pairs = [part.split("=", 1) for part in rest.strip().split(",") if "=" in part]
                properties = {key: unescaped(value, (("%3A", ":"), ("%2C", ","))) for key, value in pairs}
                found.append(Command(name.lower(), properties, unescaped(stripped[end + 2 :], ())))
                continue
        older = re.search(r"##\[([^\] ]*)([^\]]*)\](.*)", line)
        if older and older[1].lower() in KNOWN:
            found.append(Command(older[1].lower(), {}, older[3]))
    return found


def expected(checked):
    """What a check must say: all findings of a level, or the first nine where there are more than ten."""
    out = []
    for command in ("error", "warning", "notice"):
        found = [finding for finding in checked.all_findings if LEVELS[finding.severity] == command]
        out += [(command, finding) for finding in (found if len(found) <= 10 else found[:9])]
    return out


def test_the_parser_reads_commands_as_the_runner_does():
    log = (
        "text\n ::error file=a%2Cb,line=1,title=x%3A%25::m%0An::o\n::nothing::x\nbefore"
        " ##[warning]y\n::endgroup::"
    )
    assert commands(log) == [
        Command("error", {"file": "a,b", "line": "1", "title": "x:%"}, "m\nn::o"),
        Command("warning", {}, "y"),
        Command("endgroup", {}, ""),
    ]
    # an escaped percent sign is data, not the begin of another escape
    assert commands("::error::%250A")[0].message == "%0A"


def test_an_annotation_a_finding():
    assert commands(as_annotations(sample()))[:3] == [
        Command(
            "error",
            {"file": "ci/policies.toml", "line": "1", "title": "patient: limit broken"},
            SAMPLE_SENTENCES[0],
        ),
        Command(
            "error",
            {"file": "ci/policies.toml", "line": "1", "title": "patient, b: stop moved"},
            f"{SAMPLE_SENTENCES[1]}\nbefore: eval 7 (step 700): 3 evals without improvement\nnow: eval 12"
            " (step 1200): 3 evals without improvement",
        ),
        Command(
            "warning", {"file": "ci/policies.toml", "line": "1", "title": "d: gone"}, SAMPLE_SENTENCES[2]
        ),
    ]
    assert as_annotations(plain()) == ""


@pytest.mark.parametrize(("count", "shown", "more"), [(10, 10, None), (11, 9, "2 more"), (25, 9, "16 more")])
def test_of_many_the_last_says_how_many_more(count, shown, more):
    found = tuple(
        other(f"run {number} moved", severity)
        for number in range(count)
        for severity in (Severity.REGRESSION, Severity.NOTE)
    )
    said = commands(as_annotations(dataclasses.replace(plain(), findings=found)))
    for name in ("error", "notice"):
        own = [command.message for command in said if command.name == name]
        assert len(own) == min(count, 10)
        assert own[:shown] == [f"run {number} moved" for number in range(shown)]
        assert more is None or own[-1].startswith(more)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_make_no_commands(name):
    checked = named(name)
    said = commands(as_annotations(checked))
    assert len(said) == len(checked.all_findings)
    assert {command.message.split("\n")[0] for command in said} == {
        printable(text) for text in sentences_of(name)
    }
    assert all(set(command.properties) == {"file", "line", "title"} for command in said)
    for command, (_, finding) in zip(said, expected(checked), strict=True):
        begin = "replay check: " if finding.policy is None else printable(name).strip()
        assert command.properties["title"].startswith(begin)


@settings(deadline=None)
@given(CHECKS)
def test_any_text_gives_the_expected_commands_and_no_other(checked):
    text = as_annotations(checked)
    said = commands(text)
    assert all(line.startswith("::") for line in text.splitlines())
    assert len(said) == len(text.splitlines())
    # of more than ten findings the last command says how many more there are
    said = [command for command in said if not command.message.endswith("in the job's summary and log.")]
    for command, (name, finding) in zip(said, expected(checked), strict=True):
        assert command.name == name
        assert command.message.split("\n")[0] == printable(sentence(finding))
        assert command.properties["file"] == printable(location(checked, finding)).strip()
        assert printable(finding.policy or "").strip() in command.properties["title"]


@settings(deadline=None)
@given(TEXTS)
def test_a_log_can_be_made_free_of_commands(text):
    assert commands(without_commands(f"{text}\n{text} said\n  {text}")) == []


def test_a_log_without_commands_stays_as_it_is():
    text = "policy  saved\npatience=3  39%\n\na: b :: c\n"
    assert without_commands(text) == text


PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parsed(text):
    """The kinds of tokens in a markdown text, its text, and its tables: rows of cells."""
    tokens = PARSER.parse(text)
    leaves = [leaf for token in tokens for leaf in token.children or [token]]
    tables = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "table_open":
            tables.append([])
        if token.type == "tr_open":
            tables[-1].append([])
        if token.type == "inline" and before.type in ("th_open", "td_open"):
            tables[-1][-1].append("".join(leaf.content for leaf in token.children))
    kinds = {token.type for token in tokens} | {leaf.type for leaf in leaves}
    return (
        kinds,
        "\n".join("".join(leaf.content for leaf in token.children) for token in tokens if token.children),
        tables,
    )


HARMLESS = {
    "heading_open",
    "heading_close",
    "inline",
    "text",
    "text_special",
    "paragraph_open",
    "paragraph_close",
    "table_open",
    "table_close",
    "thead_open",
    "thead_close",
    "tbody_open",
    "tbody_close",
    "tr_open",
    "tr_close",
    "th_open",
    "th_close",
    "td_open",
    "td_close",
    "bullet_list_open",
    "bullet_list_close",
    "list_item_open",
    "list_item_close",
    "strong_open",
    "strong_close",
}


def test_the_summary_has_the_verdict_the_limits_the_changes_and_the_findings():
    text = job_summary(sample(), "replay-check.png")
    kinds, said, (limits, change, moves) = parsed(text)
    assert kinds <= HARMLESS
    assert text.startswith("## replay check: failed: a limit is broken, a stop moved\n")
    assert limits == [
        ["policy", "limit", "group", "figure", "wanted", "verdict"],
        ["patient", "max_lost", "", "7.2% 5-10", "5%", "broken"],
        ["patient", "min_saved", "", "41% 38-44", "20%", "kept"],
        ["patient", "max_regret", "r=8", "0.0114 0.008-0.0152", "0.01", "broken, within its uncertainty"],
        ["hasty", "max_lost", "", "12% 6-18", "20%", "kept"],
    ]
    assert change[1:3] == [
        ["patient", "saved", "52% 49-55", "41% 38-44"],
        ["patient", "lost", "3.1% 0.1-6.1", "7.2% 4-10"],
    ]
    why = "3 evals without improvement"
    assert moves[1] == ["patient", "b", f"eval 7 (step 700): {why}", f"eval 12 (step 1200): {why}"]
    assert all(text in said for text in SAMPLE_SENTENCES)
    assert "one log has no end" in said
    assert "replay-check.png" in text
    assert job_summary(sample()) == job_summary(sample())


def test_the_summary_of_a_check_without_a_lock_or_with_nothing_at_all():
    text = job_summary(dataclasses.replace(sample(), lock=None))
    assert "Against the lock" not in text
    assert parsed(text)[2][1][1] == ["patient", "41% 38-44", "7.2% 4-10"]
    assert (
        job_summary(plain())
        == "## replay check: passed\n\n1 run with the policies of policies.toml, no lock to compare with;"
        " monitor: eval\\_loss, objective: eval\\_loss.\n"
    )


def test_it_says_that_no_stop_moved_only_where_all_are_compared():
    checked = dataclasses.replace(sample(), policies=sample().policies[1:], findings=())
    assert "No stop moved." in job_summary(checked)
    facts = {"state": "changed", "before": "patience=1", "after": "patience=2"}
    changed = Finding(Kind.CHANGED_POLICY, Severity.NOTE, policy="hasty", facts=facts)
    assert "No stop moved." not in job_summary(dataclasses.replace(checked, findings=(changed,)))


def test_the_summary_of_very_much_is_cut():
    found = tuple(moved("patient", stop(str(run), 7), stop(str(run), 8)) for run in range(40_000))
    policy = dataclasses.replace(sample().policies[0], findings=found)
    text = job_summary(dataclasses.replace(sample(), policies=(policy,)))
    assert "40000 stops moved" in text
    assert "and 39950 more." in text
    assert len(text) < 20_000  # GitHub takes a megabyte


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_make_no_markup(name):
    kinds, said, tables = parsed(job_summary(named(name), name))
    assert kinds <= HARMLESS
    assert html.unescape(tables[0][1][0]) == html.unescape(printable(name).strip())
    assert all(printable(text).strip() in said for text in sentences_of(name))


@settings(deadline=None)
@given(CHECKS)
def test_any_text_gives_the_expected_markdown(checked):
    text = job_summary(checked)
    kinds, said, tables = parsed(text)
    assert kinds <= HARMLESS
    limits = [(policy, limit) for policy in checked.policies for limit in policy.limits]
    if limits:
        rows = [[policy.name, limit.name, limit.group or ""] for policy, limit in limits]
        shown = [[html.unescape(cell).strip() for cell in row[:3]] for row in tables[0][1:]]
        assert shown == [[html.unescape(printable(cell)).strip() for cell in row] for row in rows]
    assert all(printable(sentence(finding)).strip() in said for finding in checked.all_findings)
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_the_plot_shows_policies_then_and_now_and_their_limits(tmp_path):
    axes = draw(sample()).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "patient",
        "hasty",
        "in the lock",
        "limits",
    ]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in dashed] == [
        ([0, 1], [5, 5]),
        ([20, 20], [0, 1]),
        ([0, 1], [20, 20]),
    ]
    # only one has moved
    assert len([text for text in axes.texts if text.arrow_patch is not None]) == 1
    for name in ("a.png", "a.svg", "a.pdf"):
        save(sample(), tmp_path / name)
        save(sample(), tmp_path / f"again-{name}")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


def test_a_plot_that_cannot_be_drawn(tmp_path):
    with pytest.raises(InputError, match=r"cannot draw a \.docx"):
        save(sample(), tmp_path / "a.docx")
    with pytest.raises(InputError, match="No such file"):
        save(sample(), tmp_path / "none" / "a.png")


@pytest.mark.parametrize("checked", [plain(), named("$x$_{"), named("_"), named("\x1b\ud800")])
def test_every_check_can_be_drawn(checked, tmp_path):
    save(checked, tmp_path / "a.png")
    assert len(draw(checked).axes[0].get_legend_handles_labels()[0]) == len(checked.policies)


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=15, deadline=None)
@given(CHECKS)
def test_a_check_of_any_text_can_be_drawn(checked):
    draw(checked).draw_without_rendering()


def test_unknown_losses_are_left_out():
    checked = sample()
    policy = dataclasses.replace(checked.policies[0], summary=figures(0.4, 0.1) | {"lost_mean": None})
    axes = draw(dataclasses.replace(checked, policies=(policy, checked.policies[1]))).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["hasty", "limits"]
    assert axes.get_title().endswith("(1 of 2 policies)")
