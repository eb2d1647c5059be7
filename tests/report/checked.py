"""Sample outcomes of a check, for the tests of its reports."""

from hypothesis import strategies as st

from replay.check.model import EXIT_CODES, Checked, Finding, LimitResult, PolicyResult, Stop
from replay.report.sentences.check import CHECK_KINDS

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


def stop(run, number, lost=0.02):
    return Stop(
        run, f"logs/{run}.jsonl", number, number * 100, "3 evals without improvement", 0.4, 0.01, 0.02, lost
    )


def sample():
    """A check with something of every level, of two policies and of none."""
    first = PolicyResult(
        name="patient",
        spec="patience=3",
        summary=figures(0.41, 0.072, 0.03),
        limits=(
            LimitResult(
                "max_lost", "5%", 0.05, 0.072, 0.052, 0.102, "broken", "lost is 7.2% (5.2-10), more than 5%"
            ),
            LimitResult(
                "min_saved", "20%", 0.2, 0.41, 0.38, 0.44, "kept", "saved is 41% (38-44), at least 20%"
            ),
            LimitResult(
                "max_regret",
                "0.01",
                0.01,
                0.0114,
                0.008,
                0.0152,
                "unsure",
                "regret is 0.0114, more than 0.01",
                "r=8",
            ),
        ),
        stops=(stop("a", 9), stop("b", 12)),
        findings=(
            Finding(
                "regression",
                "limit",
                "lost is 7.2% (5.2-10), more than 5%",
                policy="patient",
                limit="max_lost",
            ),
            Finding(
                "undecided",
                "limit",
                "regret is 0.0114, more than 0.01",
                policy="patient",
                limit="max_regret",
                group="r=8",
            ),
            Finding(
                "regression",
                "moved",
                "b stops at eval 12, in the lock at eval 7",
                policy="patient",
                run="b",
                log="logs/b.jsonl",
                before="eval 7 (step 700), lost 1.1%",
                after="eval 12 (step 1200), lost 4.2%",
            ),
            Finding(
                "warning",
                "moved",
                "a stops one eval later",
                policy="patient",
                run="a",
                log="logs/a.jsonl",
                before="eval 8",
                after="eval 9",
            ),
            Finding("note", "few-runs", "only 2 runs", policy="patient"),
        ),
        before=figures(0.52, 0.031, 0.03),
    )
    second = PolicyResult(
        name="hasty",
        spec="patience=1",
        summary=figures(0.71, 0.12, 0.06),
        limits=(
            LimitResult("max_lost", "20%", 0.2, 0.12, 0.06, 0.18, "kept", "lost is 12% (6-18), at most 20%"),
        ),
        stops=(stop("a", 3), stop("b", 4)),
        findings=(),
        before=figures(0.71, 0.12, 0.06),
    )
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
            Finding(
                "warning",
                "changed-log",
                "logs/c.jsonl has 20 evals, in the lock 18",
                run="c",
                log="../runs/c.jsonl",
            ),
            Finding("undecided", "vanished", "logs/d.jsonl is gone", run="d", log="../runs/d.jsonl"),
            Finding("note", "version", "the lock is of version 0.0.9"),
        ),
        warnings=("one log has no end",),
    )


def plain():
    """A check that found nothing."""
    return Checked("policies.toml", None, "0.1.0", 1, "eval_loss", "eval_loss", "steps", ())


def named(name):
    """A check in which everything that a stranger names has this name."""
    limit = LimitResult(name, name, 0.05, 0.07, None, None, "broken", name, name)
    found = [
        Finding(
            level,
            kind,
            f"{name} was",
            policy=name,
            run=name,
            log=name,
            limit=name,
            group=name,
            before=name,
            after=name,
        )
        for level in EXIT_CODES
        for kind in ("limit", "moved", "few-runs")
    ]
    policy = PolicyResult(
        name, name, figures(0.4, 0.1), (limit,), (stop(name, 1),), tuple(found), figures(0.5, 0.1)
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
        (Finding("warning", "lock", f"{name} was", policy=name),),
        (name,),
    )


#: Any text, lone surrogates among it, and more often what has a meaning in one of the formats.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=20),
    st.text(st.sampled_from(list(":%,=#[]()<>&|*_`~$\\{}!@\n\r\t\x1b\u202e \ud800ab0AD25")), max_size=20),
    st.sampled_from(HOSTILE),
)

_MAYBE = st.none() | TEXTS
_NUMBERS = st.none() | st.floats(0, 1)

FINDINGS = st.builds(
    Finding,
    st.sampled_from(list(EXIT_CODES)),
    st.sampled_from([str(kind) for kind in CHECK_KINDS]) | TEXTS,
    TEXTS,
    _MAYBE,
    _MAYBE,
    _MAYBE,
    _MAYBE,
    _MAYBE,
    _MAYBE,
    _MAYBE,
)
LIMITS = st.builds(
    LimitResult,
    TEXTS,
    TEXTS,
    st.floats(0, 1),
    _NUMBERS,
    _NUMBERS,
    _NUMBERS,
    st.sampled_from(["kept", "broken", "unsure", "unknown"]),
    TEXTS,
    _MAYBE,
)
_SUMMARIES = st.builds(figures, st.floats(0, 1), st.floats(0, 1))
_FOUND = st.lists(FINDINGS, max_size=4).map(tuple)
POLICIES = st.builds(
    PolicyResult,
    TEXTS,
    TEXTS,
    _SUMMARIES,
    st.lists(LIMITS, max_size=2).map(tuple),
    st.just(()),
    _FOUND,
    st.none() | _SUMMARIES,
)
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
    _FOUND,
    st.lists(TEXTS, max_size=2).map(tuple),
)
