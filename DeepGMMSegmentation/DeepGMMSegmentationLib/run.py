"""The segmentation in the background: scene to worker to scene."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import ComputationError, InputError
from deepgmm.jobs import client
from deepgmm.settings import Settings
from DeepGMMSegmentationLib.drawn import when_drawn
from DeepGMMSegmentationLib.parameters import PanelState, slices_chosen

#: Milliseconds between two looks at the worker: while it works, and while it only waits.
_OFTEN, _SELDOM = 40, 500


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
    unseen : whether the LV mask was proposed, and nobody has looked at it.
    """

    written: Any
    warnings: list[str]
    seconds: float
    outlined: Any = None
    earlier: Any = None
    choices: list | None = None
    unseen: bool = False

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

    def _keep_what_is_locked(self, answer) -> tuple[Any, dict, list[dict]]:
        """The result with locked slices as they are drawn now, its report and its rows; the
        worker knows them as they were when it began."""
        said, rows = answer.report, answer.slices
        if not self.locked or self._drawn_now() == self.drawn:
            return answer.result, said, rows
        from deepgmm.review.locked import keep_locked
        from deepgmm.review.recount import recounted
        from deepgmm.scene.insertions import points_again
        from deepgmm.scene.labels import labels_of

        now = labels_of(self.locked_in, self.reference)
        result = keep_locked(answer.result, now, self.locked)
        given = said.get("rv_insertion_points")
        points = points_again(given, len(now)) if given else None
        return result, *recounted(said, rows, result.labels, points)

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
        from deepgmm.jobs.tasks import segmented
        from deepgmm.scene.outputs import write_result

        answer = segmented(header, arrays, self.study)
        result, said, rows = self._keep_what_is_locked(answer)
        with slicer.util.RenderBlocker():
            written = write_result(
                result, self.scene, reference=self.reference, segmentation=self.output,
                probabilities=self.probabilities, uncertainty=self.uncertainty, said=said,
                rows=rows)
        warnings = list(dict.fromkeys([*said["warnings"], *written.warnings]))
        return Outcome(written, warnings, time.monotonic() - self.began,
                       outline_only(self.inputs["mask"], written.segmentation),
                       unseen=said.get("mask_proposal", {}).get("looked_at") is False)


def outline_only(mask, output):
    """Take away the fill of the LV mask, which would lie over the result's.

    Returns
    -------
    The display node that was changed, or None.
    """
    display = mask.GetDisplayNode() if mask.IsA("vtkMRMLSegmentationNode") else None
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


class Run:
    """One segmentation at a time, in the worker's process.

    Attributes
    ----------
    listeners : called without arguments when anything changes.
    fraction, stage, seconds_left : of the present run.
    slices : of the present run, all together.
    machine : what the worker found, or None before it has looked.
    last : what the last finished run left since the scene was opened, or None.
    before_writing : called with the output node, before it is changed.
    ask_where : called with an output that was drawn on while the run lasted; says whether to write
        at all, and where, None for a new segmentation.
    on_done : called with the `Outcome`.
    on_failed : called with a kind ("input", "computation", "memory", "dependencies", "crash",
        "cancelled") and a message.
    on_said : called with a line for the log.
    """

    def __init__(self, worker=None) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.before_writing: Callable[[Any], None] = _nothing
        self.ask_where: Callable[[Any], tuple[bool, Any]] = _where_it_was
        self.on_done: Callable[[Outcome], None] = _nothing
        self.on_failed: Callable[[str, str], None] = _nothing
        self.on_said: Callable[[str], None] = _nothing
        self.fraction, self.stage, self.seconds_left = 0.0, "", None
        self.machine: dict | None = None
        self.last: Outcome | None = None
        self.cancelling = False
        self._worker = client.Worker() if worker is None else worker
        self._job: Job | None = None
        self._gave_up = False
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self.look)

    @property
    def busy(self) -> bool:
        """Whether a segmentation runs or is being stopped."""
        return self._job is not None

    @property
    def slices(self) -> int:
        return 0 if self._job is None else self._job.slices

    @property
    def task(self) -> str:
        """What the worker does at present; empty where nothing."""
        return "" if self._job is None else self._job.task

    @property
    def cold(self) -> bool:
        """Whether there is no worker, and one may be started ahead: the last could start."""
        return self._worker.state is client.State.STOPPED and not self._gave_up

    def warm(self) -> None:
        """Start the worker ahead."""
        if self.cold:
            self._worker.start()
            self._watch()

    def prepare(self, state: PanelState, settings: Settings) -> Job:
        """Read the scene: a job for `begin`, into the output that is chosen.

        Raises
        ------
        deepgmm.errors.InputError
            The inputs are at fault.
        """
        from DeepGMMSegmentationLib import chosen, inputs

        reference = chosen.reference(state)
        locked = [] if state.output is None else slices_chosen(state, reference)[1]
        job = Job(settings, inputs.arguments(state), reference, state.output, state.probabilities,
                  state.uncertainty, locked, state.output, state.align)
        job.read()
        return job

    def begin(self, job: Job) -> None:
        """Hand a job to the worker; one that was prepared is not read again.

        Raises
        ------
        deepgmm.errors.InputError
        """
        if self.busy:
            raise InputError(_("a segmentation is running: wait for it, or cancel it"))
        if job.message is None:
            job.read()
        self._gave_up = False
        job.began = time.monotonic()
        job.number = self._worker.submit(job.task, *job.message)
        job.message = None  # the worker has it now
        self._job, self.cancelling = job, False
        self.fraction, self.stage, self.seconds_left = 0.0, "", None
        self._watch()
        self._tell()

    def cancel(self) -> None:
        """Stop; nothing of it comes to the scene from now on."""
        if self.busy and not self.cancelling:
            self.cancelling = True
            self._worker.cancel()
            self._tell()

    def close(self) -> None:
        """End the worker at once; nothing is left behind."""
        self._timer.stop()
        self._job, self.cancelling, self.machine, self._gave_up = None, False, None, True
        self._worker.close()

    def forget(self) -> None:
        """Let go of whoever listens."""
        self.listeners.clear()
        self.before_writing = self.on_done = self.on_failed = self.on_said = _nothing
        self.ask_where = _where_it_was
        self._timer.timeout.disconnect(self.look)

    def look(self) -> None:
        """Take what the worker said since the last time; a timer does this."""
        for event in self._worker.poll():
            self._take(event)
        # it stops by itself only where it ended again and again
        self._gave_up |= self._worker.state is client.State.STOPPED
        self._watch()

    def _watch(self) -> None:
        if self._worker.state is client.State.STOPPED and not self.busy:
            self._timer.stop()
            return
        waiting = self._worker.state is client.State.IDLE and not self.busy
        interval = _SELDOM if waiting else _OFTEN
        if not self._timer.active or self._timer.interval != interval:
            self._timer.start(interval)

    def _take(self, event) -> None:
        if isinstance(event, client.Said):
            self.on_said(event.text)
            return
        if isinstance(event, client.Ready):
            self.machine = event.machine
        elif self._job is None or event.job != self._job.number:
            return
        elif isinstance(event, client.Progress):
            self.fraction, self.stage = event.fraction, event.stage
            self.seconds_left = event.seconds_left
        elif isinstance(event, client.Cancelled) or self.cancelling:
            self._end()
            self.on_failed("cancelled", _("Cancelled: nothing was changed"))
        elif isinstance(event, client.Failed):
            self._end()
            self.on_failed(event.kind, event.message)
        else:
            self._finish(event.header, event.arrays)
        self._tell()

    def _end(self) -> Job:
        job, self._job, self.cancelling = self._job, None, False
        return job

    def _finish(self, header: dict, arrays: dict) -> None:
        job = self._end()
        try:
            job.check_scene()
            if job.was_drawn_on():
                wanted, job.output = self.ask_where(job.output)
                if not wanted:
                    self.on_failed("cancelled", _("The result was thrown away: what you drew "
                                                  "stays as it is"))
                    return
            if job.output is not None:
                self.before_writing(job.output)
            done = job.write(header, arrays)
            if job.on_done is None:
                self.last = done
        except InputError as error:
            self.on_failed("input", str(error))
        except Exception:
            logging.exception("DeepGMM: the result could not be put into the scene")
            self.on_failed("computation", _("the result could not be put into the scene: the "
                                            "Python console (Ctrl+3) shows why"))
        else:
            (job.on_done or self.on_done)(done)

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()


def _nothing(*_ignored) -> None:
    pass


def _where_it_was(output) -> tuple[bool, Any]:
    return True, output


def segment_and_wait(settings=None, *, output=None, probabilities=False, uncertainty=True,
                     align="check", **inputs):
    """Segment volumes of the scene in a worker of its own, and wait while the window stays alive.

    Parameters and errors are those of `DeepGMMSegmentationLogic.segment`.

    Returns
    -------
    deepgmm.scene.outputs.Written
    """
    run, failures = Run(), []
    run.on_failed = lambda kind, message: failures.append((kind, message))
    try:
        run.begin(Job(Settings() if settings is None else settings, inputs,
                      _reference_among(inputs), output, probabilities, uncertainty, align=align))
        while run.busy:
            run.look()
            slicer.app.processEvents()
            time.sleep(0.01)
    finally:
        run.close()
        run.forget()
    if failures:
        kind, message = failures[-1]
        raise (InputError if kind == "input" else ComputationError)(message)
    return run.last.written


def _reference_among(inputs: dict[str, Any]):
    """The volume whose grid the study takes; None where that is a sequence of volumes."""
    from deepgmm.study.words import Role, grid_role

    given = {role: inputs[role.value] for role in Role if inputs.get(role.value) is not None}
    if not given:
        return None
    node = given[grid_role(given)]
    return node if node.IsA("vtkMRMLVolumeNode") else None
