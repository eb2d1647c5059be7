"""Every renderer on every kind of block."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from replay.errors import printable
from replay.report.document import (
    Block,
    Code,
    Commands,
    Document,
    Entry,
    Findings,
    Heading,
    List,
    Mono,
    Notes,
    Paragraph,
    Records,
    Strong,
    Table,
    separate,
)
from replay.report.render import render, text
from replay.report.render.csv import csv_text
from replay.report.render.json import json_text
from replay.report.render.markdown import render_untrusted
from replay.report.render.text import command, height, lines, wrapped


def document(*blocks):
    return Document(lambda: blocks)


BLOCKS = (
    Heading("Runs"),
    Paragraph(("Two runs.", ("The ", Strong("best"), " is ", Mono("r`1"), "."))),
    Table(["run", "lost"], [["a|b", "3%"], ["c", "12%"]], notes={1: "after the stop:"}),
    List(["one", "two"]),
    Findings([Entry("warning", "b stops later", [("before", "eval 8"), ("now", "eval 9")])]),
    Code("x = 1\ny = 2", indent=2),
    Commands([["replay", "explain", "a b"], ["replay", "inspect"]]),
)


def test_text():
    assert render(document(*BLOCKS), "text") == (
        "Runs\n\n"
        "Two runs.\nThe best is r`1.\n\n"
        "run  lost\na|b    3%\nafter the stop:\nc     12%\n\n"
        "- one\n- two\n\n"
        "warning: b stops later.\n    before: eval 8\n    now:    eval 9\n\n"
        "  x = 1\n  y = 2\n\n"
        "Next: replay explain 'a b'\n      replay inspect\n"
    )
    assert render(document(*BLOCKS), "table") == render(document(*BLOCKS), "text")


def test_markdown():
    assert render(document(*BLOCKS), "markdown") == (
        "## Runs\n\n"
        "Two runs.\nThe **best** is `r1`.\n\n"
        "| run | lost |\n| :-- | --: |\n| a\\|b | 3% |\n| c | 12% |\n\n"
        "- one\n- two\n\n"
        "|  | finding |\n| :-- | :-- |\n| warning | b stops later. Before: eval 8. Now: eval 9 |\n\n"
        "```\nx = 1\ny = 2\n```\n\n"
        "```\nreplay explain 'a b'\nreplay inspect\n```\n"
    )


def test_a_block_is_shown_where_it_belongs_and_tight_blocks_follow_at_once_on_the_screen():
    both = document(
        Paragraph(("on the screen",), medium="screen"),
        Paragraph(("on both",), tight=True),
        Paragraph(("on the page",), medium="page"),
    )
    assert render(both, "text") == "on the screen\non both\n"
    assert render(both, "markdown") == "on both\n\non the page\n"
    texts = document(*separate(["a", "b"]), *separate(["c"], tight=True))
    assert render(texts, "text") == "a\nb\nc\n"
    assert render(texts, "markdown") == "a\n\nb\n\nc\n"


@pytest.mark.parametrize("style", ["text", "markdown"])
def test_a_renderer_refuses_a_block_that_it_does_not_know(style):
    with pytest.raises(TypeError, match="cannot show a Block"):
        render(document(Block()), style)


def test_height_counts_the_lines_of_the_screen():
    assert height(BLOCKS) == render(document(*BLOCKS), "text").count("\n")
    assert height([]) == 0
    assert height([Paragraph(("x",), medium="page")]) == 0


def test_indents():
    (first, second, *_) = render(document(Paragraph(("word " * 30,), indent=2, hanging=4)), "text").split(
        "\n"
    )
    assert first.startswith("  word")
    assert second.startswith("      word")
    table = document(Table(["limit", "why"], [["a", "word " * 30]], (0, 1), indent=2))
    shown = render(table, "text").splitlines()
    assert shown[0] == "  limit  why"
    assert all(len(line) <= 80 and line.startswith("  ") for line in shown)


def test_json_and_csv_are_the_data_and_the_records():
    made = Document(list, lambda: {"a": [1, None]}, lambda: Records(("b", "a"), [{"a": 1, "b": "x", "c": 3}]))
    assert json.loads(render(made, "json")) == {"a": [1, None]}
    assert list(csv.reader(io.StringIO(render(made, "csv")))) == [["b", "a"], ["x", "1"]]


def test_only_the_form_that_is_asked_for_is_made():
    def never():
        raise AssertionError

    assert render(Document(never, lambda: 1, never), "json") == "1\n"
    assert render(Document(list, never, never), "text") == "\n"


def test_a_page_of_a_ci_system_has_no_markup_from_names():
    name = "<b> [x](https://www.evil.example) #1 @you"
    text = render_untrusted(document(Heading(name), List([name]), Table(["a"], [[name]])))
    escaped = "\\<b\\> \\[x\\](https\\://www\\.evil.example) \\#1 \\@you"
    assert text == f"## {escaped}\n\n- {escaped}\n\n| a |\n| :-- |\n| {escaped} |\n"


def test_a_wide_first_cell_gets_its_own_line_and_the_last_is_wrapped():
    text = lines(
        ["policy", "saved", "why"],
        [["p" * 70, "31%", "a reason that goes on and on and on and on and on and on"]],
        left=(0, 2),
        width=60,
    )
    assert text[1] == "p" * 59 + "~"
    assert text[2].split()[:3] == ["31%", "a", "reason"]
    assert all(len(line) <= 60 for line in text)
    assert lines(["a", "b"], [], left=(0,)) == ["a  b"]


def test_strict_json():
    data = json.loads(
        json_text(
            {"a": math.nan, "b": [math.inf, -math.inf], "c": np.float64(1.5), "d": np.int64(3), "e": None}
        )
    )
    assert data == {"a": None, "b": ["Infinity", "-Infinity"], "c": 1.5, "d": 3, "e": None}


def test_csv_keeps_every_digit_and_quotes():
    assert (
        csv_text([{"a": 0.1 + 0.2, "b": 'x,"y'}, {"a": None, "b": 3}], ["a", "b"])
        == 'a,b\n0.30000000000000004,"x,""y"\n,3\n'
    )


def test_markdown_escapes():
    assert render(document(Table(["a"], [["x|y <b>"]])), "markdown").endswith("\n| x\\|y \\<b\\> |\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x> a < b", "\\<img src=x> a < b"),
        ("[r](http://x) ![r](//x) [r][x]", "[r]\\(http://x) ![r]\\(//x) [r]\\[x]"),
        ("\\<b> &copy; c & d", "\\\\\\<b> \\&copy; c & d"),
        ("`<a> b` and <a>", "`<a> b` and \\<a>"),
        ("`` `<a> `` <a> `<a>", "`` `<a> `` \\<a> `\\<a>"),
        ("\\`<a>`", "\\\\`<a>`"),
        ("[r](formats.md#csv) [r](//x/y.md)", "[r](formats.md#csv) [r]\\(//x/y.md)"),
        ("# a", "\\# a"),
        ("- a", "\\- a"),
        ("> a", "\\> a"),
        ("[a]: http://x", "\\[a]: http://x"),
        ("#1 a_b *c* [d]", "#1 a_b *c* [d]"),
    ],
)
def test_markdown_makes_nothing_of_a_name_in_running_text(text, shown):
    assert render(document(Paragraph((text,))), "markdown") == shown + "\n"
    assert render(document(Notes([text])), "markdown") == f"- {shown}\n"


def test_code_that_begins_in_another_line_hides_nothing():
    shown = render(document(Paragraph(("a ` b", "c ` <i> `"))), "markdown")
    assert shown == "a ` b\nc ` \\<i> `\n"


def test_nothing_steers_the_terminal():
    assert printable("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert printable("Größe µ") == "Größe µ"


def test_commands_are_quoted_and_broken_before_options():
    assert command(["replay", "explain", "a b", "--run", "x"]) == ["replay explain 'a b' --run x"]
    long = command(
        ["replay", "explain", "logs" * 15, "--policy", "patience=3", "--run", "r"], before="next: "
    )
    assert long == [
        "next: replay explain \\",
        f"        {'logs' * 15} \\",
        "        --policy patience=3 --run r",
    ]


NOTES = Notes(["one thing " * 12, "two", "three", "four"])


def test_the_brief_form_shows_three_notes_and_counts_the_others():
    blocks = (
        Paragraph(["The answer."], answer=True),
        Table(["a"], [["short"]], detail="brief"),
        Table(["a"], [["long"]], detail="verbose"),
        NOTES,
        Commands([["replay", "choose"]]),
    )
    brief = text.render(document(*blocks), verbose=False)
    assert "short" in brief
    assert "long" not in brief
    assert [line for line in brief.splitlines() if line.startswith("! ")][1:] == ["! two", "! three"]
    assert brief.endswith("\n\n1 more note and details with --verbose.\nNext: replay choose\n")
    verbose = text.render(document(*blocks), verbose=True)
    assert "! four" in verbose
    assert "short" not in verbose
    assert "--verbose" not in verbose
    page = render(document(*blocks), "markdown")
    assert "- four" in page
    assert "| long |" in page
    assert "| short |" not in page


def test_notes_make_room_for_the_table():
    table = Table(["a"], [[str(number)] for number in range(19)])
    brief = text.render(document(table, NOTES), verbose=False)
    assert len(brief.splitlines()) <= 24
    assert "4 more notes with --verbose." in brief
    for rows in range(30):
        table = Table(["a"], [[str(number)] for number in range(rows)])
        lines_shown = text.render(document(table, NOTES), verbose=False).splitlines()
        assert len(lines_shown) <= max(24, rows + 3)


def test_only_lines_of_their_own_are_styled():
    blocks = (
        Paragraph(["The answer. " * 10], answer=True),
        Notes(["a note"]),
        Table(["a", "b"], [["1", "2"]]),
    )
    plain = text.render(document(*blocks))
    styled = text.render(document(*blocks), color=True)
    assert styled != plain
    assert re.sub(r"\x1b\[\d*m", "", styled) == plain
    for line in styled.splitlines():
        assert line.count("\x1b[") % 2 == 0


def test_a_table_that_is_far_too_wide_has_a_line_per_cell():
    head, rows = (
        ["policy", "saved", "lost", "verdict"],
        [["patience=3,min_delta=0.001", "12% 1-20", "3%", "x"]],
    )
    assert lines(head, rows, left=(0, 3), width=30) == [
        "patience=3,min_delta=0.001",
        "  saved    12% 1-20",
        "  lost     3%",
        "  verdict  x",
    ]


def test_wrapped_is_never_empty():
    assert wrapped("") == [""]
    assert all(len(line) <= 80 for line in wrapped("word " * 60))


def rows(count):
    return Table(["run", "lost"], [[f"r{number}", "3%"] for number in range(count)], fewest=4)


def brief(*blocks, width=80):
    return render(document(*blocks), "text", verbose=False, width=width)


def test_the_brief_form_cuts_rows_before_it_drops_notes():
    notes = Notes(["a note of a line"] * 3)
    out = brief(rows(3), notes)
    assert "with --verbose" not in out
    out = brief(rows(30), notes)
    assert len(out.splitlines()) == 24
    shown = sum(line.startswith("r") and "%" in line for line in out.splitlines())
    assert f"\n{30 - shown} more rows with --verbose.\n" in out
    assert out.count("! a note") == 3
    long = Notes(["word " * 100] * 3)
    out = brief(rows(30), long)
    assert sum("3%" in line for line in out.splitlines()) >= 4
    assert len(out.splitlines()) <= 24
    assert re.search(
        r"^\d+ more rows, \d notes? with --verbose\.|^\d+ more rows and \d notes? with", out, re.M
    )
    assert "r29" in render(document(rows(30), notes), "text", verbose=True)


def test_the_brief_form_shows_three_findings_and_never_none():
    few = Findings([Entry("note", f"finding {number}") for number in range(5)])
    out = brief(few)
    assert out.count("note: finding") == 3
    assert out.endswith("\n2 more findings with --verbose.\n")
    out = brief(rows(30), Findings([Entry("regression", "word " * 300), Entry("note", "x")]))
    assert "regression: word" in out
    assert "1 finding" in out
