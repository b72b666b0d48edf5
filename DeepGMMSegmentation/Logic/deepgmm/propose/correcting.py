"""A proposal corrected by little: a slice drawn, a point on a border; the slices beside follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepgmm.errors import InputError
from deepgmm.propose.beside import seen_outward
from deepgmm.propose.by_hand import body, dice, is_nowhere, no_ventricle, without_holes
from deepgmm.propose.following import Seen, curve_of, followed, points_of, radii_about
from deepgmm.propose.network import BESIDE, load
from deepgmm.propose.proposed import DOUBTED, FILLED, MaskProposal, doubts, drawn, say
from deepgmm.propose.rings import LEAST, THETA, Ring, ring_of_mask
from deepgmm.study.study import BoolArray, FloatArray, Geometry
from deepgmm.study.words import named_slices

EPI, ENDO = "epi", "endo"
REMOVED = "a person left it out"
FELL = "nothing was seen there itself, and a person left out the slices that told of it"
#: Share of a slice's pixels from which a fixed one is an image, and no mask.
MOST_OF_A_SLICE = 0.95
#: Points that are taken, and mm from the proposed border.
MOST_POINTS, FARTHEST = 50, 25.0
#: mm from which a point is said to lie far off; mm that a border moves somewhere and Dice with what
#: was proposed, at which a slice is half as sure as it was.
FAR, MOVED, UNLIKE, HALF_SURE = 10.0, 8.0, 0.85, 0.5
#: The same from which it is less sure at all: mm of a slice with points on its border, of which the
#: rest is then unproved, and of one that followed; Dice. A point says that the border was wrong, or
#: is wrong itself: of sure slices of phantoms through whose border's points 5 to 8 mm off were laid
#: anywhere, 6 % are under .85 then, through points less than 5 mm off none. Of those of patients
#: that followed by 2 to 8 mm hardly any is.
LED, LEFT, LIKE = 4.0, 6.0, 0.9
#: Dice with what was proposed under which a drawn slice is said to lie elsewhere; mean under which
#: so many may be another patient's. Experts' patients have .88 and more, and 1 % of their slices
#: less than .69.
ELSEWHERE, ANOTHERS, SEVERAL = 0.6, 0.75, 3
#: mm by which a border may miss its point.
TOUCHES = 0.5


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
              points: Sequence[BorderPoint] = (),
              pools: Mapping[int, BoolArray] | None = None) -> MaskProposal:
    """A proposal as a few corrections change it.

    Slices beside one that was drawn are looked at again, by a small network that is shown how the
    border drawn lies on its image; the rest follows without the images.

    Parameters
    ----------
    found : as first proposed: it stays as it is, and corrections are given all together.
    geometry : of its grid.
    fixed : slice to (rows, columns) masks that a person drew: they stay to the pixel. An empty one
        says that the slice holds no ventricle. One that can be no ventricle stays too, but no other
        slice follows it, which is said.
    points : where borders pass; a fixed slice ignores them, which is said.
    pools : of fixed slices the blood pool, (rows, columns), where a person drew it apart; it stays,
        and the endocardium of the slices beside follows it.

    Raises
    ------
    InputError
        A slice or a point that is not on the grid, a border of another name, too many points, or
        one far from what is proposed; fixed slices that are no masks.
    """
    masks = _masks({} if fixed is None else fixed)
    check_corrections(masks, points, found.mask.shape)
    if not masks and not points:
        return found
    spacing = (float(geometry.spacing[1]), float(geometry.spacing[0]))
    odd = {i: why for i, m in masks.items() if m.any()
           and (why := no_ventricle(m, found, i, spacing))}
    used = [p for p in points if p.slice not in masks]
    far = _far_off(found, used, spacing)
    alike = {i: dice(m, found.mask[i]) for i, m in sorted(masks.items())
             if i in found.rings and m.any()}
    told = [i for i, same in alike.items() if same < ELSEWHERE and i not in odd]
    elsewhere = {*told, *(i for i in odd if is_nowhere(masks[i], found, i))}
    apart = {int(i): np.asarray(p, bool) & masks[int(i)] for i, p in (pools or {}).items()
             if int(i) in masks and (np.asarray(p, bool) & masks[int(i)]).any()}
    rings = _followed(found, masks, apart, set(odd), used, spacing, float(geometry.spacing[2]))
    mask, pool = drawn(rings, found.mask.shape, spacing)
    # as first said, with what made that less than the overlap lets expect
    confidence = np.array([0.0 if i not in rings else float(found.confidence[i])
                           if i in found.rings else FILLED for i in range(len(mask))])
    led = {p.slice for p in used}
    for i in rings.keys() & found.rings.keys():
        confidence[i] *= _still_sure(_moved(found.rings[i], rings[i]),
                                     dice(mask[i], found.mask[i]), LED if i in led else LEFT)
    left_out = {i: FELL for i in found.rings if i not in rings} | {
        i: why for i, why in found.left_out.items() if i not in rings}
    for i, by_hand in masks.items():
        mask[i], pool[i] = by_hand, apart.get(i, pool[i] & by_hand)
        confidence[i] = 1.0 if by_hand.any() else 0.0
        left_out.pop(i, None)
        if not by_hand.any():
            left_out[i] = REMOVED
    held_by_hand = any(m.any() for m in masks.values())
    new = replace(found, mask=mask, wall=mask & ~pool, pool=pool, confidence=confidence,
                  left_out=left_out, rings=rings)
    asked = {"beside_sha256": load(BESIDE)[1]["sha256"]} if found.looks and masks else {}
    say(new, found.provenance | asked | {"fixed": sorted(masks), "points": len(used),
                                      "places": [[p.slice, *p.place, p.border] for p in used],
                                      "elsewhere": sorted(elsewhere)})
    new.warnings += [*([] if held_by_hand else doubts(found)),
                     *(f"the point on {named_slices([i])} moves the border by {away:.0f} mm: see "
                       "whether it lies where you meant; the slices beside it follow"
                       for i, away in sorted(far.items())),
                     *_crossing(found.rings, rings, used, spacing), *_about(masks, odd, points)]
    if _anothers(found, list(alike.values())):
        new.warnings.insert(0, f"what is drawn on {named_slices(alike)} hardly lies where these "
                            "images show a ventricle, and may be of another patient: see whether "
                            "it was drawn for these images; it stays as drawn")
    if told:
        new.warnings.append(f"what is drawn on {named_slices(told)} hardly lies where the "
                            "ventricle was proposed: see whether it is on the right slice; the "
                            "slices beside it follow")
    return new


def _masks(fixed: Mapping[int, BoolArray]) -> dict[int, BoolArray]:
    if not isinstance(fixed, Mapping) or not all(isinstance(i, (int, np.integer)) for i in fixed):
        raise InputError("fixed slices are given by their index: {index: mask of rows and columns}")
    for i, m in fixed.items():
        if not np.isfinite(np.asarray(m, float)).all():
            raise InputError(f"the fixed slice {i} holds values that are no numbers: give a mask")
    masks = {int(i): np.asarray(m, bool) for i, m in fixed.items()}
    held = [m for m in masks.values() if m.any()]
    if len(held) > 1 and all(m.ndim == 2 and m.mean() > MOST_OF_A_SLICE for m in held):
        raise InputError("all that is fixed fills whole slices: give the mask that was drawn, not "
                         "an image")
    return masks


def _anothers(found: MaskProposal, alike: Sequence[float]) -> bool:
    """Whether what is drawn may be of another patient, by each slice's Dice with what is proposed:
    no slice lies where that does, or several hardly do."""
    if len(alike) < 2 or found.confidence.max() < DOUBTED:
        return False
    return max(alike) < ELSEWHERE or len(alike) >= SEVERAL and float(np.mean(alike)) < ANOTHERS


def _moved(before: Ring, after: Ring) -> float:
    """mm that either border moved where it moved most."""
    def far(inner: bool) -> float:
        one, other = before.points(inner), after.points(inner)
        apart = np.hypot(*(one[:, None] - other[None]).T)
        return float(max(apart.min(0).max(), apart.min(1).max()))
    return max(far(False), far(True))


def _still_sure(moved: float, like: float, least: float) -> float:
    """What a slice's confidence is multiplied by once its border has moved, without a step.

    Parameters
    ----------
    moved : mm, where it moved most.
    like : Dice of the mask with what was proposed.
    least : mm from which that counts.
    """
    return float(HALF_SURE ** max(0.0, (moved - least) / (MOVED - least),
                                  (LIKE - like) / (LIKE - UNLIKE)))


def _about(masks: Mapping[int, BoolArray], odd: Mapping[int, str],
           points: Sequence[BorderPoint]) -> list[str]:
    """What a user must see of corrections that are not taken as they were given."""
    said = [f"what is drawn on {named_slices(i for i in sorted(odd) if odd[i] == why)} stays, but "
            f"no other slice follows it: {why}" for why in dict.fromkeys(odd.values())]
    rings = [i for i, m in sorted(masks.items())
             if i not in odd and (without_holes(m) & ~m).any()]
    if rings:
        said.append(f"what is drawn on {named_slices(rings)} has a hole and stays so: other slices "
                    "follow its outer border; fill it if it is the blood pool")
    strays = [i for i, m in sorted(masks.items())
              if i not in odd and (without_holes(m) & ~body(m)).any()]
    if strays:
        said.append(f"what is drawn on {named_slices(strays)} has a stray piece beside its "
                    "outline: it stays as drawn, and other slices follow the outline alone")
    passed = sorted({p.slice for p in points} & set(masks))
    if passed:
        said.append(f"points on {named_slices(passed)} were passed over: what is drawn there stays")
    return said


def _crossing(before: Mapping[int, Ring], after: Mapping[int, Ring], points: Sequence[BorderPoint],
              spacing: tuple[float, float]) -> list[str]:
    """Points that say that one border crosses the other."""
    def beyond(p: BorderPoint, ring: Ring, inner: bool) -> float:
        off = np.array(p.place) * spacing - ring.centre
        return float(np.hypot(*off) - np.interp(
            np.arctan2(*off), THETA, ring.inner if inner else ring.outer, period=2 * np.pi))

    out = sorted({p.slice for p in points if p.border == ENDO and p.slice in after
                  and beyond(p, after[p.slice], inner=False) > -LEAST + TOUCHES})
    within = sorted({p.slice for p in points if p.border == EPI and p.slice in before
                     and beyond(p, before[p.slice], inner=True) < 0})
    said = []
    if out:
        said.append(f"a point of the endocardium on {named_slices(out)} lies outside the "
                    f"epicardium or on it: the endocardium stays {LEAST:g} mm within and does not "
                    "pass through it; say with another point where the epicardium passes")
    if within:
        said.append(f"a point of the epicardium on {named_slices(within)} lies inside the "
                    "endocardium that was proposed, and both borders shrink: see whether it was "
                    "meant for the endocardium")
    return said


def _far_off(found: MaskProposal, points: Sequence[BorderPoint],
             spacing: tuple[float, float]) -> dict[int, float]:
    """How far, mm, the farthest point of a slice lies from its border, where over `FAR`."""
    far: dict[int, float] = {}
    for p in points:
        if p.slice not in found.rings:
            continue
        border = found.rings[p.slice].points(inner=p.border == ENDO)
        away = float(np.hypot(*(border - np.array(p.place) * spacing).T).min())
        if away > FARTHEST:
            raise InputError(f"a point lies {away:.0f} mm from the border proposed on slice "
                             f"{p.slice}, counted from 0, more than {FARTHEST:.0f} mm: see whether "
                             "it was placed on this slice, or draw the slice instead")
        if away > FAR:
            far[p.slice] = max(away, far.get(p.slice, 0.0))
    return far


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
                             "placed on this examination, and is in LPS mm (not RAS)")
    if len(points) > MOST_POINTS:
        raise InputError(f"{len(points)} points on borders were given, more than {MOST_POINTS}: "
                         "draw slices instead")


def _followed(found: MaskProposal, fixed: Mapping[int, BoolArray], pools: Mapping[int, BoolArray],
              odd: set[int], points: Sequence[BorderPoint], spacing: tuple[float, float], gap: float
              ) -> dict[int, Ring]:
    by_hand = {i: ring for i, m in fixed.items() if i not in odd
               and (ring := ring_of_mask(body(m), spacing, pools.get(i))) is not None}
    removed = set(fixed) - set(by_hand) - odd
    before = {i: ring for i, ring in found.rings.items() if i not in removed}
    if not by_hand and not any(found.overlap[i] > 0 for i in before):
        return {}
    seen = {border: [Seen(p.slice, np.array(p.place) * spacing) for p in points
                     if p.border == border] for border in (EPI, ENDO)}
    lost = [s.slice for some in seen.values() for s in some
            if s.slice not in range(min([*before, *by_hand]), max([*before, *by_hand]) + 1)]
    if lost:
        raise InputError(f"a point lies on slice {lost[0]}, where no border is proposed: draw that "
                         "slice instead")
    curves, true = ({i: curve_of(r.points()) for i, r in some.items()}
                    for some in (before, by_hand))
    outer = seen_outward(found.looks, curves, found.overlap, gap, true, seen[EPI])
    # what did not move is as it was, to the pixel
    rings = {i: before[i] if i in curves and i not in by_hand and np.allclose(curve, curves[i])
             else _scaled(points_of(curve), before.get(i), by_hand.get(i))
             for i, curve in outer.items() if i not in removed}
    apart = {i: ring.points(inner=True) for i, ring in by_hand.items() if i in pools}
    if not seen[ENDO] and not apart:
        return rings
    inner = followed({i: curve_of(r.points(inner=True)) for i, r in rings.items()},
                     np.where(found.overlap > 0, found.overlap, 0.5), gap,
                     {i: curve_of(points) for i, points in apart.items()}, seen[ENDO])
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
