"""The uncertainty of a result over the images of slice views, in colours of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepgmm.scene.undo import PREFIX

if TYPE_CHECKING:
    import slicer

#: Uncertainty below this is not painted: there one looks at the image.
_LEAST = 0.15

#: Dark to light, so that it is read without telling hues apart; none is a tissue's.
_FROM_TO = ((0.45, 0.05, 0.45), (0.95, 0.35, 0.65), (1.0, 0.92, 0.95))

_TAG = PREFIX + "UncertaintyColours"


def uncertainty_colours(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The colour table of uncertainty, made once in a scene."""
    import slicer

    node = scene.GetSingletonNode(_TAG, "vtkMRMLColorTableNode")
    if node is not None:
        return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetSingletonTag(_TAG)
    node.SetName("LV uncertainty colours")
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    for i in range(256):
        way = i / 255 * (len(_FROM_TO) - 1)
        first = min(int(way), len(_FROM_TO) - 2)
        node.SetColor(i, f"{i / 255:.2f}", *(
            a + (b - a) * (way - first) for a, b in zip(_FROM_TO[first], _FROM_TO[first + 1])), 1.0)
    return scene.AddNode(node)


def colour(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a volume of uncertainty its colours; what is sure is not painted."""
    display = volume.GetDisplayNode()
    if display is None:
        volume.CreateDefaultDisplayNodes()
        display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(uncertainty_colours(volume.GetScene()).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetThreshold(_LEAST, 1.0)
    display.SetApplyThreshold(True)


def lay_over(layers: slicer.vtkMRMLSliceCompositeNode, volume: Any, opacity: float
             ) -> tuple[str | None, float]:
    """Put a volume over the image of a view.

    Returns
    -------
    What lay there before, as `lay_back` takes it.
    """
    before = layers.GetForegroundVolumeID(), layers.GetForegroundOpacity()
    layers.SetForegroundVolumeID(volume.GetID())
    layers.SetForegroundOpacity(opacity)
    return before


def lay_back(layers: slicer.vtkMRMLSliceCompositeNode, before: tuple[str | None, float],
             volume: Any) -> None:
    """Show what lay there before, unless something else has been laid over since."""
    there = layers.GetForegroundVolumeID()
    if volume is None or there is None or there == volume.GetID():
        layers.SetForegroundVolumeID(before[0])
        layers.SetForegroundOpacity(before[1])
