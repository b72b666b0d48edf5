"""What other people's label values and names mean."""

from deepgmm.reading.conventions.codes import (
    CONVENTIONS,
    MYOPS_CODES,
    MYOPS_RV,
    PLAIN,
    Convention,
    Parts,
    parse_convention,
    parts_of,
)

__all__ = ["CONVENTIONS", "MYOPS_CODES", "MYOPS_RV", "PLAIN", "Convention", "Parts",
           "parse_convention", "parts_of"]
