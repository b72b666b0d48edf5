"""The LV mask from segments or from a labelmap volume, and the wall where it is apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.errors import InputError
from deepgmm.reading.contours.parts import Part
from deepgmm.reading.conventions import parse_convention, parts_of
from deepgmm.reading.images.grids import image_of
from deepgmm.reading.masks.lv_mask import MaskAndWall
from deepgmm.reading.masks.seg_nrrd import Segment
from deepgmm.scene.grids import Grid, mask_on
from deepgmm.scene.places import Place
from deepgmm.scene.stacks import Stack, array_of, labelmap_place, read_stack
from deepgmm.study.study import BoolArray
from deepgmm.study.words import Tissue, named_slices

if TYPE_CHECKING:
    import slicer

_NAME = "LV mask"

#: What says in Slicer which label is what, without any convention.
_BY_SEGMENTS = ("convert the labelmap to a segmentation (in Data, by its context menu), name "
                "the segments Blood and Myocardium, and choose both")

#: What people call the parts where they do not tell tissues apart, lower case: an outline of the
#: endocardium has the pool inside, one of the epicardium pool and wall together.
_NAMES = {name: part for part, names in {
    Part.POOL: ("endo", "endocardium", "lv endo", "lv endocardium", "left ventricular endocardium",
                "lv blood", "lv pool", "lv cavity"),
    Part.WALL: ("wall", "lv wall", "left ventricular wall", "myo", "lv myo", "lv myocardium"),
    Part.VENTRICLE: ("epi", "epicardium", "lv epi", "lv epicardium", "left ventricular epicardium"),
}.items() for name in names}


def read_mask(node: slicer.vtkMRMLNode, grid: Grid, *, segments: Sequence[str] = (),
              labels: str | None = None, frame: slicer.vtkMRMLTransformNode | None = None
              ) -> MaskAndWall:
    """The LV mask on a grid.

    Parameters
    ----------
    node : a segmentation, or a volume of labels.
    segments : IDs of the segments that together are the left ventricle; may be left out where
        there is only one. Where their terminology or names tell blood from wall, and the two do
        not overlap, or what lies inside the epicardium from either, the wall is kept.
    labels : what the values of a volume mean (`deepgmm.reading.conventions`).
    frame : a transform that is not to be applied, because the grid is under it as well.

    Raises
    ------
    InputError
        Neither of the two, no or unknown segments, or a mask that lies elsewhere.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        return _from_segments(node, list(segments), grid, frame)
    return _from_labels(node, grid, labels, frame)


def _from_labels(node: Any, grid: Grid, labels: str | None, frame: Any) -> MaskAndWall:
    import SimpleITK as sitk

    stack = read_stack(node, _NAME, frame)
    if stack.cine is not None:
        raise InputError(f"the {_NAME} is a sequence: give one labelmap, or a segmentation")
    values = sitk.GetArrayFromImage(stack.image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"the {_NAME} holds NaN or infinite values: give whole numbers")
    convention = parse_convention(labels)
    try:
        parts = parts_of(values, convention, _NAME)
    except InputError as error:
        raise InputError(str(error) if convention else _by_segments(str(error))) from error
    warnings = [w if convention else _by_segments(w) for w in parts.warnings]
    inside = mask_on(grid, _like(stack, parts.mask), warnings)
    wall = None if parts.wall is None else mask_on(grid, _like(stack, parts.wall), [])
    return MaskAndWall(inside, wall, warnings)


def _by_segments(text: str) -> str:
    """A message about labels, with the way to say their meaning that a window has."""
    return re.sub(r"[:;][^:;]*\bmask[ -]labels\b.*$", "", text) + f": {_BY_SEGMENTS}"


def _like(stack: Stack, inside: BoolArray) -> Stack:
    return Stack(stack.name, image_of(inside.astype(np.uint8), stack.place.geometry),
                 stack.place, stack.framed, stack.hash)


def _from_segments(node: Any, ids: list[str], grid: Grid, frame: Any) -> MaskAndWall:
    segmentation = node.GetSegmentation()
    count = segmentation.GetNumberOfSegments() if segmentation else 0
    if not ids and count == 1:
        ids = [segmentation.GetNthSegmentID(0)]
    if not ids:
        raise InputError(f"the {_NAME}'s segmentation has {count} segments: choose those that "
                         "together are the left ventricle" if count else
                         f"the {_NAME}'s segmentation has no segment: draw the left ventricle")
    warnings: list[str] = []
    drawn: dict[Part | None, list[BoolArray]] = {}
    for one in ids:
        segment = segmentation.GetSegment(one)
        if segment is None:
            raise InputError(f"a segment chosen for the {_NAME} is no longer there: choose again")
        stack = _segment_stack(node, one, frame)
        found: list[str] = []
        inside = (np.zeros(grid.image.GetSize()[::-1], bool) if stack is None
                  else mask_on(grid, stack, found))
        warnings += [w for w in found if w not in warnings]
        drawn.setdefault(part_of(segment), []).append(inside)
    inside = np.any([one for parts in drawn.values() for one in parts], axis=0)
    if None in drawn or len(drawn) < 2:
        return MaskAndWall(inside, None, warnings)
    whole, pool, ring = (np.any(drawn[part], axis=0) if part in drawn else np.zeros_like(inside)
                         for part in Part)
    if Part.POOL not in drawn:
        pool = whole & ~ring
    elif Part.WALL not in drawn:
        ring = whole & ~pool
        bare = [i for i, one in enumerate(whole) if one.any() and not pool[i].any()]
        if bare and pool.any():
            warnings.append(f"an epicardium without endocardium on {named_slices(bare)} of the "
                            f"{_NAME}: only what they cover together was taken, not where one "
                            "ends")
            return MaskAndWall(inside, None, warnings)
    overlap = int((pool & ring).sum())
    if overlap:
        warnings.append(f"blood and wall overlap in {overlap} voxels of the {_NAME}: only what "
                        "they cover together was taken, not where one ends")
    return MaskAndWall(inside, None if overlap or not ring.any() or not pool.any() else ring,
                       warnings)


def part_of(segment: slicer.vtkSegment) -> Part | None:
    """Which part terminology or name call a segment; None where they call it none."""
    name = segment.GetName() or ""
    tissue = Segment(name, 1, 0, terminology_of(segment)).tissue
    if tissue is None:
        return _NAMES.get(" ".join(re.split(r"[\s_-]+", name.lower())).strip())
    return Part.POOL if tissue is Tissue.BLOOD else Part.WALL


def terminology_of(segment: slicer.vtkSegment) -> str:
    """A segment's term in Slicer's text form; empty where it has none."""
    import vtk

    entry = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
    return str(entry)


def _segment_stack(node: Any, segment_id: str, frame: Any) -> Stack | None:
    """The voxels of a segment, also of one that is kept as a surface; None where it has none."""
    import slicer

    labelmap = slicer.vtkOrientedImageData()
    if node.GetSegmentation().ContainsRepresentation("Binary labelmap"):
        node.GetBinaryLabelmapRepresentation(segment_id, labelmap)
    else:
        slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentBinaryLabelmapRepresentation(
            node, segment_id, labelmap, False)
    if not all(n > 0 for n in labelmap.GetDimensions()) \
            or labelmap.GetPointData().GetScalars() is None:
        return None
    transform = node.GetParentTransformNode()
    framed = frame is not None and transform is frame
    place: Place = labelmap_place(labelmap, None if framed else transform, f"the {_NAME}")
    inside = (array_of(labelmap) != 0).astype(np.uint8)
    return Stack(_NAME, image_of(inside, place.geometry), place, framed, "")
