"""The file of policies: what it may hold, and what is said of everything else."""

import re

import pytest

from replay.check.config import LIMITS, read_config
from replay.engine.question import Question
from replay.errors import ReplayError

FULL = """
logs = ["logs", "more/run1"]
monitor = "eval_loss"
mode = "min"
objective = "test_loss"
objective_mode = "min"
unit = "cost"
price = 2
keep = "last"
group = "dataset"
confidence = 0.9

[policies.fast]
spec = "patience = 1"
max_lost = "5 %"
max_lost_worst = "30%"
max_regret = 0.01
max_regret_worst = "0.5%"
min_saved = "20%"
max_stopped_too_early = "10%"

[policies.fast.groups.films]
max_lost = "7%"

[[policies.fast.expect]]
run = "run1"
eval = 3

[[policies.fast.expect]]
run = "run2"
eval = "never"

[policies.slow]
spec = "patience=10"
"""


def written(tmp_path, text):
    (tmp_path / "policies.toml").write_text(text, encoding="utf-8")
    return tmp_path / "policies.toml"


def test_everything_is_read(tmp_path):
    path = written(tmp_path, FULL)
    config = read_config(path)
    assert config.logs == (tmp_path / "logs", tmp_path / "more/run1")
    assert config.question == Question("eval_loss", "min", "test_loss", "min", "cost", 2.0, "last")
    assert (config.group, config.confidence) == ("dataset", 0.9)
    fast, slow = config.policies
    assert (fast.name, fast.spec, slow.name, slow.spec) == ("fast", "patience=1", "slow", "patience=10")
    assert [(limit.name, limit.figure, limit.worst, limit.value, limit.text) for limit in fast.limits] == [
        ("max_lost", "lost", False, 0.05, "5%"),
        ("max_lost_worst", "lost", True, 0.3, "30%"),
        ("max_regret", "regret", False, 0.01, "0.01"),
        ("max_regret_worst", "relative_regret", True, 0.005, "0.5%"),
        ("min_saved", "saved", False, 0.2, "20%"),
        ("max_stopped_too_early", "stopped_too_early", False, 0.1, "10%"),
    ]
    assert [limit.text for limit in fast.groups["films"]] == ["7%"]
    assert [(row.run, row.eval) for row in fast.expect] == [("run1", 3), ("run2", None)]
    assert not slow.limits
    assert not slow.groups
    assert not slow.expect


def test_defaults(tmp_path):
    config = read_config(written(tmp_path, '[policies.a]\nspec = "patience=3"\n'))
    assert (config.logs, config.question, config.group, config.confidence) == ((), Question(), None, 0.95)
    assert (config.question.monitor, config.question.unit, config.question.keep) == (None, "steps", "best")


POLICY = '[policies.fast]\nspec = "patience=3"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no policies; write [policies.NAME]"),
        ("policies = 3", "no policies; write [policies.NAME]"),
        ("[policies.fast", "policies.toml: Expected ']'"),
        ("[policies.fast]", '[policies.fast] needs spec = "…"'),
        ("[policies]\nfast = 1", "[policies.fast] is a table, not 1"),
        ('[policies.fast]\nspec = "patients=3"', "[policies.fast] spec: no policy 'patients'"),
        ("[policies.fast]\nspec = 3", "[policies.fast] spec = 3: spec takes a policy"),
        (
            POLICY + 'max_loss = "5%"',
            "[policies.fast] has no key 'max_loss'; there are expect, groups, guarantee, max_lost",
        ),
        (POLICY + 'max_loss = "5%"', "Did you mean max_lost?"),
        ("moniter = 'x'\n" + POLICY, "has no key 'moniter'; there are confidence, "),
        ("moniter = 'x'\n" + POLICY, "Did you mean monitor?"),
        ("monitor = 3\n" + POLICY, "monitor = 3: monitor takes the name of a metric"),
        ("mode = 'lower'\n" + POLICY, 'mode = "lower": mode takes "min" or "max"'),
        (
            "unit = 'hours'\n" + POLICY,
            'unit = "hours": unit takes one of steps, epochs, tokens, flops, seconds, gpu_hours, cost',
        ),
        ("unit = 'hours'\n" + POLICY, "Did you mean gpu_hours?"),
        ("keep = 'bets'\n" + POLICY, "Did you mean best?"),
        ("price = 0\n" + POLICY, "price = 0.0: price takes a number greater than 0"),
        ("price = true\n" + POLICY, "price = true: price takes a number"),
        ("confidence = 95\n" + POLICY, "confidence = 95.0: confidence takes a number from 0.5 to below 1"),
        ("confidence = nan\n" + POLICY, "confidence = nan"),
        ("logs = 'logs'\n" + POLICY, 'logs = "logs": logs takes a list of paths'),
        ("logs = []\n" + POLICY, "logs = []: logs takes a list"),
        ("logs = [3]\n" + POLICY, "logs = [3]"),
        (
            POLICY + 'max_lost = "5"',
            '[policies.fast] max_lost = "5": it has no unit, write "5%"; max_lost takes a percentage',
        ),
        (POLICY + "max_lost = 0.05", 'it has no unit, write "5%"'),
        (POLICY + 'max_lost = "5kg"', "'kg' is not a unit of it"),
        (POLICY + 'max_lost = "much"', "not a finite number"),
        (POLICY + 'max_lost = "inf%"', "not a finite number"),
        (POLICY + "max_regret = nan", "not a finite number"),
        (POLICY + 'max_lost = "-1%"', "it is negative"),
        (POLICY + 'max_lost = "101%"', "no more than 100% is possible"),
        (POLICY + 'min_saved = "101%"', "no more than 100% is possible"),
        (POLICY + "min_saved = true", "min_saved = true: min_saved takes a percentage"),
        (POLICY + 'max_regret = ["1%"]', "max_regret takes a share of the best value in quotes"),
        (POLICY + "groups = 3", "groups = 3: groups takes one table [policies.NAME.groups.GROUP]"),
        (POLICY + "[policies.fast.groups]\nfilms = 1", "[policies.fast.groups.films] is a table, not 1"),
        (
            POLICY + '[policies.fast.groups.films]\nspec = "x"',
            "[policies.fast.groups.films] has no key 'spec'; there are max_lost",
        ),
        (POLICY + "expect = 3", "expect = 3: expect takes tables [[policies.NAME.expect]]"),
        (POLICY + "[[policies.fast.expect]]\neval = 3", "row 1 lacks run, the id of a run"),
        (POLICY + "[[policies.fast.expect]]\nrun = 'a'", "row 1 lacks eval, the eval that it must stop at"),
        (POLICY + "[[policies.fast.expect]]\nrun = 'a'\neval = 0", "eval = 0: eval takes the eval"),
        (POLICY + "[[policies.fast.expect]]\nrun = 'a'\neval = 1.0", "eval = 1.0"),
        (POLICY + "[[policies.fast.expect]]\nrun = 'a'\neval = true", "eval = true"),
        (POLICY + "[[policies.fast.expect]]\nrun = 'a'\neval = 'last'", 'eval = "last"'),
        (
            POLICY + "[[policies.fast.expect]]\nrun = 'a'\neval = 1\nstep = 2",
            "[policies.fast.expect] has no key 'step'",
        ),
    ],
)
def test_mistakes_name_the_file_the_table_and_the_key(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(ReplayError, match=r"policies\.toml") as told:
        read_config(path)
    assert said in str(told.value)
    assert told.value.exit_code == 2


def test_files_that_cannot_be_read(tmp_path):
    for content in (b"\xff\xfe", b"a = " + b"[" * 5000):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ReplayError, match=r"bad\.toml"):
            read_config(tmp_path / "bad.toml")
    with pytest.raises(ReplayError, match="No such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(ReplayError, match="directory"):
        read_config(tmp_path)


def test_every_limit_says_what_it_takes(tmp_path):
    for name, takes in LIMITS.items():
        example = re.search(r'"[^"]*"', takes)[0]
        assert (
            read_config(written(tmp_path, f"{POLICY}{name} = {example}")).policies[0].limits[0].name == name
        )
        with pytest.raises(ReplayError, match=re.escape(takes)):
            read_config(written(tmp_path, f'{POLICY}{name} = "lots"'))
