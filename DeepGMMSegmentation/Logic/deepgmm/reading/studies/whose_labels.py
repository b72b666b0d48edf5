"""Whose labels a case has, by what lies under them: infarct is never learned as edema.

The values 3 and 4 are edema and scar in the house, infarct and no-reflow in EMIDEC, whose shapes
are alike. Late enhancement tells them apart: infarct is bright on it, edema hardly brighter than
the wall, and no-reflow darker than the infarct around it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.reading.conventions import CONVENTIONS, tissues_of
from deepgmm.reading.masks.labelmap import Decide
from deepgmm.study.study import Study
from deepgmm.study.words import Kind, Role, Tissue

#: Of a convention's left ventricle at least this share lies in the LV mask, of what it leaves out
#: at most that: a right ventricle lies beside it.
_INSIDE, _BESIDE = 0.8, 0.2

#: Where between wall and the brightest of the left ventricle edema may lie on LGE, and where
#: infarct begins; what lies between could be either.
_EDEMA, _INFARCT = 0.3, 0.5

#: Fewer voxels than these tell nothing.
_LEAST = 5


def by_contents(study: Study) -> Decide:
    """What `read_labels` asks where several conventions would do."""
    def decide(values: npt.NDArray[Any], names: list[str]) -> str | None:
        if values.shape != study.mask.shape:
            return None
        left = [name for name in names if _lies_in_mask(values, name, study)] or names
        if set(left) != {"deepgmm", "emidec"}:
            return left[0] if len(left) == 1 else None
        if Role.LGE not in study.sequences:  # EMIDEC outlines infarct on LGE, and has nothing else
            return "deepgmm"
        place, brighter = _on_lge(study, values)
        if brighter is None:
            return "deepgmm" if place is not None and place < _EDEMA else None
        return "deepgmm" if brighter else None
    return decide


def check_contents(study: Study, labels: npt.NDArray[np.uint8]) -> None:
    """See that what is labelled edema is not infarct.

    Raises
    ------
    InputError
        It is as bright as infarct on LGE.
    """
    if Role.LGE not in study.sequences or labels.shape != study.mask.shape:
        return
    place, brighter = _on_lge(study, labels)
    dark_blood = study.sequences[Role.LGE].kind is Kind.LGE_DARK_BLOOD
    if place is None or brighter or (brighter is None and dark_blood):
        return
    if place > _INFARCT:
        raise InputError("what the labels call edema (3) is as bright on LGE as infarct, as in "
                         "EMIDEC's labels: say --labels emidec, or --labels deepgmm if it is edema")


def _lies_in_mask(values: npt.NDArray[Any], name: str, study: Study) -> bool:
    convention = CONVENTIONS[name]
    inside = tissues_of(values, convention) > 0
    other = np.isin(values, sorted(convention.other))
    return bool((inside & study.mask).sum() >= _INSIDE * inside.sum()
                and (other & study.mask).sum() <= _BESIDE * other.sum())


def _on_lge(study: Study, values: npt.NDArray[Any]) -> tuple[float | None, bool | None]:
    """Where 3 lies on LGE between 2 (at 0) and the brightest of the mask (at 1), and whether 4
    is brighter than 3; None where too few voxels are labelled so."""
    lge = study.sequences[Role.LGE].values
    usable = study.mask & np.isfinite(lge)

    def level(code: int) -> float | None:
        found = lge[usable & (values == code)]
        return float(np.median(found)) if found.size >= _LEAST else None

    wall, three, four = (level(t) for t in (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR))
    if three is None:
        return None, None
    top = float(np.percentile(lge[usable], 98))
    place = None if wall is None or top <= wall else (three - wall) / (top - wall)
    return place, None if four is None else four > three
