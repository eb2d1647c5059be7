"""Finding: something worth reporting, as a kind and facts. Only ``replay.report`` makes sentences of it.

Readers, the engine, validity checks, ``replay check`` and ``replay choose`` produce findings. A new kind is a
member of `Kind` here, and its sentence in ``replay.report.sentences``. No code parses a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Kind", "Severity", "note"]


class Severity(StrEnum):
    """How much a finding matters, from most to least; the first two decide the exit code of ``replay
    check``.
    """

    REGRESSION = "regression"
    UNDECIDED = "undecided"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the most severe."""
        return list(Severity).index(self)

    @property
    def decides(self) -> bool:
        """Whether such a finding decides the exit code of a check."""
        return self in (Severity.REGRESSION, Severity.UNDECIDED)


class Kind(StrEnum):
    """What a finding is about. The values are part of the machine formats (JSON, SARIF, code quality)."""

    # readers: what could not be read, in files and folders
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not-a-file"
    LINK_LOOP = "link-loop"
    EMPTY_FILE = "empty-file"
    EMPTY_ARCHIVE = "empty-archive"
    BINARY_FILE = "binary-file"
    LFS_POINTER = "lfs-pointer"
    MISNAMED_FILE = "misnamed-file"
    UNKNOWN_FORMAT = "unknown-format"
    READER_FAILED = "reader-failed"
    PLUGIN_FAILED = "plugin-failed"
    REMOTE_LIMIT = "remote-limit"
    UNSAFE_NAME = "unsafe-name"

    # readers: what could not be read inside a log
    UNUSABLE_LOG = "unusable-log"
    UNSUPPORTED_VERSION = "unsupported-version"
    CUT_OFF = "cut-off"
    CORRUPT_RECORD = "corrupt-record"
    INVALID_HEADER = "invalid-header"
    INVALID_JSON = "invalid-json"
    INVALID_ROW = "invalid-row"
    PYTHON_TEXT = "python-text"
    LONG_ROWS = "long-rows"
    ZERO_BYTES = "zero-bytes"
    OVER_LIMIT = "over-limit"
    TENSOR_TAG = "tensor-tag"
    NO_STEP = "no-step"
    ROWS_WITHOUT_STEP = "rows-without-step"
    NO_ROWS = "no-rows"
    NO_VALUES = "no-values"
    NO_SCALARS = "no-scalars"
    NO_HISTORY = "no-history"
    UNREADABLE_DATABASE = "unreadable-database"
    LARGE_DATABASE = "large-database"
    DAMAGED_TABLE = "damaged-table"
    INVALID_LINES = "invalid-lines"
    UNREADABLE_TABLE = "unreadable-table"
    SAMPLED_STORE = "sampled-store"
    MISSING_PACKAGE = "missing-package"
    NO_METRICS = "no-metrics"
    DELETED_RUNS = "deleted-runs"
    NO_METRICS_IN_TEXT = "no-metrics-in-text"
    ONLY_IMPROVEMENTS = "only-improvements"

    # readers: what was resolved in a run, or is in doubt
    TWO_CLOCKS = "two-clocks"
    WITHIN_EPOCHS = "within-epochs"
    ROWS_AS_EPOCHS = "rows-as-epochs"
    ROWS_SORTED = "rows-sorted"
    STEPS_COUNTED_ON = "steps-counted-on"
    EVERY_FEW_EPOCHS = "every-few-epochs"
    SUMMARY_TABLE = "summary-table"
    RESTART = "restart"
    RESUMED = "resumed"
    REPEATED_VALUES = "repeated-values"
    FINISHED_MODEL = "finished-model"
    PLACEHOLDERS = "placeholders"
    CARRIED_FORWARD = "carried-forward"
    INTERLEAVED_SETS = "interleaved-sets"
    MISSING_HEAD = "missing-head"
    LOGS_DISAGREE = "logs-disagree"
    MORE_DIGITS = "more-digits"
    TRAINED_AGAIN = "trained-again"
    EXTENDED = "extended"
    SEVERAL_WRITERS = "several-writers"
    SAMPLED_EXPORT = "sampled-export"
    BATCH_STEPS = "batch-steps"
    STEPS_NOT_LOGGED = "steps-not-logged"
    ROUNDED_VALUES = "rounded-values"
    STEPS_OF_EPOCHS = "steps-of-epochs"
    SHARED_EPOCHS = "shared-epochs"
    ROWS_LEFT_OUT = "rows-left-out"
    COUNTED_EPOCHS = "counted-epochs"
    ASSUMED_SETS = "assumed-sets"
    COLUMNS_WITHOUT_SET = "columns-without-set"
    OTHER_LENGTH = "other-length"
    ZERO_FOR_NAN = "zero-for-nan"
    EVAL_HINT = "eval-hint"
    #: Another finding, about one of several sets of logs that are compared.
    OF_LOGS = "of-logs"

    # engine: which runs and policies a simulation could use
    NO_EVALS = "no-evals"
    NO_METRIC = "no-metric"
    TEST_SET_MONITOR = "test-set-monitor"
    TRAIN_ONLY_MONITOR = "train-only-monitor"
    MODE_CONTRADICTED = "mode-contradicted"
    WRONG_DIRECTION = "wrong-direction"
    METRIC_CONSTANT = "metric-constant"
    COMPANION_MISSING = "companion-missing"
    REFUSED = "refused"
    CAUTION = "caution"
    MONITOR_NOT_FINITE = "monitor-not-finite"
    OBJECTIVE_NOT_LOGGED = "objective-not-logged"
    OBJECTIVE_APART = "objective-apart"
    OBJECTIVE_UNKNOWN = "objective-unknown"
    INFINITE_BEST = "infinite-best"
    NO_SCALE = "no-scale"
    POLICY_SKIPPED = "policy-skipped"
    GRID_REFUSED = "grid-refused"
    UNTRIED = "untried"
    PARTLY_TRIED = "partly-tried"

    # validity: what the logs cannot tell
    MISSING_EVALS = "missing-evals"
    MISSING_HEADS = "missing-heads"
    FALLING_RATE = "falling-rate"
    PLATEAU_RATE = "plateau-rate"
    RESUMED_RUNS = "resumed-runs"
    FEW_EVALS = "few-evals"
    FIRST_STRETCH = "first-stretch"
    NEAR_ONE = "near-one"
    ADAPTIVE_BUDGET = "adaptive-budget"
    CENSORED_RUNS = "censored-runs"
    STILL_IMPROVING = "still-improving"
    PLAN_UNKNOWN = "plan-unknown"
    MIXED_SETS = "mixed-sets"

    # check
    LIMIT = "limit"
    GUARANTEE = "guarantee"
    EXPECT = "expect"
    MOVED = "moved"
    WORSE = "worse"
    LOOSENED = "loosened"
    REMOVED_POLICY = "removed-policy"
    CHANGED_SETTINGS = "changed-settings"
    CHANGED_LIMIT = "changed-limit"
    VANISHED = "vanished"
    NEVER_FIRES = "never-fires"
    CHANGED_LOG = "changed-log"
    NEW_LOG = "new-log"
    CHANGED_POLICY = "changed-policy"
    FEW_COMMON_RUNS = "few-common-runs"
    NEW_POLICY = "new-policy"
    VERSION = "version"
    NOISE = "noise"
    FEW_RUNS = "few-runs"
    CENSORED = "censored"
    NO_LOCK = "no-lock"
    LOCK = "lock"
    NOT_CHECKED = "not-checked"

    # diff
    LOCKS_DIFFER = "locks-differ"
    NO_GROUPS = "no-groups"

    #: A finding of somebody else's reader or policy; its sentence is the fact ``text``.
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing found: its kind, severity, the runs concerned, and the facts as values.

    ``runs`` are ids. ``policy`` is a policy's specification or, in a check, its name in the file; ``log`` a
    path. ``facts`` holds numbers, names and other findings by name, never sentences (except for
    `Kind.OTHER`).
    """

    kind: Kind
    severity: Severity = Severity.WARNING
    runs: tuple[str, ...] = ()
    policy: str | None = None
    log: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finding) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.kind, self.severity, self.runs, self.policy, self.log))

    def _key(self) -> tuple[Any, ...]:
        return (self.kind, self.severity, self.runs, self.policy, self.log, dict(self.facts))

    def __getitem__(self, fact: str) -> Any:
        return self.facts[fact]

    def get(self, fact: str, default: Any = None) -> Any:
        """A fact, or the default where the finding has none of that name."""
        return self.facts.get(fact, default)

    @staticmethod
    def worst(findings: Iterable[Finding]) -> Severity | None:
        """The most severe of the findings' severities; None without findings."""
        return min((finding.severity for finding in findings), key=lambda one: one.rank, default=None)


def note(kind: Kind, **facts: Any) -> Finding:
    """A finding that is worth a word and no warning."""
    return Finding(kind, Severity.NOTE, facts=facts)
