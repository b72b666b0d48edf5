"""The embedded segment editor: one for the LV mask and for corrections of the result."""

import slicer

from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.panel import Panel, Section, scene

#: Of the editor's own node: what it shows and with which effect, kept in the scene.
_TAG, _KIND = "DeepGMM", "vtkMRMLSegmentEditorNode"


class EditorSection(Section):
    """Owns the embedded editor and its node.

    The editor comes to life when it is first needed, and lets go of views and keyboard whenever
    it is out of sight: Slicer has other editors.
    """

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._editor = ui.segmentEditorWidget
        self._node = None
        self._holding = False
        self._editor.maximumNumberOfUndoStates = 10
        self._editor.switchToSegmentationsButtonVisible = False
        self._limited = False  # whether what is shown is a result
        self._where: int | None = None  # in a result one may paint, once the user said
        ui.editorCollapsibleButton.connect("contentsCollapsed(bool)", self._on_collapsed)
        self._editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self.limit)

    def limit(self, segmentation=None) -> None:
        """In a result one paints inside its segments, which together are the LV mask, until the
        user says otherwise under Masking; in a mask everywhere."""
        if self._node is None:
            return
        nodes = slicer.vtkMRMLSegmentationNode
        segmentation = self._node.GetSegmentationNode()
        limited = segmentation is not None and _is_result(segmentation)
        if limited == self._limited:
            return
        if self._limited:
            self._where = self._node.GetMaskMode()
        self._limited = limited
        inside = nodes.EditAllowedInsideAllSegments if self._where is None else self._where
        self._node.SetMaskMode(inside if limited else nodes.EditAllowedEverywhere)

    def show(self, segmentation, source_volume, effect: str | None = None,
             segment_id: str | None = None) -> None:
        """Open the editor.

        Parameters
        ----------
        segmentation, source_volume : what to edit, and the image to draw on.
        effect : Slicer's name of an effect to begin with, as "Draw".
        segment_id : the segment to begin with.
        """
        self._fill(segmentation, source_volume)
        if segment_id is not None:
            self._editor.setCurrentSegmentID(segment_id)
        self.ui.editorCollapsibleButton.collapsed = False
        self._hold()
        if effect is not None:
            self._editor.setActiveEffectByName(effect)

    def is_in_use(self, segmentation=None) -> bool:
        """Whether the user draws, or edits another segmentation than this one: the editor is not
        to be touched, for a switch ends the effect and forgets what could be undone."""
        if self._node is None:
            return False
        shown = self._editor.segmentationNodeID()
        return self._editor.activeEffect() is not None or bool(shown) and (
            segmentation is None or shown != segmentation.GetID())

    def node(self):
        """The editor's own node, which says what is edited and with which effect."""
        self._ready()
        return self._node

    def save_for_undo(self, segmentation) -> None:
        """Remember a segmentation as it is, so that the editor's Undo brings it back; where the
        editor is in use, Undo Apply alone does."""
        if segmentation is None or segmentation.GetScene() is None \
                or self.is_in_use(segmentation):
            return
        self._fill_quietly(segmentation)
        self._editor.saveStateForUndo()

    def save_drawing_for_undo(self, segmentation) -> None:
        """The same in the middle of a drawing, as the effects themselves do before they change it;
        nothing where the editor has another segmentation."""
        if self._node is not None and self._editor.segmentationNodeID() == segmentation.GetID():
            self._editor.saveStateForUndo()
        else:
            self.save_for_undo(segmentation)

    def follow(self, segmentation, *instead_of) -> None:
        """Edit a segmentation instead of others, or of none; what else the user edits stays, and
        whatever he draws in just now.

        An editor that was not opened yet chooses when it is.
        """
        if segmentation is None or scene().GetSingletonNode(_TAG, _KIND) is None:
            return
        self._ready()
        if self._editor.activeEffect() is not None:
            return
        self.limit()
        shown = self._editor.segmentationNodeID()
        if not shown or shown in [one.GetID() for one in (segmentation, *instead_of)
                                  if one is not None]:
            self._fill_quietly(segmentation)

    def forget(self, segmentation) -> None:
        """Edit it no longer."""
        if self._node is not None and self._editor.segmentationNodeID() == segmentation.GetID():
            self._editor.setActiveEffect(None)
            self._editor.setSegmentationNode(None)

    def let_go(self) -> None:
        """Give views and keyboard back."""
        if self._holding:
            self._holding = False
            self._editor.setActiveEffect(None)
            self._editor.uninstallKeyboardShortcuts()
            self._editor.removeViewObservations()

    def enter(self) -> None:
        if self._node is not None and not self.ui.editorCollapsibleButton.collapsed:
            self._hold()
            self._editor.updateWidgetFromMRML()

    def exit(self) -> None:
        self.let_go()

    def close(self) -> None:
        self.let_go()
        if self._node is not None:
            self._editor.setSegmentationNode(None)
            self._node, self._limited, self._where = None, False, None

    def cleanup(self) -> None:
        self.close()
        self._editor.disconnect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", self.limit)
        self._editor.setMRMLSegmentEditorNode(None)  # after a reload another editor follows it
        self.ui.editorCollapsibleButton.disconnect("contentsCollapsed(bool)", self._on_collapsed)

    def _ready(self) -> None:
        """The editor's own node first, then the scene: so the widget's first choices are kept."""
        if self._node is not None and self._node.GetScene() is scene():
            return
        node = scene().GetSingletonNode(_TAG, _KIND)
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(_TAG)
            node = scene().AddNode(node)
        self._node = node
        self._editor.updateEffectList()  # other modules may have brought some since
        self._editor.setMRMLSegmentEditorNode(node)
        self._editor.setMRMLScene(scene())

    def _fill(self, segmentation, source_volume) -> None:
        """The editor forgets its undo states when it is given another segmentation."""
        self._ready()
        if self._editor.segmentationNodeID() != segmentation.GetID():
            self._editor.setSegmentationNode(segmentation)
        if source_volume is not None \
                and self._editor.sourceVolumeNodeID() != source_volume.GetID():
            self._editor.setSourceVolumeNode(source_volume)

    def _fill_quietly(self, segmentation) -> None:
        """What the user looks at stays."""
        shows = self._editor.autoShowSourceVolumeNode
        self._editor.autoShowSourceVolumeNode = False
        self._fill(segmentation, None if self.state is None else reference(self.state))
        self._editor.autoShowSourceVolumeNode = shows

    def _hold(self) -> None:
        if not self._holding:
            self._holding = True
            self._editor.setupViewObservations()
            self._editor.installKeyboardShortcuts()

    def _on_collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.let_go()
            return
        self._ready()
        state = self.state
        if state is not None and not self._editor.segmentationNodeID():
            segmentation = state.output if state.output is not None else state.mask
            if segmentation is not None and segmentation.IsA("vtkMRMLSegmentationNode"):
                self._fill(segmentation, reference(state))
        self._hold()


def _is_result(segmentation) -> bool:
    from deepgmm.scene.segments import our_segments

    return bool(our_segments(segmentation))
