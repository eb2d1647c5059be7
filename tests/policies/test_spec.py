from dataclasses import dataclass

import pytest

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies import POLICIES
from replay.policies.grid import parse_grids
from replay.policies.modify import Modified
from replay.policies.param import param, parameters, type_of
from replay.policies.spec import example, example_value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("patience=3", "patience=3"),
        (" patience = 3.0 , min_delta=1e-3 ", "patience=3,min_delta=0.001"),
        ("min_delta=0.1,patience=2", "patience=2,min_delta=0.1"),
        ("patience:patience=2", "patience=2"),
        ("transformers:early_stopping_patience=3,min_delta=0.05", "transformers:patience=3,threshold=0.05"),
        ("never", "never"),
        ("nonfinite", "nonfinite"),
        ("one-epoch", "one-epoch"),
        ("one-epoch:epochs=2", "one-epoch:budget=2"),
        ("patience=2,monitor=metrics/mAP50(B),mode=max", "patience=2,monitor=metrics/mAP50(B),mode=max"),
        ("patience=3,smooth=ema:0.3|target=.5", "patience=3,smooth=ema:0.3 | target=0.5"),
        ("patience=1 | target=0.5 & budget=9", "patience=1 | target=0.5 & budget=9"),
        ("(patience=1|target=0.5)&budget=9", "(patience=1 | target=0.5) & budget=9"),
        ("patience=1&&target=0.5&budget=9", "patience=1 && target=0.5 & budget=9"),
        ("(patience=1&&target=0.5)&budget=9", "(patience=1 && target=0.5) & budget=9"),
        ("patience=1 && (target=0.5 | never)", "patience=1 && (target=0.5 | never)"),
        ("patience=1  unless target=0.5|never", "patience=1 unless target=0.5 | never"),
        ("(patience=1 unless target=0.5)|never", "(patience=1 unless target=0.5) | never"),
        ("patience=1 unless never unless target=0.5", "patience=1 unless never unless target=0.5"),
        ("patience=1 unless (never unless target=0.5)", "patience=1 unless (never unless target=0.5)"),
        ("(patience=1)unless(never)", "patience=1 unless never"),
        ("patience=1,monitor=unless_loss", "patience=1,monitor=unless_loss"),
        ("patience=2,start=lr_warmup,reset_on=lr_drop", "patience=2,start=lr_warmup,reset_on=lr_drop"),
        ("patience=2,unit=tokens", "patience=2,unit=tokens"),
        ("gl:alpha=3", "gl=3"),
        ("gl:alpha=5", "gl"),
        ("pq=1,k=3 | up:s=3", "pq=1,strip=3 | up=3"),
        ("noise:patience=3", "noise:patience=3"),
        ("noise:patience=3,noise=1", "noise:patience=3,noise=1"),
        ("slope:min_slope=0.01", "slope=0.01"),
    ],
)
def test_reads(text, canonical):
    assert str(parse_policy(text)) == canonical
    assert parse_policy(canonical) == parse_policy(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty policy"),
        ("patients=3", "Did you mean patience"),
        ("patience", "policy 'patience' has no value; write for instance patience=3"),
        ("noise", "policy 'noise' lacks patience; write for instance noise:patience=3"),
        ("patience:3", "write patience=3"),
        (
            "patience=x",
            "patience must be a whole number of at least 1 (with unit=steps, epochs or tokens any",
        ),
        ("patience=x", "not 'x'; write for instance patience=3"),
        ("patience=1-6", "not '1-6'; write for instance patience=3, or in a grid patience=1..6"),
        ("patience=-1", "patience must be at least 1, not -1; write for instance patience=3"),
        ("patience=0.5", "patience must be at least 1, not 0.5"),
        (
            "keras:patience=x",
            "keras: patience must be a whole number of at least 0, not 'x'; write for instance",
        ),
        ("budget=-1", "budget must be"),
        ("patience=nan", "finite number"),
        ("patience=3,patience=4", "given twice"),
        ("transformers:treshold=1", "Did you mean threshold"),
        ("transformers:patience=1.5", "whole number, not 1.5"),
        ("transformers:threshold=1,min_delta=2", "same parameter"),
        ("early_stopping_patience=3", "write transformers:early_stopping_patience"),
        ("smooth=ema:0.3", "write for instance patience=3,smooth"),
        ("patience=3,smooth=ema:2", "not 'ema:2'"),
        ("patience=3,smooth=box:2", "not 'box:2'"),
        ("patience=3,every=1.5", "whole evals"),
        ("patience=3,every=0", "at least 1"),
        ("patience=3,every=9223372036854775807", "not 9223372036854775807"),
        ("up=9007199254740993001", "not 9007199254740993001"),
        ("patience=3,mode=up", "min or max"),
        ("patience=3 |", "missing after"),
        ("| patience=3", "missing"),
        ("patience=3 &&", "missing after '&&'"),
        ("&& patience=3", "missing before '&&'"),
        ("patience=3 unless", "missing after 'unless'"),
        ("unless patience=3", "missing before 'unless'"),
        ("patience=3 & & never", "missing before '&'"),
        ("patience=3,start=later", "number or lr_warmup, not 'later'"),
        ("patience=3,start=-1", "at least 0, not -1"),
        (
            "patience=3,reset_on=lrdrop",
            "reset_on is one of none, lr_drop, not 'lrdrop'. Did you mean lr_drop?",
        ),
        ("(patience=3", "not closed"),
        ("patience=3)", "nothing may follow"),
        ("budget=3,unit=parsecs", "one of steps"),
    ],
)
def test_errors_teach(text, says):
    with pytest.raises(PolicyError) as error:
        parse_policy(text)
    assert says in str(error.value)


@pytest.mark.parametrize("kind", POLICIES.values(), ids=lambda kind: kind.name)
def test_no_error_names_a_parameter_twice(kind):
    shown = example(kind)
    for item in parameters(kind):
        for value in ("x", "-1", "nan"):
            others = [] if "=" not in shown else shown.removeprefix(f"{kind.name}:").split(",")
            given = [f"{item.name}={value}", *(one for one in others if not one.startswith(f"{item.name}="))]
            said = ""
            try:
                parse_policy(f"{kind.name}:{','.join(given)}")
            except PolicyError as error:
                said = str(error)
            assert f"{item.name}: {item.name}" not in said


def test_a_start_that_is_no_number_is_refused_wherever_it_comes_from():
    for text in ("foo", "nan", "inf"):
        with pytest.raises(
            PolicyError,
            match=rf"^start must be a number or lr_warmup, not '{text}'; write for instance start=100$",
        ):
            parse_policy(f"patience=3,start={text}")
        with pytest.raises(
            PolicyError,
            match=rf"^start must be a number or lr_warmup, not '{text}'; write for instance start=100$",
        ):
            parse_grids(["patience=3", f"start=0,{text}"])
    with pytest.raises(PolicyError, match=r"^start is a number or lr_warmup, not 'foo'$"):
        Modified(parse_policy("patience=3"), start="foo")
    assert Modified(parse_policy("patience=3"), start="lr_warmup").spec() == "patience=3,start=lr_warmup"


@pytest.mark.parametrize("kind", POLICIES.values(), ids=lambda kind: kind.name)
def test_examples_work(kind):
    parsed = parse_policy(example(kind))
    assert isinstance(parsed, kind)


def test_an_example_names_the_policy_once():
    assert example(POLICIES["adapter"]) == "adapter=0.01,patience=3"
    assert example(POLICIES["up"]) == "up"
    assert example(POLICIES["target"]) == "target=0.5"
    assert example(POLICIES["budget"]) == "budget=500"
    assert example(POLICIES["patience"]) == "patience=3"
    assert example(POLICIES["transformers"]) == "transformers:patience=3"
    assert example(POLICIES["never"]) == "never"


def test_an_example_takes_the_first_choice_of_a_parameter_without_a_default():
    @dataclass
    class Chooser:
        side: str = param("a side", choices=("left", "right"))

    assert example_value(parameters(Chooser)[0]) == "left"


#: A count below 0 switches the rule off there.
OFF_BELOW_ZERO = {("fairseq", "patience"), ("lightgbm", "stopping_rounds")}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (kind.name, item.name)
        for kind in POLICIES.values()
        for item in parameters(kind)
        if type_of(item) == "int" and (kind.name, item.name) not in OFF_BELOW_ZERO
    ],
)
def test_a_negative_count_is_refused(name, parameter):
    with pytest.raises(PolicyError, match=rf"{parameter}\b.*-1"):
        parse_policy(f"{name}:{parameter}=-1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "reduce-on-plateau:patience=3",
            "lowers the learning rate.*torch-plateau stops where it would first act",
        ),
        ("ReduceLROnPlateau", "lowers the learning rate"),
        ("freezing:share=0.5", "freezes weights.*grades"),
        ("pbt", "exchanges weights between runs"),
    ],
)
def test_rules_that_act_on_the_training_are_refused_with_the_reason(text, why):
    with pytest.raises(PolicyError, match=f"cannot be replayed from a log: .*{why}"):
        parse_policy(text)


#: Rules that refuse a negative gain, as their tools do, with the name of the gain.
GAINS = [
    "patience=3,min_delta",
    "extrapolate:min_delta",
    "ignite:patience=3,threshold",
    "optuna-patient:patience=3,min_delta",
    "xgboost:rounds=3,min_delta",
    "lightgbm:stopping_rounds=3,min_delta",
    "sklearn-mlp:tol",
    "sklearn-sgd:tol",
    "sklearn-hgb:tol",
]


@pytest.mark.parametrize("gain", GAINS)
def test_a_negative_gain_is_refused_and_none_is_allowed(gain):
    assert parse_policy(f"{gain}=0")
    for value in ("-1e-9", "-0.5", "-1"):
        with pytest.raises(
            PolicyError, match=f"{gain.rpartition(',')[2].rpartition(':')[2]} must be at least 0"
        ):
            parse_policy(f"{gain}={value}")


@pytest.mark.parametrize(
    ("bare", "full"),
    [
        ("patience=3", "patience=3,min_delta=0"),
        ("transformers", "transformers:patience=1,threshold=0"),
        ("transformers@4.46", "transformers@4.46:patience=1,threshold=0,save_every=1"),
        ("keras", "keras:patience=0,min_delta=0"),
        ("lightning", "lightning:patience=3,min_delta=0"),
        ("tutorial", "tutorial:patience=3,min_delta=0"),
        ("fastai", "fastai:patience=1,min_delta=0"),
        ("ignite:patience=3", "ignite:patience=3,threshold=0"),
        ("xgboost:rounds=3", "xgboost:rounds=3,min_delta=0"),
        ("lightgbm:stopping_rounds=3", "lightgbm:stopping_rounds=3,min_delta=0"),
        ("optuna-patient:patience=3", "optuna-patient:patience=3,min_delta=0"),
        ("torch-plateau", "torch-plateau:patience=10,threshold=1e-4"),
        ("sklearn-mlp", "sklearn-mlp:n_iter_no_change=10,tol=1e-4"),
        ("sklearn-sgd", "sklearn-sgd:n_iter_no_change=5,tol=1e-3"),
        ("sklearn-hgb", "sklearn-hgb:n_iter_no_change=10,tol=1e-7"),
    ],
)
def test_what_is_left_out_is_as_the_tool_has_it(bare, full):
    assert parse_policy(bare) == parse_policy(full)
    assert parse_policy(bare).spec() == bare
