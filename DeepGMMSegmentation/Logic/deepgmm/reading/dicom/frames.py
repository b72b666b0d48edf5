"""One image plane of an examination, and what its header says of how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt


class Component(str, Enum):
    """Which part of the complex signal an image shows; also what was computed from it."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"
    UNKNOWN = "unknown"


class Variation(str, Enum):
    """How the images of one slice differ."""

    NONE = "one image a slice"
    PHASE = "heart phases"
    INVERSION = "inversion times"
    ECHO = "echo times"
    TIME = "images over time"
    ORDER = "images without times"


@dataclass(frozen=True, slots=True)
class Frame:
    """One plane: a classic file, or one frame of an enhanced one. Numbers are None if not said.

    Attributes
    ----------
    file, index : where its pixels are; index counts the file's frames from 0.
    uid : of the image; a copy of a file has the same.
    study, series : UIDs; `number` is the series number that a technologist would name.
    description, protocol, sequence : free words of the header.
    image_type : ImageType's values, upper case.
    position, orientation : mm and direction cosines, LPS; None where the header lacks them.
    spacing : (rows, columns) distance in mm, as PixelSpacing.
    trigger, inversion, echo, interval : trigger, inversion and echo times, RR interval, ms.
    acquired : "YYYYMMDDhhmmss.ffffff" or the part of it that is known; sorts by time.
    scanning, variant : ScanningSequence and SequenceVariant.
    velocity : encodes velocities, so flow.
    slope, intercept : stored value to signal (`deepgmm.reading.dicom.values`).
    reference : FrameOfReferenceUID.
    philips : Philips's private scale slope; lookup : a table stands in for slope and intercept.
    doubt : what a user must know about the values.
    temporal : number of the frame among those of its slice, as the header counts them.
    content : as `acquired`, from the content time alone.
    diffusion : b-value, s/mm2.
    """

    file: Path
    index: int
    uid: str
    study: str
    series: str
    number: int
    instance: int
    description: str
    protocol: str
    sequence: str
    image_type: tuple[str, ...]
    component: Component
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    rows: int
    columns: int
    thickness: float | None
    trigger: float | None
    inversion: float | None
    echo: float | None
    interval: float | None
    acquired: str
    scanning: frozenset[str]
    variant: frozenset[str]
    velocity: bool
    slope: float
    intercept: float
    reference: str
    philips: float | None = None
    lookup: bool = False
    doubt: str = ""
    temporal: int | None = None
    content: str = ""
    diffusion: float | None = None

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """3 x 3; columns are the directions of image columns, image rows and slices."""
        return _axes(self.orientation or ())

    @property
    def seconds(self) -> float:
        """Time of day, s; NaN where not said."""
        time = self.acquired[8:]
        try:
            return int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:])
        except ValueError:
            return float("nan")


@lru_cache(maxsize=4096)
def _axes(orientation: tuple[float, ...]) -> npt.NDArray[np.float64]:
    along, down = np.asarray(orientation, float).reshape(2, 3)
    axes = np.stack([along, down, np.cross(along, down)], axis=1)
    axes.flags.writeable = False
    return axes


@lru_cache(maxsize=4096)
def _at_right_angles(orientation: tuple[float, ...]) -> bool:
    axes = _axes(orientation)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= 1e-3)


def component_of(image_type: tuple[str, ...], said: str = "", raw: int | None = None) -> Component:
    """Tell the component from ImageType, ComplexImageComponent and GE's RawDataType.

    Siemens writes M, P and PSIR; Philips M_FFE, P_FFE, R_IR, VELOCITY MAP; GE only its private
    number 0 to 3.
    """
    for word in (said.upper(), *image_type[2:]):
        head = word.split("_")[0].split(" ")[0]
        if word in ("PSIR", "CR") or head in ("R", "REAL", "PSIR"):
            return Component.REAL
        if head in ("P", "PHASE", "VELOCITY") and not word.startswith("PHASE CONTRAST M"):
            return Component.PHASE
        if head in ("I", "IMAGINARY"):
            return Component.IMAGINARY
    if any(w.split("_")[0] in ("M", "MAGNITUDE") for w in (said.upper(), *image_type[2:])):
        return Component.MAGNITUDE
    numbered = (Component.MAGNITUDE, Component.PHASE, Component.REAL, Component.IMAGINARY)
    return numbered[raw] if raw is not None and 0 <= raw < 4 else Component.UNKNOWN


def place_trouble(frame: Frame) -> str:
    """Why a frame cannot be placed in the patient; "" where it can."""
    if frame.position is None:
        return "has no image position"
    if frame.orientation is None:
        return "has no image orientation"
    if frame.spacing is None:
        return "has no pixel spacing"
    if min(frame.spacing) <= 0:
        return "has a pixel spacing of zero"
    if not _at_right_angles(frame.orientation):
        return "has image axes that are not at right angles"
    return ""
