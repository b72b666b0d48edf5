"""Which segments of a segmentation together are the LV mask."""

from DeepGMMSegmentationLib.panel import Panel, Section


class MaskSegments(Section):
    """The list of segments beneath the LV mask, bound by hand: no connector knows it."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._selector = ui.maskSegmentSelector
        self._mask = self._chosen = None
        self._showing = False
        self._selector.connect("segmentSelectionChanged(QStringList)", self._on_chosen)

    def refresh(self) -> None:
        state = self.state
        if state is None:
            self.close()
            return
        mask, chosen = state.mask, list(state.maskSegmentIDs)
        drawn = (mask is not None and mask.GetScene() is not None
                 and mask.IsA("vtkMRMLSegmentationNode"))
        if not drawn:
            chosen = []
        elif mask is not self._mask or chosen and not _any_of(mask, chosen):
            chosen = self._of_new(mask, chosen)
        self._mask, self._chosen = mask, chosen
        if chosen != list(state.maskSegmentIDs):
            state.maskSegmentIDs = chosen
        self._selector.visible = self.ui.maskSegmentSelectorLabel.visible = drawn
        self._show(mask if drawn else None, chosen)

    def close(self) -> None:
        self._mask = self._chosen = None
        self._show(None, [])

    def cleanup(self) -> None:
        self.close()
        self._selector.disconnect("segmentSelectionChanged(QStringList)", self._on_chosen)

    def _of_new(self, mask, chosen: list[str]) -> list[str]:
        """The segments of a mask not seen before: those that came with it, from a saved scene or
        a script, or those that are usual."""
        from deepgmm.scene.drawing import usual_segments

        segmentation = mask.GetSegmentation()
        came = chosen and chosen != self._chosen
        if came and all(segmentation.GetSegment(one) is not None for one in chosen):
            return chosen
        return usual_segments(mask)

    def _show(self, segmentation, chosen: list[str]) -> None:
        """Show it without taking for the user's wish what the widget then says."""
        self._showing = True
        try:
            if self._selector.currentNode() is not segmentation:
                self._selector.setCurrentNode(segmentation)
            if segmentation is not None \
                    and sorted(self._selector.selectedSegmentIDs()) != sorted(chosen):
                self._selector.setSelectedSegmentIDs(chosen)
        finally:
            self._showing = False

    def _on_chosen(self, chosen) -> None:
        if self.state is not None and not self._showing:
            self.state.maskSegmentIDs = list(chosen)


def _any_of(mask, chosen: list[str]) -> bool:
    return any(mask.GetSegmentation().GetSegment(one) is not None for one in chosen)
