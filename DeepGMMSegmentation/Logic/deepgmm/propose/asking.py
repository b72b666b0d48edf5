"""What the network is asked: images as bright, and ventricles as large, as those it learned from.

The network learned from synthetic chests whose walls are about as bright, and whose ventricles are
about as large, as chance drew them. Real walls are darker, and the slices near an apex much
smaller, than most of these. So a sequence is asked twice: as it is, to see how bright its wall is,
and then, where the pool is brighter, with a gamma that makes the wall as bright as is usual; and
small slices are asked once more in finer pixels, which show them larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgmm.propose.canonical import (
    PIXEL,
    Frame,
    brightened,
    calmed,
    channels,
    normalised,
)
from deepgmm.propose.network import load
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Role

#: Brightness of wall, from a slice's darkest (0) to its brightest (1): the median over looks of
#: synthetic chests, .35 to .39 with the sequence. The gammas that the network saw while it learned.
USUAL_WALL, GAMMAS = 0.37, (float(np.exp(-0.45)), float(np.exp(0.45)))
#: mm: a mean radius that most slices of the chests have; slices under `SMALL` are asked again, and
#: under `TINY` that answer alone counts.
USUAL_RADIUS, SMALL, TINY = 30.0, 30.0, 24.0
#: Share of `PIXEL` that pixels are at least; share of what was found that a finer look must find
#: to be believed.
FINEST, LEAST_HELD = 0.5, 0.4
#: Slices that the network is shown at once: more take more memory, and no less time.
AT_ONCE = 3
#: Quarter turns, and whether mirrored then.
VIEWS = ((0, False), (1, False), (2, True), (3, True))


@dataclass(frozen=True)
class Answer:
    """What is inside, and how it was asked.

    Attributes
    ----------
    parts : (slices, 3, rows, columns) probabilities of background, wall and pool on a frame.
    gammas : of each sequence.
    """

    parts: FloatArray
    gammas: Mapping[Role, float]


def once(images: npt.NDArray[np.float32], seen: BoolArray) -> FloatArray:
    """(slices, 3, rows, columns) probabilities, of images as they are."""
    return np.exp(_asked(channels(normalised(calmed(images, seen), seen), seen), VIEWS[:1]))


def answered(study: Study, frame: Frame) -> Answer:
    """The whole stack on a frame, of all sequences together."""
    shown = {}
    for role, sequence in study.sequences.items():
        images, seen = frame.sampled(sequence.values)
        shown[role] = normalised(calmed(images, seen), seen), seen
    first = _together([_asked(channels(*one), VIEWS[:1]) for one in shown.values()])
    wall, pool = (first.argmax(1) == k for k in (1, 2))
    gammas = {role: _gamma(values[wall], values[pool]) for role, (values, _) in shown.items()}
    return Answer(_together([
        _asked(channels(brightened(values, seen, gammas[role]), seen), VIEWS)
        for role, (values, seen) in shown.items()]), gammas)


def finer(study: Study, frame: Frame, answer: Answer, pieces: Mapping[int, BoolArray],
          spacing: tuple[float, float]) -> FloatArray:
    """The answer's parts, with those of small slices asked again in finer pixels.

    Parameters
    ----------
    pieces : slice to the (rows, columns) of the frame in which the ventricle is likely.
    spacing : mm of the images' (rows, columns).
    """
    parts = answer.parts.copy()
    for i, held in pieces.items():
        radius = PIXEL * float(np.sqrt(held.sum() / np.pi))
        if radius >= SMALL:
            continue
        found = closer(study, frame, answer, i, np.argwhere(held).mean(0), radius, spacing)
        if (found[0][held] < 0.5).sum() < LEAST_HELD * held.sum():
            continue  # what was found is not to be lost
        share = min((SMALL - radius) / (SMALL - TINY), 1.0)
        parts[i] = _normal(np.exp((1 - share) * np.log(parts[i] + 1e-4)
                                  + share * np.log(np.clip(found, 0, 1) + 1e-4)), 0)
    return parts


def closer(study: Study, frame: Frame, answer: Answer, index: int, middle: FloatArray,
           radius: float, spacing: tuple[float, float]) -> FloatArray:
    """(3, rows, columns) probabilities on the frame of one slice that is asked in pixels so fine
    that a ventricle of a mean radius, mm, about a (row, column) of the frame looks as large as
    usual."""
    pixel = PIXEL * float(np.clip(radius / USUAL_RADIUS, FINEST, 1.0))
    row, column = frame.to_image(middle)
    fine = Frame.around((float(row), float(column)), spacing, pixel)
    near = slice(max(index - 1, 0), index + 2)
    logs = []
    for role, sequence in study.sequences.items():
        images, seen = fine.sampled(sequence.values[near])
        values = brightened(normalised(calmed(images, seen), seen), seen, answer.gammas[role])
        logs.append(_asked(channels(values, seen)[index - near.start][None], VIEWS))
    # the frame is to finer pixels what an image is
    onto = Frame.around((float(middle[0]), float(middle[1])), (PIXEL, PIXEL), pixel)
    found = onto.back(_together(logs)[0], frame.shape)
    found[0] = 1 - found[1] - found[2]
    return found


def _gamma(wall: npt.NDArray[np.float32], pool: npt.NDArray[np.float32]) -> float:
    """What makes a wall, from -1 to 1, as bright as usual; 1 where the pool is darker."""
    if not wall.size or not pool.size or np.median(wall) >= np.median(pool):
        return 1.0
    bright = float(np.clip((np.median(wall) + 1) / 2, 0.02, 0.98))
    return float(np.clip(np.log(USUAL_WALL) / np.log(bright), *GAMMAS))


def _asked(given: npt.NDArray[np.float32], views: tuple[tuple[int, bool], ...]) -> FloatArray:
    """(slices, 3, rows, columns) logarithms of probabilities of (slices, 4, rows, columns), the
    mean of some views."""
    import torch

    network, _ = load()
    parts = []
    with torch.inference_mode():
        for some in torch.from_numpy(given).split(AT_ONCE):
            total = torch.zeros(1)
            for quarters, mirrored in views:
                turned = torch.rot90(some, quarters, (2, 3))
                logs = network(turned.flip(3) if mirrored else turned).log_softmax(1)
                total = total + torch.rot90(logs.flip(3) if mirrored else logs, -quarters, (2, 3))
            parts.append((total / len(views)).log_softmax(1))
        return np.asarray(torch.cat(parts).numpy())


def _together(logs: list[FloatArray]) -> FloatArray:
    """Probabilities, (slices, 3, rows, columns), of all sequences' logarithms."""
    return _normal(np.exp(np.mean([np.log(np.exp(one) + 1e-4) for one in logs], axis=0)), 1)


def _normal(parts: FloatArray, axis: int) -> FloatArray:
    return np.asarray(parts / parts.sum(axis, keepdims=True))
