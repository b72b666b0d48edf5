"""A heart's nodes as users have them: volumes, a cine, and transforms that move them."""

from __future__ import annotations

import numpy as np
from scenes import Scene, filled, numpy_support, slicer, vtk
from test_seg_nrrd_in_slicer import turned

from deepgmm.study.study import Geometry, Study
from deepgmm.study.words import Role

KINDS = {Role.BSSFP: "bssfp", Role.LGE: "magnitude", Role.T2: "dark-blood"}

#: A turn and a shift, as of a table that moved.
MOVED = np.eye(4)
MOVED[:3, :3] = np.reshape(turned((0.2, -0.3, 0.5), False), (3, 3))
MOVED[:3, 3] = (12.0, -7.0, 30.0)

#: A straight stack, and where a patient's breath may have left its slices, in mm.
STRAIGHT = Geometry((1.2, 1.2, 10.0), (0.0, 0.0, 0.0))
UNEVEN = [0.0, 4.0, 26.0, 40.0]


def volumes(scene: Scene, study: Study, geometry: Geometry | None = None):
    return {role.value: scene.volume(s.values, geometry or study.geometry)
            for role, s in study.sequences.items()}


def ventricle(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Blood pool and wall of the small study, apart."""
    pool = np.zeros_like(study.mask)
    for i, one in enumerate(study.mask):
        rows, columns = np.nonzero(one)
        y, x = np.indices(one.shape)
        radius = np.hypot(y - rows.mean(), x - columns.mean())
        pool[i] = radius < 0.5 * np.sqrt(one.sum() / np.pi)
    return pool, study.mask & ~pool


def a_cine(scene: Scene, study: Study, *, unit: str = "ms", name: str = "TriggerTime"):
    """Five frames; the outline fits the fourth."""
    sequence = scene.add("vtkMRMLSequenceNode", "Smith^John cine")
    sequence.SetIndexName(name)
    sequence.SetIndexUnit(unit)
    for i in range(5):
        values = np.roll(study.sequences[Role.BSSFP].values, 4 * (i - 3), axis=2)
        sequence.SetDataNodeAtValue(
            filled(slicer.vtkMRMLScalarVolumeNode(), values, study.geometry), str(200.0 * i))
    return sequence


def turning(scene: Scene):
    """`MOVED` as a node, and as it is."""
    return scene.linear(MOVED), MOVED


def moving_slices(scene: Scene, positions: list[float], *, bend: float = 0.0, aside: float = 0.0):
    """A grid transform as Slicer's DICOM reader makes it, of a straight stack 10 mm apart: to
    each slice its true position."""
    count = len(positions)
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, count)
    image.SetOrigin(-400.0, -400.0, 0.0)
    image.SetSpacing(800.0, 800.0, 10.0)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    shifts = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    shifts = shifts.reshape(count, 2, 2, 3)
    shifts[:] = 0
    for k, position in enumerate(positions):
        shifts[k, ..., 2] = position - 10.0 * k
    shifts[2, :, 1, 0] += bend
    shifts[2, ..., 0] += aside
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    node = scene.add("vtkMRMLGridTransformNode")
    node.SetAndObserveTransformToParent(transform)
    return node
