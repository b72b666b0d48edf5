"""Numbers: what follows a stroke, a slice at a time; all else by the worker, nobody waits."""

import os
import time

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from DeepGMMSegmentationLib import cells, dependencies
from DeepGMMSegmentationLib.bullseye import Bullseye
from DeepGMMSegmentationLib.choices import bind_choice
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.drawn import drawn_labels, when_drawn
from DeepGMMSegmentationLib.examination import dicom_of
from DeepGMMSegmentationLib.measured import masses, methods, percent, transmurality
from DeepGMMSegmentationLib.measuring import MeasureJob
from DeepGMMSegmentationLib.panel import Panel, Section, sentence
from DeepGMMSegmentationLib.results import proposed_file

#: Milliseconds: the events of one stroke come closer together; and who draws on has not ended yet.
_AFTER_A_STROKE, _AFTER_DRAWING = 10, 1000
#: Seconds at a time, so that the window answers.
_AT_ONCE = 0.02

#: Files by button: what they are, how they end, what the dialog calls them.
_FILES = {"csv": ("saveTableButton", "all numbers.csv", "*.csv"),
          "html": ("saveReportButton", "report.html", "*.html"),
          "seg": ("saveDicomButton", "segmentation.dcm", "*.dcm")}


class NumbersSection(Section):
    """Shows what is measured of the output while it is unfolded; folded it costs nothing."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._output = None
        self._live = None
        self._of: tuple = ()  # what `_live` was made for
        self._taken: tuple = ()  # what was drawn when it took the labels
        self._asked: tuple = ()  # what the worker measured last, or was asked for
        self._numbers = None
        self._segment = 0
        self._said: list[str] = []
        self._refused = ""  # why the worker measured nothing
        self._bullseye = Bullseye(ui.bullseyeLabel, self._on_segment)
        self._soon, self._step, self._later = (
            self._timer(wait, what) for wait, what in (
                (_AFTER_A_STROKE, self._on_drawn_over), (0, self._on_step),
                (_AFTER_DRAWING, self._measure)))
        cells.prepare(ui.massTable, ["", _("ml"), _("g"), _("% of LV mass")])
        cells.prepare(ui.methodsTable, [_("Method"), _("Infarct (%)"), _("Infarct (g)"),
                                        _("At risk (%)"), _("Dice")])
        bind_choice(ui.bullseyeComboBox, panel, "bullseye", [
            (_("Infarct"), "infarct_percent"), (_("Edema (without infarct)"), "edema_percent"),
            (_("Transmurality"), "transmurality_mean_radial")])
        bind_choice(ui.segmentModelComboBox, panel, "segmentModel", [("16", "16"), ("17", "17")])
        ui.numbersCollapsibleButton.connect("contentsCollapsed(bool)", self._on_folded)
        ui.saveTableButton.connect("clicked()", self._on_save_table)
        ui.saveReportButton.connect("clicked()", self._on_save_report)
        ui.saveDicomButton.connect("clicked()", self._on_save_dicom)
        panel.run.listeners.append(self._on_run)

    def _timer(self, wait: int, what):
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.setInterval(wait)
        timer.timeout.connect(what)
        return timer

    def refresh(self) -> None:
        self._follow(None if self.state is None else self.state.output)
        there = self._volume() is not None
        for button, _name, _pattern in _FILES.values():
            getattr(self.ui, button).enabled = there and not self.panel.run.busy
        if not self.ui.numbersCollapsibleButton.collapsed:
            self._look()

    def close(self) -> None:
        self._follow(None)
        self.panel.run.forget_quiet()

    def cleanup(self) -> None:
        self._follow(None)
        for timer, what in ((self._soon, self._on_drawn_over), (self._step, self._on_step),
                            (self._later, self._measure)):
            timer.timeout.disconnect(what)
        self._bullseye.cleanup()
        ui = self.ui
        ui.numbersCollapsibleButton.disconnect("contentsCollapsed(bool)", self._on_folded)
        ui.saveTableButton.disconnect("clicked()", self._on_save_table)
        ui.saveReportButton.disconnect("clicked()", self._on_save_report)
        ui.saveDicomButton.disconnect("clicked()", self._on_save_dicom)

    def _on_folded(self, folded: bool) -> None:
        if not folded:
            self._look()

    def _follow(self, output) -> None:
        """Hear of what is drawn in another segmentation."""
        if output is self._output:
            return
        kinds = slicer.vtkSegmentation
        for event in (kinds.SegmentAdded, kinds.SegmentRemoved,
                      kinds.SourceRepresentationModified):
            if self._output is not None:
                self.panel.observers.remove(self._output, event, self._on_drawn)
            if output is not None:
                self.panel.observers.add(output, event, self._on_drawn)
        for timer in (self._soon, self._step, self._later):
            timer.stop()
        self._output, self._live, self._numbers = output, None, None
        self._of, self._taken, self._asked, self._segment = (), (), (), 0
        self._said, self._refused = [], ""

    def _on_drawn(self, caller, event) -> None:
        if not self.ui.numbersCollapsibleButton.collapsed:
            self._soon.start()

    def _on_drawn_over(self) -> None:
        """The bull's-eye first, before all else that follows a stroke."""
        self._look()
        if self._step.active:
            self._step.stop()
            self._on_step()

    def _on_run(self) -> None:
        """The worker is free again, or ready: what waited for it may go on."""
        if not self.panel.run.busy and not self.ui.numbersCollapsibleButton.collapsed \
                and not self._later.active:
            self._later.start()

    # what follows a stroke

    def _volume(self):
        """The volume on whose grid the output's result is; None where there is none to measure."""
        output, state = self._output, self.state
        if state is None or not is_there(output):
            return None
        from deepgmm.scene.read_back import is_of, provenance_of

        volume = reference(state)
        return volume if volume is not None and "volumes_ml" in provenance_of(output) \
            and is_of(output, volume) else None

    def _look(self) -> None:
        """Take what is drawn now, if it is not what was taken before."""
        volume = self._volume()
        if volume is None:
            self._live, self._numbers, self._taken = None, None, ()
            self._show()
            return
        try:
            taken = self._take(volume)
        except InputError as error:
            self._live, self._numbers, taken = None, None, False
            self._said = [str(error)]
        if not taken:
            self._show()

    def _take(self, volume) -> bool:
        """Whether there was something new, which is shown when it is measured."""
        of = (self._output.GetID(), volume.GetID(), self.state.segmentModel)
        if self._live is None or of != self._of:
            self._live, self._of, self._taken = self._new_live(volume), of, ()
        drawn = when_drawn(self._output)
        if drawn == self._taken:
            return self._step.active
        self._taken = drawn
        self._live.take(drawn_labels.of(self._output, volume))
        self._step.start()
        self._later.start()
        return True

    def _new_live(self, volume):
        from deepgmm.review.live import Live
        from deepgmm.review.recount import geometry_of
        from deepgmm.scene.read_back import provenance_of, slices_of
        from deepgmm.study.words import Tissue

        said = provenance_of(self._output)
        level = {row["index"]: row["level"] for row in slices_of(self._output) if row["level"]}
        points, came = self._points(volume, level)
        return Live(geometry_of(said), [Tissue(value) for value in said["labels"].values()], points,
                    level, came, self._model())

    def _points(self, volume, level: dict) -> tuple:
        """RV insertions of the result, or estimated; and how they came, or why there are none."""
        from deepgmm.review.recount import geometry_of
        from deepgmm.scene.read_back import provenance_of
        from deepgmm.study.insertion_points import estimated_points, points_again

        said = provenance_of(self._output)
        labels = drawn_labels.of(self._output, volume)
        if not level:
            return None, _("base and apex cannot be told")
        if said.get("rv_insertion_points"):
            return points_again(said["rv_insertion_points"], len(labels)), "given"
        try:
            return estimated_points(labels > 0, geometry_of(said)), "estimated"
        except InputError as refused:
            return None, str(refused)

    def _model(self) -> int:
        return 17 if self.state.segmentModel == "17" else 16

    def _on_step(self) -> None:
        """Some slices more; when there are none, show what there is: a slot of its own, unless
        the slices took little time, as after a stroke."""
        if self._live is None:
            return
        if self._live.waiting:
            began = time.monotonic()
            while self._live.step() and time.monotonic() < began + _AT_ONCE:
                pass
            if self._live.waiting or time.monotonic() > began + _AT_ONCE / 2:
                self._step.start()
                return
        self._numbers = self._live.numbers()
        self._show()

    # what the worker measures

    def _key(self) -> tuple:
        """What the worker's answer depends on."""
        state = self.state
        nodes = [getattr(state, name) for name in ("bssfp", "lge", "t2", "mask")]
        return (when_drawn(self._output), self._model(), state.lgeKind, state.t2Kind,
                *(node.GetID() if is_there(node) else "" for node in nodes))

    def _measure(self) -> None:
        """Ask the worker, unless it was asked the same before; quietly."""
        volume = self._volume()
        if volume is None or self.ui.numbersCollapsibleButton.collapsed \
                or self._key() == self._asked or slicer.app.mouseButtons() != qt.Qt.NoButton:
            return
        job, key = self._job(volume), self._key()
        job.on_done = self._on_measured
        job.on_failed = self._on_refused
        self._refused = ""
        try:
            if self.panel.run.begin_quietly(job):
                self._asked = key
        except InputError as error:
            self._asked = key
            self._on_refused(str(error))
        self._show()

    def _on_refused(self, message: str) -> None:
        self._refused = message
        self._show()

    def _job(self, volume, **more) -> MeasureJob:
        from deepgmm.scene.read_back import provenance_of, slices_of

        level = {row["index"]: row["level"] for row in slices_of(self._output) if row["level"]}
        points, came = self._points(volume, level)
        return MeasureJob(None, {}, volume, None, segmentation=self._output, state=self.state,
                          said=provenance_of(self._output), model=self._model(),
                          points=points if came == "given" else None, **more)

    def _on_measured(self, done: MeasureJob) -> None:
        if done.segmentation is self._output:
            self._said = done.said_of_it
            if not done.is_true:  # drawn on meanwhile: once more
                self._asked = ()
                self._later.start()
        self._show()

    # what is shown

    def _show(self) -> None:
        if self.ui.numbersCollapsibleButton.collapsed:
            return
        self._show_live()
        self._show_methods()

    def _show_live(self) -> None:
        numbers, ui = self._numbers, self.ui
        there = numbers is not None
        study = numbers.of("study").get("", {}) if there else {}
        cells.fill(ui.massTable, masses(study))
        ui.massTable.visible = there
        ui.transmuralityLabel.text = transmurality(study) if there else ""
        ui.transmuralityLabel.visible = there
        cells.give_room(ui.transmuralityLabel, ui.massTable.width)
        drawable = there and bool(numbers.segments.any())
        key = self.state.bullseye if self.state is not None else ""
        if drawable:
            rows = numbers.of("segment")
            self._bullseye.show({int(where): row[key].value if key in row else None
                                 for where, row in rows.items()},
                                numbers.model, key, chosen=self._segment)
        else:
            self._bullseye.clear()
        ui.segmentLabel.text = self._about_segments(drawable)
        ui.segmentLabel.visible = there
        cells.give_room(ui.segmentLabel, ui.massTable.width)

    def _about_segments(self, drawable: bool) -> str:
        numbers = self._numbers
        if numbers is None:
            return ""
        if not drawable:
            return _("No bull's-eye: {why}.").format(why=numbers.insertions)
        parts = []
        if self._segment:
            from deepgmm.review.aha import NAMES

            row = numbers.of("segment").get(str(self._segment), {})
            parts.append(_("{number} {name}: infarct {infarct}, edema {edema}, transmurality "
                           "{depth}.").format(
                number=self._segment, name=NAMES[self._segment],
                infarct=percent(row, "infarct_percent"), edema=percent(row, "edema_percent"),
                depth=percent(row, "transmurality_mean_radial")))
        if numbers.insertions == "estimated":
            parts.append(_("RV insertion points are estimated: the segments may be turned by some "
                           "20 degrees. Place the points and press Apply for exact ones."))
        return " ".join(parts)

    def _show_methods(self) -> None:
        from deepgmm.scene.measured import numbers_of

        ui, output = self.ui, self._output
        kept = numbers_of(output) if self._volume() is not None else []
        rows = methods(kept)
        if rows or self._numbers is None:
            cells.fill(ui.methodsTable, [texts for texts, _why in rows])
            for number, (_texts, why) in enumerate(rows):
                for column in range(ui.methodsTable.columnCount):
                    ui.methodsTable.item(number, column).setToolTip(why)
        ui.methodsTable.visible = bool(rows)
        ui.measureLabel.text = self._about_methods(bool(kept))
        ui.measureLabel.visible = bool(ui.measureLabel.text)
        cells.give_room(ui.measureLabel, ui.massTable.width)

    def _about_methods(self, there: bool) -> str:
        if self._numbers is None:
            return "\n".join(sentence(one) for one in self._said) or _("There is no result yet.")
        if self._refused:
            said = [sentence(self._refused)]
        elif there:
            said = []
        elif self._asked or not self.panel.run.cold:
            said = [_("The reference methods are being measured.")]
        else:
            said = [_("The reference methods follow once the background process runs.")]
        return "\n".join([*said, *(sentence(self.panel.numbering.in_words(one))
                                   for one in self._said)])

    def _on_segment(self, segment: int) -> None:
        """Its values, and the slice that holds most of what is shown."""
        self._segment = segment
        index = self._live.slice_of(segment, self.state.bullseye)
        if index is not None:
            self.panel.go_to(index)
        self._show_live()

    # files

    def _on_save_table(self) -> None:
        self._save("csv", _("Table (*.csv)"))

    def _on_save_report(self) -> None:
        self._save("html", _("Page (*.html)"))

    def _on_save_dicom(self) -> None:
        self._save("seg", _("DICOM (*.dcm)"))

    def _save(self, what: str, kinds: str) -> None:
        button, name, _pattern = _FILES[what]
        try:
            volume = self._volume()
            if volume is None:
                return
            dependencies.ensure()
            if what == "seg":
                dependencies.ensure_dicom()
            path = qt.QFileDialog.getSaveFileName(
                getattr(self.ui, button), _("DeepGMM - Save"), proposed_file(name), kinds)
            path = path[0] if isinstance(path, tuple) else path
            if not path or self._volume() is not volume:
                return
            job = self._job(volume, files={what: path}, dicom=dicom_of(volume, self.panel))
            job.on_done = self._on_saved
            self.panel.run.begin(job)
        except InputError as error:
            self.panel.tell_of(error)

    def _on_saved(self, done: MeasureJob) -> None:
        (path,) = done.files.values()
        said = [_("Saved as {name}.").format(name=os.path.basename(path))]
        if not done.is_true:
            said.append(_("It holds the segments as they were when you pressed the button."))
        said += [self.panel.numbering.in_words(sentence(one)) for one in done.said_of_it]
        self.panel.tell("\n".join(said))
        self.panel.refresh()
