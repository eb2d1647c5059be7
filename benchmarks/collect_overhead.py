"""What EvalLog costs: two Trainer trainings, without it and with it, that take turns step by step, in one
run.

Medians of the steps and of the evaluations. "inside" is the time that EvalLog's own events took, which no
noise of the machine blurs; the hooks that count tokens and operations are not in it. The first batch of a
shape, forward and backward, is one whose operations are measured. Bytes are those of the step signals, and
of an evaluation's line of the log.

Run: python benchmarks/collect_overhead.py [--steps N]
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model

from collect import EvalLog
from collect.eval_log import FILE_NAME
from collect.operations import Counter
from replay.readers.step_signals import FILE_NAME as SIGNALS
from replay.readers.step_signals import read_step_signals, record_size

BATCH, TOKENS, EVALS, EVAL_EXAMPLES, WARMUP = 8, 32, 10, 64, 3
OPTIMIZER = ("before optimizer", "after optimizer")


def minilm():
    """The size of MiniLM-L6, all linear layers adapted."""
    config = transformers.BertConfig(
        vocab_size=2000,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=2,
    )
    return transformers.BertForSequenceClassification(config), "SEQ_CLS"


def many_modules():
    """Many small modules: 28 blocks of 7 linear layers, as in a Llama, but narrow."""
    config = transformers.LlamaConfig(
        vocab_size=2000,
        hidden_size=128,
        num_hidden_layers=28,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=256,
    )
    return transformers.LlamaForCausalLM(config), "CAUSAL_LM"


class Turns:
    """Two trainings in two threads, of which only one runs at a time: each step of the one is followed by a
    step of the other."""

    def __init__(self):
        self.changed = threading.Condition()
        self.turn = 0
        self.running = {0, 1}

    def next(self, me):
        with self.changed:
            if self.turn == me and self.running == {0, 1}:
                self.turn = 1 - me
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.turn == me)

    def leave(self, me):
        with self.changed:
            self.running.discard(me)
            self.turn = 1 - me
            self.changed.notify_all()


class Clock(transformers.TrainerCallback):
    """When each event came here, by step."""

    def __init__(self):
        self.marks = defaultdict(dict)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.marks["before optimizer"][state.global_step] = time.perf_counter()

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.marks["after optimizer"][state.global_step] = time.perf_counter()

    def on_evaluate(self, args, state, control, **kwargs):
        self.marks["eval"][state.global_step] = time.perf_counter()


class First(Clock):
    """Before EvalLog."""


class Last(Clock):
    """After EvalLog; gives the turn away at the beginning of a step."""

    def __init__(self, turns, me):
        super().__init__()
        self.turns = turns
        self.me = me

    def on_step_begin(self, args, state, control, **kwargs):
        self.turns.next(self.me)
        self.marks["begin"][state.global_step] = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.marks["end"][state.global_step] = time.perf_counter()

    def on_train_end(self, args, state, control, **kwargs):
        self.turns.leave(self.me)


def trainer(build, steps, folder, log, turns):
    torch.manual_seed(0)
    base, task = build()
    model = get_peft_model(base, LoraConfig(task_type=task, r=8, target_modules="all-linear"))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 2000, (max(BATCH * steps, EVAL_EXAMPLES), TOKENS), generator=generator).tolist()
    rows = [
        {"input_ids": row, "attention_mask": [1] * TOKENS, "labels": row[0] % 2 if task == "SEQ_CLS" else row}
        for row in ids
    ]
    every = max(steps // EVALS, 3)
    arguments = transformers.TrainingArguments(
        str(folder / f"out-{log}"),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=32,
        learning_rate=1e-3,
        eval_strategy="steps",
        eval_steps=every,
        logging_steps=every,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        label_names=["labels"],
    )
    found = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:EVAL_EXAMPLES])
    found.remove_callback(transformers.PrinterCallback)
    clocks = First(), Last(turns, int(log))
    for callback in (clocks[0], *([EvalLog(folder / "log")] if log else []), clocks[1]):
        found.add_callback(callback)
    return found, clocks


def measure(build, steps, folder):
    """For each training, without the log and with it: seconds of its steps and evals, and of EvalLog in
    each."""
    turns = Turns()
    trainers = [trainer(build, steps, folder, log, turns) for log in (False, True)]

    def train(one):
        torch.set_num_threads(1)  # threads that wait for each other time whatever else the machine does
        one.train()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(train, one) for one, _ in trainers]:
            done.result()
    found = []
    for _, (first, last) in trainers:
        begin, end, evaluated = (last.marks[event] for event in ("begin", "end", "eval"))
        warm = [step for step in begin if step >= WARMUP]
        inside = {
            step: sum(last.marks[event][step] - first.marks[event][step] for event in OPTIMIZER)
            for step in warm
        }
        found.append(
            {
                "step": ([end[step + 1] - begin[step] for step in warm], list(inside.values())),
                "eval": (
                    [evaluated[step] - end[step] for step in evaluated],
                    [evaluated[step] - first.marks["eval"][step] for step in evaluated],
                ),
            }
        )
    return found


def measure_flops(build, repeats=9):
    """Milliseconds of the processor for a batch, forward and backward, and for the same one while it is
    measured."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    base, task = build()
    model = get_peft_model(base, LoraConfig(task_type=task, r=8, target_modules="all-linear")).train()
    ids = torch.randint(0, 2000, (BATCH, TOKENS))
    labels = ids[:, 0] % 2 if task == "SEQ_CLS" else ids
    taken = {nullcontext: [], Counter: []}
    for _ in range(repeats):
        for kind, seconds in taken.items():
            began = time.process_time()
            with kind():
                model(input_ids=ids, labels=labels).loss.backward()
            seconds.append(time.process_time() - began)
    return (1000 * statistics.median(seconds[1:]) for seconds in taken.values())


def sizes(folder):
    lines = (folder / FILE_NAME).read_bytes().splitlines(keepends=True)
    records = [(json.loads(line).get("kind"), len(line)) for line in lines]
    evals = [size for kind, size in records if kind == "eval"]
    signals = read_step_signals(folder / SIGNALS)
    return record_size(signals.header), statistics.mean(evals), len(signals.header["modules"])


def main(steps):
    print(
        f"{steps} steps of {BATCH} x {TOKENS} tokens, evals of {EVAL_EXAMPLES} examples; medians in ms, one"
        " thread"
    )
    print(f"{'':34}{'without':>9} {'with':>9} {'share':>7} {'inside':>8} {'share':>7}  bytes")
    for name, build in (("MiniLM-sized", minilm), ("narrow Llama", many_modules)):
        with tempfile.TemporaryDirectory() as folder:
            plain, logged = measure(build, steps, Path(folder))
            step_bytes, eval_bytes, modules = sizes(Path(folder) / "log")
        for kind, size in (("step", step_bytes), ("eval", eval_bytes)):
            without, using, inside = (
                1000 * statistics.median(taken) for taken in (plain[kind][0], *logged[kind])
            )
            print(
                f"{f'{name}, {modules} modules: {kind}':34}{without:9.2f} {using:9.2f}"
                f" {using / without - 1:7.1%} {inside:8.3f} {inside / without:7.1%}  {size:.0f}"
            )
        plain, measured = measure_flops(build)
        print(
            f"{f'{name}: first batch of a shape':34}{plain:9.2f} {measured:9.2f} {measured / plain - 1:7.1%}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    main(**vars(parser.parse_args()))
