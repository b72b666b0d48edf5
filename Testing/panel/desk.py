"""A panel with a worker by hand, and what a user would see of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from worker_by_hand import WorkerByHand

TISSUES = ["Blood", "Edema", "Myocardium", "Scar"]


@dataclass
class Desk:
    """A panel with a worker that does what the test says."""

    panel: Any
    worker: WorkerByHand

    @property
    def ui(self):
        return self.panel.ui

    @property
    def said(self) -> str:
        return self.ui.statusLabel.text

    def look(self) -> None:
        """What the timers would do within a moment."""
        self.panel.widget.panel.run.look()
        self.panel.settle()

    def apply(self) -> None:
        self.ui.applyButton.click()
        self.panel.settle()

    def refine(self) -> None:
        self.ui.refineButton.click()
        self.panel.settle()

    def finish(self) -> None:
        self.worker.answers()
        self.look()


def segmentations() -> list:
    return list(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


def names_in(segmentation) -> list[str]:
    inside = segmentation.GetSegmentation()
    return sorted(inside.GetNthSegment(i).GetName() for i in range(inside.GetNumberOfSegments()))


def voxels_at(volume, slice_node, size) -> np.ndarray:
    """A volume's voxels where a slice's pixels lie, by numpy alone; 0 outside."""
    import vtk

    inverse = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(inverse)
    both = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(inverse, slice_node.GetXYToRAS(), both)
    matrix = slicer.util.arrayFromVTKMatrix(both)
    rows, columns = np.mgrid[:size[0], :size[1]]
    pixels = np.stack([columns, rows, 0 * rows, 0 * rows + 1], -1)
    i, j, k = np.moveaxis(np.rint(pixels @ matrix.T).astype(int)[..., :3], -1, 0)
    voxels = slicer.util.arrayFromVolume(volume)
    deep, high, wide = voxels.shape
    inside = (i >= 0) & (i < wide) & (j >= 0) & (j < high) & (k >= 0) & (k < deep)
    found = np.zeros(size[:2])
    found[inside] = voxels[k[inside], j[inside], i[inside]]
    return found
