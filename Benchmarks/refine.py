"""Does correcting one slice mend the others? A simulated reader on phantoms and real LGE.

The reader knows the truth and does nothing but say it: it makes one slice right and ticks it done,
or draws at most 200 voxels in it. The slice is the worst (which needs truth), or the one that the
library names. Beside every row stand the same refit with no correction, and with that of another
patient. Needs nothing for phantoms; for real hearts the EMIDEC data, see `real_lge.py`.

    python Benchmarks/refine.py
    python Benchmarks/refine.py --patients 20 --makes own,second,third --methods auto,map
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import (
    REPORTED_SEED,
    bars,
    in_processes,
    machine,
    mean_with_interval,
    number,
    parser_of,
    run,
    table,
)
from phantom_makes import SETS, patient_of
from real_lge import DATA, patients_in, read_patient, wall_of
from refine_doors import command_seconds, lge_alone, versions_size, worker_seconds
from refine_strokes import by_make, strokes_of, struck

from deepgmm import Settings, Tissue, refine, segment
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.phantom import make_patient
from deepgmm.refine import case_of
from deepgmm.result import Result
from deepgmm.review.corrections import corrections_of
from deepgmm.review.metrics import dice
from deepgmm.review.where_next import review_next

Labels = npt.NDArray[np.uint8]

#: Slices that are corrected one after the other, and voxels that a stroke may have.
SLICES, VOXELS = 3, 200
#: By what the next slice is chosen; "worst" needs the truth.
POLICIES = ("worst", "useful", "change", "uncertain", "order")
#: A heart with more false scar than this, % of its wall, is one to be mended by a stroke.
FALSE = 1.0
#: Shares of the error elsewhere that are to go: after one slice, after three.
WANTED = {"phantoms": (0.20, 0.40), "real": (0.15, 0.30)}
WORSE, SAME = 0.01, 0.02
REFIT, COMMAND, ROOM = 0.7, 4.0, 200.0


@dataclass
class Heart:
    """What came of one patient by one method.

    Attributes
    ----------
    before, after : by row, mean over tissues of 1 - Dice over the slices that were not corrected.
    changed : corrected voxels that a refit changed.
    seconds : of each refit, its study ready.
    false : false scar before and after a stroke of healthy over it, % of the wall; `cost` : of the
        true scar's Dice, where there is an infarct.
    """

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    changed: int = 0
    seconds: list[float] = field(default_factory=list)
    false: tuple[float, float] | None = None
    cost: float | None = None


def error(labels: Labels, automatic: Labels, truth: Labels, slices: list[int],
          tissues: tuple[Tissue, ...]) -> float:
    """Mean over tissues of 1 - Dice on some slices; a tissue that was drawn falsely counts."""
    parts = []
    for t in tissues:
        true = truth[slices] == t
        if true.any() or (automatic[slices] == t).any():
            found = dice(labels[slices] == t, true)
            parts.append(0.0 if found is None else 1.0 - found)
    return float(np.mean(parts)) if parts else 0.0


def finished(result: Result, truth: Labels, index: int) -> Corrections:
    """One slice made right and done."""
    edited = result.labels.copy()
    edited[index] = np.where(result.study.mask[index], truth[index], 0)
    return corrections_of(result, edited, done=[index])


def strokes(result: Result, truth: Labels, index: int) -> Corrections:
    """At most `VOXELS` voxels of one slice, the largest errors first."""
    from scipy import ndimage

    edited = result.labels.copy()
    wrong = (truth[index] != edited[index]) & result.study.mask[index]
    parts, _ = ndimage.label(wrong, np.ones((3, 3)))
    size = np.bincount(parts.ravel())[1:]
    left = VOXELS
    for part in 1 + np.argsort(-size, kind="stable"):
        at = np.argwhere(parts == part)[:left]
        edited[index][tuple(at.T)] = truth[index][tuple(at.T)]
        left -= len(at)
        if left <= 0:
            break
    return corrections_of(result, edited)


def nothing(result: Result) -> Corrections:
    """One voxel, which is what it was."""
    at = tuple(np.argwhere(result.labels > 0)[0])
    edit = np.zeros(result.labels.shape, np.uint16)
    edit[at] = 1
    return Corrections(np.where(edit > 0, result.labels, 0), edit, [Edit(Strength.VOXEL)])


def of_another(result: Result, truth: Labels, index: int) -> Corrections:
    """A slice as it would be right in another patient, laid over this one's LV mask."""
    mask = result.study.mask[index]
    theirs = truth[min(index, len(truth) - 1)]
    if not theirs.any():
        theirs = truth[int((truth > 0).sum((1, 2)).argmax())]
    rows, columns = np.nonzero(mask)
    away = np.argwhere(theirs > 0).mean(0) - (rows.mean(), columns.mean())
    at = [np.clip(np.rint(x + a).astype(int), 0, n - 1)
          for x, a, n in zip((rows, columns), away, theirs.shape)]
    found = theirs[at[0], at[1]]
    edited = result.labels.copy()
    mine = edited[index][mask]
    edited[index][mask] = np.where(np.isin(found, result.tissues), found, mine)
    fixed = np.zeros(edited.shape, np.uint16)
    fixed[index][mask] = 1
    return Corrections(np.where(fixed > 0, edited, 0), fixed, [Edit(Strength.SLICE)], (index,))


def measured(task: tuple[str, str, Any, str, bool]) -> Heart:
    """One patient by one method."""
    make, patient_set, which, method, brief = task
    study, truth, other = patient(make, patient_set, which)
    result = segment(study, Settings(method=method))
    case, heart = case_of(result), Heart()
    _ = case.ventricle
    fitted = [fit.index for fit in result.fits]
    if len(fitted) > 1:
        for policy in POLICIES[:1] if brief else POLICIES:
            _read(heart, result, truth, case, policy, fitted)
        worst = _worst(result, result.labels, truth, fitted)
        rest = [i for i in fitted if i != worst]
        for name, given in (("200 voxels", strokes(result, truth, worst)),
                            ("no correction", nothing(result)),
                            ("another patient's", of_another(result, other, worst))):
            if given:
                new = _refined(heart, result, given, case)
                heart.before[name] = error(result.labels, result.labels, truth, rest,
                                           result.tissues)
                heart.after[name] = error(new.labels, result.labels, truth, rest, result.tissues)
    _stroke_of_healthy(heart, result, truth, case)
    return heart


def patient(make: str, patient_set: str, which: Any) -> tuple[Any, Labels, Labels]:
    """Study, truth, and the truth of another patient."""
    if make == "EMIDEC":
        folder, name, neighbour = which
        return (*read_patient(folder, name), read_patient(folder, neighbour)[1])
    found = patient_of(make, which, patient_set)
    return found.study, found.truth, patient_of(make, which + 500, patient_set).truth


def _worst(result: Result, labels: Labels, truth: Labels, slices: list[int]) -> int:
    return max(slices, key=lambda i: error(labels, labels, truth, [i], result.tissues))


def next_slice(result: Result, truth: Labels, left: list[int], policy: str) -> int:
    """Which of the slices that are left is corrected next."""
    return (_worst(result, result.labels, truth, left) if policy == "worst"
            else review_next(result, policy)[0]["index"])


def _refined(heart: Heart, result: Result, given: Corrections, case: Any) -> Result:
    began = time.perf_counter()
    new = refine(result, given, case=case)
    heart.seconds.append(time.perf_counter() - began)
    assert new.corrections is not None
    fixed = new.corrections.fixed
    heart.changed += int((new.labels != new.corrections.tissue)[fixed].sum())
    return new


def _read(heart: Heart, result: Result, truth: Labels, case: Any, policy: str,
          fitted: list[int]) -> None:
    """Slices made right one after the other."""
    new, read = result, []
    for count in range(1, SLICES + 1):
        left = [i for i in fitted if i not in read]
        if len(left) < 2:
            return
        read.append(next_slice(new, truth, left, policy))
        new = _refined(heart, new, finished(new, truth, read[-1]), case)
        rest = [i for i in fitted if i not in read]
        name = f"{policy} {count}"
        heart.before[name] = error(result.labels, result.labels, truth, rest, result.tissues)
        heart.after[name] = error(new.labels, result.labels, truth, rest, result.tissues)


def _stroke_of_healthy(heart: Heart, result: Result, truth: Labels, case: Any) -> None:
    """A stroke of what is there over the surest spot of the largest island of false scar."""
    from scipy import ndimage

    if Tissue.SCAR not in result.tissues:
        return
    scar, true = result.labels == Tissue.SCAR, truth == Tissue.SCAR
    wall = wall_of(truth).sum()
    islands = np.zeros(scar.shape, int)
    for i, one in enumerate(scar):
        found, _ = ndimage.label(one, np.ones((3, 3)))
        islands[i] = np.where(found > 0, found + islands.max(), 0)
    numbers = np.arange(1, islands.max() + 1)
    # one that touches no infarct: what is too much at the border of one is no patch
    touching = ndimage.maximum(true, islands, numbers) if len(numbers) else np.zeros(0)
    false = np.isin(islands, numbers[touching == 0])
    if 100 * false.sum() <= FALSE * wall:
        return
    size = np.bincount(islands[false], minlength=len(numbers) + 1)
    mine = islands == size[1:].argmax() + 1
    likely = result.posterior[:, result.tissues.index(Tissue.SCAR)]
    index, row, column = np.unravel_index(np.where(mine, likely, -1).argmax(), mine.shape)
    near = np.hypot(*np.ogrid[-row:mine.shape[1] - row, -column:mine.shape[2] - column]) <= 2.5
    edited = result.labels.copy()
    struck = mine[index] & near
    edited[index][struck] = np.where(truth[index][struck] > 0, truth[index][struck],
                                     Tissue.MYOCARDIUM)
    new = _refined(heart, result, corrections_of(result, edited), case)
    after = (new.labels == Tissue.SCAR) & false
    heart.false = (100 * false.sum() / wall, 100 * after.sum() / wall)
    if true.any():
        was, now = (dice((labels == Tissue.SCAR) & ~false, true)
                    for labels in (result.labels, new.labels))
        heart.cost = (was or 0.0) - (now or 0.0)


ROWS = (*(f"{policy} {count}" for policy in POLICIES for count in (1, SLICES)), "200 voxels",
        "no correction", "another patient's")


def share(hearts: list[Heart], name: str) -> float | None:
    """Of the error elsewhere, the part that went."""
    known = [h for h in hearts if name in h.before]
    total = sum(h.before[name] for h in known)
    return 1 - sum(h.after[name] for h in known) / total if total else None


def worse(hearts: list[Heart], name: str) -> tuple[int, int]:
    """How many patients' other slices got worse, of how many."""
    known = [h for h in hearts if name in h.before]
    return sum(h.after[name] - h.before[name] > WORSE for h in known), len(known)


def rows_of(title: str, hearts: list[Heart]) -> list[tuple[str, ...]]:
    rows = []
    for name in ROWS:
        known = [h for h in hearts if name in h.before]
        if known:
            bad, count = worse(hearts, name)
            rows.append((title, name, number(100 * (share(hearts, name) or 0.0), 1),
                         mean_with_interval([h.before[name] for h in known], 3),
                         mean_with_interval([h.after[name] for h in known], 3),
                         f"{bad} of {count}"))
    return rows


Bar = tuple[str, str, str, bool | None]


def bars_of(title: str, kind: str, hearts: list[Heart]) -> list[Bar]:
    found: list[Bar] = []
    for count, wanted in zip((1, SLICES), WANTED[kind], strict=True):
        name = f"worst {count}"
        value = share(hearts, name)
        found.append((f"{title}: error elsewhere that goes after {count}",
                      f"at least {wanted:.0%}", "-" if value is None else f"{value:.1%}",
                      None if value is None else value >= wanted))
        bad, of = worse(hearts, name)
        found.append((f"{title}: patients worse by over {WORSE} after {count}", "at most 1 in 20",
                      f"{bad} of {of}", bad <= of / 20 if of else None))
    return found


def controls_of(title: str, hearts: list[Heart]) -> list[Bar]:
    """What must not gain, and what must not change."""
    found: list[Bar] = []
    for name in ("no correction", "another patient's"):
        value = share(hearts, name)
        found.append((f"{title}: gain by {name}", f"under {SAME:.0%}",
                      "-" if value is None else f"{value:.1%}",
                      None if value is None else value < SAME))
    changed = sum(h.changed for h in hearts)
    found.append((f"{title}: corrected voxels changed", "0", str(changed), changed == 0))
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=20, help="a set and make; 20 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--makes", default="own,second,third", help="comma-separated")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--methods", default="auto,map", help="comma-separated")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--real", type=int, help="real patients, the first so many")
    parser.add_argument("--brief", action="store_true", help="without the other orders of slices")
    parser.add_argument("--no-doors", action="store_true", help="without worker and command")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.real]
    groups = [(make, name) for make in filter(None, options.makes.split(","))
              for name in options.sets.split(",")]
    seeds = range(options.first_seed, options.first_seed + options.patients)
    began = time.perf_counter()
    rows, checks, everybody, needed = [], [], [], []
    for method in options.methods.split(","):
        tasks = [(make, name, seed, method, options.brief) for make, name in groups
                 for seed in seeds]
        tasks += [("EMIDEC", "", (options.data, one, names[(k + 1) % len(names)]), method,
                   options.brief) for k, one in enumerate(names)]
        found = in_processes(measured, tasks, options.threads)
        everybody += found
        phantoms, real = found[: len(groups) * len(seeds)], found[len(groups) * len(seeds):]
        for k, (make, name) in enumerate(groups):
            rows += rows_of(f"{method}, {make}, {name}",
                            phantoms[k * len(seeds):(k + 1) * len(seeds)])
        if phantoms:
            checks += bars_of(f"{method}, phantoms", "phantoms", phantoms)
            for make in options.makes.split(","):
                checks += bars_of(f"{method}, {make} make", "phantoms",
                                  [h for t, h in zip(tasks, found, strict=True) if t[0] == make])
            checks += controls_of(f"{method}, phantoms", phantoms)
        if real:
            rows += rows_of(f"{method}, EMIDEC", real)
            checks += bars_of(f"{method}, EMIDEC", "real", real)
            checks += controls_of(f"{method}, EMIDEC", real)
        together = by_make([task[0] for task in tasks], found)
        checks += strokes_of(method, together)
        needed.append(f"{method}: {struck(together)}")
    checks += doors([] if options.no_doors else everybody)
    if not names:
        print("Real hearts are not measured: no `*_lge.nii.gz` in the data folder; give it with "
              "--data.\n")
    print(f"{len(seeds)} phantom patients a set and make, seeds from {seeds[0]}, three sequences, "
          f"and {len(names)} real patients (EMIDEC, LGE alone, mask from the experts' contours). "
          "The reader makes the named number of slices right, each before the next refit. Error: "
          "1 - Dice over the slices that were not corrected, mean over tissues and patients (95 % "
          f"patient bootstrap). Hearts with false scar to strike over, which is islands that touch "
          f"no infarct (not what is too much at an infarct's border), without and with infarct: "
          f"{'; '.join(needed)}. {time.perf_counter() - began:.0f} s in all.")
    print(machine(options.threads) + "\n")
    print(table(("method and patients", "correction", "error that goes, %", "before", "after",
                 "worse by over 0.01"), rows))
    print(bars(checks))


def doors(hearts: list[Heart]) -> list[Bar]:
    """Times of worker and command, and what twenty versions take."""
    if not hearts:
        return []
    study = make_patient(REPORTED_SEED).study
    found: list[Bar] = []
    for title, images, done in (("three sequences, a stroke", study, 0),
                                ("LGE alone, a stroke, two slices done", lge_alone(study), 2)):
        first, later = worker_seconds(images, done)
        found += [(f"warm worker, from a stroke to labels, {title}: {which}", f"under {REFIT:g} s",
                   f"{seconds:.2f} s", seconds < REFIT)
                  for which, seconds in (("the first refit", first), ("later, median", later))]
    with tempfile.TemporaryDirectory() as folder:
        command = command_seconds(Path(folder))
    size = versions_size(20) / 1e6
    return [*found, ("the command", f"under {COMMAND:g} s", f"{command:.1f} s", command < COMMAND),
            ("twenty versions of five slices, nineteen of them refined", f"under {ROOM:g} MB",
             f"{size:.1f} MB", size < ROOM)]


if __name__ == "__main__":
    run(main)
