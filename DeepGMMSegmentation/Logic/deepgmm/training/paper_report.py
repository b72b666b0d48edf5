"""What was run of deepgmm-paper's tables, and what came of it, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepgmm import __version__
from deepgmm.study.words import FOUR_TISSUES
from deepgmm.training.paper_images import Cohort, Parting
from deepgmm.training.paper_rows import SOURCE, Published, Row
from deepgmm.training.paper_tables import DEPARTURES, Protocol


def report(cohort: Cohort, protocol: Protocol, first: Sequence[Published | Row] | None,
           second: Sequence[Published | Row] | None, parting: Parting | None) -> dict[str, Any]:
    """Protocol, images and all rows of the tables that were run.

    Cases are named by their keys: see `deepgmm.files.case_key`.
    """
    tables: dict[str, Any] = {}
    if first is not None:
        tables["1"] = {"images": _images(cohort, range(len(cohort.images))),
                       "rows": [row.as_dict() for row in first]}
    if second is not None and parting is not None:
        means = dict(zip((tissue.name.lower() for tissue in FOUR_TISSUES),
                         parting.means.means.tolist(), strict=True))
        tables["2"] = {
            "images": _images(cohort, parting.tested),
            "training_images": _images(cohort, parting.training),
            "mu_data": {
                "images": _images(cohort, parting.means.images), "tissues": means,
                "units": "mean 0 and standard deviation 1 inside the LV mask of each image"},
            "rows": [row.as_dict() for row in second]}
    return {"version": __version__, "paper": SOURCE, "departures": list(DEPARTURES),
            "contrast_tables": sorted(set(cohort.images[0].contrast.sources)),
            "protocol": protocol.as_dict(), "cases": len(cohort.patients),
            "images": len(cohort.images), "tables": tables}


def _images(cohort: Cohort, images: Sequence[int]) -> list[dict[str, Any]]:
    return [{"case": cohort.patients[cohort.images[i].patient].key,
             "slice": cohort.images[i].index} for i in images]
