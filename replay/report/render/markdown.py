"""A document as markdown."""

from __future__ import annotations

import re

from replay.errors import printable
from replay.report.document import (
    Block,
    Chart,
    Code,
    Commands,
    Document,
    Findings,
    Heading,
    List,
    Mono,
    Notes,
    Paragraph,
    Strong,
    Table,
    Words,
    parts,
)
from replay.report.render.chart import draw
from replay.report.render.text import WIDTH, command

__all__ = ["render", "render_untrusted", "without_mentions"]


def render(document: Document) -> str:
    """The blocks of a page as markdown. Cells of tables are escaped as a whole. In other text, what could be
    HTML, a link, a picture or the beginning of another block is escaped; code in backticks stays code.
    """
    return _Markdown().document(document)


def render_untrusted(document: Document) -> str:
    """The same for a page of a CI system: everything in it is escaped and makes no markup, link or HTML."""
    return _Untrusted().document(document)


class _Markdown:
    def document(self, document: Document) -> str:
        out: list[str] = []
        for block in document.blocks():
            if block.medium != "screen" and block.detail != "brief":
                out += ["", *self.block(block)] if out else self.block(block)
        return "\n".join(out) + "\n"

    def block(self, block: Block) -> list[str]:
        match block:
            case Heading():
                return ["#" * block.level + " " + self.prose(self.words(block.words))]
            case Paragraph():
                text = self.prose("\n".join(self.words(line) for line in block.lines))
                return text.split("\n")
            case Notes():
                return [f"- {self.prose(self.words(text))}" for text in block.texts]
            case List():
                return [f"- {self.prose(self.words(item))}" for item in block.items]
            case Table():
                return self.table(block)
            case Chart():
                return ["```text", *draw(block, width=WIDTH), "```"]
            case Code():
                return [f"```{block.language}", *map(printable, block.text.splitlines()), "```"]
            case Commands():
                return ["```", *(line for words in block.steps for line in command(words)), "```"]
            case Findings():
                rows = [
                    [
                        entry.severity,
                        entry.text
                        + "".join(f". {label.capitalize()}: {text}" for label, text in entry.details),
                    ]
                    for entry in block.entries
                ]
                return self.table(Table(["", "finding"], rows, (0, 1)))
        raise TypeError(f"markdown cannot show a {type(block).__name__}")

    def words(self, words: Words) -> str:
        out = []
        for part in parts(words):
            if isinstance(part, Strong):
                out.append(f"**{self.plain(part.text)}**")
            elif isinstance(part, Mono):
                out.append(f"`{printable(part.text).replace('`', '')}`")
            else:
                out.append(self.plain(part))
        return "".join(out)

    def table(self, table: Table) -> list[str]:
        return [
            "| " + " | ".join(self.cell(name) for name in table.head) + " |",
            "|"
            + "|".join(" :-- " if column in table.left else " --: " for column in range(len(table.head)))
            + "|",
            *("| " + " | ".join(self.cell(cell) for cell in row) + " |" for row in table.rows),
        ]

    def prose(self, text: str) -> str:
        """A piece of running text; it is escaped as a whole, since a backtick ends the code that another
        one began, wherever that stands.
        """
        out, end = [], 0
        for code in _CODE.finditer(text):
            out += [_ACTIVE.sub(r"\\\g<0>", text[end : code.start()]), code[0]]
            end = code.end()
        out.append(_ACTIVE.sub(r"\\\g<0>", text[end:]))
        return _BLOCK.sub(r"\1\\\2", "".join(out))

    def plain(self, text: str) -> str:
        return without_mentions(printable(text))

    def cell(self, text: str) -> str:
        return without_mentions(re.sub(r"([\\|<>*_`\[\]~&$])", r"\\\1", printable(text)))


#: Code in a line: backticks, and as many at its end.
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
#: What begins HTML or an entity, makes what is in brackets before it a link or a picture (one to another page
#: of the same docs is meant), or takes away the meaning of the sign behind it.
_ACTIVE = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<=\])[(\[](?!\w[\w-]*\.md[#\w-]*\))|\\(?=[^\w\s]|\Z)")
#: What begins another block than a paragraph at the beginning of a line.
_BLOCK = re.compile(
    r"^( {0,3})(#{1,6}(?=\s)|>|[-+*](?=\s)|```|~~~|[-=_*]{3,}$|\[(?=[^\]]*\]:))", re.MULTILINE
)


class _Untrusted(_Markdown):
    def prose(self, text: str) -> str:
        return text  # which is escaped already

    def plain(self, text: str) -> str:
        # what could be markup, an entity, a formula or a link
        escaped = re.sub(r"([\\|<>*_`\[\]~&$@#!]|:(?=//))", r"\\\1", printable(text))
        return escaped.replace("www.", "www\\.")

    def cell(self, text: str) -> str:
        return self.plain(text)


def without_mentions(text: str) -> str:
    """Text in which no name is a mention, which would notify somebody.

    GitHub and GitLab look for mentions in the finished page, where a backslash is gone; an invisible word
    joiner stays. An address, and a version such as transformers@4.46, is no mention.
    """
    return re.sub(r"(?<![\w.])((?:\\)?@)(?=[\w\[])", "\\1\N{WORD JOINER}", text)
