"""What lies over the images: the uncertainty by one button, the segments by one key."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepGMMSegmentationLib.chosen import is_there
from DeepGMMSegmentationLib.panel import Panel, Section, scene

_OPACITY = 0.6

#: Fill and outline, outline alone, nothing.
_ALL, _OUTLINE, _NONE = range(3)


class OverlaySection(Section):
    """The button Uncertainty, and the keys O, U and N while the user is in the module."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._before: dict[str, tuple] = {}
        self._volume = None
        self._filled = None  # whose fill was taken away, to see the uncertainty
        self._keys: list = []
        ui.uncertaintyButton.connect("toggled(bool)", self._on_uncertainty)
        window = slicer.util.mainWindow()
        if window is not None:
            for key, does in (("O", self.next_overlay), ("U", ui.uncertaintyButton.click),
                              ("N", ui.nextUncertainButton.click)):
                shortcut = qt.QShortcut(qt.QKeySequence(key), window)
                shortcut.setEnabled(False)
                shortcut.connect("activated()", does)
                self._keys.append((shortcut, does))

    def refresh(self) -> None:
        volume = self._uncertainty()
        button = self.ui.uncertaintyButton
        button.enabled = volume is not None
        button.toolTip = _("How unsure the fit is, over the images: the lighter, the less sure "
                           "(key U). Key O: segments filled, as outlines, or none.") \
            if volume is not None else _("There is no uncertainty volume: tick it under Advanced "
                                         "and press Apply.")
        if volume is not self._volume:
            self._take_away()
            self._volume = volume
        if volume is None and button.checked:
            button.checked = False
        elif button.checked:
            self._lay_over()  # also over views that came since

    def enter(self) -> None:
        for shortcut, _does in self._keys:
            shortcut.setEnabled(True)

    def exit(self) -> None:
        for shortcut, _does in self._keys:
            shortcut.setEnabled(False)
        self._untick()

    def close(self) -> None:
        self._untick()
        self._volume = None

    def cleanup(self) -> None:
        self._untick()
        self.ui.uncertaintyButton.disconnect("toggled(bool)", self._on_uncertainty)
        for shortcut, does in self._keys:
            shortcut.disconnect("activated()", does)
            shortcut.deleteLater()
        self._keys.clear()

    def next_overlay(self) -> None:
        """Segments filled, then as outlines, then none, then filled again."""
        output = None if self.state is None else self.state.output
        display = output.GetDisplayNode() if is_there(output) else None
        if display is None:
            return
        now = _NONE if not display.GetVisibility() else \
            _ALL if display.GetVisibility2DFill() else _OUTLINE
        wanted = (now + 1) % 3
        display.SetVisibility(wanted != _NONE)
        display.SetVisibility2DOutline(True)
        display.SetVisibility2DFill(wanted == _ALL)
        self.panel.tell((_("Segments: filled."), _("Segments: outlines."),
                         _("Segments: hidden."))[wanted])

    def _uncertainty(self):
        output = None if self.state is None else self.state.output
        if not is_there(output):
            return None
        from deepgmm.scene.read_back import belonging

        volume = belonging(output, "Uncertainty")
        return volume if is_there(volume) else None

    def _on_uncertainty(self, wanted: bool) -> None:
        if wanted and self._volume is not None:
            self._lay_over()
        else:
            self._take_away()

    def _lay_over(self) -> None:
        from deepgmm.scene.overlay import colour, lay_over

        if not self._before:
            colour(self._volume)
            display = self.state.output.GetDisplayNode()
            if display is not None and display.GetVisibility2DFill():
                self._filled = display
                display.SetVisibility2DFill(False)
        for layers in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if layers.GetID() not in self._before:
                self._before[layers.GetID()] = lay_over(layers, self._volume, _OPACITY)

    def _take_away(self) -> None:
        from deepgmm.scene.overlay import lay_back

        before, self._before = self._before, {}
        if self._filled is not None and self._filled.GetScene() is not None:
            self._filled.SetVisibility2DFill(True)
        self._filled = None
        for node_id, shown in before.items():
            layers = scene().GetNodeByID(node_id)
            if layers is not None:
                lay_back(layers, shown, self._volume)

    def _untick(self) -> None:
        self.ui.uncertaintyButton.checked = False
        self._take_away()
