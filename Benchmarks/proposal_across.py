"""Is a mask proposed from sequences of different breath-holds as good as from ones that lie right?

Phantoms of three makes, whose bSSFP and T2 slices are each shifted by so many mm in a random
direction, in the Fourier domain; LGE, on which the mask lies, stays. Each is proposed with the
sequences where they lie and moved onto LGE, and from LGE alone.

    python Benchmarks/proposal_across.py
    python Benchmarks/proposal_across.py --patients 10 --first-seed 100
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from alignment import moved
from common import (
    REPORTED_SEED,
    bars,
    in_processes,
    machine,
    number,
    parser_of,
    run,
    table,
)
from phantom_makes import SETS, patient_of

from deepgmm.errors import InputError
from deepgmm.propose.proposal import propose_mask
from deepgmm.review.metrics import dice
from deepgmm.study.study import Study
from deepgmm.study.words import Role

MAKES = {"own": "library's phantom", "second": "second make", "third": "third make"}
#: mm by which a slice is shifted, from and to.
SHIFTS = ((0.0, 0.0), (0.0, 3.0), (2.0, 8.0))
#: Dice that breath-holds may cost at most, and that looking for them may where there are none.
COST, LOST = 0.005, 0.003


def shifted(study: Study, seed: int, low: float, high: float) -> Study:
    """All but LGE moved, slice by slice; without a mask."""
    rng = np.random.default_rng([seed, 8])
    sequences = {}
    for role, sequence in study.sequences.items():
        values = sequence.values.copy()
        for i in range(len(values) if role is not Role.LGE else 0):
            angle, by = rng.uniform(0, 2 * np.pi), rng.uniform(low, high)
            values[i] = moved(values[i], by * np.sin(angle) / study.geometry.spacing[1],
                              by * np.cos(angle) / study.geometry.spacing[0])
        sequences[role] = replace(sequence, values=values)
    return replace(study, sequences=sequences, mask=np.zeros_like(study.mask))


def proposed(study: Study, truth: np.ndarray, align: str) -> tuple[float, float]:
    """Mask Dice, and seconds of one core."""
    began = time.process_time()
    try:
        score = float(dice(propose_mask(study, align=align).mask, truth) or 0.0)
    except InputError:
        score = 0.0
    return score, time.process_time() - began


def measured(task: tuple[str, int]) -> list[tuple[float, float]]:
    """Of one phantom: LGE alone, then each shift without and with alignment."""
    make, seed = task
    patient = patient_of(make, seed, SETS[seed % len(SETS)])
    study, truth = patient.study, patient.study.mask
    alone = replace(study, sequences={Role.LGE: study.sequences[Role.LGE]})
    found = [proposed(alone, truth, "off")]
    for low, high in SHIFTS:
        off = shifted(study, seed, low, high)
        found += [proposed(off, truth, align) for align in ("off", "shift")]
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=12, help="of each make; 12 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.patients)
    tasks = [(make, seed) for make in MAKES for seed in seeds]
    found = iter(in_processes(measured, tasks, options.threads))
    rows, reached = [], []
    for title in MAKES.values():
        values = np.array([next(found) for _ in seeds])
        scores, seconds = values[..., 0], values[..., 1]
        means, worst = scores.mean(0), scores.min(0)
        for k, (low, high) in enumerate(SHIFTS):
            off, on = 1 + 2 * k, 2 + 2 * k
            rows.append((title, f"{low:g} to {high:g}" if high else "none",
                         *(number(float(v), 3) for v in (means[0], means[off], means[on],
                                                         worst[off], worst[on])),
                         number(float((seconds[:, on] - seconds[:, off]).mean()), 2)))
        cost, lost = float(means[1] - means[-1]), float(means[1] - means[2])
        reached += [(f"{title}: Dice that breath-holds cost", f"{COST:g} at most",
                     f"{cost:.4f}", cost <= COST),
                    (f"{title}: Dice lost without any", f"{LOST:g} at most", f"{lost:.4f}",
                     lost <= LOST)]
    print(f"{len(seeds)} phantoms a make, seeds {seeds[0]} to {seeds[-1]}, bSSFP, LGE and T2; mask "
          "Dice of the whole stack; the phantom's own motion (.4 mm) stays.")
    print(machine(options.threads) + "\n")
    print(table(("phantoms", "shift of a slice, mm", "LGE alone", "where they lie",
                 "moved onto LGE", "worst, where they lie", "worst, moved",
                 "core seconds more"), rows))
    print(bars(reached))


if __name__ == "__main__":
    run(main)
