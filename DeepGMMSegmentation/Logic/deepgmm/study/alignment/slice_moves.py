"""The move of one slice that the evidence favours, and the slice so moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from deepgmm.study.alignment.slice_matching import SEARCH, Matcher, Window, peak
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Role

if TYPE_CHECKING:
    import SimpleITK

#: Less than this is not worth the interpolation, mm.
LEAST = 1.0

#: Evidence, in nats, that a shift must have over none, and over any other place 4 mm away.
_CLEAR, _ALONE, _ELSEWHERE = 12.0, 4.0, 4.0

#: Spread of shifts about nothing, and about the sequence's median where slices agree, mm.
_WIDE, _AGREED = 5.0, 1.5

#: Angles tried, degrees; their spread; and the evidence that a rotation must have.
_ANGLES, _TURNS, _CLEAR_TURN = np.arange(-12.0, 12.1, 4.0), 4.0, 20.0

#: Share of a sequence's slices that may find no place before none of them is believed.
_LOST = 0.3

#: Reasons: the slice is moved; it lies where it should; it, or most others, find no place.
BETTER, NEAR = "clearly better", "lies near enough"
FAR, WITH_OTHERS = f"no best place within {SEARCH:g} mm", "other slices find no place"


@dataclass(frozen=True)
class Move:
    """What brings one slice of one sequence onto the reference.

    Attributes
    ----------
    sequence, slice : which; slices are counted from 0.
    dx, dy : move along the image's columns and rows, mm.
    rotation : about the mask's centre, from columns to rows, degrees.
    before, after : similarity to the reference without and with the move: the share of the
        slice's variance that the reference explains, 0 to 1.
    accepted : whether the evidence is clear enough to move the slice.
    reason : why, or why not.
    """

    sequence: str
    slice: int
    dx: float
    dy: float
    rotation: float
    before: float
    after: float
    accepted: bool
    reason: str

    @property
    def length(self) -> float:
        return float(np.hypot(self.dx, self.dy))


def likely_moves(role: Role, matchers: dict[int, Matcher],
                 surfaces: dict[int, FloatArray]) -> dict[int, Move]:
    """The best shift of every slice, and whether the evidence for it is clear."""
    evidence = {i: s * matchers[i].independent for i, s in surfaces.items()}
    alone = [peak(e + _likely(matchers[i].window, None))[0] * matchers[i].window.spacing
             for i, e in evidence.items()]
    middle = np.median(alone, axis=0) if len(alone) > 2 else None
    moves = {}
    for i, surface in surfaces.items():
        window = matchers[i].window
        whole = evidence[i] + _likely(window, middle)
        place, value, inside = peak(whole)
        shift = place * window.spacing
        y, x = window.offsets()
        far = np.hypot(y - shift[0], x - shift[1]) >= _ELSEWHERE
        gain = value - float(whole[window.reach])
        length = float(np.hypot(*shift))
        reason = "" if length >= LEAST else NEAR
        if not inside:
            reason = FAR
        elif not reason and value - float(whole[far].max()) < _ALONE:
            reason = "several places fit"
        elif not reason and gain < _CLEAR:
            reason = "not clearly better elsewhere"
        after = value - _at(_likely(window, middle), place)
        moves[i] = Move(role.value, i, float(-shift[1]), float(-shift[0]), 0.0,
                        _explained(float(surface[window.reach])),
                        _explained(after / matchers[i].independent),
                        not reason, reason or BETTER)
    if sum(m.reason == FAR for m in moves.values()) >= _LOST * len(moves):
        moves = {i: replace(m, accepted=False, reason=WITH_OTHERS) if m.accepted else m
                 for i, m in moves.items()}
    return moves


def _likely(window: Window, middle: FloatArray | None) -> FloatArray:
    """Log prior of every shift: near nothing, and near the sequence's median if there is one."""
    y, x = window.offsets()
    wide = np.exp(-0.5 * (y * y + x * x) / _WIDE**2) / _WIDE**2
    if middle is None:
        return np.asarray(np.log(wide))
    square = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
    return np.asarray(np.log(0.5 * wide + 0.5 * np.exp(-0.5 * square / _AGREED**2) / _AGREED**2))


def _at(surface: FloatArray, place: FloatArray) -> float:
    from scipy.ndimage import map_coordinates

    middle = (np.array(surface.shape) - 1) / 2
    return float(map_coordinates(surface, (place + middle)[:, None], order=3, mode="nearest")[0])


def _explained(similarity: float) -> float:
    """Nats a pixel as the share of variance explained; ranks have variance 1."""
    return float(np.clip(1.0 - np.exp(-2.0 * similarity), 0.0, 1.0))


def turned(study: Study, move: Move, matcher: Matcher, values: FloatArray) -> Move:
    """The move with the rotation that fits best, where that is clearly better than none."""
    if move.reason not in (BETTER, NEAR):
        return move
    scale = matcher.independent
    start = replace(move, dx=0.0, dy=0.0, accepted=True)

    def fit(angle: float) -> tuple[FloatArray, float, bool]:
        image = resampled(study, replace(start, rotation=angle), values)
        return peak(matcher.similarity(image))

    tried = [fit(float(angle)) for angle in _ANGLES]
    evidence = np.array([t[1] * scale for t in tried]) - 0.5 * (_ANGLES / _TURNS) ** 2
    best = int(evidence.argmax())
    none = int(np.abs(_ANGLES).argmin())
    if (best in (0, len(_ANGLES) - 1) or evidence[best] - evidence[none] < _CLEAR_TURN
            or not tried[best][2]):
        return move
    left, middle, right = evidence[best - 1:best + 2]
    angle = float(_ANGLES[best] + 2.0 * (left - right) / (left - 2 * middle + right))
    place, value, inside = fit(angle)
    shift = place * matcher.window.spacing
    return replace(move, dx=float(-shift[1]), dy=float(-shift[0]), rotation=angle,
                   after=_explained(value), accepted=inside, reason="clearly better turned")


def resampled(study: Study, move: Move, values: FloatArray) -> FloatArray:
    """One slice, moved if accepted, by cubic B-spline; the border repeats, no extremes arise."""
    import SimpleITK as sitk

    if not move.accepted:
        return values
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(study.geometry.spacing[:2])
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(1)  # more cost more than they bring on one slice
    resampler.SetReferenceImage(image)
    resampler.SetInterpolator(sitk.sitkBSpline)
    resampler.UseNearestNeighborExtrapolatorOn()
    resampler.SetTransform(_transform(study, move))
    moved = sitk.GetArrayFromImage(resampler.Execute(image))
    return np.asarray(np.clip(moved, values.min(), values.max()), values.dtype)


def carried_back(study: Study, move: Move, mask: BoolArray) -> BoolArray:
    """(rows, columns) where a sequence's slice, before an accepted move, shows what a mask of the
    reference holds."""
    import SimpleITK as sitk

    if not move.accepted or not mask.any():
        return mask.copy()
    image = sitk.GetImageFromArray(mask.astype(np.float32))
    image.SetSpacing(study.geometry.spacing[:2])
    moved = sitk.Resample(image, image, _transform(study, move).GetInverse(), sitk.sitkLinear, 0.0)
    return np.asarray(sitk.GetArrayFromImage(moved) > 0.5)


def _transform(study: Study, move: Move) -> SimpleITK.Transform:
    """From where a point shall lie to where it lies now."""
    import SimpleITK as sitk

    spacing = study.geometry.spacing
    row, column = np.argwhere(study.mask[move.slice]).mean(axis=0)
    transform = sitk.Euler2DTransform()
    transform.SetCenter((float(column * spacing[0]), float(row * spacing[1])))
    transform.SetAngle(float(np.radians(-move.rotation)))
    transform.SetTranslation((0.0, 0.0))
    shift = sitk.TranslationTransform(2, (-move.dx, -move.dy))
    # the last one added acts first: undo the shift, then the turn
    return sitk.CompositeTransform([transform, shift])
