"""The edit log of a reader study: how long each effect is active, and what was corrected in that
time, a file a Refine. Off until a user ticks it, and in no scene."""

import logging
import os
import time
from collections.abc import Callable

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from deepgmm.errors import DeepGMMError, InputError
from deepgmm.review.edit_log import EffectTimes
from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.drawn import drawn_labels
from DeepGMMSegmentationLib.job import Job, Outcome
from DeepGMMSegmentationLib.panel import Panel, Section, scene
from DeepGMMSegmentationLib.refining import corrected_since, fitted_in, given_by
from DeepGMMSegmentationLib.versions import Kept, VersionsSection

#: A pause of more seconds without a sign of the user is not counted: nobody was drawing.
LONGEST = 30.0


class EffectClock:
    """Sums the time between signs of the user, by the effect that was active and the slice.

    Parameters
    ----------
    now : the time in seconds, from any beginning.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at, self._doing = now(), ("", None)
        self.times = EffectTimes(LONGEST)

    def sign(self, effect: str, index: int | None) -> None:
        """The user did something just now, and has this effect active, "" for none."""
        now = self._now()
        gap, self._at = now - self._at, now
        if self._doing[0] and 0 < gap <= LONGEST:
            self.times.seconds[self._doing] = self.times.seconds.get(self._doing, 0.0) + gap
        elif self._doing[0] and gap > 0:
            self.times.pauses += 1
            self.times.paused += gap
        self._doing = (effect, index)

    def take(self) -> EffectTimes:
        """What was summed up to now; begins again from nothing."""
        self.sign(*self._doing)
        taken, self.times = self.times, EffectTimes(LONGEST)
        return taken

    def give_back(self, taken: EffectTimes) -> None:
        """What was taken belongs to what comes."""
        for doing, seconds in taken.seconds.items():
            self.times.seconds[doing] = self.times.seconds.get(doing, 0.0) + seconds
        self.times.pauses += taken.pauses
        self.times.paused += taken.paused


class EditLogSection(Section):
    """The tick under Advanced, and the files.

    The active effect is in the editor's node, whose modified event tells of another. Signs of the
    user are that event, a stroke, and the cursor moved in a slice view, which also tells the slice.
    """

    def __init__(self, ui, panel: Panel, editor, versions: VersionsSection) -> None:
        super().__init__(ui, panel)
        self._editor, self._versions = editor, versions
        self._folder = ""
        self._clock: EffectClock | None = None
        self._observed: list[tuple] = []
        self._output = None
        self._slice: int | None = None
        #: The run that was corrected, and the time that it took, while a Refine learns from it.
        self._held: tuple[Outcome, EffectTimes] | None = None
        ui.editLogCheckBox.connect("toggled(bool)", self._on_toggled)
        ui.writeLogButton.connect("clicked()", self._on_write)
        panel.run.on_begin = self._on_begin

    def refresh(self) -> None:
        fitted = fitted_in(self.panel)
        self.ui.writeLogButton.enabled = self._clock is not None and fitted is not None \
            and not self.panel.run.busy
        if self._clock is None:
            return
        if self._output is not (None if self.state is None else self.state.output):
            self._observe()
        if self._held is None or self.panel.run.busy:
            return
        before, times = self._held
        if fitted is None or fitted is before or fitted.given is None:
            self._held = None
            self._clock.give_back(times)
        elif self._versions.of(fitted) is not None:  # it is kept in a moment
            self._held = None
            self._write(before, fitted.given[0], times, fitted)

    def close(self) -> None:
        self._stop()

    def cleanup(self) -> None:
        self._stop()
        self.ui.editLogCheckBox.disconnect("toggled(bool)", self._on_toggled)
        self.ui.writeLogButton.disconnect("clicked()", self._on_write)

    def _on_toggled(self, wanted: bool) -> None:
        if not wanted:
            self._stop()
            return
        self._folder = qt.QFileDialog.getExistingDirectory(
            self.ui.editLogCheckBox, _("DeepGMM - Folder for the edit log"))
        if not self._folder or self.state is None:
            self.ui.editLogCheckBox.checked = False
            return
        self._clock = EffectClock()
        self._observe()
        self.panel.log(_("The edit log is kept: time with an effect active, without pauses of more "
                         "than {seconds:.0f} s.").format(seconds=LONGEST))
        self.refresh()

    def _stop(self) -> None:
        self._unobserve()
        self._clock, self._held, self._folder = None, None, ""
        self.ui.editLogCheckBox.checked = False
        self.ui.writeLogButton.enabled = False

    def _observe(self) -> None:
        self._unobserve()
        self._output = None if self.state is None else self.state.output
        self._observed = [(self._editor.node(), vtk.vtkCommand.ModifiedEvent, self._on_sign)]
        crosshair = scene().GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            self._observed.append((crosshair, crosshair.CursorPositionModifiedEvent,
                                   self._on_cursor))
        if self._output is not None:
            drawn = slicer.vtkSegmentation.SourceRepresentationModified
            self._observed.append((self._output, drawn, self._on_sign))
        for one in self._observed:
            self.panel.observers.add(*one)

    def _unobserve(self) -> None:
        for one in self._observed:
            self.panel.observers.remove(*one)
        self._observed, self._output = [], None

    def _on_cursor(self, caller, event) -> None:
        from deepgmm.scene.views import slice_at

        point = [0.0, 0.0, 0.0]
        volume = None if self.state is None else reference(self.state)
        try:
            self._slice = slice_at(volume, point) \
                if volume is not None and caller.GetCursorPositionRAS(point) else None
        except InputError:  # of a volume that no fit could take either
            self._slice = None
        self._on_sign(caller, event)

    def _on_sign(self, caller=None, event=None) -> None:
        node = self._editor.node()
        in_output = self._output is not None and node.GetSegmentationNode() is self._output
        self._clock.sign((node.GetActiveEffectName() or "") if in_output else "", self._slice)

    def _on_begin(self, job: Job) -> None:
        """What a Refine learns from is written once it has; what an Apply leaves behind, now."""
        fitted = fitted_in(self.panel)
        if self._clock is None or fitted is None or job.task not in ("refine", "segment"):
            return
        if job.task == "refine":
            self._held = (fitted, self._clock.take())
        else:
            self._write_unlearned(fitted, self._clock.take())

    def _on_write(self) -> None:
        fitted = fitted_in(self.panel)
        if self._clock is None or fitted is None:
            return
        self._on_sign()
        if not self._write_unlearned(fitted, self._clock.times):
            self.panel.tell(_("Nothing was corrected since the last result: there is no log to "
                              "write."))

    def _write_unlearned(self, fitted: Outcome, times: EffectTimes) -> bool:
        try:
            found = corrected_since(fitted, self.state)
            given, _told = given_by(found, fitted.answer.result,
                                    drawn_labels.of(self.state.output, reference(self.state)))
            if not given:
                return False
        except InputError as error:
            self.panel.tell_of(error)
            return True
        self._write(fitted, given, times)
        return True

    def _write(self, before: Outcome, given, times: EffectTimes,
               after: Outcome | None = None) -> None:
        """A log that cannot be written hinders neither Apply nor Refine."""
        from deepgmm.files import write_whole
        from deepgmm.review.edit_log import log_text

        try:
            text = log_text(self._said(before, given, times, after))
            name = _free_name(self._folder)
            write_whole(os.path.join(self._folder, name), text.encode(), "edit log")
        except DeepGMMError as error:
            self.panel.tell_of(error)
        except Exception:
            logging.exception("DeepGMM: no edit log could be written")
            self.panel.tell(_("No edit log could be written: the Python console (Ctrl+3) shows "
                              "why."))
        else:
            self.panel.log(_("Edit log: {name} was written.").format(name=name))

    def _said(self, before: Outcome, given, times: EffectTimes, after: Outcome | None) -> dict:
        from deepgmm.review.edit_log import edit_log
        from deepgmm.review.versions import Versions

        base = self._versions.of(before)
        if base is None:
            raise InputError(_("no edit log was written: the version that was corrected is no "
                               "longer kept"))
        refined = None if after is None else self._versions.of(after)
        line: list[Kept] = [self._versions.automatic_of(base), base]
        held = Versions(base.study, base.tissues, line + ([] if refined is None else [refined]))
        return edit_log(held, given, base.number, None if refined is None else refined.number,
                        refit_seconds=None if after is None else after.seconds, effects=times)


def _free_name(folder: str) -> str:
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    number = 1
    while f"edit-log-{number:03d}.json" in there:
        number += 1
    return f"edit-log-{number:03d}.json"
