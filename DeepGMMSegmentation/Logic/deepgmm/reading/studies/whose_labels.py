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
from deepgmm.study.words import Role, Tissue

#: Of a convention's left ventricle at least this share lies in the LV mask, of what it leaves out
#: at most that: a right ventricle lies beside it.
_INSIDE, _BESIDE = 0.8, 0.2

#: Edema lies lower on LGE than this, between wall (0) and the brightest of the ventricle (1): in
#: phantoms of all kinds of LGE it is at most 0.24, and infarct with or without no-reflow in it at
#: least 0.40.
_EDEMA = 0.32

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
        return "deepgmm" if _is_edema(study, values) else None
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
    if _is_edema(study, labels) is False:
        raise InputError("what the labels call edema (3) is as bright on LGE as infarct, as in "
                         "EMIDEC's labels: say --labels emidec, or --labels deepgmm if it is edema")


def _lies_in_mask(values: npt.NDArray[Any], name: str, study: Study) -> bool:
    convention = CONVENTIONS[name]
    inside = tissues_of(values, convention) > 0
    other = np.isin(values, sorted(convention.other))
    return bool((inside & study.mask).sum() >= _INSIDE * inside.sum()
                and (other & study.mask).sum() <= _BESIDE * other.sum())


def _is_edema(study: Study, values: npt.NDArray[Any]) -> bool | None:
    """Whether what is labelled 3 is no brighter on LGE than edema; None where nothing tells."""
    lge = study.sequences[Role.LGE].values
    usable = study.mask & np.isfinite(lge)

    def level(code: int) -> float | None:
        found = lge[usable & (values == code)]
        return float(np.median(found)) if found.size >= _LEAST else None

    wall, three, four = (level(t) for t in (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR))
    if three is None:
        return None
    top = float(np.percentile(lge[usable], 98))
    if wall is None or top <= wall:
        return None if four is None else four > three
    return (three - wall) / (top - wall) < _EDEMA
