"""The documents say what the code does: README's blocks are made by it, CONTRIBUTING's example runs."""

import ast
import doctest
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from collect import config as settings
from collect.cli import cli as collect_cli
from replay.cli import cli
from replay.data.finding import Kind
from replay.policies import POLICIES
from replay.readers import FORMATS
from replay.report.key_texts import KEY_TEXTS, describe_key
from replay.report.sentences.check_kinds import CHECK_KINDS
from replay.report.sentences.meanings import MEANINGS, SEVERITIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
#: README and all pages.
DOCS = "\n".join([README, *(page.read_text(encoding="utf-8") for page in PAGES)])


def test_readme_blocks_are_fresh():
    """Each block is the output of the command, or the code, above it; `make readme` writes them anew."""
    pages = [str(page.relative_to(ROOT)) for page in PAGES]
    command = [
        sys.executable,
        "-m",
        "cogapp",
        "--check",
        "--diff",
        "README.md",
        "sample_logs/README.md",
        "corpus/README.md",
        *pages,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert DOCS.count("[[[cog") >= 16


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_every_page_is_in_the_menu_of_the_site():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f" {page.name}\n" not in menu] == []


def test_links_lead_somewhere():
    """Links between the documents: to files that exist, and to headings that are there."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "sample_logs" / "README.md", *PAGES]
    missing = []
    for document in documents:
        text = re.sub(r"(?s)```.*?```", "", document.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                missing.append((document.name, link))
    assert missing == []


def _anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_no_long_sentence():
    """Sentences of more than 30 words are read twice; counted in prose, not in blocks, tables or lists."""
    long = []
    for page in [ROOT / "README.md", *PAGES]:
        prose = re.sub(
            r"(?s)<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->|<!--.*?-->|```.*?```|<details>.*?</details>",
            "",
            page.read_text(encoding="utf-8"),
        )
        paragraphs = [
            part for part in prose.split("\n\n") if not part.lstrip().startswith(("|", "#", "-", "!"))
        ]
        for paragraph in paragraphs:
            for sentence in re.split(r"(?<=[.!?:;])\s", paragraph):
                words = re.findall(r"\S+", re.sub(r"`[^`]*`|\([^)]*\)", "x", sentence))
                if len(words) > 30:
                    long.append((page.name, sentence))
    assert long == []


@pytest.mark.parametrize("name", sorted(name for name, one in cli.commands.items() if not one.hidden))
def test_every_command_has_help_with_an_example_and_is_in_the_readme(name):
    command = cli.commands[name]
    assert command.help
    assert f"replay {name}" in DOCS
    if command.params and any(param.name == "paths" for param in command.params):
        assert f"replay {name}" in command.help
    assert all(param.help for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize("name", sorted(collect_cli.commands))
def test_every_command_of_collect_has_help_and_is_in_the_readme(name):
    command = collect_cli.commands[name]
    assert command.help
    assert f"collect {name}" in DOCS
    assert all(param.help for param in command.params if isinstance(param, click.Option) and not param.hidden)


def test_the_config_of_the_readme_is_one():
    (block,) = (block for block in re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL) if "[model]" in block)
    config = settings.parse({"name": "my-run", **tomllib.loads(block)}, "README.md")
    assert config.data.prompt == "{passage:100} {question}\nAnswer:"
    assert config.generation is not None
    assert config.generic is not None


def test_the_policies_of_the_readme_can_be_checked(tmp_path):
    (block,) = (block for block in re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL) if "[policies." in block)
    folder = shutil.copytree(ROOT / "examples" / "ci", tmp_path / "ci")
    (folder / "replay.lock").unlink()
    (folder / "policies.toml").write_text(block)
    result = CliRunner().invoke(cli, ["check", str(folder / "policies.toml")])
    assert result.exit_code == 0, result.output
    assert "Passed" in result.output


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_in_the_docs(name):
    assert f"| {name} |" in DOCS


def test_the_page_of_the_formats_has_each_with_what_is_read_and_what_it_was_tested_on():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for format in FORMATS:
        part = page.split(f"\n## {format.name}\n", 1)[1].split("\n## ", 1)[0]
        assert "- Read: " in part
        assert "- Tested on: " in part
        assert ("- Not read, or not known: " in part) == bool(format.limits)


def test_the_page_of_the_findings_has_each_kind():
    """A kind of a check has its text in CHECK_KINDS, any other in MEANINGS, and none has two."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(.*)`$", page, re.MULTILINE)) == sorted(Kind)
    assert all(
        text.endswith(".") for kinds in MEANINGS.values() for one in kinds.values() for text in one if text
    )


def test_the_severities_of_the_findings_are_those_of_the_code():
    """Where a finding is made with a severity that can be read off, the page states it."""
    found = {}
    for file in (ROOT / "replay").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args):
                continue
            kind = call.args[0]
            if (
                call.func.id == "Finding"
                and isinstance(kind, ast.Attribute)
                and kind.attr in Kind.__members__
            ):
                given = [word.value for word in call.keywords if word.arg == "severity"] or call.args[1:2]
                names = re.findall(r"Severity\.(\w+)", ast.unparse(given[0])) if given else ["WARNING"]
                found.setdefault(Kind[kind.attr], set()).update(names)
    assert len(found) > 60
    for kind, names in found.items():
        if kind in CHECK_KINDS or not names:
            continue
        stated = SEVERITIES.get(kind, "warning")
        assert all(name.lower() in stated for name in names), (kind, names, stated)
        assert "or" not in stated.split() or len(names) > 1 or kind is Kind.OTHER, (kind, names, stated)


def test_the_page_of_the_columns_uses_every_text():
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert [name for name, text in KEY_TEXTS.items() if f"| {text} |" not in page] == []


def test_a_key_without_a_text_is_named():
    with pytest.raises(KeyError, match=r"choose: lines.unheard has no text"):
        describe_key("choose", "lines.unheard")


def test_the_policy_of_contributing_works(monkeypatch):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"A whole policy:\n\n```python\n(.*?)```", text, re.DOTALL).group(1)
    # a dataclass looks for the names of its annotations in its module
    monkeypatch.setitem(sys.modules, "fall", ModuleType("fall"))
    module = vars(sys.modules["fall"])
    exec(code, module)
    kind = module["Fall"]
    tests = doctest.DocTestFinder().find(kind, "Fall", globs=module, module=False)
    results = doctest.DocTestRunner().run(tests[0])
    assert (results.failed, results.attempted) == (0, 1)
    curve = [1.0, 0.9, 0.95, 0.96, 0.5, float("nan"), 0.6, 0.7]
    policy = kind(2)
    whole = [policy.decide(curve[:end]).stop for end in range(1, len(curve) + 1)]
    assert whole.index(True) + 1 == policy.stop_eval(curve) == 4
    assert policy.spec() == "fall=2"
    assert policy.decide(curve[:4]).reason == "worse 2 of 2 times in a row, now 0.96"


def test_names_of_the_documents_exist():
    """Files and make targets that the documents name."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"`make ([a-z]+)", text):
            assert target in targets, (document, target)
        for path in re.findall(r"`((?:replay|collect|tests|benchmarks|sample_logs)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), (document, path)
