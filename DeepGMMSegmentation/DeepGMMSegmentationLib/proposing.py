"""Propose: the LV mask outlined by the worker, for the user to look at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import levels_of, numbering_of
from DeepGMMSegmentationLib import dependencies
from DeepGMMSegmentationLib.chosen import is_there, reference, volumes
from DeepGMMSegmentationLib.drawn import when_drawn
from DeepGMMSegmentationLib.editor import EditorSection
from DeepGMMSegmentationLib.job import Job, grid_of
from DeepGMMSegmentationLib.neighbours import Standing
from DeepGMMSegmentationLib.panel import Panel, Section, sentence
from DeepGMMSegmentationLib.parameters import PanelState

_TASK = "propose"


def proposed_unseen(state: PanelState | None) -> bool:
    """Whether the LV mask was proposed, and the user has not said that he looked at it."""
    noted = _noted(state)
    return noted is not None and not noted["looked_at"]


def _noted(state: PanelState | None) -> dict | None:
    if state is None or not is_there(state.mask):
        return None
    from deepgmm.scene.proposals import proposal_in

    return proposal_in(state.mask, list(state.maskSegmentIDs))


def _nowhere(found, warnings: list[str]) -> str:
    return ""


@dataclass
class ProposalJob(Job):
    """A proposal asked for; `put` takes it to the scene."""

    task: str = _TASK
    put: Callable[[Any, list[str]], str] = _nowhere

    def read(self) -> None:
        from deepgmm.jobs.tasks import propose_request
        from deepgmm.scene.inputs import images_from_nodes

        self.study = images_from_nodes(**self.inputs)
        self.slices = len(self.study.mask)
        self.grid = grid_of(self.reference)
        self.message = propose_request(self.study, align=self.align)

    def write(self, header: dict, arrays: dict) -> str:
        from deepgmm.jobs.tasks import proposed

        return self.put(proposed(header, arrays), self.study.warnings)

    def check_scene(self) -> None:
        if self.reference.GetScene() is not self.scene or grid_of(self.reference) != self.grid:
            raise InputError(_("the images were deleted, moved or changed while the LV mask was "
                               "proposed: press Propose again"))


class ProposeSection(Section):
    """The button, and the tick by which the user says that he looked.

    Parameters
    ----------
    masks : the section of the LV mask, which begins and shows one.

    Attributes
    ----------
    standing : the proposal that was put into the scene last, or None.
    """

    def __init__(self, ui, panel: Panel, masks, editor: EditorSection) -> None:
        super().__init__(ui, panel)
        self._masks, self._editor = masks, editor
        self._asking = False
        self.standing: Standing | None = None
        ui.proposeMaskButton.connect("clicked()", self._on_pressed)
        ui.maskLookedAtCheckBox.connect("clicked(bool)", self._on_looked)

    def refresh(self) -> None:
        run, button = self.panel.run, self.ui.proposeMaskButton
        mine, lacking = run.task == _TASK, self._lacking()
        button.text = _("Cancel") if mine else _("Propose")
        button.enabled = not run.cancelling if mine else not lacking
        button.toolTip = _("Stop it; nothing will be changed.") if mine else lacking or _(
            "Outline the left ventricle from the images alone, for you to look at on every slice.")
        noted, box = _noted(self.state), self.ui.maskLookedAtCheckBox
        box.visible = noted is not None
        box.checked = noted is not None and noted["looked_at"]

    def close(self) -> None:
        self.standing = None

    def cleanup(self) -> None:
        self.ui.proposeMaskButton.disconnect("clicked()", self._on_pressed)
        self.ui.maskLookedAtCheckBox.disconnect("clicked(bool)", self._on_looked)

    def _lacking(self) -> str:
        """Why nothing can be proposed now; empty where it can."""
        nodes = {} if self.state is None else volumes(self.state)
        if not nodes:
            return _("Choose LGE, bSSFP or T2 first: the mask is proposed from them.")
        if self.panel.run.busy:
            return _("A segmentation is running: wait for it, or cancel it.")
        from DeepGMMSegmentationLib.inputs import wrong_volumes

        wrong = wrong_volumes(nodes)
        if wrong:
            return "\n".join(wrong)
        from deepgmm.jobs.tasks import TASKS

        return "" if _TASK in TASKS else _("This DeepGMM cannot propose an LV mask: install it "
                                           "again, or draw the mask.")

    def _on_pressed(self) -> None:
        if self._asking:  # a second press, from within the event loop of a question
            return
        if self.panel.run.task == _TASK:
            self.panel.run.cancel()
            return
        self._asking = True
        try:
            self._propose()
        except InputError as error:
            self.panel.tell_of(error)
        finally:
            self._asking = False
            self.panel.refresh()

    def _propose(self) -> None:
        state = self.state
        lacking = self._lacking()
        if lacking:
            raise InputError(lacking)
        dependencies.ensure()
        if state is not self.state:  # the scene may have gone during the question
            return
        volume = reference(state)
        job = ProposalJob(None, {role.value: node for role, node in volumes(state).items()},
                          volume, None, align=state.align, on_done=self._on_done)
        drawn = self._drawn_now()
        job.put = lambda found, warnings: self._put(found, warnings, volume, drawn,
                                                    job.study.geometry)
        self.panel.run.begin(job)
        self.panel.log(_("An LV mask is being proposed."))

    def _drawn_now(self) -> tuple:
        mask = self.state.mask
        return (mask.GetID(), when_drawn(mask)) if is_there(mask) else ()

    def _put(self, found, warnings: list[str], volume, drawn: tuple, geometry) -> str:
        """Into the scene, as a mask that the editor's Undo empties again; what is to be said."""
        from deepgmm.scene.proposals import write_proposal

        state = self.state
        if state is None or reference(state) is not volume:
            raise InputError(_("other images were chosen while the LV mask was proposed: press "
                               "Propose again"))
        if self._drawn_now() != drawn:
            raise InputError(_("the LV mask was drawn on or chosen anew while one was proposed: it "
                               "stays as it is; press Propose again for a proposal"))
        segment = self._masks.begin(volume)
        self._editor.forget(state.mask)  # with nothing in it yet, there is nothing to undo
        drawing = self._editor.is_in_use(state.mask)
        if not drawing:
            self._masks.show(volume, segment)
            self._editor.save_for_undo(state.mask)
        write_proposal(found, state.mask, segment, volume)
        self.standing = Standing(found, geometry, state.mask, segment, volume)
        numbering = numbering_of(levels_of(found.mask.sum(axis=(1, 2))), len(found.mask))
        return "\n".join(sentence(numbering.in_words(one))
                         for one in [*found.warnings, *warnings])

    def _on_done(self, said: str) -> None:
        self._masks.say(said)
        self.panel.tell(said)
        self.panel.refresh()

    def _on_looked(self, looked: bool) -> None:
        from deepgmm.scene.proposals import mark_looked_at

        mark_looked_at(self.state.mask, list(self.state.maskSegmentIDs), bool(looked))
        self.panel.refresh()
