"""Phantom patients of a few slices, made once, and what their images show."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from deepgmm.phantom import DEFAULT_KINDS, PhantomPatient, make_patient
from deepgmm.study.words import Kind, Role, Tissue

BLOOD, MYOCARDIUM, EDEMA, SCAR = Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR


@cache
def a_patient(seed: int = 1, **options) -> PhantomPatient:
    return make_patient(seed, **{"slices": 3, **options})


def a_clean_patient(seed: int = 1, **kinds: Kind) -> PhantomPatient:
    return _clean(seed, tuple(sorted(kinds.items())))


@cache
def _clean(seed: int, kinds: tuple[tuple[str, Kind], ...]) -> PhantomPatient:
    chosen = {**DEFAULT_KINDS, **{Role(role): kind for role, kind in kinds}}
    return make_patient(seed, difficulty=0.0, slices=3, kinds=chosen)


def typical_values(patient: PhantomPatient, role: Role) -> dict[Tissue, float]:
    """Median of each tissue's pixels that do not touch another tissue."""
    values = patient.study.sequences[role].values
    medians = {}
    for tissue in (BLOOD, MYOCARDIUM, EDEMA, SCAR):
        region = (patient.truth == tissue) & ~patient.truth_mvo
        if not region.any():
            continue
        core = ndimage.binary_erosion(region, np.ones((1, 3, 3)))
        medians[tissue] = float(np.median(values[core if core.any() else region]))
    return medians
