"""Parts of the left ventricle, by the names that people give them, put together."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.conventions import Parts
from deepgmm.reading.conventions.names import Meaning, listed_names, meaning_of_name, says_nothing
from deepgmm.study.study import BoolArray
from deepgmm.study.words import named_slices

#: The pool may stick out of the epicardium by this share before a user is told.
_STICKS_OUT = 0.02


class Part(Enum):
    """What a contour encloses or a segment covers."""

    VENTRICLE = "ventricle"
    POOL = "pool"
    WALL = "wall"

    @property
    def title(self) -> str:
        return {"ventricle": "epicardium", "pool": "endocardium", "wall": "wall"}[self.value]


    @classmethod
    def meant(cls, meaning: Meaning | None) -> Part | None:
        """The part that something is; None for what is no left ventricle or not understood."""
        if meaning in (None, Meaning.OTHER):
            return None
        return {Meaning.VENTRICLE: cls.VENTRICLE, Meaning.POOL: cls.POOL}.get(meaning, cls.WALL)


#: How regions and segments may be called, for messages.
EXAMPLES = ("'LV epicardium' and 'LV endocardium', or 'LV myocardium' and 'LV blood pool'")


def part_of_name(name: str) -> tuple[bool, Part | None]:
    """Whether a segment's or region's name is understood, and which part it means if any."""
    meaning = meaning_of_name(name)
    return meaning is not None, Part.meant(meaning)


def choose(names: Sequence[str], what: str, item: str,
           meanings: Sequence[Meaning | None] | None = None
           ) -> tuple[list[Part | None], list[str]]:
    """The part that each named region or segment is, and what a user must know.

    One alone whose name says nothing is taken for the whole left ventricle.

    Parameters
    ----------
    what, item : "structure set" and "region", for messages.
    meanings : of each, where more than its name says it.

    Raises
    ------
    InputError
        None of several is understood.
    """
    meanings = [meaning_of_name(name) for name in names] if meanings is None else meanings
    parts = [Part.meant(meaning) for meaning in meanings]
    strange = [name for name, meaning in zip(names, meanings) if meaning is None]
    if any(part is not None for part in parts):
        return parts, [f"{len(strange)} {item}s of the {what} have names that say no part of the "
                       f"left ventricle ({listed_names(strange)}); left out: if they are of it, "
                       f"name them for instance {EXAMPLES}"] if strange else []
    if len(names) == 1 and strange and says_nothing(names[0]):
        return [Part.VENTRICLE], [f"the {what}'s only {item} does not say what it is and was "
                                  "taken for the whole left ventricle, blood and wall together"]
    error = InputError(f"no {item} of the {what} is the left ventricle by its name "
                       f"({listed_names(names)}): name them for instance {EXAMPLES}")
    error.private = (*names, *(name[:21] for name in names))  # they may name a patient
    raise error


def combine(parts: dict[Part, BoolArray]) -> Parts:
    """LV mask and wall from epicardium, pool and wall, (slices, rows, columns) each.

    The wall is what was drawn as wall, or else what lies between epicardium and pool, and never
    pool. It is None where a slice of the mask has neither, because blood and wall must be apart
    everywhere or nowhere.

    Raises
    ------
    InputError
        Only the pool is there, or nothing.
    """
    ventricle, pool, wall = (parts.get(part) for part in Part)
    outline = ventricle if wall is None else wall if ventricle is None else ventricle | wall
    if outline is None or not outline.any():
        if pool is None or not pool.any():
            raise InputError("there is nothing of the left ventricle in it: give the epicardial "
                             "contour, or the wall and the blood pool")
        raise InputError("there is only the endocardium (blood pool) in it: give the epicardial "
                         "contour or the wall too")
    if pool is None or not pool.any():
        return _without_pool(ventricle, wall, outline)
    warnings = []
    used = [bool(one.any()) for one in outline]
    lonely = [i for i, one in enumerate(pool) if one.any() and not used[i]]
    if lonely:
        warnings.append(f"{named_slices(lonely)}: an endocardium without epicardium; left out")
    pool_used = pool & np.array(used)[:, None, None]
    if ventricle is None:
        assert wall is not None
        return Parts(outline | pool_used, wall & ~pool, warnings)
    outside = int((pool_used & ~outline).sum())
    if outside > _STICKS_OUT * pool.sum():
        warnings.append(f"the endocardium sticks out of the epicardium by {outside} pixels; "
                        "what lies outside was left out")
    apart = pool if wall is None else pool | wall
    bare = [i for i, inside in enumerate(used) if inside and not apart[i].any()]
    if bare:
        warnings.append(f"{named_slices(bare)}: an epicardium without endocardium, so blood and "
                        "wall are not taken as known apart: draw it, or leave the slice out of "
                        "the contours")
        return Parts(outline, None, warnings)
    return Parts(outline, (outline if wall is None else wall) & ~pool, warnings)


def _without_pool(ventricle: BoolArray | None, wall: BoolArray | None,
                  outline: BoolArray) -> Parts:
    if ventricle is not None:
        return Parts(outline, wall if wall is not None and (outline & ~wall).any() else None)
    from scipy.ndimage import binary_fill_holes

    mask = outline.copy()
    for i, one in enumerate(outline):
        mask[i] = binary_fill_holes(one)
    if (mask == outline).all():
        raise InputError("there is only the wall in it, and it encloses no blood pool: give the "
                         "epicardial contour or the blood pool too")
    return Parts(mask, outline, ["the blood pool was taken to be what the wall encloses"])

