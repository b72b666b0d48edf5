"""Numbers, parameters and slices as tables of Slicer, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from deepgmm.review.quantities import Number
from deepgmm.study.words import Role

#: Column of the table of slices to the key of its row, and the end of those of areas.
_OF_SLICE = {"Slice": "index", "Used": "used", "Why not": "why", "Locked": "locked",
             "Level": "level", "Uncertainty": "uncertainty", "Warning": "warning"}
_AREA = " (mm2)"

#: Of a slice, counted from 1, the base first; scenes of earlier versions lack it.
_NUMBER = "Number"

_OF_AHA = {"Segment": "segment", "Name": "name", "Wall (ml)": "wall_ml",
           "Infarct (% of wall)": "infarct_percent", "Edema (% of wall)": "edema_percent"}


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


def slices_table(rows: list[dict[str, Any]]) -> Any:
    """A vtkTable with one row a slice of the grid.

    Parameters
    ----------
    rows : as `deepgmm.review.slices.slice_rows` gives them.
    """
    columns = {title: [row[key] for row in rows] for title, key in _OF_SLICE.items()}
    columns[_NUMBER] = [row.get("number", row["index"] + 1) for row in rows]
    for tissue in rows[0]["areas_mm2"] if rows else ():
        columns[tissue + _AREA] = [row["areas_mm2"][tissue] for row in rows]
    return _table(columns)


def rows_of_slices(table: Any) -> list[dict[str, Any]]:
    """The rows from which a table of slices was made; none if it is no such table."""
    rows = records_of(table)
    if not rows or not set(_OF_SLICE) <= set(rows[0]):
        return []
    return [{"index": row["Slice"], "number": row.get(_NUMBER, row["Slice"] + 1)}
            | {key: bool(row[title]) if key in ("used", "locked") else row[title]
               for title, key in _OF_SLICE.items()}
            | {"areas_mm2": {title.removesuffix(_AREA): value for title, value in row.items()
                             if title.endswith(_AREA)}} for row in rows]


def aha_table(said: dict[str, Any]) -> Any:
    """A vtkTable with one row an AHA segment, of a report that has them."""
    return _table({title: [row[key] for row in said["aha_segments"]]
                   for title, key in _OF_AHA.items()})


def all_numbers_table(rows: Iterable[Number]) -> Any:
    """A vtkTable with one row a number, as in the CSV of `deepgmm quantify`."""
    rows = list(rows)
    return _table({
        "Scope": [row.scope for row in rows], "Where": [row.where for row in rows],
        "Quantity": [row.key for row in rows], "Value": [row.value for row in rows],
        "Unit": [row.unit for row in rows], "90 % from": [row.low for row in rows],
        "90 % to": [row.high for row in rows], "Note": [row.why for row in rows]})


def numbers_of_table(table: Any) -> list[Number]:
    """The numbers from which `all_numbers_table` was made; none if it is no such table."""
    rows = records_of(table)
    if not rows or not {"Scope", "Where", "Quantity", "Value", "Note"} <= set(rows[0]):
        return []
    return [Number(row["Scope"], str(row["Where"]), row["Quantity"], row["Value"], row["Unit"],
                   row["90 % from"], row["90 % to"], row["Note"]) for row in rows]


def records_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a vtkTable by column; None for what is no number, also after a reload."""
    columns = [table.GetColumn(i) for i in range(table.GetNumberOfColumns())]
    return [{column.GetName(): _value(column, row) for column in columns}
            for row in range(table.GetNumberOfRows())]


def _value(column: Any, row: int) -> Any:
    value = column.GetValue(row)
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(columns: dict[str, list[Any]]) -> Any:
    import vtk

    table = vtk.vtkTable()
    for name, values in columns.items():
        if all(isinstance(v, str) for v in values):
            column = vtk.vtkStringArray()
            # Slicer's files of tables know no way to keep these.
            values = [" ".join(v.replace('"', "'").split()) for v in values]
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
