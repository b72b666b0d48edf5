"""Real patients: LGE alone of the EMIDEC data, beside thresholds inside the experts' own wall.

Needs `Case_*_lge.nii.gz` and `Case_*_labels.nii.gz` (labels: 1 blood, 2 myocardium, 3 infarct,
4 no-reflow) in one folder, by default `../shared/data/emidec` beside the project. The data may not
be passed on with this project (CC BY-NC-SA 4.0): nothing of them is written, except the montages
that `--montages` asks for.

    python Benchmarks/real_lge.py
    python Benchmarks/real_lge.py --methods map,pretrained --per-patient --json scores.json
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import (
    ROOT,
    bars,
    in_processes,
    machine,
    mean_with_interval,
    number,
    parser_of,
    run,
    table,
)

from deepgmm import Method, Settings, Tissue, segment
from deepgmm.methods import METHODS as FITS
from deepgmm.methods.anchored import Terms, fit_map
from deepgmm.methods.placed import WEIGHT
from deepgmm.reading.studies.from_files import read_study
from deepgmm.result import Result
from deepgmm.review.metrics import dice
from deepgmm.review.thresholds import half_maximum, otsu, sd_level, two_gaussians
from deepgmm.study.study import Study
from deepgmm.study.words import Role

DATA = ROOT.parent / "shared" / "data" / "emidec"
#: Methods of the library by the name of their rows.
METHODS: dict[str, dict] = {
    "auto": {}, "map": {"method": "map"}, "pretrained": {"method": "pretrained"},
    "deepsvg": {"method": "deepsvg"}, "deepg": {"method": "deepg"},
    "svgmm": {"method": "svgmm"}, "gmm": {"method": "gmm"}}
#: Mixtures that are free but for the place prior, whose weight can be chosen.
PLACED = {m: FITS[m] for m in (Method.GMM, Method.SVGMM, Method.DEEPG, Method.DEEPSVG)}
THRESHOLDS = ("5 SD", "2 SD", "FWHM", "Otsu", "mixture")
#: What the default is to reach, by figure of `summary`: with the mask given, with the true wall.
WANTED: dict[str, tuple[str, tuple[float, float | None]]] = {
    "scar": ("at least", (0.60, 0.72)), "false": ("at most", (1.0, 1.5)),
    "free": ("at least", (75.0, 70.0)), "missed": ("at most", (5.0, 5.0)),
    "r": ("at least", (0.87, 0.89)), "limits": ("at most", (14.0, 13.0)),
    "wall": ("at least", (0.935, None)), "blood": ("at least", (0.925, None)),
    "covered": ("80 to 97", (80.0, 80.0))}
NAMED = {"scar": "scar Dice", "false": "healthy hearts, false scar, % of the wall",
         "free": "healthy hearts under 1 % false, %", "missed": "ill hearts called free, %",
         "r": "extent, r", "limits": "extent, ± points", "wall": "wall Dice", "blood": "blood Dice",
         "covered": "scar's 90 % interval holds, %"}
#: A heart with less scar, % of its wall, counts as free of it.
FREE = 1.0


@dataclass
class Score:
    """One patient by one method; what is undefined is None.

    Attributes
    ----------
    ill : whether the experts drew scar.
    scar, wall, blood : Dice of the volume.
    false : scar where there is none, % of the experts' wall.
    extent, true_extent : scar in % of the wall, found and experts'.
    covered : whether the 90 % interval of the scar's volume holds the experts'.
    """

    patient: str
    ill: bool
    scar: float | None
    wall: float | None
    blood: float | None
    false: float
    extent: float
    true_extent: float
    covered: bool | None = None


def patients_in(folder: Path) -> list[str]:
    return sorted(file.name.removesuffix("_lge.nii.gz") for file in folder.glob("*_lge.nii.gz"))


def read_patient(folder: Path, name: str) -> tuple[Study, npt.NDArray[np.uint8]]:
    """The study, LV mask from the labels, and the experts' labels with no-reflow as scar."""
    import SimpleITK as sitk

    lge, labels = (folder / f"{name}_{what}.nii.gz" for what in ("lge", "labels"))
    study = read_study(lge=lge, mask=labels, mask_labels="emidec", lge_kind="psir")
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    tissues = np.array([0, Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR, Tissue.SCAR], np.uint8)
    # the labels tell the wall too, which a user does not know
    return replace(study, wall=None), tissues[truth]


def wall_of(labels: npt.NDArray) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isin(labels, (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)))


def score(name: str, labels: npt.NDArray, truth: npt.NDArray,
          result: Result | None = None) -> Score:
    """Labels against the experts'."""
    scar, true_scar = labels == Tissue.SCAR, truth == Tissue.SCAR
    wall, true_wall = wall_of(labels), wall_of(truth)
    ill = bool(true_scar.any())
    covered = None
    if result is not None:
        low, high = result.volume_interval(Tissue.SCAR)
        if np.isfinite([low, high]).all():
            size = result.study.geometry.voxel_volume
            covered = bool(low - 1e-9 <= true_scar.sum() * size <= high + 1e-9)
    return Score(
        name, ill, dice(scar, true_scar) if ill else None, dice(wall, true_wall),
        dice(labels == Tissue.BLOOD, truth == Tissue.BLOOD),
        100.0 * int((scar & ~true_scar).sum()) / int(true_wall.sum()),
        100.0 * int(scar.sum()) / max(int(wall.sum()), 1),
        100.0 * int(true_scar.sum()) / int(true_wall.sum()), covered)


def by_threshold(rule: str, study: Study, truth: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Scar above a threshold inside the experts' wall; what is remote, the experts say too.

    SD: above the mean of the slice's healthy wall. FWHM: above half way from the mean of the
    healthy wall to the brightest hundredth of the wall. Otsu and the two-component mixture: of the
    slice's wall.
    """
    values = study.sequences[Role.LGE].values
    labels = np.where(truth == Tissue.SCAR, Tissue.MYOCARDIUM, truth).astype(np.uint8)
    for image, true, out in zip(values, truth, labels, strict=True):
        wall = wall_of(true)
        if not wall.any():
            continue
        inside = image[wall].astype(float)
        remote = image[true == Tissue.MYOCARDIUM].astype(float)
        if remote.size < 10:
            remote = np.sort(inside)[: max(inside.size // 4, 1)]
        if rule.endswith("SD"):
            level = sd_level(remote, float(rule.split()[0]))
        elif rule == "FWHM":
            level = half_maximum(inside, remote.mean())
        elif rule == "Otsu":
            level = otsu(inside)
        else:
            level = two_gaussians(inside).border
        out[wall & (image > level)] = Tissue.SCAR
    return labels


def measured(task: tuple[Path, str, str, bool, dict]) -> Score:
    """One patient by one method or threshold."""
    folder, name, method, walled, more = task
    more = dict(more)
    terms = Terms(**dict.fromkeys(more.pop("without", ()), False))
    FITS[Method.MAP] = partial(fit_map, terms=terms)
    weight = more.pop("place", WEIGHT)
    for name_of, fit in PLACED.items():
        FITS[name_of] = partial(fit, weight=weight)
    study, truth = read_patient(folder, name)
    if method in THRESHOLDS:
        return score(name, by_threshold(method, study, truth), truth)
    if walled:
        study = replace(study, wall=wall_of(truth))
    result = segment(study, Settings(**(METHODS[method] | more)))
    return score(name, result.labels, truth, result)


def summary(scores: list[Score]) -> dict[str, float | None]:
    """The figures of a row."""
    ill, well = [s for s in scores if s.ill], [s for s in scores if not s.ill]
    extent = np.array([(s.extent, s.true_extent) for s in scores])
    away = extent[:, 0] - extent[:, 1]
    covered = [s.covered for s in scores if s.covered is not None]

    def mean(values: list) -> float | None:
        known = [v for v in values if v is not None]
        return float(np.mean(known)) if known else None
    return {
        "scar": mean([s.scar for s in ill]),
        "median": float(np.median([s.scar for s in ill])) if ill else None,
        "false": mean([s.false for s in well]),
        "free": mean([100.0 * (s.false < FREE) for s in well]),
        "missed": mean([100.0 * (s.extent == 0) for s in ill]),
        "r": float(np.corrcoef(extent.T)[0, 1]) if extent[:, 0].std() > 0 else None,
        "bias": float(away.mean()), "limits": float(1.96 * away.std(ddof=1)),
        "wall": mean([s.wall for s in scores]), "blood": mean([s.blood for s in scores]),
        "covered": mean([100.0 * c for c in covered])}


def checks(rows: dict[str, list[Score]]) -> list[tuple[str, str, str, bool | None]]:
    """The default's bars."""
    lines = []
    for place, (words, called) in enumerate((("mask given", "auto"),
                                             ("true wall given", "auto, true wall given"))):
        found = summary(rows[called])
        for key, (how, limits) in WANTED.items():
            limit, value = limits[place], found[key]
            if limit is None or (key == "covered" and value is None):
                continue
            held = None if value is None else bool(
                value <= limit if how == "at most" else
                value >= limit and (key != "covered" or value <= 97))
            wanted = "80 to 97" if key == "covered" else f"{how} {limit:g}"
            lines.append((f"real LGE, {words}: {NAMED[key]}", wanted, number(value, 3), held))
    return lines


HEADING = ("method", "scar Dice (ill)", "median", "healthy: false scar, % of the wall",
           f"under {FREE:g} %", "ill called free", "extent: r", "± points", "wall", "blood",
           "scar's interval holds, %")


def row(name: str, scores: list[Score]) -> tuple[str, ...]:
    s = summary(scores)
    return (name, mean_with_interval([x.scar for x in scores if x.ill]), number(s["median"]),
            mean_with_interval([x.false for x in scores if not x.ill], 1),
            f"{number(s['free'], 0)} %", f"{number(s['missed'], 0)} %", number(s["r"]),
            number(s["limits"], 0), number(s["wall"], 3), number(s["blood"], 3),
            number(s["covered"], 0))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--methods", default="auto,map,pretrained,deepsvg,deepg,svgmm,gmm",
                        help="comma-separated; empty for thresholds alone")
    parser.add_argument("--patients", type=int, help="only the first so many")
    parser.add_argument("--settings", type=json.loads, default={},
                        help="further settings of all methods, as JSON")
    parser.add_argument("--without", action="append", default=[], metavar="TERM",
                        choices=[f.name for f in fields(Terms)],
                        help="a term of map to switch off; may be given several times")
    parser.add_argument("--place", type=float, default=WEIGHT, metavar="WEIGHT",
                        help="of the place prior in gmm, svgmm, deepg and deepsvg; 0 for none")
    parser.add_argument("--no-thresholds", action="store_true")
    parser.add_argument("--per-patient", action="store_true")
    parser.add_argument("--json", type=Path, help="every patient's scores")
    options = parser.parse_args()
    names = patients_in(options.data)[: options.patients]
    if not names:
        print("Not measured: no `*_lge.nii.gz` in the data folder; give it with --data.\n")
        print(bars([("real LGE", "scar Dice at least 0.60", "no data", None)]))
        return
    rows: dict[str, list[Score]] = {}
    jobs = [] if options.no_thresholds else [(rule, False) for rule in THRESHOLDS]
    jobs += [(m, walled) for m in options.methods.split(",") if m for walled in (False, True)]
    began = time.perf_counter()
    more = options.settings | {"place": options.place}
    more |= {"without": options.without} if options.without else {}
    tasks = [(options.data, name, method, walled, more)
             for method, walled in jobs for name in names]
    found = in_processes(measured, tasks, options.threads)
    for i, (method, walled) in enumerate(jobs):
        called = f"{method}, inside the true wall" if method in THRESHOLDS else (
            f"{method}, true wall given" if walled else method)
        rows[called] = found[i * len(names):(i + 1) * len(names)]
    report(options, names, rows, time.perf_counter() - began)
    if options.json:
        options.json.write_text(json.dumps({k: [asdict(s) for s in v] for k, v in rows.items()}))


def report(options, names: list[str], rows: dict[str, list[Score]], seconds: float) -> None:
    ill = sum(s.ill for s in next(iter(rows.values())))
    print(f"{len(names)} patients of EMIDEC (CC BY-NC-SA 4.0), PSIR, {ill} with infarct; LGE "
          "alone, the LV mask from the experts' contours. Dice a volume, mean over patients (95 % "
          "patient bootstrap); infarct and no-reflow together are scar. No fit uses truth, "
          "except for the rows that are given the true wall. `± points` are 1.96 standard "
          "deviations of the extent's difference, extent in % of the wall. Thresholds know the "
          f"experts' wall, and their healthy wall as remote. {seconds:.0f} s in all.")
    print(machine(options.threads) + "\n")
    print(table(HEADING, [row(name, scores) for name, scores in rows.items()]))
    if options.methods.split(",")[0] == "auto":
        print(bars(checks(rows)))
    if options.per_patient:
        for name, scores in rows.items():
            print(f"\n{name}\n")
            print(table(("patient", "scar", "false", "extent", "experts'", "wall", "blood"),
                        [(s.patient, number(s.scar), number(s.false, 1), number(s.extent, 1),
                          number(s.true_extent, 1), number(s.wall, 3), number(s.blood, 3))
                         for s in scores]))


if __name__ == "__main__":
    run(main)
