"""What is handed to the worker, and how its answer comes back into the scene."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.settings import Settings
from DeepGMMSegmentationLib.drawn import when_drawn


@dataclass
class Outcome:
    """What a finished run left.

    Attributes
    ----------
    written : `deepgmm.scene.outputs.Written`.
    warnings : what the user must know, the input's first.
    seconds : from Apply to the result in the scene.
    outlined : the display node of the LV mask, of which only the outline is shown since, or None.
    earlier : the output that was chosen before a new one was made, or None.
    choices : what the panel's choices were, None where no panel made them.
    chosen : the output that was chosen when it began.
    unseen : whether the LV mask was proposed, and nobody has looked at it.
    task : "segment", "refine", or "back" to an earlier version.
    answer : of the worker (`deepgmm.jobs.tasks.Segmented`); what is drawn otherwise since then are
        corrections.
    before : of the run before this one, to which undoing it goes back.
    sent : the study as the scene's nodes gave it, or None.
    given : of "refine", what it was given to learn from, and what the slices held before it.
    told : what must be said of the run besides its warnings.
    ticked : slices ticked under Done and under Border before it, where it changed these.
    curves : border curves that were learned from, as `deepgmm.scene.borders.lines_on` has them.
    """

    written: Any
    warnings: list[str]
    seconds: float
    outlined: Any = None
    earlier: Any = None
    choices: list | None = None
    chosen: Any = None
    unseen: bool = False
    task: str = "segment"
    answer: Any = None
    before: "Outcome | None" = None
    sent: Any = None
    given: tuple[Any, Any] | None = None
    curves: dict[int, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    ticked: tuple[list[int], list[int]] | None = None

    def fill_again(self) -> None:
        """Show the LV mask as it was before the run."""
        if self.outlined is not None and self.outlined.GetScene() is not None:
            self.outlined.SetVisibility2DFill(True)


@dataclass
class Job:
    """What is needed to bring an answer back to where it belongs.

    Attributes
    ----------
    inputs : as `study_from_nodes` takes them.
    reference : the volume on whose grid the study lies, or None.
    output : the segmentation to write into, or None for a new one.
    locked : slices that keep their labels, and of which segmentation.
    align : what is done about sequences that do not lie on LGE, as `deepgmm.study.words.Align`.
    choices, chosen : as `Outcome` has them.
    """

    settings: Settings
    inputs: dict[str, Any]
    reference: Any
    output: Any
    probabilities: bool = False
    uncertainty: bool = True
    locked: list[int] = field(default_factory=list)
    locked_in: Any = None
    align: str = "check"
    choices: list | None = None
    chosen: Any = None
    scene: Any = field(default_factory=lambda: slicer.mrmlScene)
    began: float = 0.0
    number: int = -1
    study: Any = None
    slices: int = 0
    grid: tuple = ()
    message: tuple[dict, dict] | None = None
    drawn: tuple = ()
    task: str = "segment"
    #: Called with what `write` returned, instead of the run's own.
    on_done: Callable[[Any], None] | None = None
    #: Called with a message, where nobody waits for it and so nobody else is told.
    on_failed: Callable[[str], None] | None = None

    def read(self) -> None:
        """Read the scene, and write the message to the worker.

        Raises
        ------
        deepgmm.errors.InputError
        """
        from deepgmm.jobs.tasks import segment_request
        from deepgmm.scene.inputs import guess_of, study_from_nodes

        self.study = study_from_nodes(check=False, **self.inputs)
        self.slices = len(self.study.slices)
        self.grid = grid_of(self.reference)
        self.drawn = self._drawn_now()
        labels = None
        if self.locked:
            from deepgmm.scene.labels import labels_of

            labels = labels_of(self.locked_in, self.reference)
        self.message = segment_request(
            self.study, self.settings, locked=self.locked, locked_labels=labels,
            guess=guess_of(self.study, self.inputs.get("kinds")), align=self.align)

    def _drawn_now(self) -> tuple:
        return () if self.locked_in is None else when_drawn(self.locked_in)

    def was_drawn_on(self) -> bool:
        """Whether the output was drawn on since the scene was read."""
        return self.output is not None and self.output is self.locked_in \
            and self._drawn_now() != self.drawn

    def check_scene(self) -> None:
        """See that the scene can still take the answer.

        Raises
        ------
        deepgmm.errors.InputError
        """
        for node, name in ((self.reference, self._reference_name()),
                           (self.output, _("the output segmentation"))):
            if node is not None and node.GetScene() is not self.scene:
                raise InputError(_("{name} was deleted while the segmentation ran: choose it again "
                                   "and press Apply").format(name=name))
        if grid_of(self.reference) != self.grid:
            raise InputError(_("the volume that the result lies on was moved or changed while the "
                               "segmentation ran"))

    def asks_again(self, header: dict) -> bool:
        """Whether an answer is none, and there is a new message for the worker."""
        return False

    def answer_in(self, header: dict, arrays: dict):
        """What the worker answered, as `deepgmm.jobs.tasks.Segmented`."""
        from deepgmm.jobs.tasks import segmented

        return segmented(header, arrays, self.study)

    def as_sent(self):
        """The study as the scene's nodes gave it."""
        return self.study

    def as_drawn(self, answer) -> tuple[Any, dict, list[dict]]:
        """The result with locked slices as they are drawn now, its report and its rows; the
        worker knows them as they were when it began."""
        said, rows = answer.report, answer.slices
        if not self.locked or self._drawn_now() == self.drawn:
            return answer.result, said, rows
        from deepgmm.review.locked import keep_locked
        from deepgmm.scene.labels import labels_of

        now = labels_of(self.locked_in, self.reference)
        result = keep_locked(answer.result, now, self.locked)
        return result, *counted(answer, result.labels)

    def _reference_name(self) -> str:
        from deepgmm.study.words import Role

        return next((role.title for role in Role if self.inputs.get(role.value) is self.reference),
                    _("the volume that the result lies on"))

    def write(self, header: dict, arrays: dict) -> Outcome:
        """Put the answer into the scene: all of it or nothing.

        Raises
        ------
        deepgmm.errors.InputError
        """
        from deepgmm.scene.outputs import write_result

        answer = self.answer_in(header, arrays)
        result, said, rows = self.as_drawn(answer)
        with slicer.util.RenderBlocker():
            written = write_result(
                result, self.scene, reference=self.reference, segmentation=self.output,
                probabilities=self.probabilities, uncertainty=self.uncertainty, said=said,
                rows=rows)
        warnings = list(dict.fromkeys([*said["warnings"], *written.warnings]))
        open_ = {*result.study.slices} - {*result.settled}
        noted = said.get("mask_proposal", {})
        return Outcome(written, warnings, time.monotonic() - self.began,
                       outline_only(self.inputs.get("mask"), written.segmentation),
                       choices=self.choices, chosen=self.chosen,
                       unseen=bool(open_) and noted.get("looked_at") is False,
                       task=self.task, answer=answer, sent=self.as_sent())


def counted(answer, labels) -> tuple[dict, list[dict]]:
    """Report and rows of an answer, with the numbers of labels that a user drew in it."""
    from deepgmm.review.recount import recounted
    from deepgmm.study.insertion_points import points_again

    given = answer.report.get("rv_insertion_points")
    points = points_again(given, len(labels)) if given else None
    return recounted(answer.report, answer.slices, labels, points)


def outline_only(mask, output):
    """Take away the fill of the LV mask, which would lie over the result's.

    Returns
    -------
    The display node that was changed, or None.
    """
    drawn = mask is not None and mask.IsA("vtkMRMLSegmentationNode")
    display = mask.GetDisplayNode() if drawn else None
    if display is None or mask is output or not display.GetVisibility2DFill():
        return None
    display.SetVisibility2DFill(False)
    return display


def grid_of(volume) -> tuple:
    """What tells whether a volume's grid is still the same; no voxel is read."""
    if volume is None or volume.GetImageData() is None:
        return ()
    from deepgmm.scene.places import ijk_to_ras

    return (volume.GetImageData().GetDimensions(), ijk_to_ras(volume).tobytes(),
            volume.GetTransformNodeID())
