"""What error is left before anybody corrects, and how much of it a done slice can foretell.

The reader of `refine.py` makes the worst slice right, or the worst three. For the other slices:

- the budget: which tissues are taken for which (a wrong voxel counts for both tissues' 1 - Dice),
  and how much of each goes by a refit;
- the habit's bound: one constant a tissue, added to its log odds over the whole heart, chosen for
  each patient with the truth of those very slices. No habit of a reader that moves borders as a
  whole can take more away;
- the same constants chosen on the done slices, which is what can be known;
- the linear foretelling: by ridge regression, with the truth of all other patients of the group,
  how the done slices' errors at the same place, smoothed four ways, and at the same intensities
  foretell a voxel's error.

    python Benchmarks/refine_bound.py --threads 1
    python Benchmarks/refine_bound.py --patients 10 --makes own,second,third
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import REPORTED_SEED, in_processes, machine, parser_of, run, table
from phantom_makes import SETS
from real_lge import DATA, patients_in
from refine import SLICES, Labels, error, finished, next_slice, patient

from deepgmm import Settings, Tissue, refine, segment
from deepgmm.methods import Case
from deepgmm.refine import case_of
from deepgmm.result import Result

Array = npt.NDArray[np.floating]
#: Constants of the habit, log odds: of one disease, of two.
STEPS = {1: (-2.5, -1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5, 2.5),
         2: (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)}
#: Widths of what is smoothed, radians and mm; the last, wide, is the whole ring.
WIDTHS = ((0.2, 1.5), (0.4, 2.5), (0.8, 4.0), (3.0, 2.0))
#: Reach along the axis, mm; width of intensities, 2 and 98 % of the mask at -1 and 1.
REACH, BRIGHT = 20.0, 0.15
#: Bins around and in depth, the depth of one, mm; strengths of the ridge, the best of which holds.
AROUND, DEEP, DEPTH_MM = 48, 30, 0.75
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
NAMES = {Tissue.BACKGROUND: "none", Tissue.BLOOD: "blood", Tissue.MYOCARDIUM: "wall",
         Tissue.EDEMA: "edema", Tissue.SCAR: "scar"}


@dataclass
class Heart:
    """One patient after so many slices: errors of the others.

    Attributes
    ----------
    before, after : error of the automatic result, and of the refit.
    parts, left : the budget of both.
    habit, known : error of the others by each habit; the habit that the done slices choose.
    features, off, likely, truth, labels : of the others' voxels: what may foretell, (voxels,
        features); 1 less probability, by tissue but healthy wall; probabilities; tissues.
    """

    tissues: list[int]
    before: float
    after: float
    parts: Counter[str]
    left: Counter[str]
    habit: Array
    known: int
    features: Array
    off: Array
    likely: Array
    truth: Labels
    labels: Labels
    others: list[int] = field(default_factory=list)


def budget(labels: Labels, automatic: Labels, truth: Labels, slices: list[int],
           tissues: Iterable[Tissue]) -> Counter[str]:
    """The error of `refine.error`, by what was taken for what: it adds up to that."""
    found, true = labels[slices], truth[slices]
    counted = [t for t in tissues if (true == t).any() or (automatic[slices] == t).any()]
    size = {t: int((found == t).sum() + (true == t).sum()) for t in counted}
    whole = np.full(found.shape, "", dtype="U20")
    for t in (Tissue.EDEMA, Tissue.SCAR):
        whole[_alone(found == t, true == t) & (found != true)] = f"false {NAMES[t]} island"
        missed = _alone(true == t, found == t) & (found != true) & (whole == "")
        whole[missed] = f"missed {NAMES[t]} island"
    parts: Counter[str] = Counter()
    for a, b in itertools.permutations(NAMES, 2):
        wrong = (found == a) & (true == b)
        weight = sum(1 / size[t] for t in (a, b) if size.get(t)) / max(len(counted), 1)
        for kind, count in zip(*np.unique(whole[wrong], return_counts=True), strict=True):
            parts[str(kind) or "/".join(sorted((NAMES[a], NAMES[b])))] += count * weight
    return parts


def _alone(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Islands of one, slice by slice, that hold nothing of the other."""
    from scipy import ndimage

    result = np.zeros_like(one)
    for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        islands, _ = ndimage.label(mine, np.ones((3, 3)))
        result[index] = mine & ~np.isin(islands, islands[theirs])
    return result


def measured(task: tuple[str, str, Any]) -> list[Heart]:
    """One patient after its worst slice, and after its worst three."""
    study, truth, _ = patient(*task)
    result = segment(study, Settings())
    case = case_of(result)
    fitted = [fit.index for fit in result.fits]
    new, done, found = result, [], []
    for count in range(1, SLICES + 1):
        if len(fitted) - len(done) > 1:
            done.append(next_slice(new, truth, [i for i in fitted if i not in done], "worst"))
            new = refine(new, finished(new, truth, done[-1]), case=case)
        if done and count in (1, SLICES):
            found.append(_heart(result, new, case, truth, list(done)))
    return found


def _heart(result: Result, new: Result, case: Case, truth: Labels, done: list[int]) -> Heart:
    rest = [fit.index for fit in result.fits if fit.index not in done]
    tissues = result.tissues
    habits = _habits(len(tissues))
    mine, theirs = (np.array([_moved_error(result, truth, slices, one) for one in habits])
                    for slices in (rest, done))
    plain = int(np.abs(habits).sum(1).argmin())
    known = int(theirs.argmin()) if theirs.min() < theirs[plain] else plain
    features, off = _features(result, case, truth, done, rest)
    inside = case.mask[[case.slices.index(i) for i in rest]]
    others = [k for k, t in enumerate(tissues) if t != Tissue.MYOCARDIUM]
    return Heart(
        [int(t) for t in tissues],
        *(error(x.labels, result.labels, truth, rest, tissues) for x in (result, new)),
        *(budget(x.labels, result.labels, truth, rest, tissues) for x in (result, new)),
        mine, known, features.astype(np.float32), off,
        result.posterior[rest].transpose(0, 2, 3, 1)[inside], truth[rest][inside],
        result.labels[rest][inside], others)


def _habits(tissues: int) -> Array:
    """(habits, tissues but healthy wall) constants."""
    return np.array(list(itertools.product(STEPS[min(tissues - 2, 2)], repeat=tissues - 1)))


def _moved_error(result: Result, truth: Labels, slices: list[int], habit: Array) -> float:
    inside = result.study.mask[slices]
    odds = np.log(np.maximum(result.posterior[slices].transpose(0, 2, 3, 1)[inside], 1e-6))
    odds = odds + np.insert(habit, result.tissues.index(Tissue.MYOCARDIUM), 0.0)
    moved = np.asarray(result.tissues)[odds.argmax(1)]
    return voxels_error(moved, result.labels[slices][inside], truth[slices][inside],
                        [int(t) for t in result.tissues])


def voxels_error(moved: Labels, automatic: Labels, truth: Labels, tissues: list[int]) -> float:
    """`refine.error` of voxels."""
    parts = [1 - 2 * ((moved == t) & (truth == t)).sum() / max(
        int((moved == t).sum() + (truth == t).sum()), 1)
        for t in tissues if (truth == t).any() or (automatic == t).any()]
    return float(np.mean(parts))


def _features(result: Result, case: Case, truth: Labels, done: list[int],
              rest: list[int]) -> tuple[Array, Array]:
    """(voxels of the others, features), and how far off their probabilities are."""
    others = [k for k, t in enumerate(result.tissues) if t != Tissue.MYOCARDIUM]
    thickness = result.study.geometry.spacing[2]

    def of(index: int) -> tuple[Array, Array, Array, Array, Array]:
        at = case.slices.index(index)
        inside = case.mask[at]
        likely = result.posterior[index][:, inside].T.astype(float)
        off = (truth[index][inside][:, None] == np.asarray(result.tissues)) - likely
        return (case.coordinates.angle[at][inside], case.coordinates.depth[at][inside],
                case.normalised[0][at][:, inside].T, likely[:, others], off[:, others])

    known, rows, wanted = [(index, of(index)) for index in done], [], []
    for index in rest:
        angle, depth, values, likely, off = of(index)
        told: Any = 0
        for place, (its_angle, its_depth, its_values, _, its_off) in known:
            there = _smoothed(its_angle, its_depth, its_off)(angle, depth)
            apart = ((values[:, None] - its_values)**2).sum(2) / BRIGHT**2 + (
                (depth[:, None] - its_depth) / 3.0)**2
            alike = np.exp(-0.5 * apart)
            by_value = alike @ its_off / (alike.sum(1, keepdims=True) + 5)
            mean = np.tile(its_off.mean(0), (len(angle), 1))
            near = np.exp(-abs(index - place) * thickness / REACH)
            told = told + np.column_stack(
                [there, by_value, mean, near * there, near * by_value]) / len(known)
        open_ = 4 * likely * (1 - likely)
        rows.append(np.column_stack([np.ones(len(angle)), likely, open_, told,
                                     *(told * open_[:, [k]] for k in range(len(others)))]))
        wanted.append(off)
    return np.concatenate(rows), np.concatenate(wanted)


def _smoothed(angle: Array, depth: Array, off: Array) -> Any:
    """A slice's errors, smoothed, asked at angles and depths."""
    from scipy import ndimage

    def bins(a: Array, d: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        return ((a / (2 * np.pi) * AROUND).astype(int) % AROUND,
                np.minimum((d / DEPTH_MM).astype(int), DEEP - 1))

    flat = np.ravel_multi_index(bins(angle, depth), (AROUND, DEEP))

    def smooth(weights: Array, turn: float, mm: float) -> Array:
        counted = np.bincount(flat, weights, minlength=AROUND * DEEP).reshape(AROUND, DEEP)
        around = ndimage.gaussian_filter1d(counted, turn / (2 * np.pi) * AROUND, axis=0,
                                           mode="wrap")
        return ndimage.gaussian_filter1d(around, mm / DEPTH_MM, axis=1, mode="constant")

    maps = [smooth(column, *widths) / (smooth(np.ones(len(flat)), *widths) + 1e-2)
            for widths in WIDTHS for column in off.T]
    return lambda a, d: np.column_stack([one[bins(a, d)] for one in maps])


def foretold(hearts: list[Heart]) -> list[float]:
    """Error of each heart's other slices, foretold with the truth of all other hearts."""
    grams = [h.features.T.astype(float) @ h.features / len(h.off) for h in hearts]
    sides = [h.features.T.astype(float) @ h.off / len(h.off) for h in hearts]
    best: list[float] = []
    for ridge in RIDGES:
        errors = []
        for heart, gram, side in zip(hearts, grams, sides, strict=True):
            rest = sum(grams) - gram
            held = rest + ridge * np.trace(rest) / len(rest) * np.eye(len(rest))
            more = heart.features @ np.linalg.solve(held, sum(sides) - side)
            likely = heart.likely.astype(float)
            likely[:, heart.others] += more
            wall = heart.tissues.index(int(Tissue.MYOCARDIUM))
            likely[:, wall] -= more.sum(1)
            errors.append(voxels_error(np.asarray(heart.tissues)[likely.argmax(1)], heart.labels,
                                       heart.truth, heart.tissues))
        if not best or sum(errors) < sum(best):
            best = errors
    return best


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=5, help="phantoms a set and make")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--makes", default="own,second,third", help="comma-separated")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--real", type=int, help="real patients, the first so many")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.real]
    seeds = range(options.first_seed, options.first_seed + options.patients)
    groups = {f"{make}, {name}": [(make, name, seed) for seed in seeds]
              for make in filter(None, options.makes.split(","))
              for name in options.sets.split(",")}
    if names:
        groups["EMIDEC"] = [("EMIDEC", "", (options.data, one, names[(k + 1) % len(names)]))
                            for k, one in enumerate(names)]
    budgets, bounds = [], []
    for title, patients in groups.items():
        found = [both for both in in_processes(measured, patients, options.threads) if both]
        budgets += budget_rows(title, [both[0] for both in found])
        bounds += [(f"{title}, {len(found)}", str(count), *bounds_of([b[k] for b in found]))
                   for k, count in enumerate((1, SLICES))]
    phantoms = options.patients if options.makes else 0
    print(f"{phantoms} phantom patients a set and make, seeds from {options.first_seed}, "
          f"three sequences, and {len(names)} real ones (EMIDEC, LGE alone), by the default "
          "method; the worst slice made right, or the worst three. Shares of the error (1 - Dice, "
          "mean over tissues) of the slices that were not corrected. The habit's bound and the "
          "ridge's strength are chosen with their truth.")
    print(machine(options.threads) + "\n")
    print(table(("patients", "taken for each other", "share of the error, %",
                 "of it goes after 1, %"), budgets))
    print(table(("patients", "slices done", "goes by the refit, %",
                 "by the best habit of each patient, %", "by the habit the done slices show, %",
                 "foretold linearly, %"), bounds))


def bounds_of(hearts: list[Heart]) -> list[str]:
    before = sum(h.before for h in hearts)
    ways = ([h.after for h in hearts], [float(h.habit.min()) for h in hearts],
            [float(h.habit[h.known]) for h in hearts],
            foretold(hearts) if len(hearts) > 1 else [before])
    return [f"{100 * (1 - sum(way) / max(before, 1e-9)):.1f}" for way in ways]


def budget_rows(title: str, hearts: list[Heart]) -> list[tuple[str, ...]]:
    parts, left = (sum((getattr(h, name) for h in hearts), Counter()) for name in
                   ("parts", "left"))
    total = max(sum(parts.values()), 1e-9)
    return [(title, what, f"{100 * value / total:.1f}", f"{100 * (1 - left[what] / value):.0f}")
            for what, value in parts.most_common() if value > 0.02 * total]


if __name__ == "__main__":
    run(main)
