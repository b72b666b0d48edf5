"""Where the grid of a node lies in the patient, under whatever transform the node is.

Slicer's own reader puts a stack of unevenly spaced slices under a grid transform that moves each
of them to its true position. Such a transform is read as positions of slices; one that bends or
shears a slice is refused, for there the voxels are on no grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.study import FloatArray, Geometry

if TYPE_CHECKING:
    import slicer

Matrix = npt.NDArray[np.float64]

#: Slicer counts millimetres to the right, front and top, ITK to the left, back and top.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: How far a voxel of a slice may lie from where an unbent slice has it, mm.
_BENT = 0.1

#: Slices are even where no gap differs by more than this share from the others.
_EVEN = 1e-3

#: Largest cosine between two axes that are called perpendicular.
_RIGHT = 1e-4


@dataclass(frozen=True)
class Place:
    """A grid in the patient.

    Attributes
    ----------
    matrix : 4 x 4, from (column, row, slice, 1) to LPS mm, of evenly spaced slices.
    along : (slices,) where each slice lies, mm along the normal from the first; None if even.
    """

    matrix: Matrix
    along: FloatArray | None = None

    @property
    def geometry(self) -> Geometry:
        axes = self.matrix[:3, :3]
        spacing = np.linalg.norm(axes, axis=0)
        x, y, z = map(float, spacing)
        left, back, up = map(float, self.matrix[:3, 3])
        return Geometry((x, y, z), (left, back, up), tuple(map(float, (axes / spacing).ravel())))


def is_bending(transform: slicer.vtkMRMLTransformNode | None) -> bool:
    """Whether a parent transform, with all above it, is more than a matrix."""
    return transform is not None and not transform.IsTransformToWorldLinear()


def to_world(transform: slicer.vtkMRMLTransformNode | None) -> Matrix:
    """The 4 x 4 matrix of a linear parent transform, with all above it, RAS."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    if transform is not None:
        transform.GetMatrixTransformToWorld(matrix)
    return as_array(matrix)


def as_array(matrix: Any) -> Matrix:
    """A vtkMatrix4x4's numbers."""
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def as_vtk(matrix: Matrix) -> Any:
    """A vtkMatrix4x4 of these numbers."""
    import vtk

    made = vtk.vtkMatrix4x4()
    made.DeepCopy([float(v) for v in matrix.ravel()])
    return made


def ijk_to_ras(volume: slicer.vtkMRMLVolumeNode) -> Matrix:
    """Of a volume, in the frame of its parent transform."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return as_array(matrix)


def place_of(local: Matrix, size: tuple[int, int, int],
             transform: slicer.vtkMRMLTransformNode | None, name: str) -> Place:
    """Where a grid lies in the patient.

    Parameters
    ----------
    local : 4 x 4, from (column, row, slice, 1) to the RAS mm of the transform's child.
    size : columns, rows, slices.
    transform : the parent transform; the scene stays as it is.
    name : what to call the node in messages; its own name may be a patient's.

    Raises
    ------
    InputError
        Axes that are not at right angles, or a transform that bends the slices.
    """
    if is_bending(transform):
        place = _moved_slices(local, size, transform, name)
    else:
        place = Place(RAS_TO_LPS @ to_world(transform) @ local)
    axes = place.matrix[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or lengths.min() <= 0:
        raise InputError(f"{name} has a voxel size of 0: correct its spacing or its transform")
    cosines = (axes / lengths).T @ (axes / lengths) - np.eye(3)
    if np.abs(cosines).max() > _RIGHT:
        raise InputError(f"{name}'s axes are not at right angles: harden its transform, and "
                         "resample it with Resample Scalar/Vector/DWI Volume")
    return place


def _moved_slices(local: Matrix, size: tuple[int, int, int], transform: Any, name: str) -> Place:
    """The place of a stack whose slices a non-linear transform moves along their normal."""
    columns, rows, slices = size
    wide, high = max(columns - 1, 1), max(rows - 1, 1)
    lattice = np.array([(u * wide, v * high) for v in (0, 0.5, 1) for u in (0, 0.5, 1)])
    there = np.stack([_transformed(transform, local, lattice, k) for k in range(slices)])
    first = there[:, 0]
    column, row = (((there[:, i] - first) / n).mean(axis=0) for i, n in ((2, wide), (6, high)))
    flat = lattice @ np.stack([column, row])
    normal = np.cross(column, row)
    normal /= np.linalg.norm(normal)
    if (first[-1] - first[0]) @ normal < 0:
        normal = -normal
    along = (first - first[0]) @ normal
    aside = first - first[0] - np.outer(along, normal)
    if max(np.abs(there - first[:, None] - flat).max(), np.abs(aside).max()) > _BENT:
        raise InputError(f"{name} is under a non-linear transform that does more than move its "
                         "slices along their normal: harden the transform in Transforms, and "
                         "give the volume that comes out")
    gaps = np.diff(along)
    if slices > 1 and gaps.min() <= 0:
        raise InputError(f"{name} is under a transform that changes the order of its slices: "
                         "see whether the transform is the volume's own")
    step = float(np.median(gaps)) if slices > 1 else float(np.linalg.norm(local[:3, 2]))
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([column, row, normal * step, first[0]])
    even = slices == 1 or np.ptp(gaps) <= _EVEN * step
    return Place(matrix, None if even else along)


def _transformed(transform: Any, local: Matrix, lattice: FloatArray, k: int) -> FloatArray:
    """(points, 3) where points of slice k, given in pixels, lie in the patient, LPS mm."""
    import vtk

    general = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(general)
    inside = np.c_[lattice, np.full(len(lattice), k), np.ones(len(lattice))] @ local.T
    return np.array([general.TransformPoint(*p) for p in inside[:, :3]]) * (-1.0, -1.0, 1.0)
