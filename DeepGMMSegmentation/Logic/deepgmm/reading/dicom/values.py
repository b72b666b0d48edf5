"""What a stored pixel means: rescale, real-world values, Philips's own scale."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from deepgmm.reading.dicom.frames import Frame

#: Philips's scale slope (2005,100E), and where an enhanced file keeps a frame's private elements.
PHILIPS_SCALE, PHILIPS_FRAME = 0x2005100E, 0x2005140F

#: Scales that differ by less than this share are one; Philips writes its own in single precision.
_SAME = 1e-5


class Scale(NamedTuple):
    """From stored values to signal: `slope` * stored + `intercept`; NaN where they are no numbers.

    `doubt` is what a user must know about the choice; "" where there was none.
    """

    slope: float
    intercept: float
    doubt: str = ""


def scale_of(slope: float | None, intercept: float | None, mapping: Any = None) -> Scale:
    """Choose between the scales that a header may give.

    The rescale of the modality comes first (PS3.3 C.11.1, C.7.6.16.2.9). A mapping to real-world
    values (PS3.3 C.7.6.16.2.11) is used where there is no rescale, and where its unit is
    milliseconds, since then it alone says what a map holds.

    Parameters
    ----------
    slope, intercept : of the modality's rescale; None where not said.
    mapping : the Real World Value Mapping Sequence; None or empty where there is none.
    """
    rescaled = slope is not None or intercept is not None
    a, b = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    doubt = ""
    if mapping:
        real = {_linear(item) for item in mapping} - {None}
        timed = {_linear(item) for item in mapping if _unit(item) == "ms"} - {None}
        chosen = timed if len(timed) == 1 else real
        if len(chosen) != 1 or None in chosen:
            if not rescaled:
                doubt = ("its mapping to real-world values is no single line, so stored values "
                         "were taken")
        else:
            (line,) = chosen
            assert line is not None
            same = np.allclose(line, (a, b), rtol=1e-4, atol=1e-9)
            if not rescaled or timed:
                a, b = line
            elif not same:
                doubt = ("it gives a rescale and a mapping to real-world values that differ; "
                         "the rescale was taken")
    return Scale(a, b, doubt)


def scale_trouble(frame: Frame) -> str:
    """Why a frame's values cannot be told; "" where they can."""
    if not (math.isfinite(frame.slope) and math.isfinite(frame.intercept)):
        return "has a rescale slope or intercept that is no number"
    return "has a rescale slope of zero" if frame.slope == 0 else ""


def philips_scale(data: Any) -> float | None:
    """Philips's private scale slope in the item that an enhanced image keeps for a frame, or among
    the elements of a classic one; None where there is none."""
    return philips_number(data.get_item(PHILIPS_SCALE).value) if PHILIPS_SCALE in data else None


def philips_number(value: Any) -> float | None:
    """The scale slope as it is stored, of single precision, or text in old files."""
    try:
        if isinstance(value, bytes):
            value = struct.unpack("<f", value)[0] if len(value) == 4 else value.decode("ascii")
        scale = float(value)
    except (TypeError, ValueError, struct.error):
        return None
    return scale if math.isfinite(scale) and scale > 0 else None


def _linear(item: Any) -> tuple[float, float] | None:
    slope = getattr(item, "RealWorldValueSlope", None)
    if slope is None or slope == "":
        return _line_of_table(item)
    return float(slope), float(getattr(item, "RealWorldValueIntercept", None) or 0.0)


def _line_of_table(item: Any) -> tuple[float, float] | None:
    """The line that a table of real-world values is, one for each stored value from the first that
    is mapped; None where it is none."""
    try:
        table = np.asarray(getattr(item, "RealWorldValueLUTData", None) or (), float)
        first = float(item.RealWorldValueFirstValueMapped)
    except (TypeError, ValueError, AttributeError):
        return None
    if table.ndim != 1 or len(table) < 2 or not np.isfinite(table).all():
        return None
    steps = np.arange(len(table))
    slope = (table[-1] - table[0]) / steps[-1]
    if slope == 0 or np.abs(table[0] + slope * steps - table).max() > 1e-6 * np.abs(table).max():
        return None
    return float(slope), float(table[0] - slope * first)


def _unit(item: Any) -> str:
    codes = getattr(item, "MeasurementUnitsCodeSequence", None)
    return str(getattr(codes[0], "CodeValue", "")).strip() if codes else ""


def factors(frames: Sequence[Frame], said: list[str]) -> list[float]:
    """What the rescaled values of each frame are multiplied by, so that all are of one scale.

    Philips's private scale slope says what a rescaled value is in the signal that was measured:
    rescaled / (slope * private slope) (Chenevert et al., Transl Oncol 2014). Within a stack it is
    the same for all images in nearly all files; then rescaled values are comparable as they are,
    and are kept, as every other reader shows them. Only where it differs is it used.
    """
    own = [f.philips for f in frames]
    if any(s is None for s in own) or not own:
        return [1.0] * len(frames)
    scales = np.array(own, float)
    if np.ptp(scales) <= _SAME * scales.max():
        return [1.0] * len(frames)
    whole = scales * [abs(f.slope) for f in frames]
    said.append("its images differ in Philips's private scale slope; all were brought to the "
                "scale of the first")
    return [float(whole[0] / w) for w in whole]
