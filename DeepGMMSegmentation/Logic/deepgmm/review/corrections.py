"""What a user changed in a result, voxel by voxel, from an edited segmentation of anyone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.given import Corrections, Edit, Strength
from deepgmm.reading.conventions import CONVENTIONS, tissues_of
from deepgmm.reading.masks.labelmap import Decide, Labels
from deepgmm.result import Result
from deepgmm.review.metrics import dice
from deepgmm.study.words import WALL_TISSUES, Tissue, named_slices

__all__ = ["Corrections", "Edit", "Strength", "contour_corrections", "corrections_of",
           "edited_labels", "now"]

#: An edited segmentation whose tissues lie on the LV mask less than this (Dice) is of another
#: heart, as is one that changes more of the voxels than this.
SAME_HEART, MOST_CHANGED = 0.85, 0.5
#: Corrections of more than this share of the LV mask are asked about.
ASKED_ABOUT = 0.2
#: Mean Dice by which a mirrored segmentation agrees better once it is turned back, what it is then
#: at least, and what a single tissue may lose by it.
MIRRORED, MIRRORED_LEAST, MIRRORED_LOSS = 0.1, 0.85, 0.02
#: Where more than this share of a slice's outer border was drawn over or erased, it was meant.
MOVED_OUTSIDE = 1 / 6
#: mm from the LV mask beyond which what is drawn is no border of it.
STRAY_MM = 15.0
#: How far from the border of pool and wall a border that is right is told, mm.
BESIDE_MM = 2.5


def now() -> str:
    """This moment, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def decided_by(result: Result) -> Decide:
    """For `read_labels`: the one convention whose tissues a result seeks. 3D Slicer numbers what it
    exports as a labelmap, and so 3 is scar where no edema is sought, as EMIDEC has it; beside 4 it
    is left open."""
    sought = {0, *map(int, result.tissues), *map(int, np.unique(result.labels))}

    def decide(values: npt.NDArray[np.generic], names: list[str]) -> str | None:
        fit = [name for name in names
               if set(np.unique(tissues_of(values, CONVENTIONS[name])).tolist()) <= sought]
        return fit[0] if len(fit) == 1 and not {3, 4} <= set(np.unique(values).tolist()) else None
    return decide


def edited_labels(edited: Labels, result: Result) -> npt.NDArray[np.uint8]:
    """The labels of an edited segmentation on a result's grid.

    Raises
    ------
    InputError
        Of another grid, or so far from the LV mask or from the result that it is another heart's.
    """
    shape = result.labels.shape
    try:
        labels = edited.on(result.study.geometry, (shape[0], shape[1], shape[2]))
    except InputError as error:
        raise InputError("the edited segmentation lies on another grid than the images of this "
                         f"study{_beside(edited, result)}: see whether it is of this patient, and "
                         "export it on the grid of the result") from error
    _check_mirrored(labels, result.labels)
    try:
        check_edited(labels, result)
    except InputError as error:
        gone = [t.title.lower() for t in (Tissue.BLOOD, Tissue.MYOCARDIUM)
                if labels.any() and (result.labels == t).any() and not (labels == t).any()]
        if not gone:
            raise
        raise InputError(f"the edited segmentation has no {' and no '.join(gone)}, which the "
                         "result has: export it with all of its segments") from error
    return labels


def _beside(edited: Labels, result: Result) -> str:
    """How far the voxels of an edited segmentation lie beside those of a result, where that is all
    that is wrong."""
    one, other = edited.geometry, result.study.geometry
    if edited.values.shape != result.labels.shape or not np.allclose(
            [*one.spacing, *one.direction], [*other.spacing, *other.direction], atol=1e-3):
        return ""
    away = float(np.linalg.norm(np.subtract(one.origin, other.origin)))
    return f" (its voxels are as large and as many, and lie {away:.2g} mm beside them)"


def _check_mirrored(labels: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> None:
    """Refuse labels that agree clearly better with a result once flipped, or moved by a slice.

    Raises
    ------
    InputError
    """
    tissues = [t for t in Tissue if t and ((labels == t).any() or (before == t).any())]

    def agreement(axes: tuple[int, ...], slices: int = 0) -> npt.NDArray[np.floating]:
        turned = np.roll(np.flip(labels, axes), slices, 0)
        turned[{1: slice(1), -1: slice(-1, None)}.get(slices, slice(0))] = 0
        drawn = before * turned.any((1, 2), keepdims=True)  # a file may hold some slices alone
        return np.array([dice(turned == t, drawn == t) or 0.0 for t in tissues])
    if not tissues:
        return
    given, off = agreement(()), "a slice off: every slice lies where the next one does"
    over = "turned over, its slices in reversed order"
    for axes, slices, how in (((2,), 0, "mirrored left to right"), ((), 1, off), ((), -1, off),
                              ((1,), 0, "mirrored top to bottom"), ((1, 2), 0, "turned by half"),
                              ((0,), 0, "of slices in reversed order"), ((0, 2), 0, over),
                              ((0, 1), 0, over)):
        back = agreement(axes, slices)
        if (back.mean() > max(given.mean() + MIRRORED, MIRRORED_LEAST)
                and (back - given).min() > -MIRRORED_LOSS):
            raise InputError(f"the edited segmentation is {how}: so it agrees much less with the "
                             "result than the other way round; export it on the grid of the "
                             "result")


def doubts(given: Corrections, result: Result, known: Iterable[int] = ()) -> list[str]:
    """What a person should be asked about new corrections of a result, once.

    Parameters
    ----------
    known : slices that were done before, counted from 0.
    """
    changed = given.strength == Strength.VOXEL
    count, inside = int(changed.sum()), int((result.labels > 0).sum())
    said = []
    if count > ASKED_ABOUT * inside:
        said.append(f"{count} voxels, {100 * count / max(inside, 1):.0f} % of the LV mask, were "
                    "changed: was the right file given?")
    drawn = set(map(int, np.flatnonzero(changed.any((1, 2)))))
    alone, other = sorted(set(given.done) - drawn), sorted(drawn - set(given.done) - set(known))
    if alone and other:
        said.append(f"{named_slices(alone)} {_were(alone)} called done, and nothing differs there; "
                    f"{named_slices(other)} {_were(other)} changed and {_are(other)} not done")
    return said


def drawn_outside(result: Result) -> list[str]:
    """What is to be said of all that was ever drawn or erased beyond the border of the LV mask."""
    given = result.corrections
    if given is None:
        return []
    said, moved = strays(given, result), moved_outside(given, result)
    if moved and set(result.study.slices) - set(result.settled):
        proposed = result.provenance.get("mask_proposal", {}).get("proposed") is True
        how = ("to have the outlines beside follow, give the file you corrected to deepgmm "
               "propose-mask --fixed EDITED -o MASK.seg.nrrd with the same images, and segment "
               "again with --mask MASK.seg.nrrd" if proposed else
               "to have the fit see it, correct the LV mask itself and segment again with it "
               "(--mask)")
        said.append(f"the outer border was moved on {named_slices(moved)}: that is kept as drawn, "
                    f"and no outer border follows it, for refine goes by the LV mask; {how}")
    return said


def strays(given: Corrections, result: Result) -> list[str]:
    """What is to be said of tissue that was drawn far from the LV mask."""
    from scipy.ndimage import distance_transform_edt

    mask, spacing = result.study.mask, result.study.geometry.spacing
    far = (given.strength == Strength.VOXEL) & (given.tissue > 0) & ~mask
    for i in map(int, np.flatnonzero(far.any((1, 2)))):
        if mask[i].any():
            far[i] &= distance_transform_edt(~mask[i], spacing[1::-1]) > STRAY_MM
    count, where = int(far.sum()), [int(i) for i in np.flatnonzero(far.any((1, 2)))]
    return [f"{count} voxel{' was' if count == 1 else 's were'} drawn on "
            f"{named_slices(where)} more than {STRAY_MM:.0f} mm outside the LV mask: they count as "
            "what they are drawn as, and most pictures do not reach there; erase what was not "
            "meant"] if where else []


def moved_outside(given: Corrections, result: Result) -> list[int]:
    """The slices, from 0, on which a good part of the outer border was drawn over or erased: no
    other outer border follows it."""
    return [i for i in range(len(given.tissue)) if _moved_outside(given, result, i) > MOVED_OUTSIDE]


def _moved_outside(given: Corrections, result: Result, index: int) -> float:
    """Share of the LV mask's rim on a slice outside which somebody drew, or that was erased."""
    from scipy import ndimage

    mask = result.study.mask[index]
    now = given.fixed[index] & (given.strength[index] == Strength.VOXEL)
    drawn, erased = now & ~mask & (given.tissue[index] > 0), now & mask & (given.tissue[index] == 0)
    if not drawn.any() and not erased.any():
        return 0.0
    rim = mask & ~ndimage.binary_erosion(mask)
    return float((rim & (erased | ndimage.binary_dilation(drawn))).sum() / max(rim.sum(), 1))


def _were(slices: list[int]) -> str:
    return "were" if len(slices) > 1 else "was"


def _are(slices: list[int]) -> str:
    return "are" if len(slices) > 1 else "is"


def check_edited(labels: npt.NDArray[np.uint8], result: Result) -> None:
    """See that labels can be a result's, edited.

    Raises
    ------
    InputError
        Another shape, values that are no tissue, tissues that the result does not seek, or
        labels that lie elsewhere than the LV mask.
    """
    if labels.shape != result.labels.shape:
        raise InputError(f"the edited segmentation has shape {labels.shape}, the images "
                         f"{result.labels.shape}: see whether it is of this patient")
    values = np.unique(labels)
    found = {int(v) for v in values if np.isfinite(v)}
    if len(found) < len(values) or not found <= {int(t) for t in Tissue}:
        raise InputError("the edited segmentation holds values that are no tissue")
    known = {0, *map(int, result.tissues), *map(int, np.unique(result.labels))}
    if Tissue.SCAR in result.tissues:
        known.add(int(Tissue.MVO))
    if not found <= known:
        names = " and ".join(Tissue(v).title.lower() for v in sorted(found - known))
        raise InputError(f"the edited segmentation has {names}, which this result does not seek: "
                         "its tissues are "
                         + ", ".join(t.title.lower() for t in result.tissues))
    if not found - {0}:
        raise InputError("the edited segmentation is empty: see whether it was exported with its "
                         "segments; a slice that is to be left alone may be empty, not all of them")
    fitted = (result.labels > 0).any((1, 2)) & (labels > 0).any((1, 2))
    drawn, mask = labels[fitted] > 0, result.labels[fitted] > 0
    same = 2 * (drawn & mask).sum() / max(drawn.sum() + mask.sum(), 1)
    changed = (labels[fitted] != result.labels[fitted])[drawn | mask]
    if not fitted.any() or same < SAME_HEART or changed.mean() > MOST_CHANGED:
        raise InputError("the edited segmentation does not lie where this result does: see "
                         "whether it is of this patient and was made from this result")


def corrections_of(result: Result, edited: npt.NDArray[np.uint8], *, done: Iterable[int] = (),
                   borders: Iterable[int] = (), run: int = 0,
                   base: npt.NDArray[np.uint8] | None = None, when: str | None = None,
                   seconds: float | None = None) -> Corrections:
    """What an edited segmentation changes in a result, and the slices that are right as a whole.

    Parameters
    ----------
    edited : (slices, rows, columns) values of `Tissue` on the result's grid. A slice with none of
        them was left alone: a file may hold only what somebody drew.
    done : slices in which everything is right, also what was left alone; counted from 0.
    borders : slices on which the border of pool and wall is right, on both sides of it.
    run : the version that was edited, and `base` its labels; by default those of the result.
    when : UTC, ISO 8601; now by default.
    seconds : that the editing took.

    Raises
    ------
    InputError
        Labels that cannot be this result's, or a slice that is not there.
    """
    if isinstance(edited, (str, os.PathLike)):
        raise InputError("edited is the name of a file: give its labels as an array, which "
                         "edited_labels(read_labels(FILE), result) reads "
                         "(deepgmm.reading.masks.labelmap)")
    edited = np.asarray(edited)
    check_edited(edited, result)
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise InputError("seconds is no time: give how long the correcting took, 0 or more")
    finished, bordered = (_checked(edited, result, which) for which in (done, borders))
    when = now() if when is None else when
    number = (edited != (result.labels if base is None else base)).astype(np.uint16)
    number[left_empty(edited, result)] = 0
    edits = [Edit(Strength.VOXEL, when, run, seconds)]
    for strength, slices in ((Strength.CONTOUR, bordered), (Strength.SLICE, finished)):
        if not slices:
            continue
        edits.append(Edit(strength, when, run, seconds))
        for index in slices:
            said = (_beside_border(edited[index], result) if strength is Strength.CONTOUR
                    else result.study.mask[index] | (edited[index] > 0))
            number[index][said & (number[index] == 0)] = len(edits)
    return Corrections(np.where(number > 0, edited, 0), number, edits, tuple(finished))


def left_empty(edited: npt.NDArray[np.uint8], result: Result) -> list[int]:
    """The slices that have labels in a result and none in an edited segmentation."""
    return [i for i in range(len(edited)) if result.labels[i].any() and not edited[i].any()]


def contour_corrections(result: Result, contours: Mapping[int, npt.NDArray[np.floating]], *,
                        drawn: Corrections | None = None, run: int = 0, when: str | None = None,
                        seconds: float | None = None) -> Corrections:
    """A border of pool and wall that a person drew, as labels on both sides of it.

    What lies inside is blood and what lies outside, within the LV mask, wall: of the tissue of the
    nearest wall pixel where it was blood before. What was drawn beside the line holds but where
    the line moves blood against wall.

    Parameters
    ----------
    contours : slice, counted from 0, to (points, 2) row and column of a closed line; whole numbers
        are the centres of pixels.
    drawn : what was corrected otherwise in the same act, if anything; these are to be joined to it.

    Raises
    ------
    InputError
        A slice that is not there or has no result, or a line that holds no pixel.
    """
    from scipy import ndimage

    given = Corrections.none(result.labels.shape) if drawn is None else drawn
    base = given.painted(result.labels)
    edited = base.copy()
    slices = _checked(edited, result, contours)
    for index in slices:
        mask, old = result.study.mask[index], base[index]
        pool = pool_within(contours[index], mask, index)
        wall = np.isin(old, WALL_TISSUES)
        nearest = np.full(old.shape, Tissue.MYOCARDIUM, np.uint8)
        if wall.any():
            rows, columns = ndimage.distance_transform_edt(~wall, return_distances=False,
                                                           return_indices=True)
            nearest = old[rows, columns]
        edited[index] = np.where(pool, Tissue.BLOOD, np.where(mask, nearest, old))
    found = corrections_of(result, edited, borders=slices, run=run, base=base, when=when,
                           seconds=seconds)
    erased = given.fixed & (base == Tissue.BACKGROUND)
    by_hand = np.isin(given.strength, (Strength.VOXEL, Strength.CONTOUR))
    silent = erased | (by_hand & (edited == base))
    return replace(found, tissue=np.where(silent, 0, found.tissue),
                   edit=np.where(silent, 0, found.edit),
                   edits=[replace(edit, strength=Strength.CONTOUR) for edit in found.edits])


def pool_within(line: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_], index: int
                ) -> npt.NDArray[np.bool_]:
    """(rows, columns) what a contour encloses of the LV mask on its slice.

    Raises
    ------
    InputError : no line, or one that holds none of the mask, or all of it.
    """
    from deepgmm.reading.contours.polygons import filled

    drawn = np.asarray(line, np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != 2 or len(drawn) < 3 or not np.isfinite(drawn).all():
        raise InputError(f"the contour on {named_slices([index])} is no line of 3 points and "
                         "more, with row and column")
    pool = filled(drawn, (mask.shape[0], mask.shape[1])) & mask
    if not pool.any() or not (mask & ~pool).any():
        raise InputError(f"the contour on {named_slices([index])} does not lie inside the LV mask")
    return np.asarray(pool, bool)


def lost_to_curves(drawn: Corrections, curves: Corrections) -> list[str]:
    """What is to be said of voxels that were drawn on the other side of a curve of the same act.

    Parameters
    ----------
    curves : of `contour_corrections`, given `drawn`.
    """
    lost = (drawn.strength == Strength.VOXEL) & curves.fixed & (drawn.tissue != curves.tissue)
    where = [int(i) for i in np.flatnonzero(lost.any((1, 2)))]
    count = int(lost.sum())
    return [f"{count} voxel{' was' if count == 1 else 's were'} drawn on the other side of the "
            f"curve on {named_slices(where)}: the curve holds"] if where else []


def _checked(edited: npt.NDArray[np.uint8], result: Result, slices: Iterable[int]) -> list[int]:
    """Slices in their order, all of them there and drawn."""
    asked = list(slices)
    found = sorted({int(i) for i in asked})
    if any(i != int(i) for i in asked):
        raise InputError("a slice is named by a fraction: name slices by whole numbers, from 0")
    wrong = [i for i in found if not 0 <= i < len(edited)]
    if wrong:
        raise InputError(f"there is no slice {wrong[0]} to be right: the images have "
                         f"{len(edited)}, 0 to {len(edited) - 1}")
    empty = [i for i in found if not edited[i].any()]
    if empty:
        raise InputError(f"{named_slices(empty)} cannot be right: no tissue is drawn there")
    return found


def _beside_border(labels: npt.NDArray[np.uint8], result: Result) -> npt.NDArray[np.bool_]:
    """(rows, columns) the pixels nearest to the border of pool and wall, on both sides."""
    from scipy import ndimage

    pool, wall = labels == Tissue.BLOOD, np.isin(labels, WALL_TISSUES)
    if not pool.any() or not wall.any():
        return np.zeros(labels.shape, bool)
    spacing = result.study.geometry.spacing[1::-1]
    far = [ndimage.distance_transform_edt(~part, sampling=spacing) for part in (pool, wall)]
    return (wall & (far[0] <= BESIDE_MM)) | (pool & (far[1] <= BESIDE_MM))
