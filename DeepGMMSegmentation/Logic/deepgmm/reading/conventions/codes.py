"""What the values of other people's labelmaps mean: blood pool, wall, or neither.

Sources: EMIDEC (Lalande et al., 2020, and emidec.com/dataset), ACDC (Bernard et al., 2018),
MyoPS 2020 (Zhuang and Li), M&Ms (Campello et al., 2021) and M&Ms-2 (Martín-Isla et al., 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import BoolArray
from deepgmm.study.words import Tissue

#: Of a reading's pool at least this share lies inside its wall, of what is no left ventricle
#: at most that; basal slices are open, and outlines cross by a pixel.
_POOL_ENCLOSED, _OTHER_ENCLOSED = 0.5, 0.2

#: How far a label may be off a whole number: of a value, and of what it is large (single
#: precision, and slopes that a file is scaled by).
_OFF, _OFF_SHARE = 0.01, 1e-5

#: Of so few slices alone an apex has a thick wall and a base an open one. The wall is then to lie
#: around the pool in so much of all directions, and the pool off the middle of both by at most so
#: much of their radius: of 203 of 204 slices of EMIDEC it does, the other is .27 off.
_FEW, _AROUND, _OFF_MIDDLE = 2, 2 / 3, 0.25

#: How far the wall reaches from the pool, over the radius of both: 0.2 to 0.4 in phantoms and
#: real hearts, 0.7 and more where a right ventricle is taken for wall.
_MOST_REACH = 0.55


@dataclass(frozen=True)
class Convention:
    """Which label values are what.

    Attributes
    ----------
    blood, wall : the left ventricle's pool; myocardium with whatever lies in it.
    other : known, but no part of the left ventricle (the right ventricle's blood).
    tissues : every value but 0 to the tissue that it is; those of `other` are background.
    """

    name: str
    title: str
    blood: frozenset[int]
    wall: frozenset[int]
    other: frozenset[int] = frozenset()
    tissues: dict[int, Tissue] = field(default_factory=dict, compare=False)

    @property
    def wall_is_whole(self) -> bool:
        """Whether the wall is not split, so that its myocardium may hold an infarct."""
        return len(self.wall) == 1

    @property
    def known(self) -> frozenset[int]:
        """Every value that a labelmap of this convention may hold."""
        return self.blood | self.wall | self.other | {0}


def _convention(name: str, title: str, tissues: Mapping[int, Tissue]) -> Convention:
    by_tissue = {code for code, tissue in tissues.items() if tissue == Tissue.BLOOD}
    other = {code for code, tissue in tissues.items() if tissue == Tissue.BACKGROUND}
    return Convention(name, title, frozenset(by_tissue),
                      frozenset(tissues.keys() - by_tissue - other), frozenset(other),
                      dict(tissues))


_RV = Tissue.BACKGROUND

#: How MyoPS 2020 codes the tissues; the right ventricle's blood is none of ours.
MYOPS_CODES = {Tissue.MYOCARDIUM: 200, Tissue.BLOOD: 500, Tissue.EDEMA: 1220, Tissue.SCAR: 2221}
MYOPS_RV = 600

#: By the name that `--mask-labels` and `--labels` take. What ACDC and M&Ms call myocardium is the
#: whole wall, infarcts too.
CONVENTIONS: dict[str, Convention] = {c.name: c for c in (
    _convention("deepgmm", "DeepGMM", {int(t): t for t in Tissue if t}),
    _convention("emidec", "EMIDEC", {1: Tissue.BLOOD, 2: Tissue.MYOCARDIUM, 3: Tissue.SCAR,
                                     4: Tissue.MVO}),
    _convention("acdc", "ACDC", {1: _RV, 2: Tissue.MYOCARDIUM, 3: Tissue.BLOOD}),
    _convention("mnms", "M&Ms", {1: Tissue.BLOOD, 2: Tissue.MYOCARDIUM, 3: _RV}),
    _convention("myops", "MyoPS 2020", {**{code: tissue for tissue, code in MYOPS_CODES.items()},
                                        MYOPS_RV: _RV}),
)}

#: Every value but 0 is inside, and blood and wall are not told apart.
PLAIN = "plain"

_OTHER_NAMES = {"mms": "mnms", "m&ms": "mnms", "mnms2": "mnms", "m&ms2": "mnms", "mms2": "mnms",
                "myops2020": "myops"}


@dataclass(frozen=True)
class Parts:
    """A labelmap taken apart.

    Attributes
    ----------
    mask : the left ventricle, blood and wall together.
    wall : the wall, or None where the labels do not tell it apart.
    warnings : how the labels were read, where nobody said it.
    """

    mask: BoolArray
    wall: BoolArray | None = None
    warnings: list[str] = field(default_factory=list)


def whole_numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels that are a hair off whole numbers as those; any others unchanged.

    Files that were scaled, or saved in single precision by a program that resamples, hold 1.0004
    for 1. Nothing is rounded away: where all would become 0, the values stay as they are.
    """
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return values
    near = np.rint(values)
    if (np.abs(values - near) > _OFF + _OFF_SHARE * np.abs(near)).any():
        return values
    return near if near.any() else values


def tissues_of(values: npt.NDArray[Any], convention: Convention) -> npt.NDArray[np.uint8]:
    """Labels of the house from another's: values of `Tissue`; what is not ours is background."""
    labels = np.zeros(values.shape, np.uint8)
    for code, tissue in convention.tissues.items():
        labels[values == code] = tissue
    return labels


def parse_convention(name: str | None) -> str | None:
    """A convention's name as `CONVENTIONS` has it, or `PLAIN`; None for None and "auto".

    Raises
    ------
    InputError
        A name that nobody here knows.
    """
    if name is None:
        return None
    wanted = name.strip().lower().replace("-", "").replace(" ", "")
    if wanted == "auto":
        return None
    wanted = _OTHER_NAMES.get(wanted, wanted)
    if wanted != PLAIN and wanted not in CONVENTIONS:
        raise InputError(f"'{name.strip()}' is no label convention: give one of auto, "
                         + ", ".join([*CONVENTIONS, PLAIN]))
    return wanted


def parts_of(values: npt.NDArray[Any], convention: str | None = None,
             name: str = "LV mask") -> Parts:
    """LV mask and wall from the values of a labelmap.

    Parameters
    ----------
    values : (slices, rows, columns).
    convention : a name from `CONVENTIONS`; `PLAIN`; or None, where the mask alone is taken from
        the labels, and the wall is not: nobody said that the labels are to be trusted so far.
        Labels that every fitting convention reads alike need no name. Where one of them may be
        the right ventricle, the shapes must decide, which is said; where they cannot, the
        labels are refused. Values that no convention knows are inside, every one but 0.
        Whose labels tell pool from wall is said, to be named.

    Raises
    ------
    InputError
        Values that the named convention does not know, labels without blood or wall, labels
        that are no heart as it reads them but are as another does, or labels that could mean
        several things.
    """
    values = whole_numbers(values)
    if convention == PLAIN:
        return Parts(values != 0)
    if convention is not None:
        return _told(values, CONVENTIONS[convention], name)
    present = present_in(values)
    if len(present) <= 1:
        return Parts(values != 0)
    fitting = [c for c in CONVENTIONS.values() if set(present) <= c.known]
    if not fitting:
        return Parts(values != 0, None, [
            f"the {name} holds {len(present)} values that no label convention knows "
            f"({listed(present)}); every value but 0 was taken as inside: "
            "say which mask labels these are if they mean something"])
    if not any(c.other & set(present) for c in fitting):
        return Parts(values != 0, None, _wall_unused(values, fitting, name))
    return _recognised(values, fitting, name)


def _told(values: npt.NDArray[Any], convention: Convention, name: str) -> Parts:
    present = present_in(values)
    strange = [v for v in present if v not in convention.known]
    if strange:
        raise InputError(f"the {name} holds labels that {convention.title} does not have "
                         f"({listed(strange)}): see whether --mask-labels {convention.name} "
                         "is right")
    wall = np.isin(values, sorted(convention.wall))
    blood = np.isin(values, sorted(convention.blood))
    if present and not (wall.any() and blood.any()):
        lacking = "wall" if blood.any() else "blood pool"
        raise InputError(f"the {name} has no {lacking} among its labels ({listed(present)}) as "
                         f"{convention.title} means them: see whether --mask-labels "
                         f"{convention.name} is right, or say --mask-labels {PLAIN}")
    return Parts(wall | blood, wall, _doubts(values, convention, name) if present else [])


def _doubts(values: npt.NDArray[Any], convention: Convention, name: str) -> list[str]:
    """Whether the shapes speak for the convention that was named, or for another."""
    present = set(present_in(values))
    hearts = [c for c in CONVENTIONS.values() if present <= c.known and is_heart(values, c)]
    if convention not in hearts:
        if hearts:
            raise InputError(f"read as {convention.title} the {name} is no heart: it looks like "
                             + " or ".join(f"{c.title} (--mask-labels {c.name})"
                                           for c in hearts))
        if _around(values, convention):
            return []
        return [f"read as {convention.title} the {name} hardly is a heart, with the blood pool "
                f"inside a wall: see whether --mask-labels {convention.name} is right"]
    dropped = convention.other & present
    others = [c for c in hearts if dropped & (c.wall | c.blood)]
    return [f"read as {convention.title} the {name} loses the label {listed(sorted(dropped))} "
            f"as the right ventricle, but it may be {others[0].title} "
            f"(--mask-labels {others[0].name}), where it is the left's: see which is right"
            ] if others else []


def _wall_unused(values: npt.NDArray[Any], fitting: list[Convention], name: str) -> list[str]:
    """That the labels tell a wall, where every convention that makes a heart of them agrees."""
    hearts = [c for c in fitting if is_heart(values, c)]
    if len({np.packbits(np.isin(values, sorted(c.wall))).tobytes() for c in hearts}) != 1:
        return []
    present = set(present_in(values))
    return [f"the {name}'s labels look like those of {' or '.join(c.title for c in hearts)}: "
            f"{' or '.join(f'--mask-labels {c.name}' for c in hearts)} would use its wall too "
            f"(blood {listed(sorted(present & hearts[0].blood))}, wall "
            f"{listed(sorted(present & hearts[0].wall))}), where now only the outline of both is "
            "used"]


def _recognised(values: npt.NDArray[Any], fitting: list[Convention], name: str) -> Parts:
    """The one reading whose shapes are those of a heart."""
    readings: dict[bytes, tuple[BoolArray, list[Convention]]] = {}
    for convention in (c for c in fitting if is_heart(values, c)):
        mask = np.isin(values, sorted(convention.wall | convention.blood))
        readings.setdefault(np.packbits(mask).tobytes(), (mask, []))[1].append(convention)
    if len(readings) != 1:
        names = " or ".join(c.name for c in fitting)
        raise InputError(f"the {name} holds the labels {listed(present_in(values))}, which mean "
                         "different things to different people: say which mask labels "
                         f"these are, {names}")
    mask, conventions = next(iter(readings.values()))
    dropped = sorted(conventions[0].other & set(present_in(values)))
    if not dropped:
        return Parts(mask, None, _wall_unused(values, conventions, name))
    return Parts(mask, None, [
        f"the {name}'s labels look like those of {conventions[0].title}: "
        f"{listed(dropped)} was taken for the right ventricle and left out; give "
        f"--mask-labels {conventions[0].name} if that is right, which would use its wall too, "
        "or others"])


def is_heart(values: npt.NDArray[Any], convention: Convention) -> bool:
    """Whether, read so, the pool lies inside a wall that is nowhere too thick, and what is no left
    ventricle does not."""
    from scipy.ndimage import binary_fill_holes

    wall, blood, other = (np.isin(values, sorted(codes)) for codes in
                          (convention.wall, convention.blood, convention.other))
    if not wall.any() or not blood.any():
        return False
    closed = np.stack([binary_fill_holes(one) for one in wall])
    if (blood & closed).sum() < _POOL_ENCLOSED * blood.sum():
        return False
    if np.median([_reach(w, b) for w, b in zip(wall, blood) if w.any() and b.any()]) > _MOST_REACH:
        return False
    return not other.any() or bool((other & closed).sum() <= _OTHER_ENCLOSED * other.sum())


def _around(values: npt.NDArray[Any], convention: Convention) -> bool:
    """Whether a slice or two, read so, may be of a heart though no whole one would be so."""
    slices = [one for one in values if one.any()]
    return len(slices) <= _FEW and all(
        _lies_around(*(np.isin(one, sorted(codes)) for codes in (convention.wall,
                                                                 convention.blood)))
        for one in slices)


def _lies_around(wall: BoolArray, blood: BoolArray) -> bool:
    if not wall.any() or not blood.any():
        return False
    both = np.argwhere(wall | blood)
    middle = np.argwhere(blood).mean(0)
    down, right = (np.argwhere(wall) - middle).T
    turns = np.unique((np.arctan2(down, right) / np.pi * 180 // 10).astype(int))
    off = float(np.hypot(*(middle - both.mean(0)))) / np.sqrt(len(both) / np.pi)
    return len(turns) >= _AROUND * 36 and off <= _OFF_MIDDLE


def _reach(wall: BoolArray, blood: BoolArray) -> float:
    """Of one slice: how far the wall reaches from the pool, over the radius of both."""
    from scipy.ndimage import distance_transform_edt

    radius = np.sqrt((wall | blood).sum() / np.pi)
    return float(np.percentile(distance_transform_edt(~blood)[wall], 98) / radius)


def present_in(values: npt.NDArray[Any]) -> list[float]:
    """Every value but 0, ascending."""
    return [float(v) for v in np.unique(values) if v != 0]


def listed(values: Sequence[Any]) -> str:
    """Values for a message."""
    text = ", ".join(f"{v:g}" for v in values[:6])
    return text + (" and more" if len(values) > 6 else "")
