"""What other people's label values and names mean."""

from deepgmm.reading.conventions.codes import (
    CONVENTIONS,
    MYOPS_CODES,
    MYOPS_RV,
    PLAIN,
    Convention,
    Parts,
    listed,
    parse_convention,
    parts_of,
    present_in,
    tissues_of,
    whole_numbers,
)

__all__ = ["CONVENTIONS", "MYOPS_CODES", "MYOPS_RV", "PLAIN", "Convention", "Parts", "listed",
           "parse_convention", "parts_of", "present_in", "tissues_of", "whole_numbers"]
