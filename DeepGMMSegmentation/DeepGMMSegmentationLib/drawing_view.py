"""While the LV mask is drawn: the short axis large, the editor in sight, the rest folded."""

import slicer

from DeepGMMSegmentationLib.panel import Panel, Section

_FOLDED = ("inputs", "segmentation", "slices", "results")
_VIEW = "Red"


class DrawingView(Section):
    """One slice view on the short axis, from Create LV mask until the editor is closed."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._before: int | None = None
        ui.editorCollapsibleButton.connect("contentsCollapsed(bool)", self._on_collapsed)

    def show(self, volume) -> None:
        """Show a volume's slices large."""
        for name in _FOLDED:
            getattr(self.ui, f"{name}CollapsibleButton").collapsed = True
        _into_sight(self.ui.editorCollapsibleButton)
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        from deepgmm.scene.views import turn_to

        self.ui.reviewLayoutButton.checked = False  # its layout is given back first
        wanted = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
        if self._before is None and manager.layout != wanted:
            self._before = manager.layout
        manager.setLayout(wanted)
        widget = manager.sliceWidget(_VIEW)
        widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        turn_to(widget.mrmlSliceNode(), volume)
        size = widget.mrmlSliceNode().GetDimensions()
        widget.sliceLogic().FitSliceToVolume(volume, *size[:2])

    def give_back(self) -> None:
        """The layout that was there before, unless the user has taken another."""
        before, self._before = self._before, None
        manager = slicer.app.layoutManager()
        if before is not None and manager is not None and \
                manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView:
            manager.setLayout(before)

    def exit(self) -> None:
        self.give_back()

    def close(self) -> None:
        self.give_back()

    def cleanup(self) -> None:
        self.give_back()
        self.ui.editorCollapsibleButton.disconnect("contentsCollapsed(bool)", self._on_collapsed)

    def _on_collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.give_back()


def _into_sight(widget) -> None:
    """Scroll the module's panel to a widget."""
    area = widget.parentWidget()
    while area is not None and not area.inherits("QScrollArea"):
        area = area.parentWidget()
    if area is not None:
        area.ensureWidgetVisible(widget)
