"""The constants by which slices follow one that was drawn, chosen on others than those scored.

    python Benchmarks/correction_folds.py --threads 1

Two choices are scored beside the constants that ship: one on phantoms and chests alone, of other
seeds than those scored; and one by folds, each patient with what those and all other patients
chose, both halves alike. What is chosen is what leaves least of the error beside, mean of the sets,
a constant at a time: first all that the borders need, by the borders alone, then how far the
network is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, machine, parser_of, run, table, use_threads
from outline_bounds import SMALL
from outline_patients import MAKES, chests, phantoms, real

from deepgmm.errors import InputError
from deepgmm.propose import following
from deepgmm.propose.beside import shown_beside
from deepgmm.propose.following import curve_of, followed, points_of, radii_about
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import MaskProposal
from deepgmm.propose.rings import Ring, ring_of_mask
from deepgmm.study.study import FloatArray
from deepgmm.study.words import Role

DATA = ROOT.parent / "shared" / "data"
FOLDS = 5
CHESTS = "chests"
PEOPLE = SUNNYBROOK, EMIDEC = "Sunnybrook", "EMIDEC"
#: Seeds to choose on; those of `outline_patients` are scored.
CHOSEN_PHANTOM, CHOSEN_CHEST = 100, 61_000
#: What each constant may be; ROUGH is a factor, SHORT the most.
MAY = {"COMMON": (0.3, 0.45, 0.6, 0.75, 0.9), "ALIKE": (0.5, 0.65, 0.8, 0.9, 0.95),
       "OWN_ALIKE": (0.01, 0.1, 0.3), "SURPRISE": (0.0, 0.1, 0.3, 1.0), "SHORT": (2.0, 3.0, 5.0),
       "ROUGH": (0.6, 0.8, 1.0, 1.25)}
TRUST = (0.25, 0.5, 0.75, 1.0)
Choice = tuple[float, ...]


@dataclass
class Case:
    """A patient whose slices are drawn in turn.

    Attributes
    ----------
    gap : mm from slice to slice.
    proposed, drawn : slice to the numbers of its border.
    true : slice to the border drawn.
    """

    found: MaskProposal
    gap: float
    proposed: dict[int, FloatArray]
    drawn: dict[int, FloatArray]
    true: dict[int, Ring]

    def left(self, trusts: Sequence[float]) -> FloatArray:
        """mm off beside slices drawn, summed: before, by the borders alone, and by each trust."""
        sums = np.zeros(2 + len(trusts))
        for i, hand in self.drawn.items():
            beside = {i - 1, i + 1} & set(self.true)
            given = self.proposed, self.found.overlap
            plain = followed(*given, self.gap, {i: hand})
            ways = [self.proposed, plain]
            if trusts and self.found.looks is not None:
                shown = shown_beside(self.found.looks, *given, {i: hand}, plain)
                for trust in trusts:
                    following.TRUST = trust
                    ways.append(followed(*given, self.gap, {i: hand}, (), shown))
            sums[:len(ways)] += [sum(away(way[j], self.true[j]) for j in beside) for way in ways]
        return sums


def away(numbers: FloatArray, true: Ring) -> float:
    """mm off along the rays."""
    return float(np.abs(radii_about(points_of(numbers), true.centre) - true.outer).mean())


def cases(patients: Iterator[Any]) -> Iterator[Case]:
    for study, truth, _ in patients:
        try:
            found = propose_mask(study)
        except InputError:
            continue
        held, geometry = truth > 0, study.geometry
        scale = (geometry.spacing[1], geometry.spacing[0])
        true = {i: ring for i in found.rings if held[i].sum() * geometry.pixel_area > SMALL
                and (ring := ring_of_mask(held[i], scale)) is not None}
        proposed, drawn = ({i: curve_of(ring.points()) for i, ring in rings.items()}
                           for rings in (found.rings, true))
        yield Case(found, float(geometry.spacing[2]), proposed, drawn, true)


@contextmanager
def constants(choice: Choice) -> Iterator[None]:
    """The library with other constants."""
    values = dict(zip(MAY, choice))
    values |= {"SHORT": (following.SHORT[0], values["SHORT"]),
               "ROUGH": following.ROUGH * values["ROUGH"]}
    old = {name: getattr(following, name) for name in (*values, "TRUST")}
    try:
        for name, value in values.items():
            setattr(following, name, value)
        yield
    finally:
        for name, value in old.items():
            setattr(following, name, value)


def shipped() -> Choice:
    return (following.COMMON, following.ALIKE, following.OWN_ALIKE, following.SURPRISE,
            following.SHORT[1], 1.0)


class Errors:
    """What each choice leaves of each patient's error; each is measured once."""

    def __init__(self, sets: Mapping[str, list[Case]]) -> None:
        self.sets = sets
        self.held: dict[tuple[str, Choice, bool], FloatArray] = {}

    def of(self, name: str, choice: Choice, network: bool = True) -> FloatArray:
        """(patients, 2 or 2 + trusts)"""
        key = (name, choice, network)
        if key not in self.held:
            with constants(choice):
                self.held[key] = np.array([case.left(TRUST if network else ())
                                           for case in self.sets[name]])
        return self.held[key]

    def share(self, name: str, choice: Choice, trust: int | None = None,
              at: Sequence[int] | None = None) -> float:
        """Of the error before what is left after, by the borders alone or by one of `TRUST`."""
        sums = self.of(name, choice, trust is not None)[slice(None) if at is None else at].sum(0)
        return float(sums[1 if trust is None else 2 + trust] / sums[0])

    def chosen(self, allowed: Mapping[str, Sequence[int]]) -> tuple[Choice, int]:
        """What suits the patients of these sets best; of patients and others each half counts
        alike."""
        halves = [half for real_ones in (True, False)
                  if (half := [name for name in allowed if (name in PEOPLE) is real_ones
                               and len(allowed[name])])]

        def cost(choice: Choice, trust: int | None) -> float:
            return float(np.mean([np.mean([self.share(name, choice, trust, allowed[name])
                                           for name in half]) for half in halves]))
        best: Choice = shipped()
        for _ in range(2):
            for k, values in enumerate(MAY.values()):
                best = min(((*best[:k], value, *best[k + 1:]) for value in values),
                           key=lambda choice: cost(choice, None))
        return best, min(range(len(TRUST)), key=lambda trust: cost(best, trust))

    def by_folds(self, name: str, allowed: Mapping[str, Sequence[int]], folds: int
                 ) -> tuple[float, float]:
        """What is left of a set's error by the borders alone and in all, each fold with what all
        others chose."""
        sums, count = np.zeros(3), len(self.sets[name])
        for fold in range(folds):
            out = list(range(fold, count, folds))
            choice, trust = self.chosen(
                {**allowed, name: [k for k in range(count) if k not in out]})
            sums += self.of(name, choice)[out].sum(0)[[0, 1, 2 + trust]]
        return float(sums[1] / sums[0]), float(sums[2] / sums[0])


def sets_of(options: Any) -> dict[str, Callable[[], Iterator[Any]]]:
    """Patients; phantoms and chests to be scored, and others to choose on, marked by `*`."""
    count, many = options.phantoms, options.chests
    return {
        SUNNYBROOK: lambda: real(options.sunnybrook, "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP),
        EMIDEC: lambda: real(options.emidec, "_lge.nii.gz", "_labels.nii.gz", Role.LGE),
        **{f"{make}{mark}": lambda make=make, first=first: phantoms(make, count, first)
           for make in MAKES for mark, first in (("", 200), ("*", CHOSEN_PHANTOM))},
        CHESTS: lambda: chests(many), f"{CHESTS}*": lambda: chests(many, CHOSEN_CHEST)}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook")
    parser.add_argument("--emidec", type=Path, default=DATA / "emidec")
    parser.add_argument("--phantoms", type=int, default=8,
                        help="of each make, to score and to choose on")
    parser.add_argument("--chests", type=int, default=24, help="likewise")
    options = parser.parse_args()
    use_threads(options.threads)
    sets = {name: held for name, some in sets_of(options).items() if (held := list(cases(some())))}
    print(report(sets))
    print(machine(options.threads))


def report(sets: Mapping[str, list[Case]]) -> str:
    errors = Errors(sets)
    everyone = {name: range(len(some)) for name, some in sets.items()}
    made = {name: at for name, at in everyone.items() if name.endswith("*")}
    both = made | {name: everyone[name] for name in PEOPLE if name in sets}
    choices = {"those that ship": (shipped(), TRUST.index(following.TRUST)),
               "chosen on phantoms and chests of other seeds": errors.chosen(made),
               "chosen on these and on patients, by folds": errors.chosen(both)}
    rows = []
    for name in sets:
        if name in made:
            continue
        cells = [(errors.share(name, choice), errors.share(name, choice, trust))
                 for choice, trust in choices.values()]
        if name in PEOPLE and len(sets[name]) > 1:
            cells[2] = errors.by_folds(name, both, min(FOLDS, len(sets[name])))
        rows.append((name, *(f"{100 * (alone - 1):+.1f} %, {100 * (all_ - 1):+.1f} %"
                             for alone, all_ in cells)))
    return "\n\n".join([
        table(("one slice drawn, the error beside: by the borders alone, and in all", *choices),
              rows),
        table(("constants (ROUGH is a factor, SHORT the most; without folds)", *MAY, "TRUST"),
              [(what, *(f"{value:g}" for value in (*choice, TRUST[trust])))
               for what, (choice, trust) in choices.items()])])


if __name__ == "__main__":
    run(main)
