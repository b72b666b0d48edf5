"""A proposal corrected by little: a slice drawn, a point on a border; the slices beside follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepgmm.errors import InputError
from deepgmm.propose.following import Seen, curve_of, followed, points_of, radii_about
from deepgmm.propose.proposed import FILLED, MaskProposal, confidence_of, drawn, say
from deepgmm.propose.rings import LEAST, Ring, ring_of_mask
from deepgmm.study.study import BoolArray, FloatArray, Geometry

EPI, ENDO = "epi", "endo"
REMOVED = "a person said that there is no ventricle"


@dataclass(frozen=True)
class BorderPoint:
    """A place that a border passes through.

    Attributes
    ----------
    slice : index of the slice.
    place : (row, column) in pixels of the images, fractions allowed.
    border : "epi" or "endo".
    """

    slice: int
    place: tuple[float, float]
    border: str = EPI


def border_points(places: FloatArray, borders: Sequence[str], geometry: Geometry
                  ) -> list[BorderPoint]:
    """Points on borders from where they lie in the patient, each on the nearest slice.

    Parameters
    ----------
    places : (points, 3) LPS mm.
    borders : "epi" or "endo" of each.
    """
    whole = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    at = whole @ np.linalg.inv(geometry.index_to_world()).T
    return [BorderPoint(round(float(one[2])), (float(one[1]), float(one[0])), border)
            for one, border in zip(at, borders)]


def corrected(found: MaskProposal, geometry: Geometry, *,
              fixed: Mapping[int, BoolArray] | None = None,
              points: Sequence[BorderPoint] = ()) -> MaskProposal:
    """A proposal as a few corrections change it; no network is asked again.

    Parameters
    ----------
    found : as first proposed: it stays as it is, and corrections are given all together.
    geometry : of its grid.
    fixed : slice to (rows, columns) masks that a person drew: they stay to the pixel. An empty one
        says that the slice holds no ventricle.
    points : where borders pass; a fixed slice ignores them.

    Raises
    ------
    InputError : a slice or a point that is not on the grid, a border of another name.
    """
    masks = {int(i): np.asarray(m, bool) for i, m in (fixed or {}).items()}
    check_corrections(masks, points, found.mask.shape)
    if not masks and not points:
        return found
    spacing = (float(geometry.spacing[1]), float(geometry.spacing[0]))
    rings = _followed(found, masks, points, spacing, float(geometry.spacing[2]))
    mask, pool = drawn(rings, found.mask.shape, spacing)
    confidence = np.array([0.0 if i not in rings else float(confidence_of(found.overlap[i]))
                           if found.overlap[i] > 0 else FILLED for i in range(len(mask))])
    left_out = {i: why for i, why in found.left_out.items() if i not in rings}
    for i, by_hand in masks.items():
        mask[i], pool[i] = by_hand, pool[i] & by_hand
        confidence[i] = 1.0 if by_hand.any() else 0.0
        if not by_hand.any():
            left_out[i] = REMOVED
    new = replace(found, mask=mask, wall=mask & ~pool, pool=pool, confidence=confidence,
                  left_out=left_out, rings=rings)
    say(new, found.provenance | {"fixed": sorted(masks), "points": len(points)})
    return new


def check_corrections(fixed: Mapping[int, BoolArray], points: Sequence[BorderPoint],
                      shape: tuple[int, ...]) -> None:
    """Refuse, before any work is done, what is not on a grid of (slices, rows, columns).

    Raises
    ------
    InputError : a slice or a point that is not on the grid, a border of another name.
    """
    for i, by_hand in fixed.items():
        if not 0 <= i < shape[0] or by_hand.shape != shape[1:]:
            raise InputError(f"the fixed slice {i} is not on the images' grid: give a mask of "
                             f"{shape[1]} x {shape[2]} for one of slices 0 to {shape[0] - 1}")
    for point in points:
        if point.border not in (EPI, ENDO):
            raise InputError(f"a point lies on {str(point.border)[:20]!r}: say {EPI} or {ENDO}")
        on = [-0.5 <= at <= n - 0.5 for at, n in zip(point.place, shape[1:])]
        if not 0 <= point.slice < shape[0] or not all(on):
            raise InputError("a point on a border lies outside the images: see whether it was "
                             "placed on this examination")


def _followed(found: MaskProposal, fixed: Mapping[int, BoolArray], points: Sequence[BorderPoint],
              spacing: tuple[float, float], gap: float) -> dict[int, Ring]:
    by_hand = {i: ring for i, m in fixed.items()
               if (ring := ring_of_mask(m, spacing)) is not None}
    removed = set(fixed) - set(by_hand)
    before = {i: ring for i, ring in found.rings.items() if i not in removed}
    if not by_hand and not any(found.overlap[i] > 0 for i in before):
        return {}
    seen = {border: [Seen(p.slice, np.array(p.place) * spacing) for p in points
                     if p.border == border and p.slice not in fixed] for border in (EPI, ENDO)}
    lost = [s.slice for some in seen.values() for s in some
            if s.slice not in range(min([*before, *by_hand]), max([*before, *by_hand]) + 1)]
    if lost:
        raise InputError(f"a point lies on slice {lost[0]}, where no border is proposed: draw that "
                         "slice instead")
    outer = followed({i: curve_of(r.points()) for i, r in before.items()}, found.overlap, gap,
                     {i: curve_of(r.points()) for i, r in by_hand.items()}, seen[EPI])
    rings = {i: _scaled(points_of(curve), before.get(i), by_hand.get(i))
             for i, curve in outer.items() if i not in removed}
    if not seen[ENDO]:
        return rings
    inner = followed({i: curve_of(r.points(inner=True)) for i, r in rings.items()},
                     np.where(found.overlap > 0, found.overlap, 0.5), gap, {}, seen[ENDO])
    return {i: _with_inner(ring, points_of(inner[i])) for i, ring in rings.items()}


def _scaled(outer: FloatArray, before: Ring | None, by_hand: Ring | None) -> Ring:
    """The ring with this epicardium; its wall grows and shrinks as it does."""
    if by_hand is not None:
        outer = by_hand.points()
    centre = outer.mean(0)
    radii = radii_about(outer, centre)
    if before is None:
        share = by_hand.about(centre) if by_hand is not None else None
        inner = share.inner if share is not None else 0.7 * radii
    else:
        was = before.about(centre)
        inner = was.inner * (radii / np.maximum(was.outer, 1.0))
    return Ring(centre, radii, np.minimum(inner, np.maximum(radii - LEAST, 0.3 * radii)))


def _with_inner(ring: Ring, inner: FloatArray) -> Ring:
    radii = radii_about(inner, ring.centre)
    return replace(ring, inner=np.minimum(radii, np.maximum(ring.outer - LEAST, 0.3 * ring.outer)))
