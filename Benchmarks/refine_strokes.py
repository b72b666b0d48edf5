"""What a stroke of healthy wall over false scar takes away, and costs, by whose hearts they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common import number

if TYPE_CHECKING:
    from refine import Bar, Heart


def stroke_bars(title: str, hearts: list[Heart]) -> list[Bar]:
    """What a stroke over a false patch takes away, and what it costs an infarct."""
    free = [h for h in hearts if h.false and h.cost is None]
    ill = [h for h in hearts if h.false and h.cost is not None]
    gone = sum(h.false[1] <= 0.1 * h.false[0] for h in free if h.false)
    cost = max((h.cost for h in ill if h.cost is not None), default=None)
    return [(f"{title}: hearts without infarct: a stroke of healthy, the rest goes", "8 of 10",
             f"{gone} of {len(free)}", gone >= 0.8 * len(free) if free else None),
            (f"{title}: hearts with infarct: the same costs true scar, Dice", "at most 0.01",
             f"{number(cost, 3)} at most, {len(ill)} hearts",
             None if cost is None else cost <= 0.01)]


def by_make(makes: list[str], hearts: list[Heart]) -> dict[str, list[Heart]]:
    """What makes are called, and their hearts; "EMIDEC" is the real ones."""
    return {make if make == "EMIDEC" else f"{make} make":
            [h for m, h in zip(makes, hearts, strict=True) if m == make]
            for make in dict.fromkeys(makes)}


def strokes_of(method: str, groups: dict[str, list[Heart]]) -> list[Bar]:
    """The bars of a stroke over all hearts, then by make: no bar where no heart needs a stroke."""
    found = stroke_bars(method, [h for hearts in groups.values() for h in hearts])
    if len(groups) > 1:
        for make, hearts in groups.items():
            found += [bar for bar in stroke_bars(f"{method}, {make}", hearts)
                      if bar[-1] is not None]
    return found


def struck(groups: dict[str, list[Heart]]) -> str:
    """How many hearts of each make needed a stroke."""
    said = []
    for make, hearts in groups.items():
        costs = [h.cost for h in hearts if h.false]
        free = costs.count(None)
        said.append(f"{make} {free} and {len(costs) - free}")
    return ", ".join(said)
