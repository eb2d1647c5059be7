"""What an import into a store did, in words."""

from __future__ import annotations

from pathlib import Path

__all__ = ["say_added", "say_waiting"]


def say_added(runs: int, duplicates: int, renamed: int, store: Path) -> list[str]:
    """The lines on an import: runs added, runs that the store had, and runs with a new id."""
    lines = [f"Added {_runs(runs)} to {store}."]
    if duplicates:
        were = "was" if duplicates == 1 else "were"
        lines.append(f"{_runs(duplicates)} {were} there already, with the same content.")
    if renamed:
        lines.append(f"{_runs(renamed)} got a number behind the id, which another run of the store has.")
    return lines


def say_waiting(who: str) -> str:
    """That another process writes to the store."""
    return f"waiting for {who}, which is writing to the store"


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"
