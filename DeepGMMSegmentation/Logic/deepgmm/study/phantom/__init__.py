"""Phantom patients: known tissues, calibrated difficulty, the same bytes from the same seed."""

from __future__ import annotations

from deepgmm.study.phantom.contrast import DEFAULT_KINDS
from deepgmm.study.phantom.files import write_patient
from deepgmm.study.phantom.infarct import PATTERNS
from deepgmm.study.phantom.patient import PhantomPatient, make_patient
from deepgmm.study.words import PatientSet

__all__ = ["DEFAULT_KINDS", "PATTERNS", "PatientSet", "PhantomPatient", "make_patient",
           "write_patient"]
