"""The mutation run: which mutants there are, and that a mutant is applied where it says."""

import ast

from mutation.mutants import mutants_of

SOURCE = b'''"""A module."""

from __future__ import annotations

LIMIT: float = 0.5  # \xc3\xa9


def first(values: list[float], most: int = 3) -> int | None:
    """The first value above the limit."""
    assert values is not None
    for index, value in enumerate(values[1:most], start=1):
        if value > LIMIT and not index == most:
            return index + 1
        total += value
        print(f"{value > 3}", flush=True)
    raise ValueError(
        "none"
    )
'''


def test_the_mutants_of_a_module():
    shown = [f"{mutant.line}: {mutant.before} → {mutant.after}" for mutant in mutants_of("m.py", SOURCE)]
    assert shown == [
        "5: LIMIT: float = 0.5 # é → LIMIT: float = (0.5 + 1) # é",
        "5: LIMIT: float = 0.5 # é → LIMIT: float = (0.5 - 1) # é",
        *(
            f"8: def first(values: list[float], most: int = 3) -> int | None:"
            f" → def first(values: list[float], most: int = ({new})) -> int | None:"
            for new in ("3 + 1", "3 - 1")
        ),
        *(
            "11: for index, value in enumerate(values[1:most], start=1):"
            f" → for index, value in enumerate({new}):"
            for new in (
                "values[(1 + 1):most], start=1",
                "values[(1 - 1):most], start=1",
                "values[1:(most) + 1], start=1",
                "values[1:most], start=(1 + 1)",
                "values[1:most], start=(1 - 1)",
            )
        ),
        *(
            f"12: if value > LIMIT and not index == most: → if {new}:"
            for new in (
                "value < LIMIT and not index == most",
                "value >= LIMIT and not index == most",
                "value > LIMIT or not index == most",
                "value > LIMIT and (index == most)",
                "value > LIMIT and not index != most",
            )
        ),
        "13: return index + 1 → return None",
        "13: return index + 1 → return index - 1",
        "13: return index + 1 → return index + (1 + 1)",
        "13: return index + 1 → return index + (1 - 1)",
        "14: total += value → pass",
        "14: total += value → total -= value",
        '15: print(f"{value > 3}", flush=True) → pass',
        '15: print(f"{value > 3}", flush=True) → print(f"{value > 3}", flush=False)',
        "16: raise ValueError( → pass",
    ]


def test_each_mutant_is_another_module():
    mutants = mutants_of("m.py", SOURCE)
    trees = {ast.dump(ast.parse(mutant.applied(SOURCE))) for mutant in mutants}
    assert len(trees) == len(mutants)
    assert ast.dump(ast.parse(SOURCE)) not in trees
