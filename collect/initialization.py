"""An adapter on a model, initialized as its config says: from the weights, or from training examples too."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from collect.config import Config
from replay.errors import InputError

__all__ = ["EXAMPLES", "keeps_base", "make_adapter", "needs_data"]

#: Over how many examples the initialisations that look at data take their sums.
EXAMPLES = 256
_FROM_DATA = ("eva", "corda", "lora_ga")


def needs_data(config: Any) -> bool:
    """Whether the adapter of a LoraConfig is initialized from data."""
    return config.init_lora_weights in _FROM_DATA


def keeps_base(config: Config) -> bool:
    """Whether the base model can still be evaluated once the adapter is there: some methods change it."""
    options = config.lora.options
    return "kasa_config" not in options and options.get("init_lora_weights") != "loftq"


def make_adapter(model: Any, config: Any, batches: Sequence[dict[str, Any]]) -> Any:
    """The model with an adapter, by peft; ``batches`` are inputs of the model, on its device."""
    from peft import get_peft_model

    if not needs_data(config):
        with _no_advice():
            return get_peft_model(model, config)
    if not batches:
        raise InputError(f"lora.init_lora_weights = {config.init_lora_weights!r} needs training examples")
    with _no_advice(), _without_cache(model):
        if config.init_lora_weights == "eva":
            return _with_eva(get_peft_model(model, config), batches)
        _name_modules(model, config)
        if config.init_lora_weights == "corda":
            _look_for_corda(model, config, batches)
        else:
            _look_for_lora_ga(model, config, batches)
        return get_peft_model(model, config)


def _with_eva(adapted: Any, batches: Sequence[dict[str, Any]]) -> Any:
    from peft import initialize_lora_eva_weights

    options: dict[str, Any] = {}
    if any(batch["labels"].dim() == 1 for batch in batches):  # of texts, not of tokens
        options = {"prepare_model_inputs_fn": _find_tokens, "prepare_layer_inputs_fn": _take_tokens}
    initialize_lora_eva_weights(
        adapted, batches, gather_distributed_inputs=False, show_progress_bar=False, **options
    )
    return adapted


def _find_tokens(batch: dict[str, Any], config: Any) -> Any:
    return batch["attention_mask"].bool()


def _take_tokens(inputs: Any, mask: Any, name: str) -> Any:
    """The inputs of a layer at tokens that are no padding; some layers get one input of a whole text."""
    inputs = inputs[0] if isinstance(inputs, tuple | list) else inputs
    return (inputs[mask] if inputs.dim() == 3 else inputs).contiguous()


def _look_for_corda(model: Any, config: Any, batches: Sequence[dict[str, Any]]) -> None:
    import torch
    from peft.tuners.lora.corda import preprocess_corda

    def run() -> None:
        with torch.no_grad(), _with_positions(model):
            for batch in batches:
                for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                    # one text at a time and no padding: each position counts
                    model(input_ids=ids[mask.bool()][None])

    preprocess_corda(model, config, run_model=run)


@contextlib.contextmanager
def _with_positions(model: Any) -> Iterator[None]:
    """Give the layers that get one vector for a whole text, as a classifier's pooler does, a dimension of
    positions, which CorDA takes for granted (peft 0.21).
    """
    from torch import nn

    changed = set()

    def add(layer: Any, inputs: Any) -> Any:
        if inputs[0].dim() != 2:
            return None
        changed.add(layer)
        return (inputs[0].unsqueeze(1), *inputs[1:])

    def remove(layer: Any, inputs: Any, output: Any) -> Any:
        if layer not in changed:
            return None
        changed.remove(layer)
        return output.squeeze(1)

    hooks = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            hooks += [layer.register_forward_pre_hook(add), layer.register_forward_hook(remove)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _look_for_lora_ga(model: Any, config: Any, batches: Sequence[dict[str, Any]]) -> None:
    from peft.tuners.lora.loraga import preprocess_loraga

    if config.lora_ga_config is None:
        from peft.tuners.lora.config import LoraGAConfig

        config.lora_ga_config = LoraGAConfig()

    def run() -> None:
        for batch in batches:
            model(**batch).loss.backward()

    preprocess_loraga(model, config, run)


def _name_modules(model: Any, config: Any) -> None:
    """Turn "all-linear" into the names of the modules, as peft does when it adds the adapter."""
    from peft.tuners.tuners_utils import _maybe_include_all_linear_layers

    _maybe_include_all_linear_layers(config, model)


@contextlib.contextmanager
def _no_advice() -> Iterator[None]:
    """Without peft's advice on how to save, which is no concern of who trains by a config."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextlib.contextmanager
def _without_cache(model: Any) -> Iterator[None]:
    """In evaluation, and without the cache that generation needs."""
    training, cached = model.training, getattr(model.config, "use_cache", None)
    model.eval()
    if cached is not None:
        model.config.use_cache = False
    try:
        yield
    finally:
        model.train(training)
        if cached is not None:
            model.config.use_cache = cached
