"""Whether the lifelike phantom's LGE is like real LGE: the same figures of both, side by side.

Figures are per patient, in units of the patient's blood less healthy wall; the table gives the
median and the 10th and 90th percentile over patients. The real ones are of EMIDEC, with the
experts' labels, see `real_lge.py`; the phantom's with the labels that its reader drew.

    python Benchmarks/calibrate_lge.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import in_processes, machine, parser_of, run, table
from lifelike import lifelike_patient
from real_lge import DATA, patients_in, read_patient
from scipy.ndimage import distance_transform_edt, gaussian_filter

from deepgmm.phantom import make_patient
from deepgmm.study.study import Study
from deepgmm.study.words import Role, Tissue

#: Pixels of a slice's tissue, at least, to count.
LEAST = 20
#: Sectors of a slice; depths of the rims and of the middle of the wall, as shares of it.
SECTORS, RIM, MIDDLE = 6, 0.2, (0.35, 0.65)
FIGURES = {
    "drift": "healthy level from slice to slice, SD",
    "pool_drift": "pool level from slice to slice, SD",
    "together": "correlation of the two",
    "around": "healthy level around a slice (60° sectors), SD",
    "endocardial": "endocardial rim above mid-wall",
    "epicardial": "epicardial rim above mid-wall",
    "scar": "scar level (blood = 1)",
    "obstruction": "no-reflow level",
    "wall_sd": "healthy wall within a slice, SD",
    "blood_sd": "blood within a slice, SD",
    "white": "of the healthy wall's variance, what a blur of 1 pixel takes away",
    "outside": "what lies 2 to 5 pixels outside, mean",
    "outside_sd": "the same, SD",
    "share": "scar, % of the wall (ill patients)",
    "thickness": "wall thickness, share of the outer radius",
}


def figures(values: npt.NDArray, labels: npt.NDArray,
            obstructed: npt.NDArray | None = None) -> dict[str, float]:
    """Of one patient's (slices, rows, columns) LGE and labels, NaN where there is nothing."""
    blood, healthy = labels == Tissue.BLOOD, labels == Tissue.MYOCARDIUM
    wall = labels >= Tissue.MYOCARDIUM
    zero = float(values[healthy].mean())
    unit = float(values[blood].mean()) - zero
    v = (values - zero) / unit
    slices = [i for i in range(len(v)) if min(blood[i].sum(), healthy[i].sum()) >= LEAST]
    levels = np.array([v[i][healthy[i]].mean() for i in slices])
    pools = np.array([v[i][blood[i]].mean() for i in slices])
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for i in slices:
        inside = labels[i] > 0
        y, x = np.nonzero(healthy[i])
        cy, cx = np.argwhere(inside).mean(0)
        sector = ((np.arctan2(y - cy, x - cx) / (2 * np.pi)) % 1 * SECTORS).astype(int)
        around = [v[i][y[sector == s], x[sector == s]].mean() for s in range(SECTORS)
                  if (sector == s).sum() >= 8]
        if len(around) >= 4:
            found["around"].append(float(np.std(around)))
        outer = distance_transform_edt(inside)
        inner = distance_transform_edt(~blood[i])
        depth = (outer - 0.5) / np.maximum(outer + inner - 1, 1.0)
        middle = healthy[i] & (depth > MIDDLE[0]) & (depth < MIDDLE[1])
        if middle.sum() >= LEAST:
            level = v[i][middle].mean()
            found["endocardial"].append(v[i][healthy[i] & (depth > 1 - RIM)].mean() - level)
            found["epicardial"].append(v[i][healthy[i] & (depth < RIM)].mean() - level)
        found["wall_sd"].append(float(v[i][healthy[i]].std()))
        found["blood_sd"].append(float(v[i][blood[i]].std()))
        rough = v[i] - gaussian_filter(v[i], 1.0)
        found["white"].append(float(rough[healthy[i]].var() / max(v[i][healthy[i]].var(), 1e-9)))
        beyond = distance_transform_edt(~inside)
        band = (beyond >= 2) & (beyond <= 5)
        found["outside"].append(float(v[i][band].mean()))
        found["outside_sd"].append(float(v[i][band].std()))
        found["thickness"].append(1 - float(np.sqrt(blood[i].sum() / inside.sum())))
    result = {name: float(np.mean(each)) if each else np.nan for name, each in found.items()}
    result |= {"drift": float(levels.std()), "pool_drift": float(pools.std())}
    result["together"] = float(np.corrcoef(levels, pools)[0, 1]) if len(slices) > 2 else np.nan
    scar = labels == Tissue.SCAR
    free = scar if obstructed is None else scar & ~obstructed
    result["scar"] = float(v[free].mean()) if free.sum() >= LEAST else np.nan
    if obstructed is not None and obstructed.sum() >= LEAST:
        result["obstruction"] = float(v[obstructed].mean())
    result["share"] = 100.0 * scar.sum() / wall.sum() if scar.any() else np.nan
    return result


def of_real(task: tuple[Path, str]) -> dict[str, float]:
    import SimpleITK as sitk

    folder, name = task
    study, truth = read_patient(folder, name)
    raw = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}_labels.nii.gz")))
    return of_study(study, truth, raw == 4)


def of_study(study: Study, truth: npt.NDArray,
             obstructed: npt.NDArray | None = None) -> dict[str, float]:
    labels = np.where(truth == Tissue.EDEMA, Tissue.MYOCARDIUM, truth)
    return figures(study.sequences[Role.LGE].values.astype(float), labels, obstructed)


def of_lifelike(seed: int) -> dict[str, float]:
    patient = lifelike_patient(seed, (Role.LGE,), bright_blood=True)
    return of_study(patient.study, patient.truth)


def of_phantom(seed: int) -> dict[str, float]:
    patient = make_patient(seed, patient_set="typical" if seed % 2 else "healthy")
    return of_study(patient.study, patient.truth, patient.truth_mvo)


def cell(rows: list[dict[str, float]], name: str) -> str:
    known = np.array([row[name] for row in rows])
    known = known[np.isfinite(known)]
    if not known.size:
        return "-"
    low, middle, high = np.percentile(known, (10, 50, 90))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--patients", type=int, default=60, help="of each phantom")
    options = parser.parse_args()
    names = patients_in(options.data)
    columns = {name: in_processes(of, range(first, first + options.patients), options.threads)
               for name, of, first in (("lifelike phantom", of_lifelike, 29_000),
                                       ("phantom", of_phantom, 1000))}
    if names:
        columns = {f"real ({len(names)} patients)": in_processes(
            of_real, [(options.data, name) for name in names], options.threads)} | columns
    else:
        print("No `*_lge.nii.gz` in the data folder: the phantoms alone.\n")
    print(machine(options.threads) + "\n")
    print(table(("", *columns), [(words, *(cell(rows, name) for rows in columns.values()))
                                 for name, words in FIGURES.items()]))


if __name__ == "__main__":
    run(main)
