"""The LV mask drawn and checked here."""

import logging
from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from DeepGMMSegmentationLib.chosen import is_there, reference, volumes
from DeepGMMSegmentationLib.drawing_view import DrawingView
from DeepGMMSegmentationLib.drawn import MaskedSlices, masked, when_drawn
from DeepGMMSegmentationLib.editor import EditorSection
from DeepGMMSegmentationLib.neighbours import NeighboursSection
from DeepGMMSegmentationLib.panel import Panel, Section, sentence
from DeepGMMSegmentationLib.proposing import ProposeSection

#: Slicer's name of the effect.
_FILL = "Fill between slices"


class MaskSection(Section):
    """Begin an LV mask, fill the slices between those drawn, look it over."""

    def __init__(self, ui, panel: Panel, editor: EditorSection) -> None:
        super().__init__(ui, panel)
        self._editor = editor
        self._view = DrawingView(ui, panel)
        proposing = ProposeSection(ui, panel, self, editor)
        panel.sections += [self._view, proposing, NeighboursSection(
            ui, panel, self, editor, lambda: proposing.standing)]
        self._about: Callable[[], tuple] | None = None
        self._then: tuple = ()
        ui.createMaskButton.connect("clicked()", self._on_create)
        ui.fillMaskButton.connect("clicked()", self._on_fill)
        ui.checkMaskButton.connect("clicked()", self._on_check)

    def refresh(self) -> None:
        state = self.state
        volume = None if state is None else reference(state)
        drawable = self._first_segment() is not None
        ui = self.ui
        ui.createMaskButton.enabled = volume is not None
        ui.fillMaskButton.enabled = drawable and volume is not None
        ui.checkMaskButton.enabled = volume is not None and is_there(state.mask)
        if self._about is None or self._about() != self._then:
            self._about = None
            ui.maskReportLabel.text = "" if volume is not None else _(
                "Choose LGE, bSSFP or T2 first: the mask is drawn on its slices.")

    def cleanup(self) -> None:
        self.ui.createMaskButton.disconnect("clicked()", self._on_create)
        self.ui.fillMaskButton.disconnect("clicked()", self._on_fill)
        self.ui.checkMaskButton.disconnect("clicked()", self._on_check)

    def _first_segment(self) -> str | None:
        """The segment to draw in: the first that is chosen, else the first there is."""
        mask = None if self.state is None else self.state.mask
        if not is_there(mask) or not mask.IsA("vtkMRMLSegmentationNode"):
            return None
        segmentation = mask.GetSegmentation()
        chosen = [one for one in self.state.maskSegmentIDs if segmentation.GetSegment(one)]
        if chosen:
            return chosen[0]
        return segmentation.GetNthSegmentID(0) if segmentation.GetNumberOfSegments() else None

    def begin(self, volume) -> str:
        """Choose a mask to draw in: the one that is still empty, else a new one, and the former
        stays. Returns the segment."""
        from deepgmm.scene.drawing import SEGMENT, new_mask

        state = self.state
        former, segment = state.mask, self._first_segment()
        if not _is_blank(former, volume):
            mask, segment = new_mask(volume), SEGMENT
            _hide(former, state.output)
            with slicer.util.NodeModify(state.parameterNode):
                state.mask = mask
                state.maskSegmentIDs = [segment]
        return segment

    def show(self, volume, segment: str, effect: str | None = None) -> None:
        """Open the mask in the editor, the short axis large."""
        self._editor.show(self.state.mask, volume, effect, segment)
        self._view.show(volume)

    def say(self, text: str) -> None:
        """Show a text as long as the mask is chosen."""
        self._say(text, self._mask_now)

    def _on_create(self) -> None:
        volume = reference(self.state)
        self.show(volume, self.begin(volume), "Draw")
        self._say(_("Draw around the left ventricle, blood and wall together, in a slice view: "
                    "drag or click along the outline, right-click to close it. Slices may be "
                    "skipped: Fill between slices does them."), self._mask_now)

    def _on_fill(self) -> None:
        """What the editor's effect does by Initialize and Apply; its Undo takes it back."""
        state, editor = self.state, self.ui.segmentEditorWidget
        self._editor.show(state.mask, reference(state), _FILL, self._first_segment())
        effect = editor.activeEffect()
        before = self._drawn_slices()
        try:
            _fill(effect)
        except Exception:
            logging.exception("DeepGMM: the slices between could not be filled")
        if self._drawn_slices() == before:
            self._say(_("Nothing was filled. Draw at least two slices with others between; or in "
                        "the editor below press Initialize, and then Apply."), self._mask_now)
            return
        editor.setActiveEffect(None)
        self._say(_("The slices between were filled: look at each. Undo in the editor takes it "
                    "back."), self._mask_now)

    def _drawn_slices(self) -> set[int]:
        state = self.state
        return set(masked.of(state.mask, list(state.maskSegmentIDs), reference(state)))

    def _on_check(self) -> None:
        self._say(self._report(), self._looked_at)

    def _say(self, text: str, about: Callable[[], tuple]) -> None:
        """Show a text as long as what it is about stays the same."""
        self.ui.maskReportLabel.text = text
        self._about, self._then = about, about()

    def _mask_now(self) -> tuple:
        mask = None if self.state is None else self.state.mask
        return (mask.GetID(),) if is_there(mask) else ()

    def _looked_at(self) -> tuple:
        """What a report is about: it says nothing of this mask changed, or on another grid."""
        state = self.state
        volume = None if state is None else reference(state)
        if volume is None or not is_there(state.mask):
            return ()
        mask = state.mask
        return (*self._mask_now(), when_drawn(mask), *state.maskSegmentIDs, volume.GetID())

    def _report(self) -> str:
        from deepgmm.scene.drawing import drawn_faults

        state = self.state
        volume = reference(state)
        role = next(role for role, node in volumes(state).items() if node is volume)
        try:
            faults, warnings = drawn_faults(state.mask, state.maskSegmentIDs, volume, role.title)
        except InputError as error:
            return sentence(self.panel.numbering.in_words(str(error)))
        lines = [str(fault) for fault in faults] or [
            _("no hole, island or missing slice was found")]
        return "\n".join(sentence(self.panel.numbering.in_words(line))
                         for line in [*lines, *warnings])


def _fill(effect) -> None:
    """What the scripted effect's buttons Initialize and Apply do."""
    half = effect.self()
    half.onPreview()
    half.onApply()


def _is_blank(mask, volume) -> bool:
    """Whether a mask was begun on a volume, and nothing is drawn in it yet."""
    if not is_there(mask) or not mask.IsA("vtkMRMLSegmentationNode") \
            or not mask.GetSegmentation().GetNumberOfSegments():
        return False
    role = mask.GetReferenceImageGeometryReferenceRole()
    return mask.GetNodeReference(role) is volume and not MaskedSlices().of(mask, [], volume)


def _hide(mask, output) -> None:
    """Put a former mask out of sight: two outlines would look like one."""
    if is_there(mask) and mask.IsA("vtkMRMLSegmentationNode") and mask is not output \
            and mask.GetDisplayNode() is not None:
        mask.GetDisplayNode().SetVisibility(False)
