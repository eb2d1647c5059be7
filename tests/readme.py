"""What the README's generated blocks are made with: they run the real commands, from the project's root."""

import contextlib
import io
import json
import os
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _out(text):
    import cog  # exists only while cog runs

    cog.outl(text)


def console(command, code=0):
    """Print a command and its output as a fenced block."""
    said = _invoked(command.replace("\\\n", " "), codes=(code,))
    _out(f"```console\n$ {command}\n{said.rstrip()}\n```")


def _json(command):
    """What a command prints as JSON."""
    return json.loads(_invoked(f"{command} --format json", codes=(0, 3)))


def _invoked(command, codes=(0,)):
    from click.testing import CliRunner

    from replay.cli import cli

    with contextlib.chdir(ROOT):
        result = CliRunner().invoke(cli, shlex.split(command)[1:], catch_exceptions=False, terminal_width=80)
    assert result.exit_code in codes, result.output
    return result.stdout or result.stderr


def league():
    """Print the league of all rules on the sample logs."""
    _out(_invoked("replay choose sample_logs --grid rule=all --per-rule --format markdown").rstrip())


def gap():
    """Print what is guaranteed for several tolerances, and what the best guess loses in-sample and
    cross-validated."""
    from replay.report.format import percent

    head = (
        "tolerance",
        "guaranteed",
        "saved",
        "best guess",
        "saved",
        "lost in-sample",
        "by run",
        "by data set",
    )
    _out(f"| {' | '.join(head)} |")
    _out("| --: | :-- | --: | :-- | --: | --: | --: | --: |")
    for limit in ("2%", "5%", "10%", "20%"):
        told = _json(f"replay choose sample_logs --max-lost {limit}")
        line = {row["scored_on"]: row for row in told["lines"]}
        proven, saved = told["guarantee"]["policy"], told["guarantee"]["saved"]
        lost = [
            percent(line[name]["lost_mean"]) for name in ("in sample", "held out by run", "held out by group")
        ]
        guess = told["best_guess"] if told["obstacle"] is None else f"{told['best_guess']} (not confirmed)"
        cells = [
            limit,
            proven or f"none ({told['guarantee']['units_needed']} runs needed)",
            percent(saved) if proven else "",
            guess,
            percent(line["held out by run"]["saved_mean"]),
            *lost,
        ]
        _out(f"| {' | '.join(cells)} |")


def table(of):
    """Print the markdown table of policies or formats."""
    from replay.report import formats, policies
    from replay.report.render import render

    document = {"policies": policies, "formats": formats}[of].build()
    _out(render(document, "markdown").rstrip())


def formats_page():
    """Print the page of the log formats."""
    from replay.report.formats import build_page
    from replay.report.render import render

    _out(render(build_page(), "markdown").rstrip())


def findings_page():
    """Print the page of the findings."""
    from replay.report.kinds import build_page
    from replay.report.render import render

    _out(render(build_page(), "markdown").rstrip())


#: Commands whose JSON the page of columns and keys describes.
JSON_COMMANDS = {
    "simulate": "replay simulate sample_logs --policy patience=3",
    "sweep": "replay sweep sample_logs --grid patience=1..3",
    "choose": "replay choose sample_logs",
    "choose --per-rule": "replay choose sample_logs --grid rule=patience,gl --per-rule",
    "plan": "replay plan sample_logs",
    "budget": "replay budget sample_logs --compute 1000steps --group group --draws 20",
    "inspect": "replay inspect sample_logs",
    "explain": "replay explain sample_logs --policy patience=3",
    "check": "replay check .ci/policies.toml",
    "diff": "replay diff patience=3 patience=4 sample_logs",
    "watch": "replay watch sample_logs --once --policy patience=3",
    "policies": "replay policies",
    "formats": "replay formats",
}
#: Keys whose value maps names from the logs or the policies to something, so that these names are no keys.
NAMED = ("censored", "still_improving", "left_out", "folds.runs", "regions.grid", "regions.values")
NAMED += ("policies.parameters", "runs.metrics")


def json_keys(command):
    """The keys of what a command prints as JSON, each with its path, in order; a path that holds the keys of
    the outcomes or of the summary stands for these."""
    from replay.engine.outcomes import COLUMNS
    from replay.stats.summary import KEYS

    tables = {"outcomes": set(COLUMNS), "summary": set(KEYS) - {"policy", "spec"}}
    found = {}

    def walk(value, path):
        if isinstance(value, list):
            for item in value:
                walk(item, path)
        elif isinstance(value, dict) and (path not in NAMED or "what" in value):
            if path and any(names <= set(value) for names in tables.values()):
                return
            for name, item in value.items():
                below = f"{path}.{name}" if path else name
                found.setdefault(below, None)
                walk(item, below)

    walk(_json(JSON_COMMANDS[command]), "")
    return list(found)


def columns_page():
    """Print the columns of outcomes and summaries, and the keys of each command's JSON."""
    from replay.engine.outcomes import COLUMNS
    from replay.report.key_texts import describe_key
    from replay.stats.summary import KEYS

    def table(head, rows):
        _out(f"| {head} | meaning |\n| :-- | :-- |")
        for name, text in rows:
            _out(f"| `{name}` | {text.replace('|', chr(92) + '|')} |")

    _out("## Outcomes\n\nOne row per run and policy: `replay.simulate`, `outcomes` in JSON, and the CSV of")
    _out("`replay simulate --per-run`.\n")
    table("column", [(name, describe_key("outcomes", name)) for name in COLUMNS])
    _out("\n## Summary\n\nOne row per policy: `summary` in JSON, and the CSV of `replay simulate`. The")
    _out("DataFrame of `replay.sweep` has the same columns.\n")
    table("column", [(name, describe_key("summary", name)) for name in KEYS])
    for command in JSON_COMMANDS:
        _out(f"\n## JSON of replay {command}\n")
        table("key", [(path, describe_key(command, path)) for path in json_keys(command)])


def disagreement():
    """Print at which eval each tool's rule, given the same patience and threshold, stops the same
    sequences."""
    import math

    from replay import parse_policy
    from replay.errors import PolicyError

    sequences = {
        "falls by 0.04 each time; patience 2, threshold 0.05": ([1 - 0.04 * i for i in range(8)], 2, 0.05),
        "stays at 0.5; patience 3": ([0.5] * 8, 3, 0.0),
        "NaN, then falls; patience 3": ([math.nan, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 3, 0.0),
        "up and down; patience 0": ([1, 0.9, 0.8, 0.7, 0.75, 0.6, 0.65, 0.7], 0, 0.0),
        "falls by 1e-9; patience 2": ([1 - 1e-9 * i for i in range(8)], 2, 0.0),
    }
    rules = {
        "replay's own": "patience={P},min_delta={d}",
        "transformers": "transformers:patience={P},threshold={d}",
        "Keras": "keras:patience={P},min_delta={d}",
        "Lightning": "lightning:patience={P},min_delta={d}",
        "Ignite": "ignite:patience={P},min_delta={d}",
        "Optuna's PatientPruner": "optuna-patient:patience={P},min_delta={d}",
        "XGBoost": "xgboost:patience={P},min_delta={d}",
        "LightGBM": "lightgbm:patience={P},min_delta={d}",
        "scikit-learn's MLP": "sklearn-mlp:patience={P},min_delta={d}",
        "ReduceLROnPlateau of torch": "torch-plateau:patience={P},threshold={d},threshold_mode=abs",
        "the LoRA tutorials' callback": "tutorial:patience={P},min_delta={d}",
    }
    _out("| rule | " + " | ".join(sequences) + " |\n| :-- |" + " --: |" * len(sequences))
    for name, template in rules.items():
        cells = []
        for values, patience, delta in sequences.values():
            try:
                stop = parse_policy(template.format(P=patience, d=delta)).stop_eval(values)
            except PolicyError:
                cells.append("an error")
            else:
                cells.append("never" if stop is None else str(stop))
        _out(f"| {name} | " + " | ".join(cells) + " |")


def python(code):
    """Print code and what it prints."""
    buffer = io.StringIO()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(buffer):
            exec(compile(code, "README.md", "exec"), {})
    finally:
        os.chdir(before)
    _out(f"```python\n{code.strip()}\n```\n\n```text\n{buffer.getvalue().rstrip()}\n```")


def settings():
    """Print all keys of a config, section by section, with what they mean, what they take and their
    defaults."""
    import dataclasses
    import inspect
    import typing

    from collect import config

    def section(kind, prefix, fields):
        hints = typing.get_type_hints(kind)
        _out("\n| key | takes | default |\n| :-- | :-- | :-- |")
        for field in (field for field in fields if field.metadata.get("key", True)):
            _out(f"| `{prefix}{field.name}` | {config.describe(hints[field.name])} | {_default(field)} |")

    hints = typing.get_type_hints(config.Config)
    plain = []
    for field in dataclasses.fields(config.Config):
        kinds = [
            kind
            for kind in (hints[field.name], *typing.get_args(hints[field.name]))
            if dataclasses.is_dataclass(kind)
        ]
        if kinds:
            _out(f"\n**`[{field.name}]`** " + inspect.getdoc(kinds[0]).replace("``", "`"))
            section(kinds[0], f"{field.name}.", dataclasses.fields(kinds[0]))
        elif field.metadata.get("key", True):
            plain.append(field)
    _out("\n**At the top** " + inspect.getdoc(config.Config).replace("``", "`"))
    section(config.Config, "", plain)


def _default(field):
    import dataclasses

    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is dataclasses.MISSING else "none"
    value = field.default
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value!r}`"


def sample_runs():
    """Print the table of the sample runs: what is in them."""
    import json

    import numpy as np

    from replay.readers import read

    _out(
        "| run | evals | best eval_loss, at step | last | test_loss at it | accuracy at it, best | train s /"
        " eval s |\n| :-- | --: | :-- | :-- | :-- | :-- | --: |"
    )
    folders = [path.parent for path in sorted((ROOT / "sample_logs").glob("*/eval_log.jsonl"))]
    for folder in folders:
        (run,) = read([folder / "eval_log.jsonl"]).runs
        loss, test, accuracy = (
            run.columns[name].values for name in ("eval_loss", "test_loss", "eval_accuracy")
        )
        best = int(np.nanargmin(loss))
        train, evals = run.columns["train_seconds"].values[-1], run.columns["eval_seconds"].values.sum()
        _out(
            f"| `{json.loads((folder / 'eval_log.jsonl').open().readline())['run']}` | {len(run)} |"
            f" {loss[best]:.3f} at {run.steps[best]:g} | {loss[-1]:.3f} | {test[best]:.3f} |"
            f" {accuracy[best]:.3f}, {np.nanmax(accuracy):.3f} | {train:.0f} / {evals:.0f} |"
        )


def helps():
    """Print the help text of every command."""
    from replay.cli import cli

    for name, command in cli.commands.items():
        if not command.hidden:
            said = _invoked(f"replay {name} --help").rstrip()
            _out(f"### replay {name}\n\n```text\n{said}\n```\n")


def notebook():
    """Print the notebook as a page: its texts, its code and what that gives."""
    import nbformat

    for cell in nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            _out(f"{cell.source.replace('# ', '## ', 1) if cell.source.startswith('# ') else cell.source}\n")
            continue
        _out(f"```python\n{cell.source}\n```\n")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                _out(
                    f'<img alt="The plot" src="data:image/png;base64,{"".join(data["image/png"].split())}">\n'
                )
            elif "text/html" in data:
                # a blank line would end the block of HTML
                _out("\n".join(line for line in data["text/html"].splitlines() if line.strip()) + "\n")
            else:
                _out(f"```text\n{(data.get('text/plain') or output.get('text', '')).rstrip()}\n```\n")
