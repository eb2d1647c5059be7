"""Sample outcomes of a check, for the tests of its reports."""

from typing import get_args

from hypothesis import strategies as st

from replay.check.model import Checked, Figure, LimitResult, PolicyResult, Stop, Verdict, WorstRun
from replay.data.finding import Finding, Kind, Severity
from replay.report.sentences.check_kinds import CHECK_KINDS

#: Names that would be commands, markup or another line, were they not escaped.
HOSTILE = (
    "::error file=x::owned",
    "a\n::error::owned",
    "a\r\n::set-output name=x::y",
    "%0A::error::owned",
    "%250A",
    "##[error]owned",
    "a,title=b",
    "c:d",
    "\x1b[31mred\x1b[0m",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "]]>",
    "--><x/>",
    "`code`",
    "a|b",
    "[click](https://evil.example)",
    "![i](https://evil.example/i.png)",
    "*b* _i_ ~~s~~",
    "\u202egpj.exe",
    "\x00\x08\x0b",
    "\ud800",
    "\udcff",
    "\ufffe\uffff",
    "{0} {",
    "$x$",
    "\\",
    "  spaced  ",
    "# heading",
    "- item",
    "",
)


def figures(saved, lost, spread=0.05):
    out = {}
    for name, mean in (("saved", saved), ("lost", lost)):
        out |= {
            f"{name}_mean": mean,
            f"{name}_low": max(mean - spread, 0.0),
            f"{name}_high": min(mean + spread, 1.0),
        }
    return out


def stop(run, number, lost=0.02, reason="3 evals without improvement"):
    step = None if number is None else number * 100
    return Stop(run, f"logs/{run}.jsonl", number, step, reason, 0.4, 0.01, 0.02, lost)


def limit(policy, name, text, figure, wanted, value, low, high, verdict, group=None, **more):
    worst = name.endswith("_worst")
    return LimitResult(
        policy, name, text, figure, wanted, value, low, high, verdict, group, worst=worst, **more
    )


def limit_finding(result, severity):
    """The finding that the checks make of a limit's result."""
    facts = {"limit": result.name, "group": result.group, "result": result}
    worst = result.worst_run
    if worst is None:
        kind = Kind.GUARANTEE if result.name == "guarantee" else Kind.LIMIT
        return Finding(kind, severity, policy=result.policy, facts=facts)
    runs, log = (worst.stop.run,), worst.stop.log
    return Finding(Kind.LIMIT, severity, runs, result.policy, log, {**facts, "after": worst.stop})


def moved(policy, before, after, severity=Severity.REGRESSION):
    facts = {"state": "moved", "before": before, "after": after}
    return Finding(Kind.MOVED, severity, (after.run,), policy, after.log, facts)


def other(text, severity=Severity.WARNING, **more):
    """A finding of somebody else's reader or policy, in words."""
    return Finding(Kind.OTHER, severity, facts={"text": text}, **more)


def too_few(policy, count, limits, group=None, severity=Severity.UNDECIDED):
    facts = {"group": group, "limits": limits, "every": limits, "count": count}
    return Finding(Kind.FEW_RUNS, severity, policy=policy, facts=facts)


def changed_log(log, runs=("c",), severity=Severity.WARNING):
    return Finding(Kind.CHANGED_LOG, severity, log=log, facts={"state": "changed", "of": runs})


def other_version(before, after):
    facts = {"state": "tool", "before": before, "after": after, "moved": 1, "compared": True, "runs": 2}
    return Finding(Kind.VERSION, Severity.NOTE, facts=facts)


def sample():
    """A check with something of every severity, of two policies and of none."""
    broken = limit("patient", "max_lost", "5%", "lost", 0.05, 0.072, 0.052, 0.102, "broken")
    unsure = limit("patient", "max_regret", "0.01", "regret", 0.01, 0.0114, 0.008, 0.0152, "unsure", "r=8")
    first = PolicyResult(
        name="patient",
        spec="patience=3",
        summary=figures(0.41, 0.072, 0.03),
        limits=(
            broken,
            limit("patient", "min_saved", "20%", "saved", 0.2, 0.41, 0.38, 0.44, "kept"),
            unsure,
        ),
        stops=(stop("a", 9), stop("b", 12)),
        findings=(
            limit_finding(broken, Severity.REGRESSION),
            limit_finding(unsure, Severity.UNDECIDED),
            moved("patient", stop("b", 7), stop("b", 12)),
            moved("patient", stop("a", 8), stop("a", 9), Severity.WARNING),
            too_few("patient", 2, ["max_lost"], severity=Severity.NOTE),
        ),
        before=figures(0.52, 0.031, 0.03),
    )
    second = PolicyResult(
        name="hasty",
        spec="patience=1",
        summary=figures(0.71, 0.12, 0.06),
        limits=(limit("hasty", "max_lost", "20%", "lost", 0.2, 0.12, 0.06, 0.18, "kept"),),
        stops=(stop("a", 3), stop("b", 4)),
        findings=(),
        before=figures(0.71, 0.12, 0.06),
    )
    gone = {"state": "deleted", "of": ("d",)}
    return Checked(
        file="ci/policies.toml",
        lock="ci/policies.lock",
        version="0.1.0",
        runs=14,
        monitor="eval_loss",
        objective="test_loss",
        unit="steps",
        policies=(first, second),
        findings=(
            changed_log("../runs/c.jsonl"),
            Finding(Kind.VANISHED, Severity.UNDECIDED, ("d",), log="../runs/d.jsonl", facts=gone),
            other_version("0.0.9", "0.1.0"),
        ),
        warnings=(other("one log has no end"),),
    )


#: The sentences of the sample's findings, the worst first.
SAMPLE_SENTENCES = (
    "patient: max_lost 5% is broken: lost 7.2% on average (5.2% to 10.2%)",
    "patient stops b at eval 12, but stopped it at eval 7 when the lock was made",
    "../runs/d.jsonl has vanished, with run d",
    (
        "patient on group r=8: max_regret 0.01 may be broken: regret 0.0114 on average (0.008 to 0.0152),"
        " which so few runs cannot tell from chance"
    ),
    "../runs/c.jsonl does not say what it said when the lock was made (run c), so its runs are not compared",
    "patient stops a at eval 9, but stopped it at eval 8 when the lock was made",
    "the lock was made by replay 0.0.9, this is 0.1.0; 1 stop on the same logs moved",
    "patient: 2 runs are too few (8 are needed), so max_lost cannot be decided",
)


def plain():
    """A check that found nothing."""
    return Checked("policies.toml", None, "0.1.0", 1, "eval_loss", "eval_loss", "steps", ())


def named(name):
    """A check in which everything that a stranger names has this name: files, policies, runs, logs, groups,
    limits, reasons of stops, versions, errors, and what somebody else's reader says.
    """
    result = limit(name, name, name, "lost", 0.05, 0.07, None, None, "broken", name)
    before, after = stop(name, None), stop(name, 1, reason=name)
    findings = [
        finding
        for severity in Severity
        for finding in (
            limit_finding(result, severity),
            moved(name, before, after, severity),
            too_few(name, 1, [name], name, severity),
            other(name, severity, policy=name, runs=(name,), log=name),
        )
    ]
    policy = PolicyResult(
        name, name, figures(0.4, 0.1), (result,), (after,), tuple(findings), figures(0.5, 0.1)
    )
    return Checked(
        name or "x",
        name,
        "0.1.0",
        3,
        name,
        name,
        name,
        (policy,),
        (
            Finding(Kind.LOCK, Severity.REGRESSION, facts={"error": name}),
            changed_log(name, runs=(name,), severity=Severity.NOTE),
            other_version(name, name),
        ),
        (other(name),),
    )


def sentences_of(name):
    """The sentences that the findings of a check in which everything has this name must have, as they are."""
    return {
        f"{name} on group {name}: {name} {name} is broken: lost 7% on average",
        f"{name} stops {name} at eval 1, but did not stop it when the lock was made",
        f"{name} on group {name}: 1 run is too few (8 are needed), so {name} cannot be decided",
        (
            f"{name} does not say what it said when the lock was made (run {name}), so its runs are not"
            " compared"
        ),
        f"the lock was made by replay {name}, this is {name}; 1 stop on the same logs moved",
        f"the old lock could not be trusted and is replaced: {name}",
        name,
    }


#: Any text, lone surrogates among it, and more often what has a meaning in one of the formats.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=20),
    st.text(st.sampled_from(list(":%,=#[]()<>&|*_`~$\\{}!@\n\r\t\x1b\u202e \ud800ab0AD25")), max_size=20),
    st.sampled_from(HOSTILE),
)

_MAYBE = st.none() | TEXTS
_SHARES = st.floats(0, 1)
_NUMBERS = st.none() | _SHARES
_COUNTS = st.integers(0, 99)
_FIGURES = st.sampled_from(get_args(Figure))
_NAMES = st.lists(TEXTS, min_size=1, max_size=5).map(tuple)
_SEVERITIES = st.sampled_from(Severity)

STOPS = st.builds(
    Stop, TEXTS, TEXTS, st.none() | st.integers(1, 99), _COUNTS, TEXTS, _SHARES, _NUMBERS, _NUMBERS, _NUMBERS
)
LIMITS = st.builds(
    LimitResult,
    policy=TEXTS,
    name=TEXTS | st.sampled_from(["max_lost", "min_saved", "max_regret_worst"]),
    text=TEXTS,
    figure=_FIGURES,
    wanted=_SHARES,
    value=_NUMBERS,
    low=_NUMBERS,
    high=_NUMBERS,
    verdict=st.sampled_from(get_args(Verdict)),
    group=_MAYBE,
    undecidable=st.booleans(),
    worst_run=st.none() | st.builds(WorstRun, STOPS, _SHARES, _NUMBERS, _COUNTS, st.booleans()),
)


_NO_RUNS = st.just(())
_NO_POLICY = _NO_LOG = st.none()


def _facts(**parts):
    """Facts of these names; a part that is not a strategy is as it is."""
    made = {
        key: part if isinstance(part, st.SearchStrategy) else st.just(part) for key, part in parts.items()
    }
    return st.fixed_dictionaries(made)


def _findings(kind, facts, *, runs=_NO_RUNS, policy=TEXTS, log=_NO_LOG):
    return st.builds(Finding, st.just(kind), _SEVERITIES, runs, policy, log, facts)


_RUN = TEXTS.map(lambda run: (run,))
_SOME_LIMITS = {"limits": st.lists(TEXTS, max_size=3), "every": _NAMES, "group": _MAYBE}
_CHANGE = {"figure": _FIGURES, "mean": _SHARES, "low": _SHARES, "high": _SHARES, "count": _COUNTS}
_EVAL = st.none() | _COUNTS
_MEAN = st.tuples(_FIGURES, _SHARES)
_VALUES = st.tuples(_MAYBE | _SHARES, _MAYBE | _SHARES)

#: Findings of each kind, with the facts that its sentence needs.
OF_KIND = {
    Kind.LIMIT: st.builds(limit_finding, LIMITS, _SEVERITIES),
    Kind.GUARANTEE: st.builds(
        limit_finding,
        st.builds(
            LimitResult,
            policy=TEXTS,
            name=st.just("guarantee"),
            text=TEXTS,
            figure=st.just("lost"),
            wanted=_SHARES,
            value=_NUMBERS,
            low=st.none(),
            high=st.none(),
            verdict=st.sampled_from(["kept", "unproven"]),
            needed=st.none() | _COUNTS,
        ),
        _SEVERITIES,
    ),
    Kind.EXPECT: _findings(
        Kind.EXPECT, _facts(expected=st.none() | _COUNTS, after=st.none() | STOPS), runs=_RUN, log=_MAYBE
    ),
    Kind.MOVED: st.builds(moved, TEXTS, STOPS, STOPS, _SEVERITIES)
    | _findings(Kind.MOVED, _facts(state="not-judged"), runs=_NAMES),
    Kind.WORSE: _findings(Kind.WORSE, _facts(**_CHANGE, before=_MEAN, after=_MEAN)),
    Kind.VANISHED: _findings(
        Kind.VANISHED,
        _facts(state=st.sampled_from(["deleted", "elsewhere"]), of=_NAMES),
        policy=_NO_POLICY,
        log=TEXTS,
    ),
    Kind.NEVER_FIRES: _findings(Kind.NEVER_FIRES, _facts() | _facts(fired=_COUNTS, total=_COUNTS)),
    Kind.CHANGED_LOG: _findings(
        Kind.CHANGED_LOG,
        _facts(state=st.sampled_from(["changed", "duplicate", "unreadable"]), of=_NAMES),
        policy=_NO_POLICY,
        log=TEXTS,
    )
    | _findings(
        Kind.CHANGED_LOG,
        _facts(state=st.sampled_from(["regrouped", "all-changed"])),
        runs=_NAMES,
        policy=_NO_POLICY,
    ),
    Kind.NEW_LOG: _findings(
        Kind.NEW_LOG, _facts(state="renamed", before=TEXTS, after=TEXTS), policy=_NO_POLICY, log=TEXTS
    )
    | _findings(Kind.NEW_LOG, _facts(state="new", logs=_NAMES), policy=_NO_POLICY),
    Kind.CHANGED_POLICY: _findings(
        Kind.CHANGED_POLICY,
        _facts(state="changed", before=TEXTS, after=TEXTS)
        | _facts(state="renamed", before=TEXTS, after=TEXTS)
        | _facts(
            state="compared", count=_COUNTS, changes=st.lists(_facts(**_CHANGE), min_size=1, max_size=2)
        ),
    ),
    Kind.FEW_COMMON_RUNS: _findings(
        Kind.FEW_COMMON_RUNS,
        _facts(count=_COUNTS, changes=st.lists(_facts(**_CHANGE), max_size=2)),
    ),
    Kind.CHANGED_SETTINGS: _findings(
        Kind.CHANGED_SETTINGS,
        _facts(
            settings=st.dictionaries(TEXTS, _VALUES, min_size=1, max_size=3),
            stops_compared=st.booleans(),
        ),
        policy=_NO_POLICY,
    ),
    Kind.LOOSENED: _findings(
        Kind.LOOSENED,
        _facts(state=st.sampled_from(["removed", "changed"]), limit=TEXTS, group=_MAYBE, old=TEXTS, new=TEXTS)
        | _facts(state="expect", of=TEXTS, old=_EVAL)
        | _facts(state="expect-changed", of=TEXTS, old=_EVAL, new=_EVAL),
    )
    | _findings(Kind.LOOSENED, _facts(state="gate", kinds=_NAMES), policy=_NO_POLICY),
    Kind.CHANGED_LIMIT: _findings(
        Kind.CHANGED_LIMIT,
        _facts(state=st.sampled_from(["added", "changed"]), limit=TEXTS, group=_MAYBE, old=TEXTS, new=TEXTS)
        | _facts(state="expect", of=TEXTS, new=_EVAL),
    ),
    Kind.REMOVED_POLICY: _findings(Kind.REMOVED_POLICY, _facts()),
    Kind.NEW_POLICY: _findings(Kind.NEW_POLICY, _facts()),
    Kind.VERSION: _findings(
        Kind.VERSION,
        _facts(state="figures", figure=_FIGURES, first=TEXTS, values=_VALUES),
        runs=_NAMES,
        log=TEXTS,
    )
    | _findings(
        Kind.VERSION,
        _facts(state="tool", before=TEXTS, after=TEXTS, moved=_COUNTS, compared=st.booleans(), runs=_COUNTS)
        | _facts(state="layout", before=_COUNTS, after=_COUNTS),
        policy=_NO_POLICY,
    ),
    Kind.NOISE: _findings(
        Kind.NOISE,
        _facts(limit=TEXTS, group=_MAYBE, text=TEXTS, figure=_FIGURES, noise=_SHARES, enough=_SHARES),
    ),
    Kind.FEW_RUNS: _findings(
        Kind.FEW_RUNS, _facts(**_SOME_LIMITS, count=_COUNTS) | _facts(**_SOME_LIMITS, evals=_SHARES)
    ),
    Kind.CENSORED: _findings(Kind.CENSORED, _facts(**_SOME_LIMITS, count=_COUNTS, total=_COUNTS)),
    Kind.NO_LOCK: _findings(Kind.NO_LOCK, _facts(lock=TEXTS, command=TEXTS), policy=_NO_POLICY),
    Kind.LOCK: _findings(Kind.LOCK, _facts(error=TEXTS), policy=_NO_POLICY),
    Kind.NOT_CHECKED: _findings(Kind.NOT_CHECKED, _facts(error=TEXTS), policy=_NO_POLICY),
    Kind.OTHER: _findings(Kind.OTHER, _facts(text=TEXTS), runs=_RUN | _NO_RUNS, policy=_MAYBE, log=_MAYBE),
}
assert set(OF_KIND) == {*CHECK_KINDS, Kind.OTHER}
FINDINGS = st.one_of(*OF_KIND.values())

_WARNINGS = st.one_of(
    OF_KIND[Kind.OTHER],
    _findings(Kind.NO_METRIC, _facts(metric=TEXTS, total=_COUNTS), runs=_NAMES, policy=_NO_POLICY),
    _findings(Kind.REFUSED, _facts(metric=TEXTS, reason=TEXTS), runs=_NAMES),
)
_SUMMARIES = st.builds(figures, _SHARES, _SHARES)
_SOME_FINDINGS = st.lists(FINDINGS, max_size=4).map(tuple)
POLICIES = st.builds(
    PolicyResult,
    TEXTS,
    TEXTS,
    _SUMMARIES,
    st.lists(LIMITS, max_size=2).map(tuple),
    st.just(()),
    _SOME_FINDINGS,
    st.none() | _SUMMARIES,
)
_PLACES = st.none() | st.sampled_from(["policies.toml", "models/policies.toml", "a b/ü,x:y.toml"])
CHECKS = st.builds(
    Checked,
    TEXTS,
    _MAYBE,
    TEXTS,
    st.integers(0, 99),
    TEXTS,
    TEXTS,
    TEXTS,
    st.lists(POLICIES, max_size=2).map(tuple),
    _SOME_FINDINGS,
    st.lists(_WARNINGS, max_size=2).map(tuple),
    _PLACES,
)
