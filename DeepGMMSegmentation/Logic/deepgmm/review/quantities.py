"""What a number is: its key, its unit, why there is none; and all numbers of a segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.thresholds import Reference
from deepgmm.review.transmurality import Chords
from deepgmm.study.levels import Numbering
from deepgmm.study.study import Geometry
from deepgmm.study.study import Sequence as Images
from deepgmm.study.words import WALL_TISSUES, Role, Tissue

#: Density of myocardium, g/ml: Vinnakota, Bassingthwaighte, Am J Physiol Heart Circ Physiol
#: 2004;286:H1742-H1749, as all CMR software takes it.
DENSITY = 1.05
#: Bins of the histogram of which the entropy is taken.
BINS = 128

#: Groups of tissues that have volumes, masses and shares of the LV mass, by the words of keys.
GROUPS: dict[str, tuple[Tissue, ...]] = {
    "blood": (Tissue.BLOOD,),
    "wall": WALL_TISSUES,
    "myocardium": (Tissue.MYOCARDIUM,),
    "edema": (Tissue.EDEMA,),
    "scar": (Tissue.SCAR,),
    "infarct": (Tissue.SCAR, Tissue.MVO),
    "obstruction": (Tissue.MVO,),
    "area_at_risk": (Tissue.EDEMA, Tissue.SCAR, Tissue.MVO),
}
#: What a group needs to have been sought.
NEEDS = {"edema": (Tissue.EDEMA,), "scar": (Tissue.SCAR,), "infarct": (Tissue.SCAR,),
          "obstruction": (Tissue.MVO,), "area_at_risk": (Tissue.EDEMA, Tissue.SCAR)}

#: Scopes, in the order of tables.
SCOPES = ("study", "slice", "segment", "territory", "method")
#: Ways of measuring transmurality, by the words of keys.
WAYS = ("radial", "laplace")
OVER = (25, 50, 75)


@dataclass(frozen=True)
class Number:
    """One number, or why there is none.

    Attributes
    ----------
    scope, where : "study" and ""; "slice" and its index; "segment" and its number; "territory"
        and the artery; "method" and its name.
    key : as in `Docs/numbers.md`.
    value : None where there is none; `why` then says so.
    unit : "ml", "g", "%", "mm", "bits" or "" for counts.
    low, high : 90 % interval, or None.
    """

    scope: str
    where: str
    key: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass
class Numbers:
    """What was measured, and what of it pictures need.

    Attributes
    ----------
    rows : every number, in the order of `SCOPES`.
    warnings : what a reader must know.
    labels, segments : (slices, rows, columns); segments 0 where there is none.
    chords : by way, slice to its chords.
    references : reference methods, in the order of tables.
    insertions : how RV insertion points came: "given", "estimated" or why there are none.
    model : 16 or 17 segments.
    numbering : how the slices are counted for a person.
    outlines : slice by slice how sure the outline of the ventricle is, 0 to 1; empty where it was
        drawn.
    """

    rows: list[Number]
    warnings: list[str]
    labels: npt.NDArray[np.uint8]
    geometry: Geometry
    segments: npt.NDArray[np.uint8]
    chords: dict[str, dict[int, Chords]]
    references: list[Reference]
    insertions: str
    model: int
    sequences: dict[Role, Images] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    numbering: Numbering = field(default_factory=Numbering)
    outlines: tuple[float, ...] = ()

    def get(self, key: str, scope: str = "study", where: str | int = "") -> Number:
        """One number by its key; raises `KeyError` for one that was not asked for."""
        for row in self.rows:
            if (row.key, row.scope, row.where) == (key, scope, str(where)):
                return row
        raise KeyError(f"{scope} {where} {key}")

    def of(self, scope: str) -> dict[str, dict[str, Number]]:
        """Where to key to number, of one scope."""
        found: dict[str, dict[str, Number]] = {}
        for row in self.rows:
            if row.scope == scope:
                found.setdefault(row.where, {})[row.key] = row
        return found
