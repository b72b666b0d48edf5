"""The proposed LV mask against experts' and phantoms': real bSSFP, real LGE, three makes.

    python Benchmarks/mask_proposal.py --sunnybrook FOLDER --emidec FOLDER --phantoms 10

Both folders lie by default in `../shared/data` beside the project; what is not there is left out.
The network learned from synthetic chests alone. Nothing of the data is written.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from common import ROOT, machine, parser_of, run, table, use_threads

from deepgmm.errors import InputError
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import SURE, MaskProposal
from deepgmm.review.metrics import dice
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Role

DATA = ROOT.parent / "shared" / "data"


def read(image: Path, labels: Path, role: Role) -> tuple[Study, np.ndarray]:
    import SimpleITK as sitk

    held = sitk.ReadImage(str(image))
    values = sitk.GetArrayFromImage(held).astype(np.float32)
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    study = Study({role: Sequence(role, values)}, np.zeros(values.shape, bool),
                  Geometry(tuple(held.GetSpacing())))
    return study, truth > 0


def ellipse(truth: np.ndarray, share: float = 0.36) -> np.ndarray:
    """The middle of the box, image never read."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in truth.shape[1:])
    inside = (y[:, None] / truth.shape[1]) ** 2 + (x / truth.shape[2]) ** 2 < share ** 2
    return np.broadcast_to(inside, truth.shape)


class Rows:
    """What was measured of one data set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dices: list[float] = []
        self.slices: list[tuple[float, float]] = []
        self.centres: list[bool] = []
        self.ends: list[bool] = []
        self.seconds: list[float] = []
        self.ellipses: list[float] = []

    def add(self, study: Study, truth: np.ndarray) -> MaskProposal | None:
        began = time.perf_counter()
        try:
            found = propose_mask(study)
        except InputError:
            found = None
        self.seconds.append(time.perf_counter() - began)
        mask = found.mask if found else np.zeros(truth.shape, bool)
        self.dices.append(dice(mask, truth) or 0.0)
        self.ellipses.append(dice(ellipse(truth), truth) or 0.0)
        there = np.flatnonzero(truth.any((1, 2)))
        mine = np.flatnonzero(mask.any((1, 2)))
        self.ends.append(len(mine) > 0 and abs(mine[0] - there[0]) <= 1
                         and abs(mine[-1] - there[-1]) <= 1)
        good = False
        if len(mine):
            middle = mine[len(mine) // 2]
            row, column = np.argwhere(mask[middle]).mean(0).round().astype(int)
            good = bool(truth[middle, row, column])
            self.slices += [(float(found.confidence[i]), dice(mask[i], truth[i]) or 0.0)
                            for i in mine]
        self.centres.append(good)
        return found

    def row(self) -> tuple[str, ...]:
        sure = [d for c, d in self.slices if c > SURE]
        return (self.name, str(len(self.dices)), f"{np.mean(self.dices):.3f}",
                f"{np.min(self.dices):.3f}", f"{np.percentile(self.dices, 10):.3f}",
                f"{np.mean(self.ellipses):.3f}", f"{100 * np.mean(self.centres):.0f}",
                f"{100 * np.mean(self.ends):.0f}",
                f"{100 * len(sure) / max(len(self.slices), 1):.0f}",
                f"{100 * np.mean(np.array(sure) < 0.85) if sure else 0:.1f}",
                f"{np.mean(self.seconds):.1f}")

    def reliability(self) -> list[tuple[str, ...]]:
        rows = []
        for low, high in ((0, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.97), (0.97, 1.01)):
            held = [d for c, d in self.slices if low < c <= high]
            if held:
                rows.append((self.name, f"{low} to {min(high, 1)}", str(len(held)),
                             f"{100 * np.mean(np.array(held) >= 0.85):.0f}"))
        return rows


def makes(count: int) -> list[tuple[str, list[tuple[Study, np.ndarray]]]]:
    from other_phantom import make_other_patient
    from third_phantom import make_third_patient

    from deepgmm.phantom import make_patient
    return [(name, [(p.study, p.truth > 0) for p in (make(seed) for seed in
                                                     range(200, 200 + count))])
            for name, make in (("library's phantom", make_patient),
                               ("second make", make_other_patient),
                               ("third make", make_third_patient))]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook")
    parser.add_argument("--emidec", type=Path, default=DATA / "emidec")
    parser.add_argument("--phantoms", type=int, default=10, help="patients of each make")
    options = parser.parse_args()
    use_threads(options.threads)
    sets: list[Rows] = []
    for name, folder, end, labels, role in (
            ("Sunnybrook, bSSFP", options.sunnybrook, "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP),
            ("EMIDEC, LGE alone", options.emidec, "_lge.nii.gz", "_labels.nii.gz", Role.LGE)):
        rows = Rows(name)
        for file in sorted(folder.glob(f"*{end}")):
            rows.add(*read(file, file.with_name(file.name.replace(end, labels)), role))
        if rows.dices:
            sets.append(rows)
    for name, patients in makes(options.phantoms):
        rows = Rows(name)
        for study, truth in patients:
            rows.add(study, truth)
        if rows.dices:
            sets.append(rows)
    print(machine(options.threads) + "\n")
    print(table(("", "patients", "Dice", "worst", "worst tenth", "ellipse in the box",
                 "centre inside, %", "ends within one, %", "sure, %", "sure under .85, %",
                 "seconds"), [r.row() for r in sets]))
    print(table(("", "confidence", "slices", "Dice at least .85, %"),
                [row for r in sets for row in r.reliability()]))


if __name__ == "__main__":
    run(main)
