"""Phantom patients of wide variety, to train networks on: `make_network.py` uses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from deepgmm.study.phantom import PhantomPatient, make_patient
from deepgmm.study.words import Kind, Role

#: Seeds of training patients begin here; none of them is tuned, scored or taken priors from.
FIRST_SEED = 20_000
SETS = {"typical": 0.45, "atypical": 0.35, "healthy": 0.2}
KINDS = {
    Role.BSSFP: {Kind.BSSFP: 1.0},
    Role.LGE: {Kind.LGE_MAGNITUDE: 0.6, Kind.LGE_PSIR: 0.25, Kind.LGE_DARK_BLOOD: 0.15},
    Role.T2: {Kind.T2_DARK_BLOOD: 0.55, Kind.T2_PREPARED: 0.25, Kind.T2_MAP: 0.2},
}
DIFFICULTY = (0.5, 1.6)
SLICES = (3, 8)


def wide_patient(seed: int) -> PhantomPatient:
    """One of them: set, kinds, difficulty and slices are drawn from the seed."""
    draw = np.random.default_rng([seed, 77])

    def one_of(shares: dict[Any, float]) -> Any:
        names = list(shares)
        return names[int(draw.choice(len(names), p=list(shares.values())))]
    return make_patient(
        seed, patient_set=str(one_of(SETS)), difficulty=float(draw.uniform(*DIFFICULTY)),
        slices=int(draw.integers(SLICES[0], SLICES[1] + 1)),
        kinds={role: one_of(kinds) for role, kinds in KINDS.items()})


def wide_patients(count: int, first: int = FIRST_SEED) -> Iterator[PhantomPatient]:
    """So many of them from consecutive seeds."""
    return (wide_patient(seed) for seed in range(first, first + count))
