"""A plan: how many more runs a guarantee takes, and what the present runs support."""

from __future__ import annotations

from dataclasses import dataclass

from replay.search.guarantee import Guarantee, Rung
from replay.stats.ties import TIE

__all__ = ["Plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """What the present runs guarantee, and what it takes to guarantee something at the tolerance.

    ``today`` is the guarantee of the present runs; its ``rungs`` say of each policy what it saves and loses,
    which tolerance it keeps today, and how many units it needs. Units are runs, or groups where the guarantee
    is about groups.
    """

    today: Guarantee

    @property
    def needed_units(self) -> int | None:
        """The least number of units with which something that saves could be guaranteed; None: none would do.

        It takes the losses seen so far to be those of further units: new units that lose more need more.
        """
        return self.today.needed_units

    @property
    def more_units(self) -> int | None:
        """How many of these are missing: 0 where enough are there; None where no number would do."""
        needed = self.needed_units
        return None if needed is None else max(needed - self.today.units, 0)

    @property
    def supported(self) -> Rung | None:
        """The rung of the smallest tolerance that the present runs support; None: no rung saves anything.

        Of rungs with equal bounds it is the one that saves most. Its ``bound`` is that tolerance. A tolerance
        that is taken from it is chosen after looking at the losses, and so is a suggestion for the next runs
        and no guarantee by itself.
        """
        return max(
            (rung for rung in self.today.rungs if rung.saved > TIE),
            key=lambda rung: (-round(rung.bound, 9), rung.saved),
            default=None,
        )
