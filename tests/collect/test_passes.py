"""EvalLog counts the operations of trainings that are not collect's own, and changes nothing of them."""

import json

import pytest

from collect import EvalLog
from collect.eval_log import FILE_NAME
from replay.readers import read
from tests.collect.conftest import TRAINER_OPTIONS

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from torch.utils._python_dispatch import _get_current_dispatch_mode  # noqa: E402

from collect.eval_log.passes import PassMeter, is_measurable  # noqa: E402
from collect.operations import Counter  # noqa: E402


def records(folder, kind="eval"):
    lines = [json.loads(line) for line in (folder / FILE_NAME).read_text().splitlines()]
    return [line for line in lines if line.get("kind") == kind]


def counted(folder, name="flops"):
    return [record["compute"].get(name) for record in records(folder)]


def lora(workplace, kind="llama"):
    torch.manual_seed(0)
    auto = transformers.AutoModelForCausalLM
    if kind == "bert":
        auto = transformers.AutoModelForSequenceClassification
    config = peft.LoraConfig(
        task_type="SEQ_CLS" if kind == "bert" else "CAUSAL_LM",
        r=2,
        lora_dropout=0.1,
        target_modules="all-linear",
    )
    return peft.get_peft_model(auto.from_pretrained(workplace / kind), config)


def rows(number=24):
    lengths = [3 + n % 5 for n in range(number)]
    return [
        {"input_ids": [3 + n % 20] * length, "attention_mask": [1] * length, "labels": n % 2}
        for n, length in enumerate(lengths)
    ]


class Counts:
    """Counts each pass of a Trainer by wrapping it, as the reference."""

    trained = evaluated = 0

    def training_step(self, *args, **kwargs):
        with Counter() as counter:
            loss = super().training_step(*args, **kwargs)
        self.trained += counter.total
        return loss

    def prediction_step(self, *args, **kwargs):
        with Counter() as counter:
            output = super().prediction_step(*args, **kwargs)
        self.evaluated += counter.total
        return output

    def evaluate(self, *args, **kwargs):
        self.evaluated = 0
        metrics = super().evaluate(*args, **kwargs)
        self.seen = [*getattr(self, "seen", []), (self.trained, self.evaluated)]
        return metrics


class Counted(Counts, transformers.Trainer):
    pass


def build(workplace, out, log, *, kind="bert", trainer=transformers.Trainer, **arguments):
    tokenizer = transformers.AutoTokenizer.from_pretrained(workplace / kind)
    examples = rows()
    collator = transformers.DataCollatorWithPadding(tokenizer)
    if kind == "llama":
        examples = [{**row, "labels": row["input_ids"]} for row in examples]
        collator = transformers.DataCollatorForSeq2Seq(tokenizer)
    options = {
        "max_steps": 6,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "logging_steps": 1,
        "per_device_train_batch_size": 3,
        "per_device_eval_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "label_names": ["labels"],
        **arguments,
    }
    return trainer(
        model=lora(workplace, kind),
        args=transformers.TrainingArguments(str(out), **options),
        train_dataset=examples,
        eval_dataset=examples[:10],
        data_collator=collator,
        callbacks=[] if log is None else [log],
    )


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("bert", {}),
        ("llama", {}),
        ("llama", {"gradient_checkpointing": True}),
        (
            "llama",
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        ),
    ],
)
def test_a_trainer_s_operations_are_those_of_all_its_passes(kind, arguments, workplace, tmp_path):
    """Batches of several widths, two of them in each step."""
    reference = build(workplace, tmp_path / "out", None, kind=kind, trainer=Counted, **arguments)
    reference.train()
    build(workplace, tmp_path / "out", EvalLog(tmp_path / "log"), kind=kind, **arguments).train()
    assert counted(tmp_path / "log") == [trained for trained, _ in reference.seen]
    assert counted(tmp_path / "log", "eval_flops") == [evaluated for _, evaluated in reference.seen]
    assert records(tmp_path / "log", "end")[0]["compute"]["flops"] == reference.trained > 0
    (run,) = read([tmp_path / "log"]).runs
    assert run.columns["flops"].values.tolist() == counted(tmp_path / "log")


@pytest.mark.slow
def test_a_trainer_that_looks_for_a_batch_size_is_counted_once(workplace, tmp_path):
    class Fails:
        """The first step meets too small a memory."""

        fails = True

        def training_step(self, *args, **kwargs):
            if self.fails:
                self.fails = False
                raise RuntimeError("CUDA out of memory.")
            return super().training_step(*args, **kwargs)

    reference, trainer = (
        build(
            workplace,
            tmp_path / "out",
            log,
            trainer=type("Small", (Fails, kind), {}),
            auto_find_batch_size=True,
            per_device_train_batch_size=4,
        )
        for log, kind in ((None, Counted), (EvalLog(tmp_path / "log"), transformers.Trainer))
    )
    reference.train()
    trainer.train()
    assert counted(tmp_path / "log") == [trained for trained, _ in reference.seen]
    assert [record["resumed_from"] for record in records(tmp_path / "log", "segment")] == [0]
    # at most 7 tokens in each of at most 4 examples; twice as many if two hooks counted them
    assert 0 < records(tmp_path / "log")[-1]["compute"]["padded_tokens"] <= 6 * 2 * 4 * 7


def test_measuring_changes_no_bit_of_a_training(workplace, tmp_path):
    weights = []
    for name in (True, False):
        trainer = build(workplace, tmp_path / "out", EvalLog(tmp_path / str(name), flops=name))
        trainer.train()
        weights.append([weight.detach().clone() for weight in trainer.model.parameters()])
    assert all(map(torch.equal, *weights))
    on, off = (records(tmp_path / name) for name in ("True", "False"))
    assert [one["metrics"] for one in on] == [one["metrics"] for one in off]
    assert not any("flops" in name for record in off for name in record["compute"] if name != "total_flos")


def test_a_resumed_trainer_goes_on_counting(workplace, tmp_path):
    class Kill(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise KeyboardInterrupt

    keys = {"save_strategy": "steps", "save_steps": 2}
    build(workplace, tmp_path / "whole", EvalLog(tmp_path / "one"), **keys).train()
    log = EvalLog(tmp_path / "two")
    trainer = build(workplace, tmp_path / "out", log, **keys)
    trainer.add_callback(Kill())
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    log.close()
    checkpoint = str(tmp_path / "out" / "checkpoint-4")
    build(workplace, tmp_path / "out", EvalLog(tmp_path / "two"), **keys).train(checkpoint)
    assert counted(tmp_path / "two") == counted(tmp_path / "one")
    (segment,) = records(tmp_path / "two", "segment")
    assert segment["wasted"]["flops"] > 0


@pytest.mark.parametrize("first", [False, True])
def test_operations_of_which_a_part_is_unknown_are_left_out(first, workplace, tmp_path):
    """Where only a part of the steps was counted, before or after the checkpoint."""

    class Stop(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 4:
                raise KeyboardInterrupt

    keys = {"save_strategy": "steps", "save_steps": 2}
    log = EvalLog(tmp_path / "log", flops=first)
    trainer = build(workplace, tmp_path / "out", log, **keys)
    trainer.add_callback(Stop())
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    log.close()
    log = EvalLog(tmp_path / "log", flops=not first)
    build(workplace, tmp_path / "out", log, **keys).train(str(tmp_path / "out" / "checkpoint-4"))
    before = counted(tmp_path / "log")[:2]
    assert [value is not None for value in before] == [first, first]
    assert counted(tmp_path / "log")[2] is None
    assert "flops" not in records(tmp_path / "log", "end")[0]["compute"]
    # a further resume does not take up what was known before
    log = EvalLog(tmp_path / "log", extend=True, flops=True)
    trainer = build(workplace, tmp_path / "out", log, **{**keys, "max_steps": 8})
    trainer.train(str(tmp_path / "out" / "checkpoint-6"))
    assert counted(tmp_path / "log")[3] is None
    assert counted(tmp_path / "log", "eval_flops")[3] > 0


# ---- methods that read a text several times ----


def preference(workplace, log):
    datasets = pytest.importorskip("datasets")
    pairs = [
        {"prompt": f"{left} plus {right} equals", "chosen": f" {left + right}", "rejected": f" {left}"}
        for left in range(8)
        for right in range(2)
    ]
    return {
        "model": str(workplace / "llama"),
        "train_dataset": datasets.Dataset.from_list(pairs[:12]),
        "eval_dataset": datasets.Dataset.from_list(pairs[12:]),
        "processing_class": transformers.AutoTokenizer.from_pretrained(workplace / "llama"),
        "peft_config": peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules="all-linear"),
        "callbacks": [] if log is None else [log],
    }


OPTIONS = {**TRAINER_OPTIONS, "max_steps": 3}


def sums(folder, *names):
    return [sum(record["compute"].get(name, 0) for name in names) for record in records(folder)]


@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_trained_passes_and_others_add_up_to_the_whole(method, workplace, tmp_path):
    trl = pytest.importorskip("trl")

    def train(log, kind):
        if method == "dpo":
            return kind(args=trl.DPOConfig(str(tmp_path / "out"), **OPTIONS), **preference(workplace, log))
        arguments = trl.GRPOConfig(
            str(tmp_path / "out"), num_generations=2, max_completion_length=3, beta=0.1, seed=3, **OPTIONS
        )
        reward = lambda completions, **_: [float(len(text)) for text in completions]  # noqa: E731
        return kind(reward_funcs=reward, args=arguments, **preference(workplace, log))

    trainer = trl.DPOTrainer if method == "dpo" else trl.GRPOTrainer
    reference = train(None, type("Reference", (Counts, trainer), {}))
    reference.train()
    train(EvalLog(tmp_path / "log"), trainer).train()
    assert sums(tmp_path / "log", "flops", "inference_flops") == [one for one, _ in reference.seen]
    assert sums(tmp_path / "log", "eval_flops", "eval_reference_flops") == [two for _, two in reference.seen]
    assert all(value > 0 for value in counted(tmp_path / "log"))
    share = counted(tmp_path / "log", "inference_flops")[-1] / counted(tmp_path / "log")[-1]
    assert 0.2 < share < 0.7  # without the way back, and in part without the adapter


# ---- a loop of one's own ----


def batches(widths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 30, (2, width), generator=generator) for width in widths]


def run_loop(model, widths, *, accumulate=1, measure=None, log=None, forward=None):
    """Train a model on batches of these widths; ``measure`` collects what each batch takes."""
    forward = forward or (lambda ids: model(input_ids=ids, labels=ids).loss)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    if log is not None:
        log.watch(model, optimizer)
    torch.manual_seed(1)
    step = 0
    for number, ids in enumerate(batches(widths), 1):
        model.train()
        if measure is None:
            forward(ids).backward()
        else:
            with Counter() as counter:
                forward(ids).backward()
            measure.append(counter.total)
        if number % accumulate:
            continue
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        model.eval()
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss
        if log is not None:
            log.log(step, {"eval_loss": loss}, eval_seconds=0.1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loop_is_counted_batch_by_batch(accumulate, workplace, tmp_path):
    widths, single = [3, 5, 3, 3, 8, 5, 5, 8], []
    run_loop(lora(workplace), widths, accumulate=accumulate, measure=single)
    with EvalLog(tmp_path / "log") as log:
        run_loop(lora(workplace), widths, accumulate=accumulate, log=log)
    sums = [sum(single[:end]) for end in range(accumulate, 9, accumulate)]
    assert counted(tmp_path / "log") == sums
    forward = counted(tmp_path / "log", "eval_flops")
    assert all(0 < one < two for one, two in zip(forward, single[accumulate - 1 :: accumulate], strict=True))
    assert _get_current_dispatch_mode() is None


def test_two_passes_of_one_batch_are_counted_together(workplace, tmp_path):
    """The shape of the first pass does not say what the second one takes."""

    def both(model):
        def forward(ids):
            short = ids[:, : 2 + int(ids[0, 0]) % 3]
            first, second = (model(input_ids=part, labels=part).loss for part in (ids, short))
            return first + second

        return forward

    widths, single = [6, 6, 6, 6, 6, 6], []
    model = lora(workplace)
    run_loop(model, widths, measure=single, forward=both(model))
    assert len(set(single)) > 1
    model = lora(workplace)
    with EvalLog(tmp_path / "log") as log:
        run_loop(model, widths, log=log, forward=both(model))
    assert counted(tmp_path / "log") == [sum(single[:end]) for end in range(1, 7)]


def test_what_a_loop_counts_itself_takes_the_place_of_what_is_measured(workplace, tmp_path):
    model = lora(workplace)

    def forward(ids):
        log.count(flops=1000)
        return model(input_ids=ids, labels=ids).loss

    with EvalLog(tmp_path / "log") as log:
        run_loop(model, [3, 5, 3], log=log, forward=forward)
    assert counted(tmp_path / "log") == [1000, 2000, 3000]


def test_where_another_mode_is_active_the_operations_are_left_out(workplace, tmp_path):
    """Nothing is measured within it, since it may end in the middle of a batch."""
    model = lora(workplace)

    def forward(ids):
        with Counter():
            return model(input_ids=ids, labels=ids).loss

    with EvalLog(tmp_path / "log") as log:
        run_loop(model, [3, 5], log=log, forward=forward)
    assert counted(tmp_path / "log") == [None, None]
    assert all(value > 0 for value in counted(tmp_path / "log", "eval_flops"))


def test_a_batch_that_fails_leaves_nothing_active(workplace, tmp_path):
    model = lora(workplace)

    def fail(ids):
        loss = model(input_ids=ids, labels=ids).loss
        raise MemoryError(loss.item())

    log = EvalLog(tmp_path / "log")
    with pytest.raises(MemoryError):
        run_loop(model, [3], log=log, forward=fail)
    again = EvalLog(tmp_path / "again")  # as in a notebook, where the first one is not closed
    run_loop(model, [3], log=again)
    assert counted(tmp_path / "again")[0] > 0
    log.close()
    again.close()
    assert _get_current_dispatch_mode() is None
    with EvalLog(tmp_path / "third") as third:

        def fail_inside(ids):
            return model(input_ids=ids + 10_000, labels=ids).loss

        with pytest.raises(IndexError):
            run_loop(model, [3], log=third, forward=fail_inside)
        assert _get_current_dispatch_mode() is None


def test_compiled_passes_are_left_out(workplace, tmp_path):
    model = lora(workplace)
    compiled = torch.compile(model, backend="eager")
    with EvalLog(tmp_path / "log") as log:
        run_loop(model, [3, 3], log=log, forward=lambda ids: compiled(input_ids=ids, labels=ids).loss)
    assert counted(tmp_path / "log") == [None, None]


def test_an_encoder_that_generation_asks_by_name_makes_the_rest_unknown():
    config = transformers.T5Config(
        vocab_size=40, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    amounts = {}
    meter = PassMeter(model, lambda name, amount: amounts.setdefault(name, []).append(amount))
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        model(input_ids=ids, labels=ids)
        assert amounts["eval_flops"][0] > 0
        model.generate(input_ids=ids, max_new_tokens=2)
    meter.close()
    assert amounts["eval_flops"][-1] != amounts["eval_flops"][-1]  # NaN
    assert amounts.keys() == {"eval_flops"}


def test_an_operation_that_its_formula_does_not_know_is_unknown(monkeypatch):
    class Broken(Counter):
        def __init__(self):
            super().__init__()
            self._formulas = dict.fromkeys(self._formulas, lambda *args, **kwargs: 1 / 0)

    with Broken() as counter:
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.tolist() == [[2, 2], [2, 2]]
    assert counter.total != counter.total


def test_what_cannot_be_measured_is_known_beforehand(workplace, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from accelerate.state import AcceleratorState, DistributedType

    model = lora(workplace)
    plain = SimpleNamespace(torch_compile=False, n_gpu=1)
    assert is_measurable(model)
    assert is_measurable(model, plain)
    assert not is_measurable(model, SimpleNamespace(torch_compile=True, n_gpu=1))
    assert not is_measurable(model, SimpleNamespace(torch_compile=False, n_gpu=2))
    for kind, wanted in (("MULTI_GPU", True), ("FSDP", False), ("DEEPSPEED", False)):
        monkeypatch.setitem(AcceleratorState._shared_state, "distributed_type", DistributedType[kind])
        assert is_measurable(model, plain) is wanted
    model.get_base_model().config._attn_implementation = "flex_attention"
    assert not is_measurable(model)
