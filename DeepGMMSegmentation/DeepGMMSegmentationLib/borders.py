"""Draw border: a closed curve on a slice says where the border of pool and wall runs."""

import slicer
from slicer.i18n import tr as _

from DeepGMMSegmentationLib.panel import Panel, Section, scene
from DeepGMMSegmentationLib.refining import fitted_in


class BordersSection(Section):
    """The button, and what must be looked at again when a curve changes."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._observed: list[tuple] = []
        ui.drawBorderButton.connect("clicked()", self._on_pressed)

    def refresh(self) -> None:
        fitted = fitted_in(self.panel)
        self.ui.drawBorderButton.enabled = fitted is not None
        self._observe(None if fitted is None else self.state.output)

    def close(self) -> None:
        self._observe(None)

    def cleanup(self) -> None:
        self._observe(None)
        self.ui.drawBorderButton.disconnect("clicked()", self._on_pressed)

    def _observe(self, output) -> None:
        """Points, where they lie, the folder, and the end of placing; not the mouse on its way."""
        wanted = [] if output is None else _events(output)
        if [(id(one), kind) for one, kind in wanted] == [
                (id(one), kind) for one, kind in self._observed]:
            return
        for one in self._observed:
            self.panel.observers.remove(*one, self.panel.refresh)
        for one in wanted:
            self.panel.observers.add(*one, self.panel.refresh)
        self._observed = wanted

    def _on_pressed(self) -> None:
        from deepgmm.scene.borders import new_curve

        curve = new_curve(self.state.output)
        selection = scene().GetFirstNodeByClass("vtkMRMLSelectionNode")
        selection.SetReferenceActivePlaceNodeClassName(curve.GetClassName())
        selection.SetActivePlaceNodeID(curve.GetID())
        interaction = scene().GetFirstNodeByClass("vtkMRMLInteractionNode")
        interaction.SetPlaceModePersistence(False)  # of one curve all points are placed so
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.panel.tell(_("Click along the border of pool and wall on one slice; a right click "
                          "ends the curve. Its points can be dragged then; for another slice press "
                          "Draw border again. A curve is deleted in the module Data."))
        self.panel.refresh()


def _events(output) -> list[tuple]:
    from deepgmm.scene.borders import curves_of

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene())
    found = [(hierarchy, hierarchy.SubjectHierarchyItemReparentedEvent)]
    interaction = scene().GetFirstNodeByClass("vtkMRMLInteractionNode")
    if interaction is not None:
        found.append((interaction, interaction.InteractionModeChangedEvent))
    for curve in curves_of(output):
        found += [(curve, kind) for kind in (
            curve.PointPositionDefinedEvent, curve.PointRemovedEvent,
            curve.PointEndInteractionEvent, curve.TransformModifiedEvent)]
    return found
