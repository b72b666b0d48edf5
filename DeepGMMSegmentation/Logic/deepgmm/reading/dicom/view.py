"""Which way a stack lies in the heart: by its name, else by its direction in the body."""

from __future__ import annotations

from enum import Enum

import numpy as np

from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.stack import Stack
from deepgmm.study.names import AXIAL, CORONAL, LONG_NAMES, SAGITTAL, SHORT_NAMES, VESSEL, plain


class View(str, Enum):
    """How a stack cuts the heart or the body."""

    SHORT_AXIS = "short axis"
    LONG_AXIS = "long axis"
    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    OBLIQUE = "oblique"


#: Where the left ventricle's long axis points in most people, from base to apex, LPS.
LONG_AXIS = np.array([0.67, -0.65, -0.35]) / np.linalg.norm([0.67, -0.65, -0.35])

#: Nearer than this to it, degrees, slices lie in short axis; sagittal and coronal ones are 48.
_NEAR, _FAR = 38.0, 60.0

#: So near to a plane of the body, degrees, slices lie along it; and so near exactly in it, which
#: a short axis never does.
_ALONG, _EXACTLY = 20.0, 2.0

_BODY = {View.AXIAL: AXIAL, View.CORONAL: CORONAL, View.SAGITTAL: SAGITTAL}
_NORMALS = {View.AXIAL: (0, 0, 1), View.CORONAL: (0, 1, 0), View.SAGITTAL: (1, 0, 0)}


def turn_from_short_axis(frame: Frame) -> float:
    """Angle between a plane's normal and the usual long axis, degrees."""
    return float(np.degrees(np.arccos(np.clip(abs(frame.axes[:, 2] @ LONG_AXIS), 0, 1))))


def view_of(stack: Stack) -> tuple[View, str]:
    """How a stack lies, and what says so.

    A name that says short axis is believed up to 60 degrees from where short axes usually lie,
    unless the slices are exactly sagittal, coronal or axial, which "SA" may mean too; without a
    name 38 degrees decide. The protocol's name is asked where the description says nothing.
    """
    frame = stack.typical
    for what, text in (("named", frame.description), ("protocol", frame.protocol)):
        found = _named_view(frame, plain(text), what)
        if found is not None:
            return found
    turn = turn_from_short_axis(frame)
    if turn <= _NEAR:
        return View.SHORT_AXIS, f"by its direction, {turn:.0f} degrees off the usual"
    straight = _straight(frame, _ALONG)
    if straight is not None:
        return straight, "by its direction"
    if turn > 90 - _NEAR:
        return View.LONG_AXIS, "by its direction"
    return View.OBLIQUE, "by its direction"


def _named_view(frame: Frame, text: str, what: str) -> tuple[View, str] | None:
    turn = turn_from_short_axis(frame)
    long, short, vessel = (p.search(text) for p in (LONG_NAMES, SHORT_NAMES, VESSEL))
    bodies = [(view, match) for view, match in
              ((view, pattern.search(text)) for view, pattern in _BODY.items()) if match]
    if short and not long:
        said = f'{what} "{short.group()}"'
        straight = _straight(frame, _EXACTLY)
        if turn <= _FAR and straight is not None and (short.group() == "sa" or bodies):
            return straight, f"{said}, but exactly {straight.value}"
        if turn <= _FAR:
            return View.SHORT_AXIS, said
        return View.OBLIQUE, f"{said}, but lies {turn:.0f} degrees off"
    if long and not short:
        return View.LONG_AXIS, f'{what} "{long.group()}"'
    if vessel and not short:
        return View.OBLIQUE, f'{what} "{vessel.group()}"'
    for view, match in bodies:
        return view, f'{what} "{match.group()}"'
    return None


def _straight(frame: Frame, within: float) -> View | None:
    """The plane of the body that a frame lies in, to so many degrees."""
    for view, normal in _NORMALS.items():
        if abs(frame.axes[:, 2] @ np.array(normal)) > np.cos(np.deg2rad(within)):
            return view
    return None
