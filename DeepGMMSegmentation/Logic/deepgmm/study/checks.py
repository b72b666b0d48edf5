"""Pre-flight: what would make a fit wrong is found before it starts, and said."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from deepgmm.errors import InputError
from deepgmm.study.coordinates import box_of
from deepgmm.study.kinds import (
    LEAST_CONFIDENCE,
    Look,
    assumption,
    kind_of_look,
    kind_warnings,
    looks_of,
    short_name,
)
from deepgmm.study.mask_faults import undrawn_slices
from deepgmm.study.slice_positions import grid_first
from deepgmm.study.study import BoolArray, FloatArray, Sequence, Study
from deepgmm.study.surroundings import blank_beyond
from deepgmm.study.words import Kind, Role, named_slices

#: A slice with fewer mask pixels per tissue than this is not fitted.
PIXELS_PER_TISSUE = 10

#: More non-finite mask pixels than this share are not repaired.
MOST_NON_FINITE = 0.01

#: A hole of more than this share of what it lies in is the blood pool, left out.
LEAST_POOL = 0.15

#: Of a slice, a mask that covers more than the second share is none, and more than the first is
#: said: a circle fills 0.79 of the box around it.
MOST_COVERED = (0.8, 0.9)

#: What the largest slice of an LV mask may measure, mm^2: a child's apex to a dilated heart.
AREAS = (250.0, 12_000.0)


def parse_slices(text: str, count: int) -> set[int]:
    """The slices that "0,2-5" names, of `count`, counted from 0.

    Raises
    ------
    InputError
        Not of that form, or a slice that is not there.
    """
    wanted: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise InputError(f"--slices: '{part.strip()}' is no slice or range: "
                             "write for instance 0,2-5")
        first = int(match[1])
        last = int(match[2] or match[1])
        if last < first:
            raise InputError(f"--slices: {first}-{last} runs backwards: write {last}-{first}")
        if last >= count:
            raise InputError(f"--slices: there is no slice {last}: the images have {count}, "
                             f"0 to {count - 1}, counted from 0")
        wanted.update(range(first, last + 1))
    return wanted


def check_study(study: Study, *, guess: Iterable[Role] = (), tissues: int | None = None) -> None:
    """Check a study; repair, exclude slices and warn where that suffices. Twice is as once.

    Parameters
    ----------
    study : its `warnings`, `excluded`, kinds and non-finite values may be changed.
    guess : sequences whose kind is to be guessed from their looks.
    tissues : how many tissues are sought; by default those the sequences can tell apart.

    Raises
    ------
    InputError
        An empty or one-pixel mask, one of the wall alone or of the whole image, a mask beside
        the image, a constant sequence, more than 1 % non-finite values in the mask of the
        slices to fit, or no slice with enough pixels.
    """
    _check_mask(study)
    for role in grid_first(study):
        _repair(study, role, study.sequences[role])
    _exclude(study, tissues or len(study.tissues))
    fitted = _fitted(study)
    for role, sequence in study.sequences.items():
        _check_content(study, role, sequence.values, fitted)
    _exclude_constant(study)
    _check_shape(study)
    looks = looks_of(study)
    for role in guess:
        _guess(study, role, looks[role])
    _warn(study, *kind_warnings(study, looks))
    _warn_of_blank(study)


def _fitted(study: Study) -> BoolArray:
    """The mask on the slices that are to be fitted."""
    fitted = np.zeros_like(study.mask)
    fitted[list(study.slices)] = study.mask[list(study.slices)]
    return fitted


def _warn_of_blank(study: Study) -> None:
    chosen = list(study.slices)
    if not chosen:
        return
    blank = np.isfinite(blank_beyond(study.images[chosen], study.mask[chosen]))
    for m, role in enumerate(study.roles):
        where = [chosen[i] for i in np.flatnonzero(blank[:, m])]
        if where:
            _warn(study, f"{role.title} is blank around the LV mask on {named_slices(where)}: what "
                         "lies beside the wall cannot be told from it there; give the whole image")


def _warn(study: Study, *texts: str) -> None:
    study.warnings += [t for t in texts if t not in study.warnings]


def _check_mask(study: Study) -> None:
    pixels = int(study.mask.sum())
    if pixels == 0:
        raise InputError("the LV mask is empty: give the outline of the left ventricle, "
                         "blood and wall together, with values above 0 inside")
    if pixels == 1:
        raise InputError("the LV mask is a single pixel: give the whole left ventricle, "
                         "blood and wall together")
    undrawn = [i for i in undrawn_slices(study.mask) if i not in study.excluded]
    if undrawn:
        _warn(study, f"the LV mask is empty on {named_slices(undrawn)} between drawn ones: volumes "
                     f"do not count {'them' if len(undrawn) > 1 else 'it'}; fill between slices, "
                     f"or draw {'them' if len(undrawn) > 1 else 'it'}")


def _repair(study: Study, role: Role, sequence: Sequence) -> None:
    """Replace NaN and infinite values: the neighbours' median where they are fitted, else 0."""
    wrong = ~np.isfinite(sequence.values)
    if not wrong.any():
        return
    fitted = _fitted(study)
    inside = wrong & fitted
    count, total = int(inside.sum()), int(fitted.sum())
    if count > MOST_NON_FINITE * total:
        where = [i for i in study.slices if inside[i].any()]
        if count > total / 2:
            raise InputError(f"{role.title} does not reach the LV mask on {named_slices(where)}: "
                             "see whether it belongs to this patient and lies where "
                             f"{_the_grid(study, role)} does (in Slicer: under the same transform)")
        rest = [i for i in study.slices if i not in where]
        which = named_slices(where)
        or_else = f", or leave {which} out" if rest else ""
        raise InputError(f"{role.title} has NaN or infinite values in {count} of {total} pixels "
                         f"of the LV mask, on {which} (or does not reach there): repair the "
                         f"image{or_else}")
    values = np.where(wrong, np.array(0, sequence.values.dtype), sequence.values)
    for i, row, column in np.argwhere(inside):
        values[i, row, column] = _local_median(sequence.values[i], study.mask[i], row, column)
    sequence.values = values
    if count:
        _warn(study, f"{role.title} has NaN or infinite values in {count} pixels of the LV mask; "
                     "they were replaced by the median of their neighbours")
    elif any(wrong[i].any() for i in range(len(wrong)) if i not in study.excluded):
        _warn(study, f"{role.title} does not cover the whole image, or has NaN or infinite "
                     "values, outside the LV mask; 0 was put there")


def _the_grid(study: Study, role: Role) -> str:
    """What a sequence should lie on, in words."""
    first = grid_first(study)[0]
    return "the LV mask" if role is first else first.title


def _local_median(values: FloatArray, mask: BoolArray, row: int, column: int) -> float:
    """Median of the finite mask pixels around, of the whole slice where there is none."""
    usable = mask & np.isfinite(values)
    for reach in (2, 5, max(values.shape)):
        window = (slice(max(row - reach, 0), row + reach + 1),
                  slice(max(column - reach, 0), column + reach + 1))
        if usable[window].any():
            return float(np.median(values[window][usable[window]]))
    return 0.0


def _exclude(study: Study, tissues: int) -> None:
    """Leave out the slices with too few pixels."""
    least = PIXELS_PER_TISSUE * tissues
    counts = study.mask.sum(axis=(1, 2))
    for i in study.slices:
        if counts[i] < least:
            study.excluded[i] = (f"{counts[i]} pixels in the LV mask, too few for {tissues} "
                                 f"tissues (at least {least})")
    if not study.slices:
        most = int(counts.max())
        if study.excluded and most >= least:
            raise InputError("no slice is left to segment: the LV mask is empty or too small on "
                             "every slice that was asked for: draw it there, or ask for others")
        raise InputError(f"the LV mask has at most {most} pixels on a slice, too few for "
                         f"{tissues} tissues (at least {least}): give the whole left ventricle")
    for i, reason in sorted(study.excluded.items()):
        if "too few" in reason:
            _warn(study, f"slice {i} was left out: {reason}")


def _check_content(study: Study, role: Role, values: FloatArray, mask: BoolArray) -> None:
    inside = values[mask]
    low, high = float(inside.min()), float(inside.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        elsewhere = float(np.ptp(values)) > 0
        raise InputError(
            f"the LV mask misses what there is to see on {role.title}, which is {low:g} "
            "everywhere inside it: see whether mask and image belong together"
            if elsewhere else
            f"{role.title} is constant ({low:g} everywhere): give an image with contrast")
    empty = float((inside == 0).mean())
    if empty > 0.9 and np.count_nonzero(values) > np.count_nonzero(inside):
        raise InputError(f"the LV mask misses what there is to see on {role.title}, which is 0 "
                         f"on {100 * empty:.0f} % of it: see whether mask and image belong "
                         "together")
    # Nulled or dark blood may be 0 in good images; blood and myocardium on bSSFP are not.
    if role is Role.BSSFP and empty > 0.1:
        _warn(study, f"{role.title} is 0 on {100 * empty:.0f} % of the LV mask: see whether mask "
                     "and image belong together")
    clipped = int((inside == high).sum())
    if clipped > max(20, 0.02 * inside.size) and np.unique(inside).size > 32:
        _warn(study, f"{role.title} is saturated: {100 * clipped / inside.size:.0f} % of the LV "
                     f"mask has its highest value ({high:g})")


def _exclude_constant(study: Study) -> None:
    for i in study.slices:
        for role, sequence in study.sequences.items():
            inside = sequence.values[i][study.mask[i]]
            low, high = float(inside.min()), float(inside.max())
            if high - low <= 1e-6 * max(abs(low), abs(high)):
                study.excluded[i] = f"{role.title} is constant inside the LV mask"
                _warn(study, f"slice {i} was left out: {study.excluded[i]}")
                break
    if not study.slices:
        raise InputError("no slice is left to segment: on each of them a sequence is constant "
                         "inside the LV mask; see whether mask and images belong together")


def _check_shape(study: Study) -> None:
    """Refuse masks that are no left ventricle, and warn of those that hardly are."""
    mask = study.mask[list(study.slices)]
    covered = float(mask.mean(axis=(1, 2)).max())
    if covered > MOST_COVERED[1]:
        raise InputError(f"the LV mask covers {100 * covered:.0f} % of the image: give the "
                         "outline of the left ventricle, with 0 outside")
    boxed = [one[box_of(one)] for one in mask]
    holes = _hole_shares(boxed)
    if np.median(holes) > LEAST_POOL:
        raise InputError(f"the LV mask has a hole of {100 * np.median(holes):.0f} % of its size, "
                         "as the myocardium alone has: give the pool too, together "
                         "with the wall or apart from it")
    if (mask[:, [0, -1], :].any() or mask[:, :, [0, -1]].any()) and min(mask.shape[1:]) > 2:
        _warn(study, "the LV mask touches the image's border: see whether the heart is cut off")
    if covered > MOST_COVERED[0]:
        _warn(study, "the LV mask covers nearly the whole image: is this the left ventricle?")
    area = float(mask.sum(axis=(1, 2)).max()) * study.geometry.pixel_area
    if not AREAS[0] <= area <= AREAS[1]:
        _warn(study, f"the LV mask's largest slice measures {area:.0f} mm2, wanted "
                     f"{AREAS[0]:.0f} to {AREAS[1]:.0f}: see whether the pixel spacing "
                     f"({study.geometry.spacing[0]:g} x {study.geometry.spacing[1]:g} mm) and "
                     "the mask are right")
    if holes.max() > 0.05:
        _warn(study, "the LV mask has holes: if it is the myocardium alone, give the blood pool "
                     "too, together with the wall or apart from it")
    if _split(boxed):
        _warn(study, "the LV mask has several parts on a slice: see whether something else was "
                     "outlined as well")


def _hole_shares(masks: list[BoolArray]) -> FloatArray:
    """Of each slice: how much of the filled outline is hole."""
    from scipy.ndimage import binary_fill_holes

    return np.array([1 - one.sum() / binary_fill_holes(one).sum() for one in masks])


def _split(masks: list[BoolArray]) -> bool:
    """Whether any slice has a second part of over 5 % of its size."""
    from scipy.ndimage import label

    for one in masks:
        parts, count = label(one, np.ones((3, 3)))
        if count > 1 and np.sort(np.bincount(parts.ravel())[1:])[-2] > 0.05 * one.sum():
            return True
    return False


def _guess(study: Study, role: Role, look: Look) -> None:
    sequence = study.sequences[role]
    kind, confidence = kind_of_look(role, look)
    if role is not Role.BSSFP:
        known = {*study.provenance.get("kinds_guessed", []), role.value}
        study.provenance["kinds_guessed"] = sorted(known)
    if role is Role.BSSFP:
        sequence.kind = Kind.BSSFP
    elif confidence < LEAST_CONFIDENCE:
        sequence.kind = Kind.UNKNOWN
    else:
        sequence.kind = kind
        or_say = f"say which kind of {role.title} it is if that is wrong"
        if kind is Kind.LGE_DARK_BLOOD:
            others = [r.title for r in study.roles if r is not role]
            or_else = f", or see whether it was exchanged with {' or '.join(others)}" \
                if others else ""
            _warn(study, "LGE is dark in the middle of the LV mask and is taken for dark-blood "
                         f"LGE: {or_say}{or_else}")
        elif confidence < 0.75:
            _warn(study, f"{role.title} was guessed to be {short_name(kind)}, without much "
                         f"confidence: {or_say}")
        assumed = assumption(role, kind, look)
        if assumed:
            _warn(study, assumed)
