"""What EvalLog costs: the same Trainer training with and without it, alternating, in one run.

Medians of the steps and of the evaluations. "inside" is the time that EvalLog's own events took, which no noise of the machine
between two trainings blurs; the hook that counts tokens is not in it.

Run: python benchmarks/collect_overhead.py [--steps N] [--rounds N]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model

from collect import EvalLog
from collect.eval_log import FILE_NAME
from replay.importers.step_signals import FILE_NAME as SIGNALS
from replay.importers.step_signals import read_step_signals, record_size

BATCH, TOKENS, EVALS, EVAL_EXAMPLES = 8, 32, 5, 64


def minilm():
    """The size of MiniLM-L6, all linear layers adapted."""
    config = transformers.BertConfig(
        vocab_size=2000, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=2
    )
    return transformers.BertForSequenceClassification(config), "SEQ_CLS"


def many_modules():
    """Many small modules: 28 blocks of 7 linear layers, as in a Llama, but narrow."""
    config = transformers.LlamaConfig(
        vocab_size=2000, hidden_size=128, num_hidden_layers=28, num_attention_heads=4, num_key_value_heads=2, intermediate_size=256
    )
    return transformers.LlamaForCausalLM(config), "CAUSAL_LM"


class Clock(transformers.TrainerCallback):
    """When each event begins, before EvalLog has it, or ends, after EvalLog had it."""

    def __init__(self):
        self.marks = {}

    def mark(self, event, step):
        self.marks.setdefault(event, {})[step] = time.perf_counter()

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.mark("before optimizer", state.global_step + 1)

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.mark("after optimizer", state.global_step + 1)

    def on_step_end(self, args, state, control, **kwargs):
        self.mark("step", state.global_step)

    def on_evaluate(self, args, state, control, **kwargs):
        self.mark("eval", state.global_step)


def train(build, steps, folder, log):
    """(seconds of each step, of each eval, of EvalLog in each step, of EvalLog in each eval, number of modules)."""
    torch.manual_seed(0)
    base, task = build()
    model = get_peft_model(base, LoraConfig(task_type=task, r=8, target_modules="all-linear"))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 2000, (max(BATCH * steps, EVAL_EXAMPLES), TOKENS), generator=generator).tolist()
    rows = [{"input_ids": row, "attention_mask": [1] * TOKENS, "labels": row[0] % 2 if task == "SEQ_CLS" else row} for row in ids]
    every = max(steps // EVALS, 3)
    arguments = transformers.TrainingArguments(
        str(folder / "out"), max_steps=steps, per_device_train_batch_size=BATCH, per_device_eval_batch_size=32, learning_rate=1e-3,
        eval_strategy="steps", eval_steps=every, logging_steps=every, save_strategy="no", report_to="none", disable_tqdm=True,
        use_cpu=True, label_names=["labels"],
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:EVAL_EXAMPLES])
    trainer.remove_callback(transformers.PrinterCallback)
    first, last = Clock(), Clock()
    for callback in (first, EvalLog(folder / "log") if log else None, last):
        if callback is not None:
            trainer.add_callback(callback)
    trainer.train()
    ends = last.marks["step"]
    # the step after an eval begins with it, and the first two warm up
    taken = [ends[step] - ends[step - 1] for step in ends if step > 2 and step - 1 not in last.marks["eval"]]
    inside = [last.marks[event][step] - first.marks[event][step] for event in ("before optimizer", "after optimizer") for step in ends]
    evals = [last.marks["eval"][step] - ends[step] for step in last.marks["eval"]]
    in_evals = [last.marks["eval"][step] - first.marks["eval"][step] for step in last.marks["eval"]]
    return taken, evals, [sum(pair) for pair in zip(inside[: len(ends)], inside[len(ends) :], strict=True)], in_evals


def sizes(folder):
    lines = (folder / FILE_NAME).read_bytes().splitlines(keepends=True)
    records = [(json.loads(line).get("kind"), len(line)) for line in lines]
    evals = [size for kind, size in records if kind == "eval"]
    signals = read_step_signals(folder / SIGNALS)
    return record_size(signals.header), statistics.mean(evals), len(signals.header["modules"])


def main(steps=40, rounds=4):
    torch.set_num_threads(1)  # threads that wait for each other time whatever else the machine does
    print(f"{steps} steps of {BATCH} x {TOKENS} tokens, evals of {EVAL_EXAMPLES}, {rounds} rounds; medians in ms")
    print(f"{'':32}{'without':>9} {'with':>9} {'share':>7} {'inside':>8} {'share':>7}  bytes")
    for name, build in (("MiniLM-sized", minilm), ("narrow Llama", many_modules)):
        found = {log: [[], [], [], []] for log in (False, True)}
        for turn in range(rounds + 1):
            for log in (False, True) if turn % 2 else (True, False):
                with tempfile.TemporaryDirectory() as folder:
                    for total, part in zip(found[log], train(build, steps, Path(folder), log), strict=True):
                        total += part if turn else []  # the first round warms up
                    if log:
                        step_bytes, eval_bytes, modules = sizes(Path(folder) / "log")
        for kind, at, size in (("step", 0, step_bytes), ("eval", 1, eval_bytes)):
            without, using, inside = (1000 * statistics.median(one) for one in (found[False][at], found[True][at], found[True][at + 2]))
            print(
                f"{f'{name}, {modules} modules: {kind}':32}{without:9.2f} {using:9.2f} {using / without - 1:7.1%} "
                f"{inside:8.3f} {inside / without:7.1%}  {size:.0f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=4)
    main(**vars(parser.parse_args()))
