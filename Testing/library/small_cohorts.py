"""Phantom patients whose slices all hold the four tissues, as the paper's tables take them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.phantom.myops_files import write_patient
from deepgmm.training.paper_images import Cohort, Patient


@cache
def phantoms() -> tuple[PhantomPatient, ...]:
    """Fifteen slices that all hold the four tissues."""
    return tuple(make_patient(seed) for seed in (100, 101, 102))


def write_myops(patients: Iterable[PhantomPatient], root: Path) -> None:
    """Into the folders of MyoPS 2020, numbered from 101."""
    for number, patient in enumerate(patients, 101):
        write_patient(patient, root, number)


@cache
def a_cohort() -> Cohort:
    return Cohort(tuple(
        Patient(f"10{i}", f"key{i}", p.study, tuple(range(5)),
                tuple(t[m] for t, m in zip(p.truth, p.study.mask)))
        for i, p in enumerate(phantoms())))


def a_cohort_of(counts: list[int]) -> Cohort:
    """So many images of each patient, of which nothing is looked at."""
    study = phantoms()[0].study
    return Cohort(tuple(Patient(str(i), "", study, tuple(range(n)), (np.zeros(0, np.uint8),) * n)
                        for i, n in enumerate(counts)))
