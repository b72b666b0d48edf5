"""The result: segments, 3D, opacity, numbers with their intervals, warnings, undo.

All of it but undo is read from the output's own nodes, and so is there again in a saved scene.
"""

import csv
import os

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.acting import method_in_words
from deepgmm.errors import InputError
from deepgmm.study.levels import Numbering
from DeepGMMSegmentationLib import cells
from DeepGMMSegmentationLib.apply import choices_of
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.drawn import drawn_labels, when_drawn
from DeepGMMSegmentationLib.panel import Panel, Section, named_here
from DeepGMMSegmentationLib.parameters import slices_chosen, tick

#: Milliseconds: the events of one stroke come closer together.
_AFTER_A_STROKE = 20

_WARNING_SIGN = "\N{WARNING SIGN}"


class ResultsSection(Section):
    """What is in the output, and what can be done with it."""

    def __init__(self, ui, panel: Panel, editor) -> None:
        super().__init__(ui, panel)
        self._editor = editor
        self._output = None
        self._opacity: float | None = None
        self._last = None
        self._drawn: tuple = ()  # when the last result was written
        self._counted: tuple = ()  # what was drawn when the numbers were counted
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_AFTER_A_STROKE)
        self._timer.timeout.connect(self._recount)
        self._inputs: tuple = (None, None)
        self._texts: tuple = ()
        cells.prepare(ui.numbersTable, [_("Tissue"), _("Volume (ml)"), _("90 % interval (ml)"),
                                        _("% of wall")])
        cells.prepare(ui.ahaTable, [_("Segment"), _("Wall (ml)"), _("Infarct (%)"), _("Edema (%)")])
        ui.segmentsTableView.statusColumnVisible = False
        ui.undoButton.connect("clicked()", self._on_undo)
        ui.saveNumbersButton.connect("clicked()", self._on_save)
        ui.copyNumbersButton.connect("clicked()", self._on_copy)

    def refresh(self) -> None:
        self._leave_other_volume()
        output = None if self.state is None else self.state.output
        self._follow(output)
        self._show_opacity()
        last = self.panel.run.last
        if last is not self._last:
            self._last = last
            self._drawn = () if last is None else when_drawn(last.written.segmentation)
            self._counted = () if output is None else when_drawn(output)
        self.ui.undoButton.enabled = self._can_undo()
        self._show_texts(texts_of(output, self.panel.numbering, self._is_old()))

    def close(self) -> None:
        self._follow(None)
        self._last, self._inputs = None, (None, None)

    def cleanup(self) -> None:
        self._follow(None)
        self._timer.timeout.disconnect(self._recount)
        self.ui.undoButton.disconnect("clicked()", self._on_undo)
        self.ui.saveNumbersButton.disconnect("clicked()", self._on_save)
        self.ui.copyNumbersButton.disconnect("clicked()", self._on_copy)

    def _leave_other_volume(self) -> None:
        """A result of one patient is neither shown nor overwritten with the images of another."""
        state = self.state
        volume = None if state is None else reference(state)
        before, self._inputs = self._inputs, (state, volume)
        if volume is None:
            self._inputs = (state, before[1] if state is before[0] else None)
            return
        if before[0] is not state or volume is before[1] or not is_there(state.output):
            return
        from deepgmm.scene.read_back import is_of, provenance_of

        if "grid" in provenance_of(state.output) and not is_of(state.output, volume):
            self._editor.forget(state.output)
            state.output = None
            self.panel.tell(_("The result in Output was of another image: it stays in the scene, "
                              "and the next Apply makes a new segmentation."))

    def _is_old(self) -> bool:
        """Whether the choices are no longer those of the result that is shown: of one of another
        session as far as its report tells."""
        last = self._last
        if self._output is None or self.panel.run.busy:
            return False
        if last is None or last.choices is None or last.written.segmentation is not self._output:
            return _differs(self.state, self._output)
        return choices_of(self.state) != last.choices

    def _follow(self, output) -> None:
        """Show another segmentation, and hear of what is drawn in it."""
        if output is self._output:
            return
        segments = slicer.vtkSegmentation
        events = (segments.SegmentAdded, segments.SegmentRemoved,
                  segments.SourceRepresentationModified)
        for event in events:
            if self._output is not None:
                self.panel.observers.remove(self._output, event, self._on_drawn)
            if output is not None:
                self.panel.observers.add(output, event, self._on_drawn)
        self._timer.stop()
        self._output, self._opacity = output, None
        self._counted = () if output is None else when_drawn(output)
        self.ui.segmentsTableView.setSegmentationNode(output)
        self.ui.show3DButton.setSegmentationNode(output)
        self.ui.show3DButton.enabled = self.ui.opacitySlider.enabled = output is not None

    def _on_drawn(self, caller, event) -> None:
        """A stroke may be told in several events: the numbers follow when it is over."""
        self._timer.start()

    def _recount(self) -> None:
        """Numbers of the segments as they are now, where there are numbers."""
        if self._output is None or not is_there(self._output) \
                or when_drawn(self._output) == self._counted:
            return
        from deepgmm.scene.read_back import provenance_of
        from deepgmm.scene.recount import recount

        self._counted = when_drawn(self._output)
        role = self._output.GetReferenceImageGeometryReferenceRole()
        volume = self._output.GetNodeReference(role)
        if volume is not None and "volumes_ml" in provenance_of(self._output):
            try:
                recount(self._output, volume, drawn_labels.of(self._output, volume))
            except InputError as error:
                self.panel.tell_of(error)
        self.panel.refresh()

    def _show_opacity(self) -> None:
        """The slider's opacity to the fill, when it was moved or the output is another."""
        if self._output is None or self._opacity == self.state.opacity:
            return
        display = self._output.GetDisplayNode()
        if display is not None:
            self._opacity = self.state.opacity
            display.SetOpacity2DFill(self._opacity)

    def _show_texts(self, texts: tuple) -> None:
        if texts == self._texts:
            return
        self._texts = texts
        warnings, numbers, segments, about = texts
        ui = self.ui
        ui.warningsLabel.text = "\n".join(f"{_WARNING_SIGN} {one}" for one in warnings)
        ui.warningsLabel.visible = bool(warnings)
        cells.fill(ui.numbersTable, [list(row) for row in numbers])
        ui.numbersTable.visible = bool(numbers)
        cells.fill(ui.ahaTable, [list(row) for row in segments])
        ui.ahaGroupBox.visible = bool(segments)
        ui.numbersLabel.text = about
        ui.copyNumbersButton.enabled = ui.saveNumbersButton.enabled = bool(numbers)

    def _can_undo(self) -> bool:
        return (self._last is not None and not self.panel.run.busy
                and self._last.written.segmentation is self._output
                and self._output.GetScene() is not None)

    def _on_undo(self) -> None:
        """What was drawn since then goes with it, counted or not: the user is asked. The
        editor's own Undo keeps that of an old output."""
        from deepgmm.scene.borders import hand_over
        from deepgmm.scene.outputs import undo

        if not self._can_undo():
            return
        written = self._last.written
        new = written.before is None
        if when_drawn(written.segmentation) != self._drawn \
                and not slicer.util.confirmOkCancelDisplay(
                    _("You changed segments since Apply. Undo Apply takes the whole segmentation "
                      "away, with these changes.") if new else
                    _("You changed segments since Apply. Undo Apply brings back what was there "
                      "before it, and these changes go."),
                    windowTitle=_("DeepGMM - Undo Apply")):
            return
        if not new:
            self._editor.save_for_undo(written.segmentation)
        else:
            earlier = self._last.earlier if is_there(self._last.earlier) else None
            self._editor.forget(written.segmentation)
            self.state.output = earlier  # or the selector would turn to whatever is beside it
            self._follow(earlier)
            self._editor.follow(earlier)
            hand_over(written.segmentation, earlier)
        if self._last.ticked is not None:
            tick(self.state, *self._last.ticked)
        with slicer.util.RenderBlocker():
            undo(written)
        if self._output is not None:  # its numbers came back with it
            self._counted = when_drawn(self._output)
        self._last.fill_again()
        self.panel.run.forget_last()
        self.panel.tell(_("Apply was undone: the segmentation it made is gone.") if new else
                        _("Apply was undone: segments and numbers are what they were before."))
        self.panel.refresh_now()

    def _on_copy(self) -> None:
        slicer.app.clipboard().setText(numbers_as_text(self._output, self.panel.numbering))
        self.panel.tell(_("The numbers are on the clipboard: paste them into a spreadsheet."))

    def _on_save(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            self.ui.saveNumbersButton, _("DeepGMM - Save numbers"), proposed_file("numbers.csv"),
            _("Table (*.csv)"))
        path = path[0] if isinstance(path, tuple) else path
        if not path:
            return
        try:
            with open(path, "w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file).writerows(numbers_as_rows(self._output, self.panel.numbering))
        except OSError as error:
            self.panel.tell(_("The numbers could not be saved: {why}.").format(
                why=error.strerror or type(error).__name__))
            return
        self.panel.tell(_("The numbers were saved as {name}.").format(
            name=os.path.basename(path)))


def proposed_file(what: str) -> str:
    """Where a file is proposed to be saved: beside the scene, where that was saved."""
    scene_file = slicer.mrmlScene.GetURL()
    folder = os.path.dirname(scene_file) if scene_file else slicer.mrmlScene.GetRootDirectory()
    stem = os.path.splitext(os.path.basename(scene_file))[0] if scene_file else "DeepGMM"
    return os.path.join(folder or "", f"{stem} {what}")


def _differs(state, output) -> bool:
    """Whether another method is chosen than a report's, or a slice left out that it used."""
    from deepgmm.scene.read_back import provenance_of

    said = provenance_of(output)
    method = (said.get("settings") or {}).get("method", state.method)
    left_out = {str(index) for index in slices_chosen(state, reference(state))[0]}
    return method != state.method or not left_out <= said.get("excluded_slices", {}).keys()


def texts_of(output, numbering: Numbering, old: bool = False) -> tuple:
    """Warnings, rows of numbers, rows of AHA segments, and a line about the fit.

    Parameters
    ----------
    numbering : how slices are counted for the user.
    old : whether the choices were changed since.
    """
    if output is None:
        return (), (), (), _("There is no result yet.")
    from deepgmm.scene.read_back import provenance_of, records

    said = provenance_of(output)
    numbers = tuple(
        (row["Tissue"], _number(row["Volume (ml)"]),
         _interval(row["90 % from (ml)"], row["90 % to (ml)"]),
         _number(row["Percent of wall"], 0))
        for row in records(output, "Numbers"))
    segments = tuple(
        (f"{row['Segment']} {row['Name']}", _number(row["Wall (ml)"]),
         _number(row["Infarct (% of wall)"], 0), _number(row["Edema (% of wall)"], 0))
        for row in records(output, "AHA segments"))
    warnings = tuple(named_here(numbering.in_words(one)) for one in said.get("warnings", ()))
    return (warnings, numbers, segments,
            _about(said, numbering, old) if numbers
            else _("No result of DeepGMM in this segmentation."))


def _about(said: dict, numbering: Numbering, old: bool) -> str:
    left_out, done = said.get("excluded_slices", {}), _done(said)
    parts = [_("Method: {method}.").format(method=method_in_words(said) or "?")]
    if left_out:
        parts.append(_("Slices left out: {slices}.").format(
            slices=numbering.listed(map(int, left_out))))
    if done:
        parts.append(_("Slices done: {slices}.").format(slices=numbering.listed(done)))
    if "refined" in said:
        parts.append(_("Learned from {count} corrected voxels.").format(
            count=said["refined"]["corrected_voxels"]))
    by_hand = said.get("corrected_tissues", [])
    if by_hand:
        parts.append(_("Corrected by hand, without an interval: {tissues}.").format(
            tissues=", ".join(by_hand)))
    changed = _("The choices have changed since this result: press Apply to bring it up to date.")
    return (changed + "\n" if old else "") + " ".join(parts)


def _done(said: dict) -> list[int]:
    """The slices that a run kept as the user had them."""
    return sorted({*said.get("locked_slices", ()),
                   *said.get("refined", {}).get("done_slices", ())})


def numbers_as_text(output, numbering: Numbering) -> str:
    """`numbers_as_rows` as spreadsheets take them from the clipboard."""
    return "\n".join("\t".join(row) for row in numbers_as_rows(output, numbering)) + "\n"


def numbers_as_rows(output, numbering: Numbering) -> list[list[str]]:
    """What they are of, numbers and AHA segments to 0.001, with an empty row between them."""
    from deepgmm.scene.read_back import provenance_of, records

    lines = [[" ".join(text.split()) for text in line]
             for line in _facts(provenance_of(output), numbering)]
    for role in ("Numbers", "AHA segments"):
        rows = records(output, role)
        if rows:
            lines += [[], list(rows[0]),
                      *([_cell(value) for value in row.values()] for row in rows)]
    return lines


def _facts(said: dict, numbering: Numbering) -> list[tuple[str, str]]:
    """What must be known of the numbers wherever they go, a line each."""
    left_out, done = said.get("excluded_slices", {}), _done(said)
    none = _("none")
    return [
        (_("Method"), method_in_words(said) or "?"),
        (_("Slices counted"), _("from 1, the base first") if numbering.towards_apex else
         _("from 1, in the order of the images")),
        (_("Slices left out"),
         "; ".join(f"{numbering.of(int(index))}: {why}" for index, why in left_out.items())
         or none),
        (_("Slices done"), numbering.listed(done) or none),
        (_("Corrected by hand"), ", ".join(said.get("corrected_tissues", [])) or none),
        *(((_("Voxels learned from"), str(said["refined"]["corrected_voxels"])),)
          if "refined" in said else ()),
        *((_("Warning"), named_here(numbering.in_words(one))) for one in said.get("warnings", ())),
    ]


def _cell(value) -> str:
    if isinstance(value, float):
        return str(round(value, 3))
    return "" if value is None else str(value)


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.1f} - {high:.1f}"
