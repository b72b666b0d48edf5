"""The proposed LV mask against experts' and phantoms': real bSSFP, real LGE, three makes, bars.

    python Benchmarks/mask_proposal.py --sunnybrook FOLDER --emidec FOLDER --phantoms 10 --chests 20
Both folders lie by default in `../shared/data` beside the project; what is not there is left out.
`--acdc FOLDER` adds a user's own copy of ACDC (its `patientNNN` folders), at end diastole.
The network learned from synthetic chests alone, of other seeds. Nothing of the data is written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import (
    ROOT,
    bars,
    child_environment,
    machine,
    number,
    parser_of,
    peak_memory,
    run,
    table,
    use_threads,
)
from correction_bounds import Pairs
from outline_bounds import PROPOSED, SMALL, Course, best_moved, instead, said, steepest
from outline_patients import MAKES, acdc, chests, phantoms, real
from outline_pixels import Pixels, pixels_said
from outline_without_learning import ellipse, outlined

from deepgmm.errors import InputError
from deepgmm.propose.correcting import BorderPoint, corrected
from deepgmm.propose.following import curve_of
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import MaskProposal
from deepgmm.propose.rings import ring_of_mask
from deepgmm.review.metrics import dice, surface_distances
from deepgmm.study.study import BoolArray, Geometry, Sequence, Study
from deepgmm.study.words import SURE, Role

DATA = ROOT.parent / "shared" / "data"
#: A slice is good from this Dice; of sure ones, %, so many at least and so many of them bad.
GOOD, LEAST_SURE, MOST_BAD = 0.85, 60.0, 3.0
GO_ON = ", stacks that go on"
CHESTS = "held-out chests"


def away(one: BoolArray, other: BoolArray, geometry: Geometry) -> float | None:
    """Mean distance of two contours of a slice, both ways, mm."""
    found = surface_distances(one, other, (geometry.spacing[1], geometry.spacing[0]))
    return None if found is None else float(np.concatenate(found).mean())


def placed(mask: BoolArray, truth: BoolArray) -> tuple[bool, bool]:
    """Whether the centre lies inside, and both ends within one slice."""
    there, mine = (np.flatnonzero(m.any((1, 2))) for m in (truth, mask))
    if not len(mine):
        return False, False
    middle = mine[len(mine) // 2]
    row, column = np.argwhere(mask[middle]).mean(0).round().astype(int)
    return (bool(truth[middle, row, column]),
            abs(int(mine[0] - there[0])) <= 1 and abs(int(mine[-1] - there[-1])) <= 1)


def many_placed(make: str, count: int, beyond: bool = False) -> tuple[float, float, float, float]:
    """Of so many phantoms of a make the % whose centre lies inside, and whose ends are found; mean
    mask Dice; and the % of sure slices that are not good. `beyond` : of stacks that go on."""
    found, dices, sure = [], [], []
    for study, truth, _ in phantoms(make, count, beyond=beyond):
        try:
            proposal = propose_mask(study)
        except InputError:
            found.append((False, False))
            dices.append(0.0)
            continue
        found.append(placed(proposal.mask, truth > 0))
        dices.append(dice(proposal.mask, truth > 0) or 0.0)
        sure += [(dice(proposal.mask[i], truth[i] > 0) or 0.0) < GOOD
                 for i in np.flatnonzero(proposal.confidence > SURE)]
    centres, ends = np.mean(found, axis=0) * 100
    return (float(centres), float(ends), float(np.mean(dices)),
            100 * float(np.mean(sure)) if sure else 0.0)


@dataclass
class Rows:
    """What was measured of one data set, patient by patient or slice by slice."""

    name: str
    dices: list[float] = field(default_factory=list)
    #: Once the whole outline is moved to where it overlaps best, by whole pixels.
    moved: list[float] = field(default_factory=list)
    ellipses: list[float] = field(default_factory=list)
    rivals: list[float] = field(default_factory=list)
    slices: list[tuple[float, float]] = field(default_factory=list)
    pixels: Pixels = field(default_factory=Pixels)
    epi: list[float] = field(default_factory=list)
    endo: list[float] = field(default_factory=list)
    centres: list[bool] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    #: By what the mask was: Dice of it, and of blood and wall by the default method inside it.
    inside: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    #: Pixels from experts' endocardium to where the image is steepest.
    steepest: list[tuple[float, float]] = field(default_factory=list)
    course: Course = field(default_factory=Course)
    #: Error of slices beside one that was corrected, mm: before and after, by a slice, by a point.
    slice_fixed: list[tuple[float, float]] = field(default_factory=list)
    two_away: list[tuple[float, float]] = field(default_factory=list)
    worst_fixed: list[tuple[float, float]] = field(default_factory=list)
    point_given: list[tuple[float, float]] = field(default_factory=list)
    correcting: list[float] = field(default_factory=list)
    #: Errors of the numbers of a border, mm, of each two slices beside each other.
    beside: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    pairs: Pairs = field(default_factory=Pairs)

    def add(self, study: Study, truth: np.ndarray, pool: BoolArray, rival: bool
            ) -> MaskProposal | None:
        began = time.perf_counter()
        try:
            found = propose_mask(study)
        except InputError:
            found = None
        self.seconds.append(time.perf_counter() - began)
        mask = found.mask if found else np.zeros(truth.shape, bool)
        self.dices.append(dice(mask, truth) or 0.0)
        self.moved.append(best_moved(mask, truth)[0])
        self.ellipses.append(dice(ellipse(truth), truth) or 0.0)
        if rival:
            self.rivals.append(dice(outlined(study), truth) or 0.0)
        centre, end = placed(mask, truth)
        self.centres.append(centre)
        self.ends.append(end)
        mine = np.flatnonzero(mask.any((1, 2)))
        if found is not None and len(mine):
            self.slices += [(float(found.confidence[i]), dice(mask[i], truth[i]) or 0.0)
                            for i in mine]
            for i in mine:
                for into, one, other in ((self.epi, mask, truth), (self.endo, found.pool, pool)):
                    value = away(one[i], other[i], study.geometry)
                    if value is not None:
                        into.append(value)
            self.pixels.add(found, truth, study.geometry)
            self._corrected(found, truth, study.geometry)
        first = study.sequences.get(Role.BSSFP) or next(iter(study.sequences.values()))
        self.steepest += steepest(first.values, truth, pool, study.geometry)
        return found

    def correct(self, study: Study, truth: BoolArray) -> None:
        """Nothing but what corrections bring."""
        try:
            self._corrected(propose_mask(study), truth, study.geometry)
        except InputError:
            pass

    def _corrected(self, found: MaskProposal, truth: BoolArray, geometry: Geometry) -> None:
        """Each slice in turn is drawn as it is, or clicked on where it is farthest off."""
        scale = np.array([geometry.spacing[1], geometry.spacing[0]])
        borders = {i: ring for i in found.rings if truth[i].sum() * geometry.pixel_area > SMALL
                   and (ring := ring_of_mask(truth[i], tuple(scale))) is not None}

        def error(of: MaskProposal, i: int) -> float:
            true = borders[i]
            return float(np.abs(of.rings[i].about(true.centre).outer - true.outer).mean())
        before = {i: error(found, i) for i in borders}
        curves = {i: curve_of(true.points()) for i, true in borders.items()}
        off = {i: curve_of(found.rings[i].points()) - true for i, true in curves.items()}
        self.course.add(curves, found, geometry.spacing[2])
        self.beside += [(off[i], off[i + 1]) for i in off if i + 1 in off]
        for i, true in borders.items():
            began = time.perf_counter()
            drawn = corrected(found, geometry, fixed={i: truth[i]})
            self.correcting.append(time.perf_counter() - began)
            self.pairs.add(found, borders, i, drawn.rings)
            away_by = np.abs(found.rings[i].about(true.centre).outer - true.outer)
            place = true.points()[int(away_by.argmax())] / scale
            try:
                clicked = corrected(found, geometry, points=[
                    BorderPoint(i, (float(place[0]), float(place[1])))])
            except InputError:  # too far from the border to be taken: the slice is to be drawn
                clicked = found
            for j in {i - 1, i + 1} & set(borders):
                self.slice_fixed.append((before[j], error(drawn, j)))
                self.point_given.append((before[j], error(clicked, j)))
                if before[i] == max(before.values()):
                    self.worst_fixed.append(self.slice_fixed[-1])
            self.two_away += [(before[j], error(drawn, j)) for j in {i - 2, i + 2} & set(borders)]
        self.pairs.patients += 1

    def sure(self) -> tuple[float, float]:
        """% of slices said to be sure; % of these that are not good."""
        held = [d for c, d in self.slices if c > SURE]
        return (100 * len(held) / max(len(self.slices), 1),
                100 * float(np.mean(np.array(held) < GOOD)) if held else 0.0)

    def row(self) -> tuple[str, ...]:
        share, bad = self.sure()
        rival = float(np.mean(self.rivals)) if self.rivals else None
        return (self.name, str(len(self.dices)), f"{np.mean(self.dices):.3f}",
                f"{np.min(self.dices):.3f}", f"{np.percentile(self.dices, 10):.3f}",
                f"{np.mean(self.moved):.3f}", number(rival), f"{np.mean(self.ellipses):.2f}",
                f"{np.percentile(self.ellipses, 10):.2f}",
                number(mean(self.epi)), number(mean(self.endo)),
                f"{100 * np.mean(self.centres):.0f}", f"{100 * np.mean(self.ends):.0f}",
                f"{share:.0f}", f"{bad:.1f}",
                f"{np.mean(self.seconds):.1f}")

    def reliability(self) -> list[tuple[str, ...]]:
        rows = []
        for low, high in ((0, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.97), (0.97, 1.01)):
            held = [d for c, d in self.slices if low < c <= high]
            if held:
                rows.append((self.name, f"{low} to {min(high, 1)}", str(len(held)),
                             f"{100 * np.mean(np.array(held) >= GOOD):.0f}"))
        return rows

    def follow(self) -> tuple[str, ...]:
        cells = []
        for pairs in (self.slice_fixed, self.worst_fixed, self.point_given, self.two_away):
            old, new = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
            cells.append(f"{old:.2f} to {new:.2f} ({100 * (new / old - 1):+.0f} %)")
        return (self.name, str(len(self.correcting)), *cells, f"{max(self.correcting):.3f}")

    def alike(self) -> tuple[str, ...]:
        """Correlation of the errors of slices beside each other (about 0, as a shift that is common
        to all counts too), and the % that the best linear guess by it leaves of them."""
        one, other = (np.array(side) for side in zip(*self.beside))
        cells = []
        for which in (slice(2, 3), slice(0, 2), slice(3, None)):
            a, b = one[:, which].ravel(), other[:, which].ravel()
            r = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
            cells.append(f"{r:.2f} ({100 * np.sqrt(1 - r * r):.0f} %)")
        return self.name, str(len(one)), *cells


def mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def cost(threads: int) -> dict[str, float]:
    """Seconds of one study of 12 slices of 256 x 256 after another one, and peak memory, GB."""
    import resource

    use_threads(threads)
    study, _, _ = next(chests(1))
    values = np.kron(study.sequences[Role.LGE].values, np.ones((2, 2), np.float32))[:, :256, :256]
    values = values[np.arange(12) % len(values)]
    large = Study({Role.LGE: Sequence(Role.LGE, values)}, np.zeros(values.shape, bool),
                  Geometry((1.25, 1.25, 8.0)))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        propose_mask(large)
        seconds.append(time.perf_counter() - began)
    return {"seconds": min(seconds[1:]),
            "peak": peak_memory(resource.getrusage(resource.RUSAGE_SELF))}


def checks(sets: dict[str, Rows], spent: dict[str, float],
           many: dict[str, tuple[float, float, float, float]]
           ) -> list[tuple[str, str, str, bool | None]]:
    """The bars; one that was not measured is missed. `many` : of `many_placed`."""
    lines: list[tuple[str, str, str, bool | None]] = []

    def bar(what: str, limit: float, value: float | None, digits: int = 3,
            most: bool = False) -> None:
        held = None if value is None else value <= limit if most else value >= limit
        lines.append((what, f"{'at most' if most else 'at least'} {limit:g}",
                      number(value, digits), held))
    cine, lge = sets.get("Sunnybrook, bSSFP"), sets.get("EMIDEC, LGE alone")
    if cine:
        bar("Sunnybrook, mask Dice, mean", 0.93, mean(cine.dices))
        bar("Sunnybrook, mask Dice, worst", 0.88, min(cine.dices))
        _, blood, wall = (mean(column) for column in zip(*cine.inside[PROPOSED]))
        bar("Sunnybrook, blood inside the proposal", 0.90, blood)
        bar("Sunnybrook, wall inside the proposal", 0.78, wall)
    if lge:
        bar("EMIDEC, mask Dice, mean", 0.92, mean(lge.dices))
        bar("EMIDEC, mask Dice, worst tenth", 0.84, float(np.percentile(lge.dices, 10)))
    for name, one in sets.items():
        bar(f"{name}: centre inside, %", 100, 100 * float(np.mean(one.centres)), 0)
        share, bad = one.sure()
        bar(f"{name}: sure slices, %", LEAST_SURE, share, 0)
        bar(f"{name}: of these under {GOOD}, %", MOST_BAD, bad, 1, most=True)
        if one not in (cine, lge, sets.get("ACDC, bSSFP")):
            bar(f"{name}: ends within one slice, %", 90, 100 * float(np.mean(one.ends)), 0)
            bar(f"{name}: mask Dice, mean", 0.94, mean(one.dices))
            bar(f"{name}: distance of the epicardium, mm", 1.2, mean(one.epi), 2, most=True)
            bar(f"{name}: distance of the endocardium, mm", 1.2, mean(one.endo), 2, most=True)
        if one.slice_fixed:
            old, new = np.mean(one.slice_fixed, axis=0)
            bar(f"{name}: one slice drawn, its neighbours' error falls, %", 50,
                float(100 * (1 - new / old)), 0)
    for name, (centre, end, overlap, bad) in many.items():
        bar(f"{name}: centre inside, %", 100, centre, 0)
        bar(f"{name}: ends within one slice, %", 90, end, 0)
        if GO_ON in name:  # of plain stacks the sets above have them
            bar(f"{name}: mask Dice, mean", 0.94, overlap)
            bar(f"{name}: of sure slices under {GOOD}, %", MOST_BAD, bad, 1, most=True)
    bar("12 slices, s", 3, spent["seconds"], 1, most=True)
    bar("memory, GB", 0.6, spent["peak"], 2, most=True)
    slowest = [max(one.correcting) for one in sets.values() if one.correcting]
    bar("a correction, s", 0.3, max(slowest, default=None), 3, most=True)
    return lines


def print_corrections(sets: dict[str, Rows]) -> None:
    print(table(("error of the slices beside, mm", "corrections", "a slice drawn",
                 "the worst slice drawn", "a point where it is farthest off",
                 "a slice drawn, those two away", "slowest, s"),
                [r.follow() for r in sets.values() if r.correcting]))
    print(table(("errors of two slices beside each other: correlation (left of one where the other "
                 "is known)", "pairs", "mean radius", "centre", "harmonics"),
                [r.alike() for r in sets.values() if r.beside]))
    print(table(("one slice drawn, the error beside at best, by linear rules learned from the "
                 "set's other patients", "pairs", "from the borders", "from today's answer too",
                 "were centre and mean radius right, mm", "were all numbers right, mm"),
                [r.pairs.row(r.name) for r in sets.values() if r.pairs.patients > 1]))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook")
    parser.add_argument("--emidec", type=Path, default=DATA / "emidec")
    parser.add_argument("--acdc", type=Path, help="a folder of ACDC, if you have one")
    parser.add_argument("--phantoms", type=int, default=10, help="patients of each make")
    parser.add_argument("--chests", type=int, default=20, help="synthetic chests")
    parser.add_argument("--places", type=int, default=0,
                        help="patients of each make of whom only centre and ends are looked at")
    parser.add_argument("--beyond", type=int, default=0,
                        help="such patients whose stacks go on beyond apex and valve")
    parser.add_argument("--no-rival", action="store_true", help="without the way that learns not")
    parser.add_argument("--corrections", action="store_true",
                        help="measure what corrections bring alone")
    parser.add_argument("--cost", action="store_true", help="measure time and memory alone")
    options = parser.parse_args()
    if options.cost:
        print(json.dumps(cost(options.threads)))
        return
    spent = {} if options.corrections else json.loads(subprocess.run(
        [sys.executable, __file__, "--cost", "--threads", str(options.threads)], check=True,
        env=child_environment(options.threads), stdout=subprocess.PIPE, text=True).stdout)
    use_threads(options.threads)
    sets: dict[str, Rows] = {}
    sources = [
        ("Sunnybrook, bSSFP", real(options.sunnybrook, "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP)),
        ("EMIDEC, LGE alone", real(options.emidec, "_lge.nii.gz", "_labels.nii.gz", Role.LGE)),
        *([("ACDC, bSSFP", acdc(options.acdc))] if options.acdc else []),
        *((make, phantoms(make, options.phantoms)) for make in MAKES),
        (CHESTS, chests(options.chests))]
    for name, patients in sources:
        rows = Rows(name)
        for study, truth, pool in patients:
            if options.corrections:
                rows.correct(study, truth > 0)
                continue
            found = rows.add(study, truth > 0, pool, not options.no_rival)
            if "bSSFP" in name:
                for what, dices in instead(study, truth, found).items():
                    rows.inside.setdefault(what, []).append(dices)
        if rows.dices or rows.correcting:
            sets[name] = rows
        if rows.dices:
            print(name, *rows.row()[1:], file=sys.stderr)
    if options.corrections:
        print(machine(options.threads) + "\n")
        print_corrections(sets)
        return
    many = {f"{count} of the {make}{GO_ON if beyond else ''}":
            many_placed(make, count, beyond)
            for beyond, count in ((False, options.places), (True, options.beyond)) if count
            for make in MAKES}
    print(machine(options.threads) + "\n")
    print(table(("", "patients", "Dice", "worst", "worst tenth", "moved as a whole by truth",
                 "without learning", "ellipse in the box", "ellipse, worst tenth",
                 "epicardium off, mm", "endocardium off, mm",
                 "centre inside, %", "ends within one, %", "sure, %", f"sure under {GOOD}, %",
                 "seconds"), [r.row() for r in sets.values()]))
    if many:
        print(table(("", "centre inside, %", "ends within one, %", "mask Dice, mean",
                     f"sure under {GOOD}, %"),
                    [(name, f"{c:.0f}", f"{e:.0f}", f"{d:.3f}", f"{b:.1f}")
                     for name, (c, e, d, b) in many.items()]))
    print(table(("", "confidence", "slices", f"Dice at least {GOOD}, %"),
                [row for r in sets.values() for row in r.reliability()]))
    print(*pixels_said({name: r.pixels for name, r in sets.items()}), sep="\n")
    print_corrections(sets)
    print(*said(sets, GOOD, CHESTS), sep="\n")
    print(bars(checks(sets, spent, many)))


if __name__ == "__main__":
    run(main)
