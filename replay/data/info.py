"""RunInfo: what a log says of a run beside its curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from replay.data.finding import Finding, Kind, Severity
from replay.data.step_signals import StepSignalsSource
from replay.data.types import Mode

__all__ = ["RunInfo", "StepUnit"]

StepUnit = Literal["step", "epoch"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _EMPTY


_TEXTS = ("format", "monitor", "group", "model", "dataset", "stopped_by")
_MAPPINGS = ("modes", "contradicted_modes", "hyperparameters", "versions", "reference", "wasted", "extra")


@dataclass(frozen=True)
class RunInfo:
    """What a log says of a run beside its curves. A field is None or empty where the log does not say it.

    Mappings cannot be changed. Entries that are not of a field's kind are left out, since logs are untrusted.
    """

    #: Name of the log format.
    format: str | None = None
    #: Paths of the files that the run was read from.
    sources: tuple[str, ...] = ()
    #: Mode of each metric, as the log states it.
    modes: Mapping[str, Mode] = field(default_factory=_nothing)
    #: The mode by which a trainer chose its best checkpoint, where it contradicts the name of the metric.
    contradicted_modes: Mapping[str, Mode] = field(default_factory=_nothing)
    #: The metric that chose the best checkpoint.
    monitor: str | None = None
    planned_steps: float | None = None
    planned_epochs: float | None = None
    #: The last step that was trained, which may lie beyond the last eval.
    trained_steps: float | None = None
    #: Totals at the end of the training; seconds do not count evals.
    trained_tokens: float | None = None
    trained_flops: float | None = None
    trained_seconds: float | None = None
    #: What the steps of the log count.
    step_unit: StepUnit = "step"
    #: Runs of one group share data or a model.
    group: str | None = None
    #: Sets that the tool evaluates to decide when to stop, though their names say something else.
    validation_sets: tuple[str, ...] = ()
    model: str | None = None
    dataset: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=_nothing)
    #: What the run was trained on; empty where the log says that it was no accelerator.
    hardware: Mapping[str, Any] | None = None
    #: Versions of the packages that trained the run, by name.
    versions: Mapping[str, Any] = field(default_factory=_nothing)
    devices: float | None = None
    #: What ended the training early.
    stopped_by: str | None = None
    #: Seconds of the whole run, evals included.
    train_runtime: float | None = None
    total_flos: float | None = None
    #: Metrics of the base model, by name.
    reference: Mapping[str, float] = field(default_factory=_nothing)
    #: Compute that was spent on steps that were trained again after an interruption, by counter.
    wasted: Mapping[str, float] = field(default_factory=_nothing)
    #: Whether the training ended by itself, where the format records that; ``trained_steps`` then is the step
    #: at which it ended.
    complete: bool | None = None
    #: Whether the file of the log is cut off or broken, so that evals may follow the part that could be read.
    cut_off: bool = False
    #: First steps of the segments that follow a resume.
    resumes: tuple[float, ...] = ()
    #: What the reader dropped, resolved or doubts.
    findings: tuple[Finding, ...] = ()
    #: How to log evals with the tool that wrote the log, for a run that has none.
    eval_hint: Finding | None = None
    #: What every step did to every module, where that was recorded; read on demand.
    step_signals: StepSignalsSource | None = None
    #: All else that the log says, by name.
    extra: Mapping[str, Any] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        here = self.__dict__
        for name, clean in _CLEANERS.items():
            here[name] = clean(here[name])

    @classmethod
    def of(cls, facts: Mapping[str, Any] | RunInfo | None) -> RunInfo:
        """A RunInfo from a mapping of field names; unknown names go to ``extra``.

        Texts under ``notes`` or ``findings`` become findings of `Kind.OTHER`.
        """
        if isinstance(facts, RunInfo):
            return facts
        known = _names()
        given = {str(name): value for name, value in (facts or {}).items() if value is not None}
        given["findings"] = [*given.get("findings", ()), *given.pop("notes", ())]
        extra = dict(given.pop("extra", ()))
        extra |= {name: given.pop(name) for name in list(given) if name not in known}
        return _NOTHING.replace(**given, extra=extra)

    def replace(self, **changes: Any) -> RunInfo:
        """A copy with some fields replaced."""
        made = object.__new__(type(self))
        here = made.__dict__
        here.update(self.__dict__)  # many times faster than to set each of the fields
        for name, value in changes.items():
            if name not in here:
                raise TypeError(f"a RunInfo has no field {name!r}")
            clean = _CLEANERS.get(name)
            here[name] = value if clean is None else clean(value)
        return made

    def stated(self) -> dict[str, Any]:
        """All that the log says, by name, that of ``extra`` included."""
        default = _NOTHING
        return {
            **self.extra,
            **{
                name: value
                for name, value in self._fields().items()
                if name != "extra" and value != getattr(default, name)
            },
        }

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _names()}

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in self._fields().items()
        }
        return _rebuild, (fields,)


@cache
def _names() -> dict[str, None]:
    """The names of the fields, in order."""
    return dict.fromkeys(one.name for one in dataclasses.fields(RunInfo))


def _rebuild(fields: dict[str, Any]) -> RunInfo:
    return RunInfo(**fields)


def _read_only(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, MappingProxyType):
        return value
    return MappingProxyType(dict(value)) if isinstance(value, Mapping) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if value is _EMPTY else _read_only(value) or _EMPTY


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return str(value) if isinstance(value, str | int | float) else None


def _findings(given: Iterable[Finding | str]) -> tuple[Finding, ...]:
    return tuple(
        one if isinstance(one, Finding) else Finding(Kind.OTHER, Severity.NOTE, facts={"text": str(one)})
        for one in given
    )


#: The fields that are brought into one form, whatever a log says.
_CLEANERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_MAPPINGS, _mapping),
    **dict.fromkeys(("sources", "validation_sets"), lambda names: tuple(map(str, names))),
    "resumes": lambda steps: tuple(map(float, steps)),
    "findings": _findings,
    "cut_off": lambda value: value if type(value) is bool else False,
    "step_unit": lambda unit: unit if unit in ("step", "epoch") else "step",
    "hardware": _read_only,
    "eval_hint": lambda hint: _findings([hint])[0] if isinstance(hint, str) else hint,
}
_NOTHING = RunInfo()
