"""Neighbours follow: slices of a proposed LV mask that were redrawn lead those beside them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import levels_of, numbering_of
from deepgmm.study.words import named_slices
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.drawn import when_drawn
from DeepGMMSegmentationLib.editor import EditorSection
from DeepGMMSegmentationLib.job import Job, grid_of
from DeepGMMSegmentationLib.panel import Panel, Section, sentence

_TASK = "correct"


@dataclass
class Standing:
    """A proposal that is in the scene, and what it became there.

    Attributes
    ----------
    found : `MaskProposal` as it came first; every correction is told to this one.
    geometry : of its grid.
    mask, segment, volume : where it was put, and the volume on whose grid.
    put : what was put there, (slices, rows, columns), and which of its slices were drawn; Undo
        may bring back any of them.
    drawn : when that was, as `when_drawn` has it.
    """

    found: Any
    geometry: Any
    mask: Any
    segment: str
    volume: Any
    put: list[tuple[Any, frozenset[int]]] = field(default_factory=list)
    drawn: tuple = ()

    def __post_init__(self) -> None:
        self.was_put(self.found.mask, ())

    def was_put(self, mask, drawn) -> None:
        self.put.append((np.asarray(mask, bool), frozenset(drawn)))
        self.drawn = when_drawn(self.mask)

    def now(self):
        """(slices, rows, columns) what the segment holds now.

        Raises
        ------
        deepgmm.errors.InputError
        """
        from deepgmm.scene.inputs import frame_of
        from deepgmm.scene.inputs import grid_of as grid_in_scene
        from deepgmm.scene.masks import read_mask

        return read_mask(self.mask, grid_in_scene(self.volume, _("the images")),
                         segments=[self.segment], frame=frame_of(self.volume)).mask

    def redrawn(self, now) -> dict[int, Any]:
        """Slice to its mask, of those that are as no proposal left them."""
        return {i: one for i, one in enumerate(now) if not any(
            i not in drawn and np.array_equal(one, mask[i]) for mask, drawn in self.put)}


@dataclass
class NeighboursJob(Job):
    """Slices that follow; nothing but the proposal and what was redrawn travels."""

    task: str = _TASK
    standing: Standing | None = None
    fixed: dict[int, Any] = field(default_factory=dict)
    put: Callable[[Any, dict[int, Any]], str] | None = None

    def read(self) -> None:
        from deepgmm.jobs.tasks import correct_request

        if not is_there(self.standing.mask):
            raise InputError(_("the proposed LV mask was deleted: press Propose again"))
        now = self.standing.now()
        if not now.any():
            raise InputError(_("nothing of the proposed LV mask is left for other slices to "
                               "follow: Undo in the editor brings it back"))
        self.fixed = self.standing.redrawn(now)
        if not self.fixed:
            raise InputError(_("no slice of the proposed LV mask was redrawn: redraw one in the "
                               "Segment editor first"))
        self.slices = len(self.standing.found.mask)
        self.grid = grid_of(self.reference)
        self.message = correct_request(self.standing.found, self.standing.geometry, self.fixed)

    def write(self, header: dict, arrays: dict) -> str:
        from deepgmm.jobs.tasks import proposed

        return self.put(proposed(header, arrays), self.fixed)

    def check_scene(self) -> None:
        if not is_there(self.standing.mask) or self.reference.GetScene() is not self.scene \
                or grid_of(self.reference) != self.grid:
            raise InputError(_("the images or the LV mask were deleted, moved or changed "
                               "meanwhile: press Propose again"))


class NeighboursSection(Section):
    """The button beside those of the LV mask.

    Parameters
    ----------
    masks : the section of the LV mask, which says what came of it.
    standing : called for the proposal that is in the scene, or None.
    """

    def __init__(self, ui, panel: Panel, masks, editor: EditorSection,
                 standing: Callable[[], Standing | None]) -> None:
        super().__init__(ui, panel)
        self._masks, self._editor, self._standing = masks, editor, standing
        ui.followMaskButton.connect("clicked()", self._on_pressed)

    def refresh(self) -> None:
        lacking, button = self._lacking(), self.ui.followMaskButton
        button.enabled = not lacking
        button.toolTip = lacking or _("The slices beside those that you redrew follow; yours stay "
                                      "as they are. Undo in the editor takes it back.")

    def cleanup(self) -> None:
        self.ui.followMaskButton.disconnect("clicked()", self._on_pressed)

    def _lacking(self) -> str:
        """Why nothing can follow now; empty where it can."""
        state, standing = self.state, self._standing()
        if state is None or standing is None or not is_there(state.mask) \
                or state.mask is not standing.mask or reference(state) is not standing.volume:
            return _("Slices follow those that you redrew in an LV mask that was proposed since "
                     "this scene was opened: press Propose first.")
        if self.panel.run.busy:
            return _("A segmentation is running: wait for it, or cancel it.")
        if when_drawn(standing.mask) == standing.drawn:
            return _("Redraw a slice of the proposed LV mask in the Segment editor first.")
        return ""

    def _on_pressed(self) -> None:
        try:
            lacking = self._lacking()
            if lacking:
                raise InputError(lacking)
            standing = self._standing()
            job = NeighboursJob(None, {}, standing.volume, None, standing=standing,
                                on_done=self._on_done)
            job.read()
            before = when_drawn(standing.mask)
            job.put = lambda found, fixed: self._put(standing, found, fixed, before)
            self.panel.run.begin(job)
        except InputError as error:
            self.panel.tell_of(error)
        finally:
            self.panel.refresh()

    def _put(self, standing: Standing, found, fixed: dict[int, Any], before: tuple) -> str:
        from deepgmm.scene.proposals import write_proposal

        if when_drawn(standing.mask) != before:
            raise InputError(_("the LV mask was drawn on meanwhile: it stays as it is; press "
                               "Neighbours follow again"))
        was = standing.now()
        self._editor.save_drawing_for_undo(standing.mask)
        write_proposal(found, standing.mask, standing.segment, standing.volume)
        standing.was_put(found.mask, fixed)
        moved = [i for i, (old, new) in enumerate(zip(was, found.mask)) if (old != new).any()]
        numbering = numbering_of(levels_of(found.mask.sum(axis=(1, 2))), len(found.mask))
        followed = _("{slices} followed").format(slices=named_slices(moved)) if moved else \
            _("no other slice had to move")
        said = _("{followed}; you drew {slices}; Undo in the editor takes it back")
        return sentence(numbering.in_words(said.format(
            followed=followed, slices=named_slices(sorted(fixed)))))

    def _on_done(self, said: str) -> None:
        self._masks.say(said)
        self.panel.tell(said)
        self.panel.refresh()
