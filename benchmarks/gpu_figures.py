"""Checks of ``benchmarks/gpu.py`` that compare figures of a log with another way to measure them.

A check gets a `Place` and returns a `Result`. What it needs is imported inside it, since each check runs in
a process of its own.
"""

import importlib.util
import signal
import statistics
import threading
import time

from gpu_place import SKIPPED, Result, judge, make_inputs, note, records, train, train_killed, write_config

VOCABULARIES = (49_152, 151_936, 262_144)


def cross_entropy(place):
    """collect's loss against torch's, flat and transposed, at three sizes of vocabulary."""
    import torch
    from torch.nn.functional import cross_entropy as torch_loss

    from collect.metrics import statistics as measure

    examples, tokens = (8, 32) if place.gpu else (2, 5)
    figures, worst = {}, 0.0
    for size in VOCABULARIES:
        generator = torch.Generator().manual_seed(size)
        logits = (3 * torch.randn(examples, tokens, size, generator=generator)).to(place.device)
        labels = torch.randint(0, size, (examples, tokens), generator=generator).to(place.device)
        shifted, wanted = logits[:, :-1], labels[:, 1:]
        flat, flat_labels = shifted.reshape(-1, size), wanted.reshape(-1)
        # one row at a time: the whole in float64 would take twice the memory
        exact = torch.stack(
            [torch_loss(row.double(), label) for row, label in zip(flat, flat_labels, strict=True)]
        )
        ways = {
            "collect": measure(logits, labels)[:, 0].sum(),
            "flat": torch_loss(flat, flat_labels, reduction="sum").double(),
            "transposed": torch_loss(shifted.transpose(1, 2), wanted, reduction="sum").double(),
        }
        errors = {name: float((value / exact.sum() - 1).abs()) for name, value in ways.items()}
        figures[str(size)] = errors
        worst = max(worst, errors["collect"])
        del logits, shifted, flat
    torchs = max(max(errors["flat"], errors["transposed"]) for errors in figures.values())
    text = f"collect's loss is off by at most {worst:.1e} of its value, torch's own by {torchs:.1e}"
    return judge(worst < 1e-6, text, relative_errors=figures)


def judge_energy(joules, resumed_at):
    """Why these energies are wrong, or None: they rise at each eval, also over the resume before the eval
    at index ``resumed_at``."""
    if not joules or any(value is None for value in joules):
        return "an eval has no energy"
    for index in range(1, len(joules)):
        if joules[index] <= joules[index - 1]:
            where = " after the resume" if index == resumed_at else ""
            return f"the energy falls from {joules[index - 1]:g} J to {joules[index]:g} J{where}"
    return None


def energy(place):
    """NVML's energy rises, continues over a resume, and agrees with power times time within 10 %."""
    if not place.gpu:
        return Result(SKIPPED, "a CPU has no energy counter of NVML")
    if importlib.util.find_spec("pynvml") is None:
        return Result(SKIPPED, "pynvml is not installed (pip install nvidia-ml-py)")
    import torch

    from collect.machine import Energy

    torch.zeros(1, device="cuda")
    counter = Energy()
    if counter.joules() is None:
        return Result(SKIPPED, "this GPU has no energy counter")
    joules, watts, seconds = use_gpu(counter)
    ratio = joules / (watts * seconds)
    code = train_killed(place, "energy", 3)
    folder = train(place, "energy")
    resumes = records(folder, "segment")
    joules = [record["compute"].get("energy_joules") for record in records(folder)]
    wrong = judge_energy(joules, 3)
    if code != -signal.SIGKILL or not resumes:
        wrong = wrong or f"the run was not killed and resumed (exit code {code})"
    if not 0.9 <= ratio <= 1.1:
        wrong = wrong or f"NVML's energy is {ratio:.2f} of power times time"
    text = wrong or f"it rises, continues over a resume, and is {ratio:.3f} of power times time"
    return judge(wrong is None, text, joules=joules, ratio=ratio, watts=watts, seconds=seconds)


def use_gpu(counter):
    """Multiply matrices for some seconds; returns the joules, the mean power in watts, and the seconds."""
    import torch

    matrix = torch.randn(4096, 4096, device="cuda")
    samples, ends = [], threading.Event()

    def sample():
        import pynvml

        while not ends.is_set():
            samples.append((time.perf_counter(), pynvml.nvmlDeviceGetPowerUsage(counter._handle) / 1000))
            time.sleep(0.02)

    def work(seconds):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for _ in range(20):
                matrix @ matrix
            torch.cuda.synchronize()

    work(3)  # the power that NVML reports is a mean over the last second or so
    thread = threading.Thread(target=sample)
    first, began = counter.joules(), time.perf_counter()
    thread.start()
    work(8)
    seconds, joules = time.perf_counter() - began, counter.joules() - first
    ends.set()
    thread.join()
    watts = statistics.mean(watts for moment, watts in samples if moment <= began + seconds)
    return joules, watts, seconds


def weight_norms(place):
    """Norms of 4-bit weights in the log are those of the dequantised weights."""
    if not place.gpu:
        return Result(SKIPPED, "4-bit weights need a GPU")
    if importlib.util.find_spec("bitsandbytes") is None:
        return Result(SKIPPED, "bitsandbytes is not installed")
    import bitsandbytes.functional
    import torch

    from collect import config, model
    from collect.adapter import Adapter

    make_inputs(place)
    settings = config.load(write_config(place, "four", model__quantization="4bit"))
    adapted = model.add_lora(model.load(settings, (), place.cache)[0], settings)
    adapter = Adapter.of(adapted)
    differences = []
    for layer, norm in zip(adapter.layers, adapter.weight_norms, strict=True):
        weight = layer.module.get_base_layer().weight
        whole = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
        differences.append(abs(float(norm) / float(torch.linalg.vector_norm(whole.double())) - 1))
    worst = max(differences)
    text = f"{len(differences)} norms differ from those of the dequantised weights by at most {worst:.1e}"
    return judge(worst < 1e-5, text, worst=worst, modules=len(differences))


def flops(place):
    """Operations with each attention kernel and with gradient checkpointing against the analytic numbers."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from collect.operations import Counter

    width, layers, tokens, batch, words = (512, 4, 256, 4, 1000) if place.gpu else (32, 2, 16, 2, 50)
    dtype = torch.bfloat16 if place.gpu else torch.float32
    ids = torch.randint(0, words, (batch, tokens), generator=torch.Generator().manual_seed(0))
    ids = ids.to(place.device)

    def build(attention):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=words,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64 if place.gpu else 4,
            attn_implementation=attention,
        )
        model = transformers.LlamaForCausalLM(config).to(place.device, dtype)
        return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))

    def count(model, backward=True):
        model.train()
        with Counter() as counter, torch.set_grad_enabled(backward):
            loss = model(input_ids=ids, labels=ids).loss
            if backward:
                loss.backward()
        return counter.total

    eager = count(build("eager"))
    # scores, and their use: two products; a fused kernel computes the scores again on its way back
    attention = layers * 2 * 2 * batch * tokens * tokens * width
    figures = {"eager": eager, "attention": attention}
    names = (
        ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION") if place.gpu else ("FLASH_ATTENTION",)
    )
    wrong, counted = [], []
    for name in names:
        try:
            with sdpa_kernel(getattr(SDPBackend, name)):
                figures[name.lower()] = total = count(build("sdpa"))
        except RuntimeError:  # the kernel does not run on this device
            figures[name.lower()] = None
            continue
        counted.append(name)
        if abs(total - eager - attention / 2) > 0.01 * attention:
            wrong.append(f"{name.lower()} counts {total:.4g}, not {eager + attention / 2:.4g}")
    if not counted:
        wrong.append("no fused kernel runs here")
    model = build("sdpa")
    model.enable_input_require_grads()
    plain, forward = count(model), count(model, backward=False)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    extra = count(model) - plain
    again = forward - 2 * batch * tokens * width * words  # all but the output layer
    figures |= {"checkpointing": extra, "forward": forward, "share": extra / again}
    # a pass that is computed again ends with the last tensor that is needed
    if not 0.8 <= extra / again <= 1.001:
        wrong.append(f"checkpointing adds {extra / again:.3f} of a forward pass")
    kernels = ", ".join(counted).lower()
    good = f"{kernels} is counted right, and checkpointing adds {extra / again:.3f} of a forward"
    return judge(not wrong, "; ".join(wrong) or f"{good} pass", **figures)


def overhead(place):
    """What the signals of the adapter cost: the time of a step without the log, with it, and with its step
    signals; three turns, or as many as the time allows."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    from collect import EvalLog

    make_inputs(place)
    number, tokens = (60, 32) if place.gpu else (12, 8)
    ids = torch.randint(3, 60, (256, tokens), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [{"input_ids": row, "attention_mask": [1] * tokens, "labels": row} for row in ids]

    class Clock(transformers.TrainerCallback):
        def __init__(self):
            self.seconds = []

        def on_step_begin(self, args, state, control, **kwargs):
            self.began = self.now()

        def on_step_end(self, args, state, control, **kwargs):
            self.seconds.append(self.now() - self.began)

        def now(self):
            if place.gpu:
                torch.cuda.synchronize()
            return time.perf_counter()

    def measure(kind, repeat):
        torch.manual_seed(0)
        base = transformers.AutoModelForCausalLM.from_pretrained(place.folder / "llama")
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear"))
        arguments = transformers.TrainingArguments(
            str(place.folder / f"{kind}-{repeat}"),
            max_steps=number,
            eval_strategy="steps",
            eval_steps=number // 2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not place.gpu,
            label_names=["labels"],
        )
        clock = Clock()
        log = (
            []
            if kind == "none"
            else [EvalLog(place.folder / f"log-{kind}-{repeat}", step_signals=kind == "on")]
        )
        trainer = transformers.Trainer(
            model, arguments, train_dataset=rows, eval_dataset=rows[:32], callbacks=[*log, clock]
        )
        trainer.train()
        return clock.seconds[number // 4 :]

    kinds = ("none", "off", "on")
    taken = {kind: [] for kind in kinds}
    began = time.time()
    for repeat in range(3):
        if repeat and time.time() + 2 * (time.time() - began) / repeat > place.deadline:
            break
        for kind in kinds[repeat:] + kinds[:repeat]:
            taken[kind] += measure(kind, repeat)
        result = judge_overhead(place, *(1000 * statistics.median(taken[kind]) for kind in kinds))
        result.figures["steps"] = len(taken["on"])
        note(place, result)  # what is known survives the end of the time
    return result


def judge_overhead(place, none, off, on):
    share = on / none - 1
    text = f"a step takes {none:.2f} ms without a log, {off:.2f} ms with one, {on:.2f} ms with step signals"
    limit = " (limit: 25 % more)" if place.gpu else " (no limit on a CPU)"
    return judge(
        not place.gpu or share < 0.25, text + limit, ms={"none": none, "off": off, "on": on}, share=share
    )
