"""Phantom patients: known tissues, calibrated difficulty, the same bytes from the same seed."""

from __future__ import annotations

from deepgmm.phantom.contrast import DEFAULT_KINDS
from deepgmm.phantom.files import write_patient
from deepgmm.phantom.infarct import PATTERNS
from deepgmm.phantom.patient import PhantomPatient, make_patient
from deepgmm.study.words import PatientSet

__all__ = ["DEFAULT_KINDS", "PATTERNS", "PatientSet", "PhantomPatient", "make_patient",
           "write_patient"]
