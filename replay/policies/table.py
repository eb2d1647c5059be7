"""The table of policies by name: those that come with replay, and those that installed packages add.

A package adds policies by entry points of the group ``stop_replay.policies``, one per policy, each of which
names a subclass of `replay.policies.Policy`:

.. code-block:: toml

    [project.entry-points."stop_replay.policies"]
    fall = "my_package.fall:Fall"
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from replay.errors import ReplayWarning
from replay.policies.base import Policy

__all__ = ["GROUP", "Plugin", "PolicyTable"]

#: The group of entry points that add policies.
GROUP = "stop_replay.policies"

#: What a specification reads as the name of a policy.
_NAME = re.compile(r"[A-Za-z][\w.@-]*")


class Plugin(NamedTuple):
    """A policy of an installed package, and the package's name."""

    policy_class: type[Policy]
    package: str


class PolicyTable(Mapping[str, type[Policy]]):
    """Policies by name, those that come with replay first.

    Packages are asked once: when a name is looked up that replay does not have, or when the table is listed.
    A policy that cannot be used is skipped with a ReplayWarning: its module fails, it is not a policy, or its
    name is taken, by another policy or by one of the ``reserved`` names.
    """

    def __init__(self, built_in: Iterable[type[Policy]], reserved: Collection[str] = ()) -> None:
        self.built_in = {policy_class.name: policy_class for policy_class in built_in}
        self._reserved = frozenset(reserved)

    def __getitem__(self, name: str) -> type[Policy]:
        return self.built_in[name] if name in self.built_in else self.plugins[name].policy_class

    def __iter__(self) -> Iterator[str]:
        return iter([*self.built_in, *self.plugins])

    def __len__(self) -> int:
        return len(self.built_in) + len(self.plugins)

    @property
    def presets(self) -> dict[str, type[Policy]]:
        """The policies of replay that carry another tool's name."""
        return {
            name: policy_class
            for name, policy_class in self.built_in.items()
            if ".presets." in policy_class.__module__
        }

    @cached_property
    def plugins(self) -> dict[str, Plugin]:
        """The policies of installed packages by name, in alphabetical order of packages and names."""
        plugins: dict[str, Plugin] = {}
        entries = set(entry_points(group=GROUP))
        for entry in sorted(entries, key=lambda entry: (_package(entry), entry.name)):
            try:
                policy_class = _load(entry)
                self._require_free(policy_class.name, plugins)
            except _UnusableError as error:
                warnings.warn(
                    f"policy {entry.name} of package {_package(entry)} is skipped: {error}; update or"
                    " uninstall the package",
                    ReplayWarning,
                    stacklevel=2,
                )
            else:
                plugins[policy_class.name] = Plugin(policy_class, _package(entry))
        return plugins

    def _require_free(self, name: str, plugins: Mapping[str, Plugin]) -> None:
        if name in self.built_in or name in self._reserved:
            raise _UnusableError(f"replay itself has the name {name!r}")
        if name in plugins:
            raise _UnusableError(f"package {plugins[name].package} has the name {name!r}, too")


class _UnusableError(Exception):
    """Why the policy of an entry point cannot be used."""


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _load(entry: EntryPoint) -> type[Policy]:
    """The policy class of an entry point; raises _UnusableError where there is none."""
    try:
        policy_class = entry.load()
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        raise _UnusableError(f"{entry.value} fails with {type(error).__name__}: {text}") from error
    if not (isinstance(policy_class, type) and issubclass(policy_class, Policy)):
        raise _UnusableError(f"{entry.value} is not a subclass of replay.policies.Policy")
    if inspect.isabstract(policy_class):
        methods = ", ".join(sorted(policy_class.__abstractmethods__))
        raise _UnusableError(f"{entry.value} does not define {methods}")
    dataclass_params = vars(policy_class).get("__dataclass_params__")
    if dataclass_params is None or not dataclass_params.frozen:
        raise _UnusableError(f"{entry.value} is not a frozen dataclass")
    name = getattr(policy_class, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _UnusableError(f"{entry.value} has the name {name!r}, which a specification cannot contain")
    return policy_class
