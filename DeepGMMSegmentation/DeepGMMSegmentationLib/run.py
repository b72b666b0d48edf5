"""The segmentation in the background: scene to worker to scene."""

import logging
import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import ComputationError, InputError
from deepgmm.jobs import client
from deepgmm.settings import Settings
from DeepGMMSegmentationLib.job import Job, Outcome
from DeepGMMSegmentationLib.parameters import PanelState, slices_chosen

#: Milliseconds between two looks at the worker: while it works, and while it only waits.
_OFTEN, _SELDOM = 40, 500


class Run:
    """One segmentation at a time, in the worker's process.

    Attributes
    ----------
    listeners : called without arguments when anything changes.
    fraction, stage, seconds_left : of the present run.
    slices : of the present run, all together.
    machine : what the worker found, or None before it has looked.
    last : what the last finished run left since the scene was opened, or None.
    fitted : what corrections are told from: the last, or after it was undone the one before.
    on_begin : called with the job that begins, before anything of it can reach the scene.
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
        self.on_begin: Callable[[Job], None] = _nothing
        self.before_writing: Callable[[Any], None] = _nothing
        self.ask_where: Callable[[Any], tuple[bool, Any]] = _where_it_was
        self.on_done: Callable[[Outcome], None] = _nothing
        self.on_failed: Callable[[str, str], None] = _nothing
        self.on_said: Callable[[str], None] = _nothing
        self.fraction, self.stage, self.seconds_left = 0.0, "", None
        self.machine: dict | None = None
        self.last: Outcome | None = None
        self.fitted: Outcome | None = None
        self.cancelling = False
        self._worker = client.Worker() if worker is None else worker
        self._job: Job | None = None
        self._quiet: Job | None = None
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
        self.on_begin(job)
        self._gave_up = False
        job.began = time.monotonic()
        self._job, self.cancelling = job, False
        self.fraction, self.stage, self.seconds_left = 0.0, "", None
        if self._quiet is None:
            self._hand_over(job)
        else:  # what nobody waits for makes room
            self._worker.cancel()
        self._watch()
        self._tell()

    def put(self, job: Job) -> None:
        """Put the answer that a job has already into the scene.

        Raises
        ------
        deepgmm.errors.InputError
        """
        if self.busy:
            raise InputError(_("a segmentation is running: wait for it, or cancel it"))
        job.began = time.monotonic()
        self._job = job
        self._finish({}, {})
        self._tell()

    def begin_quietly(self, job: Job) -> bool:
        """Hand over a job that nobody waits for: the next that somebody wants ends it.

        Returns
        -------
        Whether it was taken: not where the worker is about something else, or there is none.

        Raises
        ------
        deepgmm.errors.InputError
        """
        if self.busy or self._quiet is not None \
                or self._worker.state not in (client.State.IDLE, client.State.STARTING):
            return False
        job.read()
        self._quiet = job
        self._hand_over(job)
        self._watch()
        return True

    def _hand_over(self, job: Job) -> None:
        job.number = self._worker.submit(job.task, *job.message)
        job.message = None  # the worker has it now

    def cancel(self) -> None:
        """Stop; nothing of it comes to the scene from now on."""
        if self.busy and not self.cancelling:
            self.cancelling = True
            self._worker.cancel()
            self._tell()

    def forget_last(self) -> None:
        """The last run was undone."""
        self.fitted = None if self.last is None else self.last.before
        self.last = None

    def forget_quiet(self) -> None:
        """What nobody waits for is not to come to the scene any more."""
        if self._quiet is not None:
            self._worker.cancel()

    def close(self) -> None:
        """End the worker at once; nothing is left behind."""
        self._timer.stop()
        self._job, self._quiet = None, None
        self.cancelling, self.machine, self._gave_up = False, None, True
        self._worker.close()

    def forget(self) -> None:
        """Let go of whoever listens."""
        self.listeners.clear()
        self.on_begin = self.before_writing = _nothing
        self.on_done = self.on_failed = self.on_said = _nothing
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
        idle = not self.busy and self._quiet is None
        if self._worker.state is client.State.STOPPED and idle:
            self._timer.stop()
            return
        waiting = self._worker.state is client.State.IDLE and idle
        interval = _SELDOM if waiting else _OFTEN
        if not self._timer.active or self._timer.interval != interval:
            self._timer.start(interval)

    def _take(self, event) -> None:
        if isinstance(event, client.Said):
            self.on_said(event.text)
            return
        if isinstance(event, client.Ready):
            self.machine = event.machine
        elif self._quiet is not None and event.job == self._quiet.number:
            self._take_quietly(event)
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
        elif self._job.asks_again(event.header):
            self._hand_over(self._job)
        else:
            self._finish(event.header, event.arrays)
        self._tell()

    def _take_quietly(self, event) -> None:
        if isinstance(event, client.Progress):
            return
        job, self._quiet = self._quiet, None
        if isinstance(event, client.Done) and self._job is None:
            self._write_quietly(job, event)
        elif isinstance(event, client.Failed):
            (job.on_failed or self.on_said)(event.message)
        if self.cancelling:
            self._end()
            self.on_failed("cancelled", _("Cancelled: nothing was changed"))
        elif self._job is not None:
            self._hand_over(self._job)

    def _write_quietly(self, job: Job, event) -> None:
        try:
            job.check_scene()
            done = job.write(event.header, event.arrays)
        except InputError as error:
            (job.on_failed or self.on_said)(str(error))
        except Exception:
            logging.exception("DeepGMM: an answer could not be put into the scene")
        else:
            job.on_done(done)

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
                self._remember(done)
        except InputError as error:
            self.on_failed("input", str(error))
        except Exception:
            logging.exception("DeepGMM: the result could not be put into the scene")
            self.on_failed("computation", _("the result could not be put into the scene: the "
                                            "Python console (Ctrl+3) shows why"))
        else:
            (job.on_done or self.on_done)(done)

    def _remember(self, done: Outcome) -> None:
        """One can be undone, and no more."""
        if self.fitted is not None:
            self.fitted.before = None
        done.before = self.fitted
        self.last = self.fitted = done

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
