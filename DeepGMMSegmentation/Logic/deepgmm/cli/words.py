"""Choices of the command line that only it has, or whose home is slow to import."""

from __future__ import annotations

from enum import Enum


class PatientSet(str, Enum):
    """As `deepgmm.study.phantom.PatientSet`, without numpy."""

    TYPICAL = "typical"
    ATYPICAL = "atypical"
    HEALTHY = "healthy"


class Layout(str, Enum):
    """How phantom patients lie in their folder."""

    PLAIN = "plain"
    MYOPS = "myops"
