"""From a result to nodes: all of them, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import ComputationError, InputError
from deepgmm.result import Result
from deepgmm.scene.hierarchy import file_beside
from deepgmm.scene.places import (
    RAS_TO_LPS,
    Matrix,
    as_vtk,
    ijk_to_ras,
    is_bending,
    to_world,
)
from deepgmm.scene.read_back import PROVENANCE
from deepgmm.scene.segments import (
    check_writable,
    oriented_labelmap,
    put_segments,
    segments_of,
    set_reference,
)
from deepgmm.scene.tables import aha_table, numbers_table, parameters_table, slices_table
from deepgmm.scene.undo import PREFIX, Snapshot, belongings, remove, restore, snapshot
from deepgmm.study.words import Tissue

if TYPE_CHECKING:
    import slicer

_TABLE, _VOLUME = "vtkMRMLTableNode", "vtkMRMLScalarVolumeNode"


@dataclass
class Written:
    """What `write_result` made or changed.

    Attributes
    ----------
    segmentation : the node with the tissues.
    belongings : "Numbers", "Parameters", "Slices", "AHA segments", "Uncertainty", and
        "Probability.scar" and the like, to the table or volume node.
    warnings : what a user must know.
    before : an existing segmentation as it was; None for a new one.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    belongings: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    before: Snapshot | None = None


@dataclass(frozen=True)
class _Made:
    """A belonging that is ready but in no scene yet."""

    role: str
    kind: str
    title: str
    content: Any


def write_result(
    result: Result,
    scene: slicer.vtkMRMLScene,
    *,
    reference: slicer.vtkMRMLVolumeNode | None = None,
    segmentation: slicer.vtkMRMLSegmentationNode | None = None,
    probabilities: bool = False,
    uncertainty: bool = False,
    said: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] | None = None,
    entropy: npt.NDArray[np.float32] | None = None,
) -> Written:
    """Put a result into a scene.

    A segment for every tissue sought, named, coloured and with its terminology; the tables; the
    provenance as an attribute, without paths or names; the volumes asked for. All are computed
    first, then added node by node; on any error the scene is as it was. No batch of the scene is
    begun: at its end Slicer would build all views anew, and show no segmentation added in it.

    Parameters
    ----------
    reference : the volume on whose grid the study lies. Segments and volumes come under its
        transform, and beside it in the subject hierarchy.
    segmentation : an existing node to write into: segments of an earlier fit are replaced, all
        others stay. By default a new one.
    probabilities, uncertainty : volumes of the posterior of every tissue, and of its entropy,
        both 0 to 1.
    said, rows, entropy : the result's report, the rows of its slices, and the entropy, where
        another process has made them; with all three the posterior is needed for
        `probabilities` only.

    Raises
    ------
    InputError
        A reference on another grid, or a segmentation that cannot take the segments as they are.

    Examples
    --------
    >>> written = write_result(result, slicer.mrmlScene, reference=lge)    # doctest: +SKIP
    """
    own = _own_frame(result, reference)
    matrix = own
    if segmentation is not None:
        check_writable(segmentation)
        matrix = _frame_of(segmentation, own, reference)
    labelmap = oriented_labelmap(result.labels, matrix)
    said, rows = _said(result) if said is None else said, _rows(result) if rows is None else rows
    segments = segments_of(labelmap, [Tissue(value) for value in said["labels"].values()])
    if uncertainty and entropy is None:
        entropy = result.entropy()
    made = [*_tables(said, rows), *(_probabilities(result) if probabilities else ()),
            *(_uncertainty(entropy) if uncertainty else ())]
    before = None if segmentation is None else snapshot(segmentation)
    added: list[Any] = []
    try:
        node = segmentation or _new(scene, added, "vtkMRMLSegmentationNode",
                                    "LV segmentation")
        written = Written(node, {}, before=before)
        if not node.GetSegmentation().GetNumberOfSegments() and reference is not None:
            node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        put_segments(node, segments)
        if not set_reference(node, labelmap, reference):
            written.warnings.append(
                "the output segmentation was drawn on another grid, and Slicer resamples the "
                "segments to one grid when it saves: choose a new segmentation to keep every "
                "voxel")
        _show(node)
        _put_belongings(written, made, own, reference, added)
        node.SetAttribute(PROVENANCE, _provenance(said, written.warnings))
        file_beside(scene, reference, added)
    except BaseException:
        for one in reversed(added):
            remove(one)
        if before is not None:
            restore(before)
        raise
    return written


def undo(written: Written) -> None:
    """Make the scene what it was before `write_result`, as far as that changed it."""
    if written.before is not None:
        restore(written.before)
        return
    node = written.segmentation
    for one in (*belongings(node).values(), node):
        remove(one)


def _said(result: Result) -> dict[str, Any]:
    from deepgmm.review.report import report  # what another process makes is not loaded here

    return report(result)


def _rows(result: Result) -> list[dict[str, Any]]:
    from deepgmm.review.slices import slice_rows

    return slice_rows(result)


def _own_frame(result: Result, reference: Any) -> Matrix:
    """IJK to RAS of the result's grid, in the frame of the reference's parent transform."""
    if reference is None:
        return RAS_TO_LPS @ result.study.geometry.index_to_world()
    image = reference.GetImageData()
    size = image.GetDimensions()[::-1] if image is not None else ()
    if size != result.labels.shape:
        raise InputError("the volume that the segmentation belongs to has changed since the fit "
                         f"(size {'x'.join(map(str, size[::-1]))} against "
                         f"{'x'.join(map(str, result.labels.shape[::-1]))}): fit again")
    return ijk_to_ras(reference)


def _frame_of(segmentation: Any, own: Matrix, reference: Any) -> Matrix:
    """The same in the frame of an existing segmentation, which keeps its transform if it holds
    anything."""
    there = segmentation.GetParentTransformNode()
    here = None if reference is None else reference.GetParentTransformNode()
    empty = not segmentation.GetSegmentation().GetNumberOfSegments()
    if there is here or (empty and reference is not None):
        return own
    if is_bending(there) or is_bending(here):
        raise InputError("the output segmentation and the images are under different transforms, "
                         "one of them non-linear: put both under the same, or choose a new "
                         "segmentation")
    return np.asarray(np.linalg.inv(to_world(there)) @ to_world(here) @ own)


def _tables(said: dict[str, Any], rows: list[dict[str, Any]]) -> list[_Made]:
    made = [_Made("Numbers", _TABLE, "LV numbers", numbers_table(said)),
            _Made("Parameters", _TABLE, "LV parameters", parameters_table(said)),
            _Made("Slices", _TABLE, "LV slices", slices_table(rows))]
    if said.get("aha_segments"):
        made.append(_Made("AHA segments", _TABLE, "LV AHA segments", aha_table(said)))
    return made


def _probabilities(result: Result) -> list[_Made]:
    return [_Made(f"Probability.{tissue.name.lower()}", _VOLUME,
                  f"LV probability of {tissue.title.lower()}", _image_data(result.posterior[:, i]))
            for i, tissue in enumerate(result.tissues)]


def _uncertainty(entropy: Any) -> list[_Made]:
    return [_Made("Uncertainty", _VOLUME, "LV uncertainty", _image_data(entropy))]


def _image_data(values: npt.NDArray[np.float32]) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(values.shape[::-1])
    scalars = numpy_to_vtk(np.ascontiguousarray(values, np.float32).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def _provenance(said: dict[str, Any], warnings: list[str]) -> str:
    """The report with more warnings, without the slices, which are in the table."""
    short = {name: value for name, value in said.items() if name != "slices"}
    short["warnings"] = [*short["warnings"], *warnings]
    return json.dumps(short, ensure_ascii=False, allow_nan=False)


def _new(scene: Any, added: list[Any], kind: str, title: str) -> Any:
    node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(title))
    if node is None:
        raise ComputationError(f"the scene knows no {kind}")
    added.append(node)
    return node


def _show(node: Any) -> None:
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()


def _put_belongings(written: Written, made: list[_Made], matrix: Matrix, reference: Any,
                    added: list[Any]) -> None:
    """Fill the nodes of an earlier fit again; what this one does not renew goes."""
    segmentation = written.segmentation
    scene = segmentation.GetScene()
    earlier = belongings(segmentation)
    for one in made:
        role = PREFIX + one.role
        node = earlier.pop(role, None)
        if node is None or not node.IsA(one.kind):
            node = _new(scene, added, one.kind, one.title)
            segmentation.SetNodeReferenceID(role, node.GetID())
        if one.kind == _TABLE:
            node.SetAndObserveTable(one.content)
        else:
            _fill_volume(node, one.content, matrix, reference)
        written.belongings[one.role] = node
    for role, node in earlier.items():
        segmentation.RemoveNodeReferenceIDs(role)
        remove(node)


def _fill_volume(node: Any, image: Any, matrix: Matrix, reference: Any) -> None:
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(as_vtk(matrix))
    node.SetAndObserveTransformNodeID(None if reference is None
                                      else reference.GetTransformNodeID())
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0.0, 1.0)
