"""Studies and results as the worker's messages have them, see `deepgmm.review.encoding`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from deepgmm.given import Corrections
from deepgmm.jobs.protocol import ProtocolError
from deepgmm.result import Result
from deepgmm.review import encoding
from deepgmm.review.encoding import encode_corrections, encode_result, encode_study
from deepgmm.study.study import Study

__all__ = ["decode_corrections", "decode_result", "decode_study", "encode_corrections",
           "encode_result", "encode_study"]


def decode_study(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
                 known: Study | None = None) -> Study:
    """As `encoding.decode_study`; raises `ProtocolError`."""
    try:
        return encoding.decode_study(header, arrays, known)
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def decode_result(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]],
                  known: Study | None = None) -> Result:
    """As `encoding.decode_result`; raises `ProtocolError`."""
    try:
        return encoding.decode_result(header, arrays, known)
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def decode_corrections(header: Mapping[str, Any],
                       arrays: Mapping[str, npt.NDArray[Any]]) -> Corrections:
    """As `encoding.decode_corrections`; raises `ProtocolError`."""
    try:
        return encoding.decode_corrections(header, arrays)
    except ValueError as error:
        raise ProtocolError(str(error)) from error
