"""Does the posterior mean what it says? Calibration error, and how often intervals hold.

    python Benchmarks/uncertainty.py
    python Benchmarks/uncertainty.py --patients 50
"""

from __future__ import annotations

import numpy as np
from common import (
    REPORTED_SEED,
    TUNED_ON,
    bars,
    machine,
    number,
    parser_of,
    patients_of,
    problem_of,
    quiet,
    run,
    table,
    use_threads,
)

from deepgmm import Method, Settings, segment
from deepgmm.methods import METHODS
from deepgmm.study.words import FOUR_TISSUES

BINS = 15
WORST_ECE, COVERED = 0.05, (0.80, 0.97)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over equal bins of confidence (Guo et al. 2017)."""
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    gaps = [np.mean(place == b) * abs(confidence[place == b].mean() - right[place == b].mean())
            for b in range(BINS) if (place == b).any()]
    return float(sum(gaps))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=25, help="a set; 25 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--method", default="auto", help="whose certainty; auto by default")
    options = parser.parse_args()
    use_threads(options.threads)
    last = options.first_seed + options.patients - 1
    print(f"{options.patients} phantom patients a set, seeds {options.first_seed} to {last}; "
          f"temperature and interval width were fitted on seeds {TUNED_ON}. Calibration error over "
          f"{BINS} bins of the winning tissue's probability, all mask pixels. Coverage: patients "
          "whose true volume lies in the 90 % interval, where the tissue is there or was found.")
    print(machine(options.threads) + "\n")
    cells, errors, held = [], {}, {t: [] for t in FOUR_TISSUES}
    for name in ("typical", "atypical", "healthy"):
        sure, right, plain_sure, plain_right = [], [], [], []
        covered = {t: [] for t in FOUR_TISSUES}
        for patient in patients_of(name, options.patients, options.first_seed):
            study = patient.study
            result = segment(study, Settings(method=options.method))
            posterior = result.posterior.transpose(0, 2, 3, 1)[study.mask]
            truth = patient.truth[study.mask]
            sure.append(posterior.max(1))
            right.append(np.array(result.tissues)[posterior.argmax(1)] == truth)
            problem = problem_of(patient, method=Method.SVGMM)
            fit = METHODS[Method.SVGMM](problem, quiet)
            valid = problem.batch.valid.numpy() > 0
            free = fit.posterior.numpy()[valid]
            plain_sure.append(free.max(1))
            plain_right.append(np.array(problem.tissues)[free.argmax(1)] == truth)
            for tissue in FOUR_TISSUES:
                true = (patient.truth == tissue).sum() * study.geometry.voxel_volume
                low, high = result.volume_interval(tissue)
                if true > 0 or high > 0:
                    covered[tissue].append(low <= true <= high)
        errors[name] = calibration_error(np.concatenate(sure), np.concatenate(right))
        other = calibration_error(np.concatenate(plain_sure), np.concatenate(plain_right))
        for tissue, values in covered.items():
            held[tissue] += values
        cells.append((name, number(errors[name], 3), number(other, 3),
                      *(f"{np.mean(c):.0%} of {len(c)}" if c else "" for c in covered.values())))
    print(table(("set", f"{options.method}, calibration error", "SVGMM, calibration error",
                 *(f"{t.title.lower()}, covered" for t in FOUR_TISSUES)), cells))
    checks = [(f"calibration error, {name}", f"at most {WORST_ECE}", number(value, 3),
               value <= WORST_ECE) for name, value in errors.items()]
    low, high = COVERED
    checks += [(f"coverage, {tissue.title.lower()}, all sets", f"{low:.0%} to {high:.0%}",
                f"{np.mean(values):.0%}", low <= float(np.mean(values)) <= high)
               for tissue, values in held.items() if values]
    print(bars(checks))


if __name__ == "__main__":
    run(main)
