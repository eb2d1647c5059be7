"""What the README's generated blocks are made with: they run the real commands, from the project's root."""

import contextlib
import io
import os
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _out(text):
    import cog  # exists only while cog runs

    cog.outl(text)


def console(command):
    """Print a command and its output as a fenced block."""
    from click.testing import CliRunner

    from replay.cli import cli

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        result = CliRunner().invoke(cli, shlex.split(command.replace("\\\n", " "))[1:], catch_exceptions=False, terminal_width=80)
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    _out(f"```console\n$ {command}\n{result.stdout.rstrip()}\n```")


def table(of):
    """Print the markdown table of policies or formats."""
    from replay.report import catalogue

    _out(getattr(catalogue, of)("markdown").rstrip())


def stops(values, specs):
    """Print where each policy stops one curve."""
    from replay import parse_policy

    _out("| rule | stops at eval |\n| :-- | --: |")
    for spec in specs:
        _out(f"| `{spec}` | {parse_policy(spec).stop_eval(values) or 'never'} |")


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
