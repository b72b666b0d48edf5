"""The tools of Slicer's segment editor."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import QObject

#: Slicer's effects, in the order in which its own module shows them.
EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds",
           "Fill between slices", "Margin", "Hollow", "Smoothing", "Scissors", "Islands",
           "Logical operators", "Mask volume")

#: Those that are not scripted.
OF_CPP = ("Paint", "Draw", "Erase", "Scissors")


class qSlicerSegmentEditorAbstractEffect(QObject):
    """One tool of the editor."""

    def __init__(self, name: str, editor: Any) -> None:
        super().__init__(editor)
        self._name, self._editor = name, editor
        self._calls: list[str] = []

    name = property(lambda self: self._name)
    title = property(lambda self: self._name)

    def parameterSetNode(self) -> Any:
        return self._editor.mrmlSegmentEditorNode()

    def active(self) -> bool:
        return self._editor.activeEffect() is self

    def setParameter(self, name: str, value: Any) -> None:
        self.parameterSetNode().SetAttribute(f"{self._name}.{name}", str(value))

    def parameter(self, name: str) -> str:
        return self.parameterSetNode().GetAttribute(f"{self._name}.{name}") or ""

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name) or 0)

    def integerParameter(self, name: str) -> int:
        return int(self.parameter(name) or 0)

    def parameterDefined(self, name: str) -> bool:
        return bool(self.parameter(name))


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """A tool that is written in Python."""

    def self(self) -> Any:
        """Its Python half."""
        return _FillBetweenSlices(self._editor) if self._name == "Fill between slices" else self


class _FillBetweenSlices:
    """As `AbstractScriptedSegmentEditorAutoCompleteEffect`: a preview, and then into the segment;
    between two drawn slices by their distances."""

    def __init__(self, editor: Any) -> None:
        self._editor = editor
        self._filled: Any = None

    def onPreview(self) -> None:
        import numpy as np
        from scipy.ndimage import distance_transform_edt as far

        drawn = slicer.util.arrayFromSegmentBinaryLabelmap(*self._of()) > 0
        known = np.flatnonzero(drawn.any(axis=(1, 2)))
        inside = {k: far(drawn[k]) - far(~drawn[k]) for k in known}
        for one, other in zip(known[:-1], known[1:]):
            for k in range(one + 1, other):
                way = (k - one) / (other - one)
                drawn[k] = (1 - way) * inside[one] + way * inside[other] > 0
        self._filled = drawn.astype(np.uint8)

    def onApply(self) -> None:
        self._editor.saveStateForUndo()
        node, segment, volume = self._of()
        slicer.util.updateSegmentBinaryLabelmapFromArray(self._filled, node, segment, volume)

    def _of(self) -> tuple[Any, str, Any]:
        editor = self._editor
        return editor.segmentationNode(), editor.currentSegmentID(), editor.sourceVolumeNode()
