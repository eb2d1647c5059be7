"""How far a LoRA adapter has moved: its own signs of convergence, for each adapted module.

A module's weight is W + sBA. Norms and products of sBA are taken from the r x r products of its factors (in float64), never
from BA itself: <B1 A1, B2 A2> = sum of (B1' B2) * (A1 A2') element by element.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from replay.importers.step_signals import COLUMNS, TOTALS

if TYPE_CHECKING:
    import torch

__all__ = ["Adapter", "EvalSignals", "StepMeter"]

Floats = npt.NDArray[np.float64]


class _Layer(NamedTuple):
    name: str
    module: Any  # peft's LoRA layer
    a: torch.nn.Parameter  # r x in
    b: torch.nn.Parameter  # out x r
    scale: float


class Adapter:
    """The LoRA layers of a peft model that are trained, on their own device; sharded and convolutional ones are passed over."""

    def __init__(self, layers: list[_Layer], model: Any) -> None:
        self.layers = layers
        self.model = model

    @classmethod
    def of(cls, model: Any) -> Adapter | None:
        """The adapter of a model, or None where there is none whose weights are all here."""
        layers = []
        for path, module in model.named_modules():
            down, up = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
            if down is None or up is None or not hasattr(module, "scaling"):
                continue
            for name in down:
                a, b = getattr(down[name], "weight", None), getattr(up[name], "weight", None)
                # sharded parameters (FSDP, DeepSpeed) are pieces, or empty: no norm can be told from them
                if a is not None and b is not None and a.requires_grad and a.dim() == b.dim() == 2 and type(a.data).__name__ == "Tensor":
                    if a.shape[0] == b.shape[1] and a.numel() and b.numel():
                        layers.append(_Layer(_plain_name(path), module, a, b, float(module.scaling[name])))
                    break  # of several adapters the first is trained
        return cls(layers, model) if layers else None

    def header(self) -> dict[str, Any]:
        """The header's ``lora`` entry: names, ranks, scales, sizes, and the norm of the weight beneath each (null if unknown)."""
        return {
            "modules": [layer.name for layer in self.layers],
            "rank": [layer.a.shape[0] for layer in self.layers],
            "scale": [layer.scale for layer in self.layers],
            "parameters": self.parameters,
            "weight_norm": [_rounded(norm) for norm in self.weight_norms()],
        }

    @property
    def names(self) -> list[str]:
        """Names of the modules."""
        return [layer.name for layer in self.layers]

    @property
    def parameters(self) -> list[int]:
        """Numbers of trained weights, A and B together."""
        return [layer.a.numel() + layer.b.numel() for layer in self.layers]

    def weight_norms(self) -> Floats:
        """Frobenius norm of the frozen weight beneath each module; NaN where it cannot be had."""
        import torch

        norms = []
        for layer in self.layers:
            base = layer.module.get_base_layer() if hasattr(layer.module, "get_base_layer") else layer.module
            weight = getattr(base, "weight", None)
            if weight is not None and not weight.is_floating_point():  # quantized
                try:
                    from peft.utils.integrations import dequantize_module_weight

                    weight = dequantize_module_weight(base)
                except Exception:  # whatever the quantization library of this layer raises
                    weight = None
            if weight is None or weight.numel() == 0:
                norms.append(math.nan)
            else:
                norms.append(float(torch.linalg.vector_norm(weight.detach().float()).item()))
        return np.array(norms)


class EvalSignals:
    """Signals at each evaluation: the adapter's size, and what has changed since the evaluation before."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._weight_norms = adapter.weight_norms()
        self._before: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    def remember(self) -> None:
        """Take the adapter as it is now for that of the evaluation before: after a resume."""
        self._before = [(layer.a.detach().clone(), layer.b.detach().clone()) for layer in self._adapter.layers]

    def measure(self) -> tuple[dict[str, float | None], dict[str, list[float | None]]]:
        """(signals of the whole adapter, signals of each module): ``delta_norm``, ``delta_ratio``, ``cosine``,
        ``relative_change`` and ``stable_rank``; None where undefined.

        ``delta_norm`` is ``|sBA|`` (Frobenius), ``delta_ratio`` its share of ``|W|``. ``cosine`` and ``relative_change`` compare with the
        evaluation before: ``<D, D'> / (|D| |D'|)`` and ``|D - D'| / |D'|``. ``stable_rank`` is ``|D|^2`` by the square of its
        largest singular value; that of the whole is the mean of the modules'.
        """
        import torch

        squares, grams, inner, change, before = [], [], [], [], []
        with torch.no_grad():
            for number, layer in enumerate(self._adapter.layers):
                a, b = _double(layer.a) * layer.scale, _double(layer.b)
                bb, aa = b.T @ b, a @ a.T
                squares.append((bb * aa).sum())
                grams.append((bb, aa))
                if self._before is not None:
                    a0, b0 = _double(self._before[number][0]) * layer.scale, _double(self._before[number][1])
                    inner.append(((b.T @ b0) * (a @ a0.T)).sum())
                    before.append(((b0.T @ b0) * (a0 @ a0.T)).sum())
                    # BA - B'A' = [B - B', B'] [A; A - A']: nothing cancels that is not a difference of the factors themselves
                    left, right = torch.cat([b - b0, b0], dim=1), torch.cat([a, a - a0], dim=0)
                    change.append(((left.T @ left) * (right @ right.T)).sum())
            top = _largest(grams)
        self.remember()
        size = np.maximum(_host(squares), 0.0)
        modules: dict[str, Floats] = {"delta_norm": np.sqrt(size)}
        totals: dict[str, float] = {"delta_norm": math.sqrt(size.sum())}
        with np.errstate(divide="ignore", invalid="ignore"):
            modules["delta_ratio"] = np.sqrt(size) / self._weight_norms
            totals["delta_ratio"] = float(np.sqrt(size.sum()) / np.sqrt((self._weight_norms**2).sum()))
            if inner:
                product, old, gap = _host(inner), np.maximum(_host(before), 0.0), np.maximum(_host(change), 0.0)
                modules["cosine"] = product / np.sqrt(size * old)
                modules["relative_change"] = np.sqrt(gap / old)
                totals["cosine"] = float(product.sum() / np.sqrt(size.sum() * old.sum()))
                totals["relative_change"] = float(np.sqrt(gap.sum() / old.sum()))
            modules["stable_rank"] = size / top
            known = modules["stable_rank"][np.isfinite(modules["stable_rank"])]
            totals["stable_rank"] = float(known.mean()) if len(known) else math.nan
        names = ("delta_norm", "delta_ratio", "cosine", "relative_change", "stable_rank")
        whole: dict[str, float | None] = {name: _defined(totals.get(name, math.nan)) for name in names}
        return whole, {name: [_rounded(value) for value in modules[name]] for name in names if name in modules}


class StepMeter:
    """Signals of each optimizer step, for each module: call `before` when the gradients are ready, `after` when the step is done."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._weights = [weight for layer in adapter.layers for weight in (layer.a, layer.b)]
        self._trained = [weight for weight in adapter.model.parameters() if weight.requires_grad]
        self._gradients: list[torch.Tensor] | None = None
        self._old: list[torch.Tensor] = []
        self._sums: list[Any] = []
        self._norm: Any = None

    @property
    def gradients(self) -> dict[str, torch.Tensor]:
        """The last step's gradients by number of the weight, to be kept in a checkpoint; empty before the first step."""
        return {} if self._gradients is None else {str(number): gradient for number, gradient in enumerate(self._gradients)}

    def restore(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Take these for the gradients of the step before, if they fit the adapter."""
        found = [gradients.get(str(number)) for number in range(len(self._weights))]
        if all(one is not None and one.shape == weight.shape for one, weight in zip(found, self._weights, strict=True)):
            self._gradients = [one.to(weight.device) for one, weight in zip(found, self._weights, strict=True) if one is not None]

    def before(self) -> None:
        """Measure the gradients, as the optimizer is about to use them."""
        import torch

        with torch.no_grad():
            missing = [weight.grad is None for weight in self._weights]
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad.detach() for weight in self._weights]
            change = None if self._gradients is None else torch._foreach_sub(gradients, self._gradients)
            self._sums = [_l1(gradients), None if change is None else _l1(change)]
            every = [weight.grad.detach() for weight in self._trained if weight.grad is not None]
            self._norm = torch.linalg.vector_norm(torch.stack(_norms(every, 2))) if every else None
            self._gradients = [gradient.clone() for gradient in gradients]
            self._old = [weight.detach().clone() for weight in self._weights]
            if any(missing):
                self._gradients = None

    def after(self, learning_rate: float | None) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(totals, values) of the step, as `replay.importers.step_signals` wants them."""
        import torch

        with torch.no_grad():
            moved = _l1(torch._foreach_sub([weight.detach() for weight in self._weights], self._old))
            sums = [*self._sums, moved]
            unknown = torch.full_like(moved, math.nan)
            table = torch.stack([unknown if one is None else one for one in sums]).float()
            norm = math.nan if self._norm is None else float(self._norm)
        values = table.cpu().numpy().reshape(len(COLUMNS), -1, 2).sum(axis=2)
        totals = dict(zip(TOTALS, (math.nan if learning_rate is None else learning_rate, norm), strict=True))
        return np.array(list(totals.values()), dtype=np.float32), values


def _plain_name(path: str) -> str:
    for prefix in ("module.", "_orig_mod.", "base_model.model."):
        path = path.removeprefix(prefix)
    return path


def _double(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()  # Apple's GPUs have no float64


def _largest(grams: list[tuple[torch.Tensor, torch.Tensor]]) -> Floats:
    """Square of the largest singular value of each BA: the largest eigenvalue of (B'B)(AA'), modules of one rank at once."""
    import torch

    found = np.full(len(grams), math.nan)
    ranks: dict[Any, list[int]] = {}
    for number, (bb, _) in enumerate(grams):
        ranks.setdefault((bb.shape[0], bb.device), []).append(number)
    for numbers in ranks.values():
        bb = torch.stack([grams[number][0] for number in numbers])
        aa = torch.stack([grams[number][1] for number in numbers])
        finite = torch.isfinite(bb).all(dim=(1, 2)) & torch.isfinite(aa).all(dim=(1, 2))  # a diverged adapter has no eigenvalues
        values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], bb, 0.0))
        root = vectors * values.clamp(min=0).sqrt()[:, None, :]
        inner = root.transpose(1, 2) @ torch.where(finite[:, None, None], aa, 0.0) @ root
        top = torch.linalg.eigvalsh((inner + inner.transpose(1, 2)) / 2)[:, -1]
        found[numbers] = torch.where(finite, top, math.nan).cpu().numpy()
    return found


def _host(values: list[torch.Tensor]) -> Floats:
    import torch

    by_device: dict[Any, list[int]] = {}
    for number, value in enumerate(values):
        by_device.setdefault(value.device, []).append(number)
    out = np.empty(len(values))
    for numbers in by_device.values():
        out[numbers] = torch.stack([values[number] for number in numbers]).cpu().numpy()
    return out


def _norms(tensors: list[torch.Tensor], order: int) -> list[torch.Tensor]:
    import torch

    device = tensors[0].device
    return [norm.float().to(device) for norm in torch._foreach_norm([tensor.float() for tensor in tensors], order)]


def _l1(tensors: Any) -> torch.Tensor:
    import torch

    return torch.stack(_norms(list(tensors), 1))


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _rounded(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None
