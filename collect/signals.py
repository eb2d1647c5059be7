"""How far a LoRA adapter has moved: its own signs of convergence, for each adapted module.

A module's weight is W + sBA (of DoRA see `collect.dora`). Norms and products of sBA are taken from the r x r
products of its factors (in float64), never from BA itself: <B1 A1, B2 A2> = sum of (B1' B2) * (A1 A2')
element by element.

Where a part of the weight was moved into the adapter at the start, see `collect.adapter`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from collect import dora
from collect.adapter import Adapter, Factors, Floats, double, initial_factors, norm, rounded
from collect.dora import Change
from replay.readers.step_signals import COLUMNS, TOTALS

if TYPE_CHECKING:
    import torch

__all__ = ["Adapter", "EvalSignals", "Factors", "StepMeter", "initial_factors"]


class EvalSignals:
    """Signals at each evaluation: the adapter's size, and what has changed since the evaluation before."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._weight_norms = adapter.weight_norms
        self._before: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        #: Of the evaluation before: how DoRA had changed the weights, by number of the layer.
        self._changes: dict[int, Change] = {}

    def remember(self, changes: dict[int, Change] | None = None) -> None:
        """Take the adapter as it is now for that of the evaluation before: after a resume."""
        self._before = [
            (layer.a.detach().clone(), layer.b.detach().clone()) for layer in self._adapter.layers
        ]
        self._changes = self._measure_changes() if changes is None else changes

    def _measure_changes(self) -> dict[int, Change]:
        """How DoRA has changed the weights, by number of the layer; without those whose weight is unknown."""
        changes = {}
        for number, layer in enumerate(self._adapter.layers):
            if layer.undefined or layer.magnitude is None:
                continue
            if (weight := layer.weight()) is not None:
                a, b = layer.change(*layer.full(layer.a, layer.b))
                changes[number] = dora.weight_change(weight, a, b, double(layer.magnitude))
        return changes

    def measure(self) -> tuple[dict[str, float | None], dict[str, list[float | None]]]:
        """(signals of the whole adapter, signals of each module): ``delta_norm``, ``delta_ratio``,
        ``cosine``, ``relative_change`` and ``stable_rank``; None where undefined.

        ``delta_norm`` is ``|sBA|`` (Frobenius), ``delta_ratio`` its share of ``|W|``. ``cosine`` and
        ``relative_change`` compare with the evaluation before: ``<D, D'> / (|D| |D'|)`` and ``|D - D'| /
        |D'|``. ``stable_rank`` is ``|D|^2`` by the square of its largest singular value; that of the whole is
        the mean of the modules'.

        Of a DoRA module D is the change of the weight, magnitude included. Its ``stable_rank`` is None, since
        that change is no product of small factors. Of a module whose change is undefined all are None; the
        header says why.
        """
        import torch

        squares, grams, inner, change, before = [], [], [], [], []
        with torch.no_grad():
            changes, past = self._measure_changes(), self._changes
            for number, layer in enumerate(self._adapter.layers):
                if layer.undefined or layer.magnitude is not None:
                    unknown = torch.full((), math.nan, dtype=torch.float64)
                    this, last = changes.get(number), past.get(number)
                    squares.append(unknown if this is None else dora.size(this))
                    grams.append((unknown.view(1, 1), unknown.view(1, 1)))
                    if self._before is not None:
                        pair = None if this is None or last is None else (this, last)
                        inner.append(unknown if pair is None else dora.inner(*pair))
                        before.append(unknown if pair is None else dora.size(pair[1]))
                        change.append(unknown if pair is None else dora.moved(*pair))
                    continue
                a, b = now = layer.full(layer.a, layer.b)
                a, b = layer.change(a, b)
                bb, aa = b.T @ b, a @ a.T
                squares.append((bb * aa).sum())
                grams.append((bb, aa))
                if self._before is not None:
                    a0, b0 = last_factors = layer.full(*self._before[number])
                    a0, b0 = layer.change(a0, b0)
                    inner.append(((b.T @ b0) * (a @ a0.T)).sum())
                    before.append(((b0.T @ b0) * (a0 @ a0.T)).sum())
                    (a, b), (a0, b0) = now, last_factors
                    # BA - B'A' = [B - B', B'] [A; A - A']: nothing cancels that is not a difference of the
                    # factors themselves
                    b_both, a_both = torch.cat([b - b0, b0], dim=1), torch.cat([a, a - a0], dim=0)
                    change.append(((b_both.T @ b_both) * (a_both @ a_both.T)).sum())
            top = _largest(grams)
        self.remember(changes)
        size = np.maximum(_host(squares), 0.0)
        modules: dict[str, Floats] = {"delta_norm": np.sqrt(size)}
        totals: dict[str, float] = {"delta_norm": math.sqrt(size.sum())}
        with np.errstate(divide="ignore", invalid="ignore"):
            modules["delta_ratio"] = np.sqrt(size) / self._weight_norms
            totals["delta_ratio"] = float(np.sqrt(size.sum()) / np.sqrt((self._weight_norms**2).sum()))
            if inner:
                product, old, gap = (
                    _host(inner),
                    np.maximum(_host(before), 0.0),
                    np.maximum(_host(change), 0.0),
                )
                modules["cosine"] = product / (
                    np.sqrt(size) * np.sqrt(old)
                )  # the product under one root may overflow
                modules["relative_change"] = np.sqrt(gap / old)
                totals["cosine"] = float(product.sum() / (np.sqrt(size.sum()) * np.sqrt(old.sum())))
                totals["relative_change"] = float(np.sqrt(gap.sum() / old.sum()))
            modules["stable_rank"] = size / top
            known = modules["stable_rank"][np.isfinite(modules["stable_rank"])]
            totals["stable_rank"] = float(known.mean()) if len(known) else math.nan
        names = ("delta_norm", "delta_ratio", "cosine", "relative_change", "stable_rank")
        whole: dict[str, float | None] = {name: _defined(totals.get(name, math.nan)) for name in names}
        return whole, {name: [rounded(value) for value in modules[name]] for name in names if name in modules}


class StepMeter:
    """Signals of each optimizer step, for each module: call `before` when the gradients are ready, `after`
    when the step is done.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._weights = [weight for layer in adapter.layers for weight in (layer.a, layer.b)]
        mine = {id(weight) for weight in self._weights}
        self._others = [
            weight for weight in adapter.model.parameters() if weight.requires_grad and id(weight) not in mine
        ]
        self._rows: list[_Row] | None = None
        self._known = False
        self._norm: torch.Tensor | None = None

    @property
    def gradients(self) -> dict[str, torch.Tensor]:
        """The last step's gradients by number of the weight, to be kept in a checkpoint; empty before the
        first step.
        """
        if not self._known:
            return {}
        return {
            str(number): part.clone()
            for row in self._lined_up()
            for number, part in zip(row.numbers, row.parts(), strict=True)
        }

    def restore(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Take these for the gradients of the step before, if they fit the adapter."""
        past_gradients = [gradients.get(str(number)) for number in range(len(self._weights))]
        if all(
            one is not None and one.shape == weight.shape
            for one, weight in zip(past_gradients, self._weights, strict=True)
        ):
            for row in self._lined_up():
                row.restore([past_gradients[number] for number in row.numbers])
            self._known = True

    def before(self) -> None:
        """Measure the gradients, as the optimizer is about to use them."""
        import torch

        with torch.no_grad():
            norms = [row.before(self._known) for row in self._lined_up()]
            if others := [weight.grad for weight in self._others if weight.grad is not None]:
                norms += [norm(gradient.float()) for gradient in others]
            any_gradient = bool(others) or any(weight.grad is not None for weight in self._weights)
            together = torch.stack([norm.to(norms[0].device) for norm in norms])
            self._norm = torch.linalg.vector_norm(together) if any_gradient else None
            self._known = True

    def after(self, learning_rate: float | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(totals, values) of the step, as `replay.readers.step_signals` wants them."""
        import torch

        sums = np.empty((len(COLUMNS), len(self._weights)), dtype=np.float32)
        with torch.no_grad():
            for row in self._lined_up():
                sums[:, row.numbers] = row.after()
            norm = math.nan if self._norm is None else float(self._norm)
        totals = dict(zip(TOTALS, (math.nan if learning_rate is None else learning_rate, norm), strict=True))
        return np.array(list(totals.values()), dtype=np.float32), sums.reshape(len(COLUMNS), -1, 2).sum(
            axis=2
        )

    def _lined_up(self) -> list[_Row]:
        if (
            self._rows is None
        ):  # not before they are needed: a model may be moved to its device after it is watched
            devices: dict[Any, list[int]] = {}
            for number, weight in enumerate(self._weights):
                devices.setdefault(weight.device, []).append(number)
            self._rows = [
                _Row(numbers, [self._weights[number] for number in numbers]) for numbers in devices.values()
            ]
        return self._rows


class _Row:
    """Weights of one device and their gradients, laid end to end in float32: one operation for all, however
    many they are.
    """

    def __init__(self, numbers: list[int], weights: list[torch.nn.Parameter]) -> None:
        import torch

        self.numbers = numbers
        self._weights = weights
        self._sizes = [weight.numel() for weight in weights]
        self._starts = np.cumsum([0, *self._sizes[:-1]])
        device = weights[0].device
        self._gradients, self._spare, self._old = (
            torch.zeros(sum(self._sizes), device=device) for _ in range(3)
        )
        self._sums: list[torch.Tensor] = []

    def parts(self) -> list[torch.Tensor]:
        """The last gradients, in the shapes of their weights."""
        pairs = zip(self._gradients.split_with_sizes(self._sizes), self._weights, strict=True)
        return [part.view(weight.shape) for part, weight in pairs]

    def restore(self, gradients: list[Any]) -> None:
        for part, gradient in zip(self.parts(), gradients, strict=True):
            part.copy_(gradient)

    def before(self, known: bool) -> torch.Tensor:
        """Measure the gradients, and their change if those of the step before are known; returns their L2
        norm.
        """
        import torch

        past, now = self._gradients, self._spare
        # a weight that no gradient has reached, as in an expert that no token went to, has one of zeros
        self._lay(
            [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._weights],
            now,
        )
        change = self._l1(past.sub_(now)) if known else None
        size = self._l1(torch.abs(now, out=past))
        self._sums = [size, torch.full_like(size, math.nan) if change is None else change]
        self._gradients, self._spare = now, past
        self._lay(self._weights, self._old)
        length: torch.Tensor = norm(now)
        return length

    def after(self) -> npt.NDArray[np.float32]:
        """Columns x weights: L1 norms of the gradients, of their change, and of what the step has changed in
        the weights.
        """
        import torch

        self._lay(self._weights, self._spare)
        table: npt.NDArray[np.float32] = (
            torch.stack([*self._sums, self._l1(self._spare.sub_(self._old))]).cpu().numpy()
        )
        return table

    def _lay(self, tensors: Sequence[torch.Tensor], out: torch.Tensor) -> None:
        import torch

        torch.cat([tensor.detach().reshape(-1) for tensor in tensors], out=out)

    def _l1(self, row: torch.Tensor) -> torch.Tensor:
        """The L1 norm of each weight's stretch of a row, which is lost."""
        import torch

        if row.device.type == "cpu":  # here torch goes through tensors one by one; numpy's sums are pairwise
            return torch.from_numpy(np.add.reduceat(row.abs_().numpy(), self._starts))
        return torch.stack(torch._foreach_norm(list(row.split_with_sizes(self._sizes)), 1))


def _largest(grams: list[tuple[torch.Tensor, torch.Tensor]]) -> Floats:
    """Square of the largest singular value of each BA: the largest eigenvalue of (B'B)(AA'), modules of one
    rank at once.
    """
    import torch

    largest = np.full(len(grams), math.nan)
    ranks: dict[Any, list[int]] = {}
    for number, (bb, _) in enumerate(grams):
        ranks.setdefault((bb.shape[0], bb.device), []).append(number)
    for numbers in ranks.values():
        bb = torch.stack([grams[number][0] for number in numbers])
        aa = torch.stack([grams[number][1] for number in numbers])
        finite = torch.isfinite(bb).all(dim=(1, 2)) & torch.isfinite(aa).all(
            dim=(1, 2)
        )  # a diverged adapter has no eigenvalues
        values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], bb, 0.0))
        root = vectors * values.clamp(min=0).sqrt()[:, None, :]
        inner = root.transpose(1, 2) @ torch.where(finite[:, None, None], aa, 0.0) @ root
        top = torch.linalg.eigvalsh((inner + inner.transpose(1, 2)) / 2)[:, -1]
        largest[numbers] = torch.where(finite, top, math.nan).cpu().numpy()
    return largest


def _host(values: list[torch.Tensor]) -> Floats:
    import torch

    by_device: dict[Any, list[int]] = {}
    for number, value in enumerate(values):
        by_device.setdefault(value.device, []).append(number)
    out = np.empty(len(values))
    for numbers in by_device.values():
        out[numbers] = torch.stack([values[number] for number in numbers]).cpu().numpy()
    return out


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
