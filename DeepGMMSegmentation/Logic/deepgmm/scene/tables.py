"""Numbers and parameters of a report as tables of Slicer."""

from __future__ import annotations

import math
from typing import Any

from deepgmm.study.words import Role


def numbers_table(said: dict[str, Any]) -> Any:
    """A vtkTable with one row a tissue: volume, its 90 % interval, percent of the wall.

    Parameters
    ----------
    said : the report (`deepgmm.review.report.report`).
    """
    titles = list(said["labels"])
    interval = {title: said["volume_intervals_90_ml"].get(title) or [None, None]
                for title in titles}
    return _table({
        "Tissue": titles,
        "Volume (ml)": [said["volumes_ml"][t] for t in titles],
        "90 % from (ml)": [interval[t][0] for t in titles],
        "90 % to (ml)": [interval[t][1] for t in titles],
        "Percent of wall": [said["percent_of_wall"].get(t) for t in titles],
    })


def parameters_table(said: dict[str, Any]) -> Any:
    """A vtkTable with one row a slice and tissue: area, weight, mean and SD on each sequence,
    and of the slice the NLL and the agreement of starts. Slices are counted from 0.

    Parameters
    ----------
    said : the report.
    """
    roles = [Role(one["role"]).title for one in said["sequences"]]
    tissues = said["tissues"]
    columns: dict[str, list[Any]] = {"Slice": [], "Tissue": [], "Area (mm2)": [], "Weight": []}
    columns |= {f"{role} {what}": [] for role in roles for what in ("mean", "SD")}
    columns |= {"NLL (nats a pixel)": [], "Agreement of starts": []}
    for fit in said["slices"]:
        for tissue in tissues:
            means, covariance = fit["means"][tissue], fit["covariances"][tissue]
            row = {"Slice": fit["index"], "Tissue": tissue, "Area (mm2)": fit["areas_mm2"][tissue],
                   "Weight": fit["weights"][tissue], "NLL (nats a pixel)": fit["nll"],
                   "Agreement of starts": fit["agreement_of_starts"]}
            for m, role in enumerate(roles):
                row[f"{role} mean"] = means[m]
                variance = covariance[m][m]
                row[f"{role} SD"] = None if variance is None else math.sqrt(variance)
            for name, value in row.items():
                columns[name].append(value)
    return _table(columns)


def _table(columns: dict[str, list[Any]]) -> Any:
    import vtk

    table = vtk.vtkTable()
    for name, values in columns.items():
        if all(isinstance(v, str) for v in values):
            column = vtk.vtkStringArray()
        elif all(isinstance(v, int) for v in values):
            column = vtk.vtkIntArray()
        else:
            column = vtk.vtkDoubleArray()
            values = [math.nan if v is None else float(v) for v in values]
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    return table
