"""Mutants: every small change that there is to make to a module, found in its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutants_of"]

_COMPARISONS = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_BOOLEAN = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
_PAIRS = [
    ("min", "max"),
    ("minimum", "maximum"),
    ("fmin", "fmax"),
    ("argmin", "argmax"),
    ("nanmin", "nanmax"),
    ("nanargmin", "nanargmax"),
    ("any", "all"),
    ("logical_and", "logical_or"),
]
_OPPOSITES = dict([*_PAIRS, *((other, one) for one, other in _PAIRS)])
#: Keywords that change no result, or only where something is wrong already.
_QUIET = {"strict", "stacklevel", "copy", "maxsize", "frozen", "eq", "repr"}

#: What has a place in the source.
_Node = ast.expr | ast.stmt


@dataclass(frozen=True)
class Mutant:
    """One change: bytes ``begin`` to ``end`` of a file become ``text``.

    ``line`` is the number of the line that changes first; ``before`` and ``after`` are that line without the
    blanks around it.
    """

    path: str
    line: int
    begin: int
    end: int
    text: str
    before: str
    after: str

    @property
    def key(self) -> str:
        """What names the mutant in the list of equivalent ones; it survives that lines move."""
        return f"{self.path}: {self.before} → {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The source with the change."""
        return source[: self.begin] + self.text.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a module that is still a module, in the order of its lines."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    finder = _Finder(source, starts)
    finder.visit(ast.parse(source))
    mutants: dict[tuple[int, int, str], Mutant] = {}
    for begin, end, text in finder.changes:
        if source[begin:end].decode() == text:
            continue
        number = sum(1 for start in starts if start <= begin)
        first, last = starts[number - 1], source.find(b"\n", begin)
        tail = source[end : source.find(b"\n", end)] if b"\n" in source[begin:end] else source[end:last]
        mutant = Mutant(
            path,
            number,
            begin,
            end,
            text,
            " ".join(source[first:last].decode().split()),
            " ".join((source[first:begin] + text.encode() + tail).decode().split()),
        )
        try:
            ast.parse(mutant.applied(source))
        except SyntaxError:
            continue
        mutants[begin, end, text] = mutant
    return [mutants[key] for key in sorted(mutants)]


class _Finder(ast.NodeVisitor):
    """Collects changes as (begin, end, text), in bytes of the source."""

    def __init__(self, source: bytes, starts: list[int]) -> None:
        self.source, self.starts = source, starts
        self.changes: list[tuple[int, int, str]] = []

    def begin(self, node: _Node) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: _Node) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: _Node) -> str:
        return self.source[self.begin(node) : self.end(node)].decode()

    def replace(self, node: _Node, text: str) -> None:
        self.changes.append((self.begin(node), self.end(node), text))

    def replace_operator(self, left: _Node, right: _Node, old: str, new: str) -> None:
        """Replace an operator somewhere between two nodes."""
        begin, end = self.end(left), self.begin(right)
        words = rf"\b{old}\b".replace(" ", r"\s+")
        pattern = words if old[0].isalpha() else re.escape(old)
        match = re.search(pattern.encode(), self.source[begin:end])
        if match is not None:
            self.changes.append((begin + match.start(), begin + match.end(), new))

    # what is no behaviour, or cannot be changed

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """A function without its decorators and annotations."""
        for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)):
            self.visit(default)
        self.visit_block(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class without its decorators and bases."""
        self.visit_block(node.body)

    def visit_block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """An assignment without its annotation."""
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Nothing: texts are compared by the tests of reports."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Nothing: an assertion says what is so anyway."""

    def visit_Import(self, node: ast.Import) -> None:
        """Nothing."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Nothing."""

    def visit_If(self, node: ast.If) -> None:
        """A condition and what depends on it, but not what is for type checkers."""
        if "TYPE_CHECKING" not in self.text(node.test):
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """An argument by name, unless it changes no result."""
        if node.arg not in _QUIET:
            self.visit(node.value)

    # changes

    def visit_Compare(self, node: ast.Compare) -> None:
        """Another comparison."""
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            old, others = _COMPARISONS[type(operator)]
            for other in others:
                self.replace_operator(left, right, old, other)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operator."""
        if type(node.op) in _ARITHMETIC:
            self.replace_operator(node.left, node.right, *_ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Another operator, or no statement."""
        if type(node.op) in _ARITHMETIC:
            old, new = _ARITHMETIC[type(node.op)]
            self.replace_operator(node.target, node.value, f"{old}=", f"{new}=")
        self.replace(node, "pass")
        self.visit(node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """And for or, at each place."""
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.replace_operator(left, right, *_BOOLEAN[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """No operator."""
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            self.replace(node, f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number one higher or lower, the other truth value."""
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.replace(node, f"({node.value!r} + 1)")
            self.replace(node, f"({node.value!r} - 1)")

    def visit_Name(self, node: ast.Name) -> None:
        """The opposite function."""
        if node.id in _OPPOSITES:
            self.replace(node, _OPPOSITES[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """The opposite method."""
        if node.attr in _OPPOSITES:
            end = self.end(node)
            self.changes.append((end - len(node.attr.encode()), end, _OPPOSITES[node.attr]))
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """An index, or either end of a slice, one further."""
        for place in self.indices(node.slice):
            if not isinstance(place, ast.Constant):
                self.replace(place, f"({self.text(place)}) + 1")
        self.generic_visit(node)

    def indices(self, node: ast.expr) -> Iterator[ast.expr]:
        if isinstance(node, ast.Slice):
            yield from (end for end in (node.lower, node.upper) if end is not None)
        elif isinstance(node, ast.Name | ast.BinOp):
            yield node

    def visit_Return(self, node: ast.Return) -> None:
        """Nothing returned."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node, "return None")
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """No statement."""
        if not isinstance(node.value, ast.Constant):
            self.replace(node, "pass")
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """No error."""
        self.replace(node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        """No statement."""
        self.replace(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        """No statement."""
        self.replace(node, "pass")


def read(path: Path, root: Path) -> list[Mutant]:
    """Every mutant of a file, with its path below the root."""
    return mutants_of(path.relative_to(root).as_posix(), path.read_bytes())
