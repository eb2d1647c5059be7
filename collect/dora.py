"""How far DoRA has moved a weight, which is not only |sBA|: every row of W + sBA is scaled too.

The weight becomes diag(c) (W + sBA), where c is the learned magnitude of a row by its norm in W + sBA (DoRA,
arXiv 2402.09353; peft 0.21). The change D = diag(c - 1) W + diag(c) sBA is taken from sums over its rows, in
float64; neither BA nor D is formed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["Change", "inner", "moved", "size", "weight_change"]

#: How many weights are turned into float64 at once.
_AT_ONCE = 2**22


class Change(NamedTuple):
    """The change of one weight: the factors of its update (``a`` with the scale s), and for each row c, the
    square of W, the product of W and the update, and the square of the update.
    """

    a: torch.Tensor
    b: torch.Tensor
    factor: torch.Tensor
    weight: torch.Tensor
    along: torch.Tensor
    update: torch.Tensor


def weight_change(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, magnitude: torch.Tensor) -> Change:
    """The change of a weight (out x in) by the factors ``a`` (with the scale) and ``b``, both in float64."""
    import torch

    squares, products = torch.empty_like(b[:, 0]), torch.empty_like(b)
    rows = max(1, _AT_ONCE // weight.shape[1])
    for start in range(0, len(weight), rows):
        part = weight[start : start + rows].to(a)
        squares[start : start + rows] = (part * part).sum(1)
        products[start : start + rows] = part @ a.T
    along, update = (b * products).sum(1), _rows(b, a, b, a)
    norms = (squares + 2 * along + update).clamp(min=0).sqrt()
    return Change(a, b, magnitude.to(a) / norms, squares, along, update)


def size(change: Change) -> torch.Tensor:
    """The square of the change's Frobenius norm."""
    c = change.factor
    rows = (c - 1) ** 2 * change.weight + 2 * c * (c - 1) * change.along + c**2 * change.update
    return rows.sum()


def inner(now: Change, before: Change) -> torch.Tensor:
    """The product of two changes of one weight."""
    c, c0 = now.factor, before.factor
    both = _rows(now.b, now.a, before.b, before.a)
    rows = (c - 1) * (c0 - 1) * now.weight + (c - 1) * c0 * before.along + c * (c0 - 1) * now.along
    return (rows + c * c0 * both).sum()


def moved(now: Change, before: Change) -> torch.Tensor:
    """The square of what lies between two changes of one weight.

    D - D' = diag(c - c') (W + s'B'A') + diag(c) (sBA - s'B'A'): nothing cancels that is not a difference
    already.
    """
    import torch

    step = now.factor - before.factor
    b = torch.cat([now.b - before.b, before.b], dim=1)
    a = torch.cat([now.a, now.a - before.a], dim=0)
    whole = before.weight + 2 * before.along + before.update
    along = now.along - before.along + _rows(before.b, before.a, b, a)
    rows = step**2 * whole + 2 * now.factor * step * along + now.factor**2 * _rows(b, a, b, a)
    return rows.sum()


def _rows(b: torch.Tensor, a: torch.Tensor, b0: torch.Tensor, a0: torch.Tensor) -> torch.Tensor:
    """The product of BA and B'A', row by row."""
    return ((b @ (a @ a0.T)) * b0).sum(1)
