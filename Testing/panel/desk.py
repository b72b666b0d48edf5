"""A panel with a worker by hand, and what a user would see of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
