"""Numbers counted again after a correction by hand: of the labels as they are, without a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.review.aha import aha_rows_of
from deepgmm.study.study import FloatArray, Geometry
from deepgmm.study.words import WALL_TISSUES, Tissue

Labels = npt.NDArray[np.uint8]


def recounted(said: dict[str, Any], rows: list[dict[str, Any]], labels: Labels,
              points: FloatArray | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A report and rows of slices whose numbers are those of corrected labels.

    Means, weights and uncertainties stay those of the fit. A tissue whose volume has changed
    since the fit loses its interval, which was the model's.

    Parameters
    ----------
    said : the report (`deepgmm.review.report.report`), with or without its slices.
    rows : of the slices (`deepgmm.review.slices.slice_rows`).
    labels : (slices, rows, columns) on the report's grid.
    points : (slices, 2, 2) RV insertion points, where AHA segments are wanted.

    Returns
    -------
    said, rows : new ones. The report says under `corrected_tissues` which changed.
    """
    geometry = geometry_of(said)
    voxel, area = geometry.voxel_volume, geometry.pixel_area
    tissues = {title: Tissue(value) for title, value in said["labels"].items()}
    volumes = {title: float((labels == tissue).sum()) * voxel
               for title, tissue in tissues.items()}
    changed = [title for title, volume in volumes.items()
               if abs(volume - said["volumes_ml"][title]) > voxel / 2
               or title in said.get("corrected_tissues", ())]
    wall = sum(volumes[title] for title, tissue in tissues.items() if tissue in WALL_TISSUES)
    new = said | {
        "volumes_ml": volumes,
        "volume_intervals_90_ml": {
            title: [None, None] if title in changed else interval
            for title, interval in said["volume_intervals_90_ml"].items()},
        "percent_of_wall": {title: 100 * volumes[title] / wall if wall else None
                            for title in said["percent_of_wall"]},
        "corrected_tissues": changed,
    }
    if points is not None and "aha_segments" in said:
        level = {row["index"]: row["level"] for row in rows if row["level"]}
        new["aha_segments"] = aha_rows_of(labels, labels > 0, points, level, geometry,
                                          list(tissues.values()))
    return new, [row | {"areas_mm2": {
        title: float((labels[row["index"]] == tissues[title]).sum()) * area
        for title in row["areas_mm2"]}} for row in rows]


def geometry_of(said: dict[str, Any]) -> Geometry:
    """The grid that a report says its result lies on, mm in LPS."""
    grid = said["grid"]
    return Geometry(tuple(grid["spacing_mm"]), tuple(grid["origin_lps_mm"]),
                    tuple(grid["direction_lps"]))
