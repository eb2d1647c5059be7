"""What must hold between several keys of a config."""

from __future__ import annotations

from collections.abc import Iterator

from collect.config.modes import metric_modes
from collect.config.peft_options import make_lora_config
from collect.config.sections import Config, Data, Generic, Model, Train
from replay.errors import InputError, suggestion

__all__ = ["refusals"]


def refusals(config: Config) -> Iterator[str]:
    """What is wrong between the keys of a config: one sentence each."""
    yield from _model_refusals(config.model, config.train)
    yield from _lora_refusals(config)
    yield from _source_refusals("data", config.data)
    if config.generic is not None:
        yield from _source_refusals("generic", config.generic)
    if config.task == "classification":
        if config.generation is not None:
            yield "[generation] is of no use to task classification; a classifier generates nothing"
        if config.generic is not None:
            yield "[generic] is of no use to task classification; a classifier has no language loss"
    yield from _train_refusals(config.train)
    yield from _keep_refusals(config)
    yield from _column_refusals(config.task, config.data)
    yield from _split_refusals(config.data)


def _model_refusals(model: Model, train: Train) -> Iterator[str]:
    if model.quantization is not None and model.gguf_file is not None:
        yield (
            f"model.quantization = {model.quantization!r}; with model.gguf_file the weights are in full"
            " precision"
        )
    if model.quantization is not None and train.device == "cpu":
        yield (
            f"model.quantization = {model.quantization!r}; it needs a GPU, and train.device = 'cpu' uses none"
        )
    if (model.attn_implementation or "").startswith("flash") and "fp32" == model.dtype == train.precision:
        yield (
            f"model.attn_implementation = {model.attn_implementation!r}; it computes in half precision only;"
            " set model.dtype or train.precision to bf16"
        )


def _lora_refusals(config: Config) -> Iterator[str]:
    lora = config.lora
    if not lora.options:
        return
    if lora.options.get("bias", "none") != "none" and config.model.dtype != "fp32":
        yield (
            f"lora.bias = {lora.options['bias']!r}; it trains biases of the model, which model.dtype ="
            f" {config.model.dtype!r} would round at each step; set model.dtype = 'fp32'"
        )
    try:
        make_lora_config(lora, config.task)
    except InputError as error:
        yield str(error)


def _source_refusals(section: str, source: Data | Generic) -> Iterator[str]:
    if source.hub is not None and source.package is not None:
        yield (
            f"{section}.hub = {source.hub!r}; with {section}.package the files are that package's; give one"
            " of the two"
        )
    if source.hub_config is not None and source.hub is None:
        yield f"{section}.hub_config = {source.hub_config!r}; it needs {section}.hub"
    if source.hub is not None and source.columns:
        yield (
            f"{section}.columns = {list(source.columns)!r}; it names the columns of a CSV or TSV file, and"
            f" those of {section}.hub have names"
        )


def _train_refusals(train: Train) -> Iterator[str]:
    if (train.max_steps is None) == (train.epochs is None):
        yield "give train.max_steps or train.epochs, one of the two"
    if train.log_every is not None and train.eval_every % train.log_every:
        yield f"train.log_every = {train.log_every}; it must divide train.eval_every ({train.eval_every})"
    if train.save_every % train.eval_every:
        yield (
            f"train.save_every = {train.save_every}; it must be a multiple of train.eval_every"
            f" ({train.eval_every}), so that a resumed log is exact"
        )
    if train.scheduler == "reduce-on-plateau":
        if train.warmup_steps:
            yield (
                f"train.warmup_steps = {train.warmup_steps}; it must be 0 with train.scheduler ="
                " 'reduce-on-plateau', which has no warmup"
            )
        return
    for key in ("plateau_patience", "plateau_factor"):
        if (value := getattr(train, key)) != getattr(Train, key):
            yield (
                f"train.{key} = {value!r}; it needs train.scheduler = 'reduce-on-plateau', not"
                f" {train.scheduler!r}"
            )


def _keep_refusals(config: Config) -> Iterator[str]:
    train = config.train
    if train.keep_monitor not in (modes := metric_modes(config)):
        allowed = suggestion(train.keep_monitor, modes)
        yield f"train.keep_monitor = {train.keep_monitor!r}; the evaluations of this config give {allowed}"
    if train.keep_monitor != Train.keep_monitor and train.keep not in ("best", "all"):
        yield (
            f"train.keep_monitor = {train.keep_monitor!r}; it needs train.keep = 'best' or 'all', not"
            f" {train.keep!r}"
        )


def _column_refusals(task: str, data: Data) -> Iterator[str]:
    if task == "classification":
        required, other, takes = ["text", "label"], ["prompt", "answer", "messages"], "text, label"
    elif data.messages is not None:
        for key in ("text", "label", "prompt", "answer"):
            if value := getattr(data, key):
                yield (
                    f"data.{key} = {value!r}; with data.messages the texts are conversations, and there is no"
                    f" {key}"
                )
        return
    else:
        required, other, takes = ["answer"], ["text", "label"], "prompt, answer"
    for key in required:
        if getattr(data, key) is None:
            yield (
                f"data.{key} is missing; task {task} needs it: a column, or a template such as '{{column}}'"
                + (", or data.messages, a column of conversations" if key == "answer" else "")
            )
    for key in other:
        if value := getattr(data, key):
            yield f"data.{key} = {value!r}; task {task} has no {key}; it takes {takes}"


def _split_refusals(data: Data) -> Iterator[str]:
    no_evals = "without an eval set there is nothing to stop by"
    if (data.file is None) == (data.train_file is None):
        yield "give data.file, to be split, or data.train_file and data.validation_file"
    elif data.file is not None:
        for key in ("validation_file", "test_file"):
            if (value := getattr(data, key)) is not None:
                yield f"data.{key} = {value!r}; with data.file all splits come from that one file"
        if data.validation_size is None:
            yield f"data.validation_size is missing; {no_evals}"
    elif data.validation_file is None:
        yield f"data.validation_file is missing; {no_evals}"
    elif data.test_size and data.test_file is None:
        yield f"data.test_size = {data.test_size}; it needs data.test_file"
