"""Any set of sequences, every kind: what the default method finds with less than all three.

    python Benchmarks/sequences.py
    python Benchmarks/sequences.py --patients 25

LGE alone is set beside the usual threshold: five standard deviations above the mean of remote
wall, inside the true wall. The remote region is the third of the true wall's sectors that is
darkest, which flatters the threshold: no reader is asked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from common import (
    KIND_PAIRS,
    REPORTED_SEED,
    bars,
    machine,
    mean_with_interval,
    number,
    parser_of,
    run,
    table,
    use_threads,
)

from deepgmm import segment
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.review.metrics import dice, mean_of
from deepgmm.study.coordinates import ventricle_coordinates
from deepgmm.study.study import Study
from deepgmm.study.words import Kind, Role, Tissue

B, L, T = Role.BSSFP, Role.LGE, Role.T2
SETS = ((B,), (L,), (T,), (B, L), (B, T), (L, T), (B, L, T))
SECTORS = 12
#: How much better than the threshold LGE with the wall given must be; false scar in healthy, %.
WITH_WALL, FALSE = 0.05, 2.0


def of_roles(study: Study, roles: tuple[Role, ...], wall: np.ndarray | None = None) -> Study:
    return replace(study, sequences={r: s for r, s in study.sequences.items() if r in roles},
                   warnings=[], wall=wall)


def as_seen(truth: np.ndarray, tissues: tuple[Tissue, ...]) -> np.ndarray:
    """The truth as these tissues can tell it: what is not sought counts as what it looks like."""
    seen = truth.copy()
    if Tissue.SCAR not in tissues:
        seen[seen == Tissue.SCAR] = Tissue.EDEMA if Tissue.EDEMA in tissues else Tissue.MYOCARDIUM
    if Tissue.EDEMA not in tissues:
        seen[seen == Tissue.EDEMA] = Tissue.MYOCARDIUM
    return seen


def by_five_sd(patient: PhantomPatient) -> np.ndarray:
    """Scar by 5 SD above remote wall, inside the true wall."""
    study = patient.study
    values = study.sequences[L].values
    angle = ventricle_coordinates(study, tuple(range(len(study.mask)))).angle
    labels = np.where(patient.wall, Tissue.MYOCARDIUM, np.where(study.mask, Tissue.BLOOD, 0))
    sector = (angle / (2 * np.pi) * SECTORS).astype(int)
    for i, wall in enumerate(patient.wall):
        levels = [(values[i][wall & (sector[i] == a)].mean(), a) for a in range(SECTORS)
                  if (wall & (sector[i] == a)).sum() > 5]
        dark = [a for _, a in sorted(levels)[: SECTORS // 3]]
        remote = values[i][wall & np.isin(sector[i], dark)]
        labels[i][wall & (values[i] > remote.mean() + 5 * remote.std())] = Tissue.SCAR
    return labels


def scores(labels: np.ndarray, truth: np.ndarray, tissues: tuple[Tissue, ...]) -> dict:
    found = {t.name: mean_of(dice(a == t, b == t)
                             for a, b in zip(labels, truth, strict=True)).value for t in tissues}
    wall = max(int((truth >= Tissue.MYOCARDIUM).sum()), 1)
    false = (labels >= Tissue.EDEMA) & (truth < Tissue.EDEMA)
    return found | {"false": 100.0 * int(false.sum()) / wall}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=10, help="a set; 10 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    options = parser.parse_args()
    use_threads(options.threads)
    seeds = range(options.first_seed, options.first_seed + options.patients)
    print(f"{options.patients} typical phantom patients, seeds {seeds[0]} to {seeds[-1]}, and as "
          "many healthy ones for the last column (false edema and scar, % of the wall). No truth "
          "in any fit. All slices; a tissue that cannot be told apart counts as what it looks "
          "like.")
    print(machine(options.threads) + "\n")
    cells, kept = [], {}
    jobs = [(KIND_PAIRS[0], roles, False) for roles in SETS] + [(KIND_PAIRS[0], (L,), True)]
    jobs += [(KIND_PAIRS[1], (L,), False)]
    jobs += [(kinds, (B, L, T), False) for kinds in KIND_PAIRS[1:]]
    for (lge, t2), roles, with_wall in jobs:
        kinds = {B: Kind.BSSFP, L: lge, T: t2}
        rows = {"typical": [], "healthy": []}
        for name, results in rows.items():
            for seed in seeds:
                patient = make_patient(seed, patient_set=name, kinds=kinds)
                study = of_roles(patient.study, roles, patient.wall if with_wall else None)
                result = segment(study)
                results.append(scores(result.labels, as_seen(patient.truth, result.tissues),
                                      result.tissues))
        shown = " + ".join(kinds[r].value for r in roles) + (", wall given" if with_wall else "")
        kept[shown] = rows
        cells.append((shown, *(mean_with_interval([r.get(t.name) for r in rows["typical"]])
                               if t.name in rows["typical"][0] else "" for t in Tissue
                               if Tissue.BACKGROUND < t < Tissue.MVO),
                      number(float(np.mean([r["false"] for r in rows["healthy"]])), 1)))
    threshold = {name: [] for name in ("typical", "healthy")}
    for name, results in threshold.items():
        for seed in seeds:
            patient = make_patient(seed, patient_set=name)
            tissues = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR)
            results.append(scores(by_five_sd(patient), as_seen(patient.truth, tissues), tissues))
    cells.append(("lge-magnitude, 5 SD inside the true wall", "", "", "",
                  mean_with_interval([r["SCAR"] for r in threshold["typical"]]),
                  number(float(np.mean([r["false"] for r in threshold["healthy"]])), 1)))
    print(table(("sequences", "blood", "myocardium", "edema", "scar", "healthy, false %"), cells))

    def scar(rows: dict) -> float:
        return mean_of(r["SCAR"] for r in rows["typical"]).value or 0.0
    alone, walled, five = (scar(kept["lge-magnitude"]), scar(kept["lge-magnitude, wall given"]),
                           scar(threshold))
    worst = float(np.mean([r["false"] for r in kept["lge-magnitude"]["healthy"]]))
    print(bars([
        ("LGE alone, scar Dice", f"at least the threshold's {five:.3f}", number(alone, 3),
         alone >= five),
        ("LGE with the wall given, scar Dice", f"at least {five + WITH_WALL:.3f}",
         number(walled, 3), walled >= five + WITH_WALL),
        ("LGE alone, healthy hearts, false scar", f"under {FALSE:g} %", number(worst, 2),
         worst < FALSE)]))


if __name__ == "__main__":
    run(main)
