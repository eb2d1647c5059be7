"""Which runs the text of an expectation fits."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["runs_that_fit"]


def runs_that_fit(text: str, ids: Collection[str]) -> list[str]:
    """The run of this id, else those with this part between slashes, else those with it anywhere.

    Examples
    --------
    >>> runs_that_fit("foo", ["a/foo", "a/foo-bar"])
    ['a/foo']
    """
    return (
        [run for run in ids if run == text]
        or [run for run in ids if f"/{text}/" in f"/{run}/"]
        or [run for run in ids if text in run]
    )
