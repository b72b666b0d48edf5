"""Whether the brain phantom is as hard as IBSR18: scikit-learn's mixture on both.

The mixture has scikit-learn's defaults and sees a whole volume inside its brain mask; components
are named by brightness. What it reaches on IBSR18 (15 volumes) was measured before and stands in
the table; `--ibsr FOLDER` measures it again on a user's own copy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from common import bars, machine, parser_of, table, use_threads

TISSUES = ("CSF", "GM", "WM")

#: F1 on IBSR18's 15 labelled volumes, %: CSF, grey, white; and how far the phantom may be off.
REAL = {"scikit-learn": (20.0, 82.0, 87.3), "everything called CSF is grey": (0.0, 92.2, 86.8)}
OFF = (10.0, 5.0, 5.0)


def rows_of(volumes: Iterable[tuple]) -> dict[str, list[tuple[float, ...]]]:
    """F1 of each volume, %, by method; volumes are (image, mask, truth)."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    from deepgmm.brain.scores import agreement, trivial

    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in REAL}
    for image, mask, truth in volumes:
        values = image[mask][:, None]
        mixture = GaussianMixture(3, random_state=0).fit(values)
        rank = np.argsort(np.argsort(mixture.means_[:, 0]))
        labels = np.zeros(mask.shape, np.uint8)
        labels[mask] = rank[mixture.predict(values)] + 1
        for name, ours in (("scikit-learn", labels),
                           ("everything called CSF is grey", trivial(labels))):
            scores = agreement(ours, truth, mask)
            found[name].append(tuple(100 * a.f1 for a in scores.values()))
    return found


def phantoms(seeds: Iterable[int], spacing: float) -> Iterable[tuple]:
    from deepgmm.brain.phantom import make_brain

    for seed in seeds:
        made = make_brain(seed, spacing=spacing)
        yield made.volume.image, made.volume.mask, made.as_labelled


def ibsr(folder: str) -> Iterable[tuple]:
    from deepgmm.brain.layouts import brain_cases, read_case

    for case in brain_cases(folder, labelled=True):
        volume = read_case(case)
        yield volume.image, volume.mask, volume.labels


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="phantoms, from seed 1000")
    parser.add_argument("--spacing", type=float, default=1.5, help="voxel edge, mm")
    parser.add_argument("--ibsr", help="a copy of IBSR18, to measure its rows again")
    options = parser.parse_args()
    use_threads(options.threads)
    import numpy as np

    real = REAL
    if options.ibsr:
        real = {n: tuple(np.nanmean(v, 0)) for n, v in rows_of(ibsr(options.ibsr)).items()}
    found = rows_of(phantoms(range(1000, 1000 + options.seeds), options.spacing))
    print(machine(options.threads), "\n")
    print(f"{options.seeds} phantoms of {options.spacing} mm. F1 in %, mean (sd).\n")
    rows, verdicts = [], []
    for name, values in found.items():
        mean, spread = np.mean(values, 0), np.std(values, 0)
        rows += [(f"{name}, phantom", *(f"{m:.1f} ({s:.1f})" for m, s in zip(mean, spread))),
                 (f"{name}, IBSR18", *(f"{m:.1f}" for m in real[name]))]
        verdicts += [(f"brain phantom, {name}: {tissue}", f"within {off:g} of {wanted:.1f}",
                      f"{m:.1f}", bool(abs(m - wanted) <= off))
                     for tissue, m, wanted, off in zip(TISSUES, mean, real[name], OFF)
                     if wanted > 0]  # without CSF it is 0 by construction
    print(table(("", *TISSUES), rows), "\n")
    print(bars(verdicts))
    return int(not all(met for *_, met in verdicts))


if __name__ == "__main__":
    sys.exit(main())
