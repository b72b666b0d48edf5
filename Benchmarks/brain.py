"""Brain MRI on a user's own IBSR18: with no atlas, with MNI's, with one of its training cases.

    python Benchmarks/brain.py --ibsr IBSR18
    python Benchmarks/brain.py --ibsr IBSR18 --tune      on the training folder alone

Cases of the training folder make an atlas; those of the validation folder are scored, all rows on
the same, under the three conventions of CSF in the sulci (`Docs/brain.md`). Differences are paired
by case. With `--tune` every other case of the training folder makes the atlas and the rest of that
folder is scored: settings are chosen so. Without a folder that is said and only the last table is
printed, of synthetic brains: one person in three contrasts under an atlas of four others.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tables import TISSUES, Scores, cells, differences, headings, keep, mean_of, two_sets
from common import (
    bars,
    machine,
    measured_apart,
    number,
    parser_of,
    peak_memory,
    table,
    use_threads,
)

if TYPE_CHECKING:
    import numpy as np

    from deepgmm.brain.volumes import BrainVolume

#: The article's rows on IBSR without labels, F1 of grey and white matter, %.
PAPER = {"scikit-learn, whole volume": "63.4 / 74.2 (its mixture)",
         "no atlas, field": "77.3 / 80.8 (its network with a field)"}
TRIVIAL, SKLEARN, ALONE = "trivial", "scikit-learn, whole volume", "no atlas, field"
LAID, MNI = "MNI atlas, affine", "MNI atlas, deformed"

#: Of the table on synthetic brains: the atlas' and the other person, voxels in mm.
OTHERS, PERSON, EDGE = range(1000, 1004), 1, 3.0


def mixture_of_three(volume: BrainVolume) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's defaults on the mask; its labels by brightness, and the ventricles."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    from deepgmm.brain.scores import ventricular

    values = volume.image[volume.mask][:, None]
    fitted = GaussianMixture(3, random_state=0).fit(values)
    order = np.argsort(np.argsort(fitted.means_[:, 0]))
    labels = np.zeros(volume.mask.shape, np.uint8)
    labels[volume.mask] = order[fitted.predict(values)] + 1
    return labels, ventricular(labels, volume.mask, volume.spacing)


def methods(learning: Sequence[BrainVolume]
            ) -> list[tuple[str, str, Callable[[BrainVolume], tuple[np.ndarray, np.ndarray]]]]:
    """Name, what labels it used, labels and ventricles of a volume."""
    from deepgmm.brain.atlas import make_atlas, mni_atlas
    from deepgmm.brain.scene import BrainSettings
    from deepgmm.brain.segmenting import segment_brain

    def by(atlas: Any, **how: Any) -> Callable[[BrainVolume], tuple[np.ndarray, np.ndarray]]:
        def segment(volume: BrainVolume) -> tuple[np.ndarray, np.ndarray]:
            if atlas is not None:
                atlas.may_score(volume)
            found = segment_brain(volume, atlas, BrainSettings(**how))
            return found.labels, found.ventricles
        return segment

    rows = [(SKLEARN, "none", mixture_of_three),
            (ALONE, "none; an adult's shares in the prior", by(None))]
    mni, of_ibsr = mni_atlas(), "none of IBSR's; those behind the MNI maps, nuclei drawn on them"
    rows += [(LAID, of_ibsr, by(mni, deform=False)), (MNI, of_ibsr, by(mni))]
    if len(learning) > 1:
        own, count = make_atlas(learning), len(learning)
        used = f"{count} cases, in the atlas"
        rows += [(f"atlas of {count}, affine", used, by(own, deform=False)),
                 (f"atlas of {count}, deformed", used, by(own))]
    return rows


def of_one(image: Path, threads: int) -> tuple[float, float | None]:
    """Seconds and GB of the command on one volume, with every output."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [str(part) for flag, name in (
            ("-o", "t.nii.gz"), ("--probabilities", "p.nii.gz"), ("--field", "f.nii.gz"),
            ("--montage", "m.png"), ("--report", "r.json")) for part in (flag, Path(folder) / name)]
        return measured_apart(["brain", "segment", str(image), "--atlas", "mni", *outputs], threads)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--ibsr", metavar="FOLDER", help="IBSR18, with its two sets")
    parser.add_argument("--cases", type=int, default=99, help="of each set at most")
    parser.add_argument("--tune", action="store_true", help="score half of the training set alone")
    words = parser.parse_args()
    use_threads(words.threads)
    if not words.ibsr or not Path(words.ibsr).is_dir():
        print("no folder of IBSR18 was given (--ibsr) or it is not there: the data set does not "
              "ship, so nothing was measured on it\n")
        print(machine(words.threads) + "\n")
        print(by_contrast())
        return 0
    import numpy as np

    from deepgmm.brain.layouts import read_case
    from deepgmm.brain.scores import trivial

    of_atlas, others = two_sets(words.ibsr, tune=words.tune, most=words.cases)
    largest = max(others, key=lambda c: c.image.stat().st_size)
    wall, most = of_one(largest.image, words.threads)
    learning, held = ([read_case(c) for c in some] for some in (of_atlas, others))
    scores: Scores = {}
    used, seconds = {TRIVIAL: "none"}, {TRIVIAL: 0.0}
    for name, supervised, segment in methods(learning):
        used[name], began = supervised, time.perf_counter()
        found = [segment(volume) for volume in held]
        seconds[name] = (time.perf_counter() - began) / len(held)
        for volume, (labels, ventricles) in zip(held, found):
            keep(scores, name, volume, labels, ventricles)
            if name == SKLEARN:
                keep(scores, TRIVIAL, volume, trivial(labels), np.zeros_like(ventricles))
        print(f"{name}: done", file=sys.stderr)
    print(machine(words.threads) + "\n")
    where = "the same folder" if words.tune else "the validation folder"
    print(f"IBSR18: {len(held)} cases of {where}; the atlas is of {len(learning)} of the training "
          "folder, on which the settings were chosen too. F1 in %, mean (standard deviation); the "
          "validation cases are easier than the training cases.\n")
    print(report(scores, used, seconds))
    print(verdicts(scores, seconds))
    print(bars([
        ("the command on the largest file, every output, MNI's atlas deformed", "at most 40 s",
         f"{wall:.0f} s", wall <= 40),
        ("its memory", "at most 2 GB", f"{number(most)} GB", None if most is None else most <= 2)]))
    print(by_contrast())
    together = peak_memory(resource.getrusage(resource.RUSAGE_SELF))
    print(f"This benchmark, which holds all cases at once, took {together:.1f} GB.")
    return 0


def by_contrast() -> str:
    """Synthetic brains: one person in T1, T2 and inverted under an atlas of others in T1."""
    from dataclasses import replace

    from deepgmm.brain.atlas import make_atlas
    from deepgmm.brain.phantom import make_brain
    from deepgmm.brain.segmenting import segment_brain

    def drawn(person: int, contrast: str = "T1") -> BrainVolume:
        made = make_brain(person, contrast=contrast, spacing=EDGE)
        return replace(made.volume, labels=made.as_labelled)

    atlas = make_atlas([drawn(other) for other in OTHERS], title="atlas of synthetic brains")
    scores: Scores = {}
    for contrast in ("T1", "T2", "inverted"):
        volume = drawn(PERSON, contrast)
        found = segment_brain(volume, atlas)
        keep(scores, contrast, volume, found.labels, found.ventricles)
    f1 = {(name, tissue): mean_of(scores, name, "as labelled", tissue)
          for name in scores for tissue in TISSUES}
    rows = [(name, *(f"{f1[name, tissue]:.1f}" for tissue in TISSUES)) for name in scores]
    lost = {name: max(f1["T1", tissue] - f1[name, tissue] for tissue in TISSUES)
            for name in scores if name != "T1"}
    return (f"Synthetic brains, {EDGE:.0f} mm: one person under an atlas of {len(OTHERS)} others "
            "in T1, deformed; F1 in % as labelled. They say how contrasts compare, not how well a "
            "method does on people.\n\n" + table(("contrast", *TISSUES), rows) + "\n" + bars([
                (f"{name}, the most that a tissue loses to T1", "at most 2", f"{most:.1f}",
                 most <= 2) for name, most in lost.items()]))


def report(scores: Scores, used: dict[str, str], seconds: dict[str, float]) -> str:
    names = sorted(scores, key=lambda n: n != TRIVIAL)
    text = table(("method", "labels used", *headings(scores), "the article's GM / WM",
                  "s a volume"),
                 [(n, used[n], *cells(scores, n), PAPER.get(n, "-"), f"{seconds[n]:.1f}")
                  for n in names])
    pairs = [(name, other, convention)
             for other, convention in ((SKLEARN, "physical"), (TRIVIAL, "as labelled"))
             for name in names if name not in (TRIVIAL, SKLEARN)]
    return text + "\n" + differences(scores, pairs, ("GM", "WM"))


def verdicts(scores: Scores, seconds: dict[str, float]) -> str:
    import numpy as np

    drawn, left, physical = "as labelled", "left out", "physical"
    lines: list[tuple[str, str, str, bool | None]] = []

    def bar(what: str, value: float, least: float) -> None:
        lines.append((what, f"at least {least:.1f}", f"{value:.1f}", value >= least))

    for tissue, gain in (("GM", 2.0), ("WM", 1.0)):
        bar(f"{ALONE} over scikit-learn, {physical}, {tissue}",
            mean_of(scores, ALONE, physical, tissue) - mean_of(scores, SKLEARN, physical, tissue),
            gain)
    spread = float(np.std(list(scores[ALONE][physical]["GM"].values()), ddof=1))
    lines.append((f"{ALONE}, standard deviation of GM", "at most 4", f"{spread:.1f}", spread <= 4))
    for tissue, gain in (("GM", 0.0), ("WM", 1.5)):
        bar(f"{MNI} over the trivial row, {drawn}, {tissue}",
            mean_of(scores, MNI, drawn, tissue) - mean_of(scores, TRIVIAL, drawn, tissue), gain)
    bar(f"{MNI}, {drawn}, CSF", mean_of(scores, MNI, drawn, "CSF"), 68)
    for tissue, least in (("GM", 90.0), ("WM", 88.5)):
        bar(f"{MNI}, {left}, {tissue}", mean_of(scores, MNI, left, tissue), least)
    for name in scores:
        if name.startswith("atlas of") and name.endswith("deformed"):
            for tissue, least in (("GM", 94.5), ("WM", 91.0), ("CSF", 84.0)):
                bar(f"{name}, {drawn}, {tissue}", mean_of(scores, name, drawn, tissue), least)
    slowest = max(seconds.values())
    lines.append(("slowest row, a volume", "at most 40 s", f"{slowest:.0f} s", slowest <= 40))
    return bars(lines)


if __name__ == "__main__":
    sys.exit(main())
