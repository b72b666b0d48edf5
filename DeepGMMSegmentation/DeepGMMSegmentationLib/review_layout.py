"""bSSFP, LGE and T2 side by side, in the plane of the slices, linked; and back."""

import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.words import Role
from DeepGMMSegmentationLib.chosen import reference, volumes
from DeepGMMSegmentationLib.panel import Panel, Section

#: Number of the layout; any that no other module is likely to take.
LAYOUT = 70451

#: Views of one group are linked with each other only: the user's own stay as they are.
_GROUP = 70451

_COLOURS = {Role.BSSFP: "#6F9BD1", Role.LGE: "#E2A33C", Role.T2: "#7FB77E"}


def view_name(role: Role) -> str:
    """The name of the slice view of a sequence, the layout's own."""
    return f"DeepGMM{role.title}"


def description(roles: list[Role]) -> str:
    """The layout of these sequences, as Slicer reads it."""
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{view_name(role)}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{role.title}</property>'
        f'<property name="viewcolor" action="default">{_COLOURS[role]}</property>'
        f'<property name="viewgroup" action="default">{_GROUP}</property>'
        "</view></item>" for role in roles)
    return f'<layout type="horizontal" split="true">{views}</layout>'


def register() -> None:
    """Make the layout known, so that a scene that was saved in it can be opened."""
    manager = slicer.app.layoutManager()
    if manager is not None:  # Slicer may run without a window
        manager.layoutLogic().GetLayoutNode().AddLayoutDescription(LAYOUT, description(list(Role)))


class ReviewLayoutSection(Section):
    """The button that shows the layout, and gives the user's own back."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._before: int | None = None
        self._shown: tuple = ()
        self._framed = True
        self._left = False  # the module while the layout was shown
        ui.reviewLayoutButton.connect("toggled(bool)", self._on_toggled)
        slicer.app.layoutManager().connect("layoutChanged(int)", self._on_layout)

    def refresh(self) -> None:
        chosen = {} if self.state is None else volumes(self.state)
        self.ui.reviewLayoutButton.enabled = bool(chosen)
        if self._before is None and self._node().GetViewArrangement() == LAYOUT:
            self._adopt(chosen)
        if self._before is not None and not chosen:
            self._give_back()
        elif self._before is not None and self._shown != _key(chosen):
            self._show(chosen)
        elif self._before is not None and not self._framed:
            self._framed = True
            self._frame(chosen)

    def enter(self) -> None:
        """Who left it in the module finds it again."""
        left, self._left = self._left, False
        if left and self._before is None:
            self._on_toggled(True)

    def exit(self) -> None:
        self._left = self._before is not None
        self._give_back()

    def close(self) -> None:
        self._left = False
        self._give_back()

    def cleanup(self) -> None:
        self._give_back()
        self.ui.reviewLayoutButton.disconnect("toggled(bool)", self._on_toggled)
        slicer.app.layoutManager().disconnect("layoutChanged(int)", self._on_layout)

    def _on_toggled(self, wanted: bool) -> None:
        chosen = {} if self.state is None else volumes(self.state)
        if not wanted:
            self._give_back()
        elif chosen:
            self._before = self._node().GetViewArrangement()
            self._show(chosen)

    def _adopt(self, chosen: dict) -> None:
        """A scene was opened that had been saved in the layout; it says nothing of another."""
        self._before = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
        self._shown = _key(chosen)
        self._tick(True)

    def _on_layout(self, layout: int) -> None:
        """The user chose another layout himself: that is his own now."""
        if layout != LAYOUT and self._before is not None:
            self._before, self._shown = None, ()
            self._tick(False)

    def _show(self, chosen: dict) -> None:
        """The layout of these sequences, each in its view."""
        self._shown = _key(chosen)
        self._tick(True)
        node, text = self._node(), description(list(chosen))
        if not node.AddLayoutDescription(LAYOUT, text):
            node.SetLayoutDescription(LAYOUT, text)
        slicer.app.layoutManager().setLayout(LAYOUT)
        try:
            self._fill(chosen)
        except InputError as error:
            self._give_back()
            self.panel.tell(_("The review layout cannot be shown: {reason}").format(reason=error))
            return
        self._framed = False  # the views have no size before the window has laid them out
        self.panel.refresh()

    def _fill(self, chosen: dict) -> None:
        from deepgmm.scene.views import turn_to

        volume = reference(self.state)
        for role, node in chosen.items():
            layers, view = _layers(role), _view(role)
            layers.SetBackgroundVolumeID(node.GetID())
            layers.SetForegroundVolumeID(None)
            layers.SetLabelVolumeID(None)
            turn_to(view, volume)
        for role in chosen:  # once all are alike
            _layers(role).SetLinkedControl(True)

    def _frame(self, chosen: dict) -> None:
        """The heart's middle slice in the middle of every view."""
        from deepgmm.scene.views import look_at, point_on

        volume, heart = reference(self.state), self._heart()
        middle = point_on(volume, volume.GetImageData().GetDimensions()[2] // 2, heart)
        for role in chosen:
            view = _view(role)
            _widget(role).sliceLogic().FitSliceToVolume(volume, *view.GetDimensions()[:2])
            look_at(view, middle, heart)

    def _heart(self):
        """What lies in the middle of the views: the LV mask or the result."""
        drawn = (self.state.mask, self.state.output)
        return next((node for node in drawn
                     if node is not None and node.IsA("vtkMRMLSegmentationNode")), None)

    def _give_back(self) -> None:
        """The layout that was there before, if ours is still shown."""
        before, self._before, self._shown = self._before, None, ()
        if before is not None and self._node().GetViewArrangement() == LAYOUT:
            slicer.app.layoutManager().setLayout(before)
        self._tick(False)

    def _tick(self, wanted: bool) -> None:
        """Say on the panel whether the layout is shown; the segment editor then puts its own
        image into no view, since each has its sequence."""
        self.ui.segmentEditorWidget.autoShowSourceVolumeNode = not wanted
        button = self.ui.reviewLayoutButton
        blocked = button.blockSignals(True)
        button.checked = wanted
        button.blockSignals(blocked)

    def _node(self):
        return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


def _widget(role: Role):
    return slicer.app.layoutManager().sliceWidget(view_name(role))


def _view(role: Role):
    return _widget(role).mrmlSliceNode()


def _layers(role: Role):
    return _widget(role).mrmlSliceCompositeNode()


def _key(chosen: dict) -> tuple:
    return tuple((role, node.GetID()) for role, node in chosen.items())
