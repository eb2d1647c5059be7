"""The LoRA layers of a model that are trained, and the factors of what has changed in their weights.

An initialisation such as PiSSA moves a part of the weight into the adapter: the frozen weight becomes
W - sB0A0. What has changed is s(BA - B0A0) then, which is a product too, of twice the rank: that of
[B - B0, B0] and [A; A - A0], in which nothing cancels but differences of the factors themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Adapter", "Factors", "Floats", "double", "initial_factors", "norm", "rounded"]

Floats = npt.NDArray[np.float64]
#: How many squares are added up in float32 before float64 goes on.
_STRETCH = 4096
#: Initialisations of peft that take the product of the first factors out of the frozen weight.
_SHIFTING = ("pissa", "olora", "corda", "lora_ga")

Factors = tuple["torch.Tensor", "torch.Tensor"]


class Layer(NamedTuple):
    name: str
    module: Any  # peft's LoRA layer
    a: torch.nn.Parameter  # r x in
    b: torch.nn.Parameter  # out x r
    scale: float
    magnitude: torch.nn.Parameter | None  # DoRA's: one for each row of the weight
    #: The factors that the frozen weight was shifted by, in full; None where it is the original one.
    initial: Factors | None = None
    #: Why the change of the weight cannot be told from the factors; None where it can.
    undefined: str | None = None
    #: The blocks of A and of B, where they are block-diagonal matrices and only the blocks are stored.
    blocks: tuple[int, int] = (1, 1)

    def full(self, a: torch.Tensor, b: torch.Tensor) -> Factors:
        """The factors in float64, A with the scale."""
        a, b = (_unblocked(part, count) for part, count in zip((a, b), self.blocks, strict=True))
        return double(a) * self.scale, double(b)

    def change(self, a: torch.Tensor, b: torch.Tensor) -> Factors:
        """The factors of what has changed in the original weight, from those that `full` gives."""
        if self.initial is None:
            return a, b
        import torch

        a0, b0 = self.full(*(part.to(a.device) for part in self.initial))
        return torch.cat([a, a - a0], dim=0), torch.cat([b - b0, b0], dim=1)

    def weight(self) -> torch.Tensor | None:
        """The original weight beneath, out x in and not quantized; None where it cannot be had."""
        if (parameter := getattr(self.module, "get_param", None)) is not None:  # of no module of its own
            whole: torch.Tensor = parameter().detach()
            return whole if whole.dim() == 2 and whole.numel() else None
        base = self.module.get_base_layer() if hasattr(self.module, "get_base_layer") else self.module
        weight: Any = getattr(base, "weight", None)
        if weight is not None and not weight.is_floating_point():  # quantized
            try:
                from peft.utils.integrations import dequantize_module_weight

                weight = dequantize_module_weight(base)
            except Exception:  # whatever the quantization library of this layer raises
                return None
        if weight is None or weight.numel() == 0:
            return None
        whole = weight.detach()
        whole = whole.T if getattr(self.module, "fan_in_fan_out", False) else whole
        if self.initial is None:
            return whole
        a0, b0 = self.full(*(part.to(whole.device) for part in self.initial))
        return whole + (b0 @ a0).to(whole.device)


def initial_factors(model: Any) -> dict[str, Factors]:
    """By module, the factors that an initialisation has just shifted the frozen weights by: to be asked
    before the first step, and before a checkpoint is loaded. Empty where the frozen weights are the original
    ones.
    """
    layers = _find(model)
    return {
        layer.name: (layer.a.detach().clone(), layer.b.detach().clone())
        for layer, adapter in layers
        if _is_shifted(model, adapter)
    }


def _is_shifted(model: Any, adapter: str) -> bool:
    how = getattr((getattr(model, "peft_config", None) or {}).get(adapter), "init_lora_weights", True)
    return isinstance(how, str) and how.lower().startswith(_SHIFTING)


def _find(model: Any) -> list[tuple[Layer, str]]:
    """The trained LoRA layers of a model whose weights are all here, each with the name of its adapter."""
    layers = []
    for path, module in model.named_modules():
        down, up = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
        if down is None or up is None or not hasattr(module, "scaling"):
            continue
        for name in down:
            a, b = getattr(down[name], "weight", None), getattr(up[name], "weight", None)
            # sharded parameters (FSDP, DeepSpeed) are pieces, or empty: no norm can be told from them
            if (
                a is not None
                and b is not None
                and a.requires_grad
                and a.dim() == b.dim() == 2
                and type(a.data).__name__ == "Tensor"
            ):
                blocks = (getattr(down[name], "nblocks", 1), getattr(up[name], "nblocks", 1))
                if a.shape[0] == b.shape[1] * blocks[1] and a.numel() and b.numel():
                    vectors = getattr(module, "lora_magnitude_vector", {})
                    magnitude = vectors[name].weight if name in vectors else None
                    scale = float(module.scaling[name])
                    layer = Layer(_plain_name(path), module, a, b, scale, magnitude, blocks=blocks)
                    layers.append((layer._replace(undefined=_why_undefined(model, module, name)), name))
                break  # of several adapters the first is trained
    return layers


def _why_undefined(model: Any, module: Any, adapter: str) -> str | None:
    """Why the change of a module's weight is not told by its factors; None where it is."""
    if adapter in getattr(module, "lora_diag", {}):
        return "KaSA removes a part of the frozen weight, and its update is not the product of A and B"
    if (
        getattr(module, "use_qalora", {}).get(adapter)
        or "QALora" in type(getattr(module, "lora_variant", {}).get(adapter)).__name__
    ):
        return "QA-LoRA adapts averages of the inputs, not the weight"
    if getattr(module, "num_experts", 1) > 1:
        return "the factors of several experts are stored as one"
    config = (getattr(model, "peft_config", None) or {}).get(adapter)
    if getattr(config, "init_lora_weights", None) == "loftq":
        return "LoftQ replaces the frozen weight by a quantized one"
    return None


class Adapter:
    """The LoRA layers of a peft model that are trained, on their own device; sharded and convolutional ones
    are passed over.
    """

    def __init__(self, layers: list[Layer], model: Any) -> None:
        self.layers = layers
        self.model = model

    @classmethod
    def of(cls, model: Any, initial: Mapping[str, Factors] | None = None) -> Adapter | None:
        """The adapter of a model, or None where there is none whose weights are all here.

        ``initial`` is what `initial_factors` gave before the first step.
        """
        layers = []
        for layer, adapter in _find(model):
            if _is_shifted(model, adapter):
                factors = (initial or {}).get(layer.name)
                reason = None if factors else "what was moved into the adapter at the start is not known"
                layer = layer._replace(initial=factors, undefined=layer.undefined or reason)
            layers.append(layer)
        return cls(layers, model) if layers else None

    def header(self) -> dict[str, Any]:
        """The header's ``lora`` entry: names, ranks, scales, sizes, and the norm of the original weight
        beneath each (null if unknown).
        """
        decomposed = [layer.magnitude is not None for layer in self.layers]
        shifted = [layer.initial is not None for layer in self.layers]
        undefined = [layer.undefined for layer in self.layers]
        return {
            "modules": [layer.name for layer in self.layers],
            "rank": [layer.a.shape[0] for layer in self.layers],
            "scale": [layer.scale for layer in self.layers],
            "parameters": self.parameters,
            "weight_norm": [rounded(norm) for norm in self.weight_norms],
            **({"dora": decomposed} if any(decomposed) else {}),
            **({"shifted": shifted} if any(shifted) else {}),
            **({"undefined": undefined} if any(undefined) else {}),
        }

    @property
    def names(self) -> list[str]:
        """Names of the modules."""
        return [layer.name for layer in self.layers]

    @property
    def parameters(self) -> list[int]:
        """Numbers of trained weights, A and B together."""
        return [
            sum(part.numel() for part in (layer.a, layer.b) if part.requires_grad) for layer in self.layers
        ]

    @cached_property
    def weight_norms(self) -> Floats:
        """Frobenius norm of the original weight beneath each module; NaN where it cannot be had."""
        weights = [None if layer.undefined else layer.weight() for layer in self.layers]
        return np.array([math.nan if one is None else float(norm(one.float())) for one in weights])


def _plain_name(path: str) -> str:
    for prefix in ("module.", "_orig_mod.", "base_model.model."):
        path = path.removeprefix(prefix)
    return path


def _unblocked(weight: torch.Tensor, blocks: int) -> torch.Tensor:
    """A block-diagonal matrix in full."""
    import torch

    diagonal: Any = torch.block_diag
    return weight if blocks == 1 else diagonal(*weight.chunk(blocks, dim=0))


def double(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float64."""
    tensor = tensor.detach()
    return (
        tensor.cpu().double() if tensor.device.type == "mps" else tensor.double()
    )  # Apple's GPUs have no float64


def norm(tensor: torch.Tensor) -> Any:
    """The L2 norm in float32 and, on a CPU, from the norms of short stretches.

    There torch adds up one square after the other in float32 (2.13), which loses 0.4 % of the norm at 50
    million elements.
    """
    import torch

    row = tensor.reshape(-1)
    if row.device.type != "cpu":
        return torch.linalg.vector_norm(row)
    cut = len(row) - len(row) % _STRETCH
    parts = torch.linalg.vector_norm(row[:cut].view(-1, _STRETCH), dim=1)
    rest = torch.linalg.vector_norm(row[cut:])
    return torch.linalg.vector_norm(torch.cat([parts, rest[None]]).double()).float()


def rounded(value: float) -> float | None:
    """A number with 7 digits, as the log holds those of modules; None where it is not finite."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
