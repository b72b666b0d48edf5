"""The kind of a sequence: as said, as DICOM tells, or guessed from what lies in the mask."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from deepgmm.errors import InputError
from deepgmm.study.coordinates import box_of
from deepgmm.study.names import KINDS, TITLES, plain
from deepgmm.study.study import BoolArray, FloatArray, Study
from deepgmm.study.words import Kind, Role

#: Below this confidence a guess is not used: the kind stays unknown and the user is told.
LEAST_CONFIDENCE = 0.5

#: Pool against wall, in half 2-98 % ranges: within this of zero neither is called brighter.
_EVEN = 0.08

#: Share of negative voxels in the mask above which an image is called signed.
_SIGNED = 0.01

#: An image is signed too where its darkest hundredth lies this share of its brightest below zero:
#: on PSIR of 29 patients the wall itself was above zero in 14, and what lies around the heart -8 %
#: and less in all. And one whose darkest hundredth lies above such a share holds no dark tissue and
#: no air, as a PSIR stored with an offset.
_BELOW, _OFFSET = 0.05, 0.4

#: Rim pixels beyond this part of the way from the wall's signal to the pool's are scar-bright.
_BRIGHT = 0.6

#: The rim of one image is plainly brighter than another's: by this share, and this many times.
_MORE_BRIGHT, _TIMES = 0.06, 3.0

#: T2 at 1.5 and 3 T, ms: the wall's median, edema or not, and the pool's.
_WALL_MS, _POOL_MS = (35.0, 80.0), (90.0, 400.0)


def kinds_of(role: Role) -> tuple[Kind, ...]:
    """The kinds that a sequence may be of, the unknown one last."""
    return (*(k for k in Kind if k.role is role), Kind.UNKNOWN)


def short_name(kind: Kind) -> str:
    """The kind's name without its sequence: "psir" for "lge-psir"."""
    return kind.value.partition("-")[2] or kind.value


def parse_kind(role: Role, name: Kind | str | None) -> Kind | None:
    """The kind that a user named, with or without the sequence; None for None and "auto".

    Raises
    ------
    InputError
        A name that is no kind of this sequence.
    """
    if name is None or name == "auto":
        return None
    wanted = str(name.value if isinstance(name, Kind) else name).strip().lower()
    for kind in kinds_of(role):
        if wanted in (kind.value, short_name(kind)):
            return kind
    known = ", ".join(short_name(k) for k in kinds_of(role))
    raise InputError(f"'{wanted}' is no kind of {role.title}: give one of auto, {known}")


def kind_from_description(role: Role, description: str) -> Kind | None:
    """The kind that a DICOM header's own words name; None where they name none."""
    text = plain(description)
    for pattern, kind in KINDS[role]:
        if re.search(pattern, text):
            return kind
    return None


def exchange_warning(role: Role, name: str) -> str | None:
    """What to say of an image whose name plainly is of another sequence than it is given as;
    None where it is not. The name itself is not repeated."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    said = {one for one, pattern in TITLES.items()
            if any(re.fullmatch(pattern, word) for word in words)}
    others = [one for one in (Role.LGE, Role.T2) if one in said]
    if role in said or len(others) != 1:
        return None
    word = "PSIR" if others == [Role.LGE] and "lge" not in words else others[0].title
    return (f"the name of the volume given as {role.title} says {word}: see whether they were "
            "exchanged")


@dataclass(frozen=True)
class Guess:
    """A kind, how sure that is (0 to 1), and what says so, in known terms only."""

    kind: Kind
    confidence: float
    reason: str = ""


def guess_from_header(role: Role, words: str, *, real: bool | None = None,
                      spin_echo: bool | None = None) -> Guess:
    """The kind that a DICOM header points to.

    Parameters
    ----------
    words : description, protocol and sequence names.
    real : whether the image is the real (signed) part; None where the header does not say.
    spin_echo : whether it is a spin echo; None where the header does not say.
    """
    if role is Role.BSSFP:
        return Guess(Kind.BSSFP, 0.9)
    named = kind_from_description(role, words)
    if role is Role.LGE:
        if named is Kind.LGE_DARK_BLOOD:
            return Guess(named, 0.85, "named dark-blood")
        if real:
            return Guess(Kind.LGE_PSIR, 0.97, "phase-sensitive image type")
        if named is Kind.LGE_MAGNITUDE:
            return Guess(named, 0.95, "named magnitude")
        if named is Kind.LGE_PSIR:
            # Philips and GE name both images of the acquisition alike.
            return (Guess(named, 0.9, "named PSIR") if real is None else
                    Guess(Kind.LGE_MAGNITUDE, 0.7, "magnitude image type"))
        return Guess(Kind.LGE_MAGNITUDE, 0.6 if real is None else 0.75,
                     "" if real is None else "magnitude image type")
    if named is not None:
        return Guess(named, 0.9, f"so {short_name(named)}")
    if spin_echo:
        return Guess(Kind.T2_DARK_BLOOD, 0.7, "spin echo")
    if spin_echo is False:
        return Guess(Kind.T2_PREPARED, 0.6, "gradient echo")
    return Guess(Kind.UNKNOWN, 0.0)


def agreed(header: Guess, looks: Guess) -> Guess:
    """What header and image together say, each weighed by its odds.

    Two that agree are surer than either; of two that differ the surer one stands, less sure.
    """
    if header.kind is Kind.UNKNOWN or looks.kind is Kind.UNKNOWN:
        return looks if header.kind is Kind.UNKNOWN else header
    one, other = (min(g.confidence, 0.99) for g in (header, looks))
    if header.kind is looks.kind:
        return Guess(header.kind, 1 - (1 - one) * (1 - other),
                     ", ".join(r for r in (header.reason, looks.reason) if r))
    first, second = (header, looks) if one >= other else (looks, header)
    high, low = max(one, other), min(one, other)
    return Guess(first.kind, high * (1 - low) / (high * (1 - low) + low * (1 - high)),
                 f"{first.reason}, though the {'image' if first is header else 'header'} "
                 f"rather says {short_name(second.kind)}")


@dataclass(frozen=True)
class Look:
    """What one sequence looks like inside the mask.

    Attributes
    ----------
    pool, wall : median in the middle of the mask and along its rim.
    contrast : their difference over half the 2nd to 98th percentile range; positive where the
        pool is bright; NaN where the mask is too small to have a middle and a rim.
    negative : share of negative voxels.
    bright_rim : share of the rim that is nearly as bright as the pool, or brighter: scar on a
        bright-blood image; NaN where the pool is not bright.
    darkest : darkest hundredth of the whole image over its brightest, air and chest included, what
        fills blank corners left out; negative where the image is signed.
    """

    pool: float
    wall: float
    contrast: float
    negative: float
    bright_rim: float = np.nan
    darkest: float = 0.0


@dataclass(frozen=True)
class _Places:
    """Where to look in a mask: its box, and inside that the middle, the rim and its edge."""

    box: tuple[slice, slice, slice]
    inside: BoolArray
    middle: BoolArray
    rim: BoolArray
    edge: BoolArray

    @classmethod
    def of(cls, mask: BoolArray) -> _Places:
        from scipy.ndimage import distance_transform_edt

        # all slices, and one pixel around for the filter
        box = (slice(None), *box_of(np.logical_or.reduce(mask), around=1))
        mask = mask[box]
        middle, rim, edge = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
        for i in np.flatnonzero(mask.any(axis=(1, 2))):
            depth = distance_transform_edt(np.pad(mask[i], 1))[1:-1, 1:-1]
            relative = depth / depth.max()
            middle[i] = relative > 0.6
            # The outermost pixels are partly something else.
            rim[i] = mask[i] & (relative < 0.35) & (depth > 1.5)
            edge[i] = rim[i] & (relative < 0.22)
        return cls(box, mask, middle, rim, edge)


def looks_of(study: Study) -> dict[Role, Look]:
    """What every sequence looks like inside the LV mask."""
    places = _Places.of(study.mask)
    return {role: _look(sequence.values, places) for role, sequence in study.sequences.items()}


def _look(values: FloatArray, places: _Places) -> Look:
    darkest = _darkest(values)
    values = values[places.box]
    inside = values[places.inside].astype(np.float64)
    negative = float((inside < 0).mean()) if inside.size else 0.0
    if places.middle.sum() < 10 or places.rim.sum() < 10:
        return Look(np.nan, np.nan, np.nan, negative, np.nan, darkest)
    low, high = np.percentile(inside, (2, 98))
    pool = float(np.median(values[places.middle]))
    wall = float(np.median(values[places.rim]))
    width = (high - low) / 2
    return Look(pool, wall, (pool - wall) / width if width > 0 else np.nan, negative,
                _bright_share(values, places.edge, pool), darkest)


def _darkest(values: FloatArray) -> float:
    least = values.min(initial=0.0)
    # a value that fills what was not acquired is no tissue
    seen = values[values != least] if (values == least).mean() > 1e-3 else values.ravel()
    if seen.size < 100:
        return 0.0
    dark, bright = np.percentile(seen, (1, 99))
    return float(dark / bright) if bright > 0 else 0.0


def _bright_share(values: FloatArray, edge: BoolArray, pool: float) -> float:
    if edge.sum() < 10:
        return np.nan
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sliding_window_view(padded, (3, 3), axis=(1, 2))[edge].reshape(-1, 9)
    smooth = np.partition(around, 4, axis=1)[:, 4]  # the median of each 3 x 3
    dark = np.percentile(smooth, 40)
    if pool <= dark:
        return np.nan
    return float((smooth > dark + _BRIGHT * (pool - dark)).mean())


def guess_kind(role: Role, values: npt.NDArray, mask: BoolArray) -> tuple[Kind, float]:
    """The kind that a sequence looks like, and how sure that is, 0 to 1.

    Parameters
    ----------
    values : (slices, rows, columns).
    mask : (slices, rows, columns) LV mask.

    Returns
    -------
    kind : `Kind.UNKNOWN` where the mask is too small to judge by.
    confidence : below `LEAST_CONFIDENCE` the guess should not be relied on.
    """
    return kind_of_look(role, _look(values, _Places.of(mask)))


def kind_of_look(role: Role, look: Look) -> tuple[Kind, float]:
    """As `guess_kind`, from a look that has been taken."""
    if role is Role.BSSFP:
        return Kind.BSSFP, _above(look.contrast, 0.0)
    if role is Role.LGE and look.negative > _SIGNED:
        return Kind.LGE_PSIR, min(1.0, 0.6 + 4 * look.negative)
    if role is Role.LGE and look.darkest < -_BELOW:
        return Kind.LGE_PSIR, min(1.0, 0.75 - look.darkest)
    if np.isnan(look.contrast):
        return Kind.UNKNOWN, 0.0
    if role is Role.LGE:
        if look.contrast > _EVEN:
            return Kind.LGE_MAGNITUDE, _above(look.contrast, _EVEN)
        return Kind.LGE_DARK_BLOOD, _above(-look.contrast, -_EVEN)
    if look.contrast < 0:
        return Kind.T2_DARK_BLOOD, _above(-look.contrast, 0.0)
    if _in_ms(look):
        # A T2-prepared image may happen to have such numbers; its pool is less bright.
        return Kind.T2_MAP, 0.9 if look.pool / look.wall > 2.8 else 0.6
    return Kind.T2_PREPARED, _above(look.contrast, 0.0)


def kind_warnings(study: Study, looks: dict[Role, Look]) -> list[str]:
    """Where what the images look like contradicts what they are said to be.

    Only plain contradictions: a bright pool where blood must be dark or the other way about,
    negative values where there can be none, numbers that are no milliseconds.
    """
    exchanged = _exchanged(study, looks)
    if exchanged:
        return exchanged
    return [w for role, look in looks.items()
            for w in _contradictions(role, study.sequences[role].kind, look)]


def _exchanged(study: Study, looks: dict[Role, Look]) -> list[str]:
    """One warning when the images fit their names better exchanged."""
    for one, look in looks.items():
        odd = _contradictions(one, study.sequences[one].kind, look)
        # Negative values point to LGE, a dark pool to T2.
        likely = (Role.LGE, Role.T2) if look.negative > _SIGNED else (Role.T2, Role.LGE)
        for other in (r for r in (*likely, Role.BSSFP) if odd and r in looks and r is not one):
            if _would_fit(one, looks[other]) and _would_fit(other, look):
                return [_exchange(one, other, odd[0])]
    if Role.LGE in looks and study.sequences[Role.LGE].kind is Kind.LGE_MAGNITUDE:
        for other in (r for r in looks if r is not Role.LGE):
            share, rest = looks[other].bright_rim, looks[Role.LGE].bright_rim
            if share - rest > _MORE_BRIGHT and share > _TIMES * rest:
                return [_exchange(other, Role.LGE, f"more of the wall is bright on {other.title} "
                                                   "than on LGE, where scar would be")]
    return []


def _exchange(one: Role, other: Role, why: str) -> str:
    return (f"{one.title} and {other.title} look exchanged ({why}): "
            "see whether each file was given under its own name and the kinds are right")


def _would_fit(role: Role, look: Look) -> bool:
    """Whether an image could be some kind of this sequence."""
    return any(not _contradictions(role, kind, look)
               for kind in kinds_of(role) if kind is not Kind.UNKNOWN)


def assumption(role: Role, kind: Kind, look: Look) -> str | None:
    """What was taken for granted in a guess that the image cannot settle; None where nothing."""
    if role is Role.LGE and kind is Kind.LGE_MAGNITUDE and look.darkest > _OFFSET:
        return ("LGE is nowhere dark, air and chest included: it was taken for magnitude; say that "
                "it is PSIR if it is one stored with an offset")
    return None


_BRIGHT_POOL = (Kind.BSSFP, Kind.T2_PREPARED, Kind.T2_MAP)
_DARK_POOL = (Kind.T2_DARK_BLOOD, Kind.LGE_DARK_BLOOD)


def _contradictions(role: Role, kind: Kind, look: Look) -> list[str]:
    found = []
    if look.negative > _SIGNED and kind is not Kind.LGE_PSIR:
        if kind is Kind.UNKNOWN and role is Role.LGE:
            return []
        found.append(f"{role.title} has negative values, which "
                     + ("only PSIR has: say that it is PSIR if it is"
                        if role is Role.LGE else f"no {role.title} should have"))
    # A magnitude image's pool may be as dark as the wall, never much darker.
    if (kind in _BRIGHT_POOL and look.contrast < -_EVEN
            or kind is Kind.LGE_MAGNITUDE and look.contrast < -3 * _EVEN):
        found.append(f"{role.title} is dark in the middle of the LV mask, where blood should be "
                     "bright" + _on(kind))
    if kind in _DARK_POOL and look.contrast > 5 * _EVEN:
        found.append(f"{role.title} is bright in the middle of the LV mask, where blood should "
                     "be dark" + _on(kind))
    if kind is Kind.T2_MAP and not np.isnan(look.wall) and not _in_ms(look):
        found.append(f"T2 is said to be a map in ms, but the wall's median is {look.wall:.3g}: "
                     "give milliseconds, or say which kind it is")
    return found


def _on(kind: Kind) -> str:
    return "" if kind is Kind.BSSFP else f" on {short_name(kind)}"


def _in_ms(look: Look) -> bool:
    return (_WALL_MS[0] <= look.wall <= _WALL_MS[1] and _POOL_MS[0] <= look.pool <= _POOL_MS[1]
            and look.pool / look.wall > 2.0)


def _above(contrast: float, threshold: float) -> float:
    """Confidence that a contrast lies above a threshold: 0.5 there, near 1 at 0.4 beyond."""
    if np.isnan(contrast):
        return 0.5
    return float(1 / (1 + np.exp(-8 * (contrast - threshold))))
