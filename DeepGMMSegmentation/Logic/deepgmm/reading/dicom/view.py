"""Which way a stack lies in the heart: by its name, else by its direction in the body."""

from __future__ import annotations

import re
from enum import Enum

import numpy as np

from deepgmm.reading.dicom.frames import Frame
from deepgmm.reading.dicom.stack import Stack


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

_SHORT = (r"\bsax?\d*\b|\bshax\b|short ?ax|\bsa(?=[a-z]?\d)|kurz ?achs|\bka\b|petit axe|"
          r"eje corto|asse corto|\bssa\b")
_LONG = (r"\b[234] ?(ch\w*|kk|c|cv|chamber|kammer\w*|camaras?|cavit\w*)\b|lvot|rvot|\bvla\b|"
         r"\bhla\b|\blax?\b|long ?ax|lang ?achs|\brad(ial)?\b")
_VESSEL = r"aort\w*|\bao\b|\bpulm\w*"
_BODY = {View.AXIAL: r"\btra\w*|\baxial\b|\bax\b", View.CORONAL: r"\bcor\w*\b",
         View.SAGITTAL: r"\bsag\w*\b"}
_NORMALS = {View.AXIAL: (0, 0, 1), View.CORONAL: (0, 1, 0), View.SAGITTAL: (1, 0, 0)}


def turn_from_short_axis(frame: Frame) -> float:
    """Angle between a plane's normal and the usual long axis, degrees."""
    return float(np.degrees(np.arccos(np.clip(abs(frame.axes[:, 2] @ LONG_AXIS), 0, 1))))


def view_of(stack: Stack) -> tuple[View, str]:
    """How a stack lies, and what says so.

    A name that says short axis is believed up to 60 degrees from where short axes usually lie;
    without a name 38 degrees decide.
    """
    frame = stack.first
    text = re.sub(r"[^a-z0-9]+", " ", f"{frame.description}".lower())
    turn = turn_from_short_axis(frame)
    long = re.search(_LONG, text)
    short = re.search(_SHORT, text)
    if short and not long:
        if turn <= _FAR:
            return View.SHORT_AXIS, f'named "{short.group()}"'
        return View.OBLIQUE, f'named "{short.group()}", but lies {turn:.0f} degrees off'
    if long and not short:
        return View.LONG_AXIS, f'named "{long.group()}"'
    vessel = re.search(_VESSEL, text)
    if vessel and not short:
        return View.OBLIQUE, f'named "{vessel.group()}"'
    for view, pattern in _BODY.items():
        named = re.search(pattern, text)
        if named:
            return view, f'named "{named.group()}"'
    if turn <= _NEAR:
        return View.SHORT_AXIS, f"by its direction, {turn:.0f} degrees off the usual"
    for view, normal in _NORMALS.items():
        if abs(frame.axes[:, 2] @ np.array(normal)) > np.cos(np.deg2rad(20)):
            return view, "by its direction"
    if turn > 90 - _NEAR:
        return View.LONG_AXIS, "by its direction"
    return View.OBLIQUE, "by its direction"
