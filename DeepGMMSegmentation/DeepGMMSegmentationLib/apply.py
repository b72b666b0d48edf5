"""Apply, progress, Cancel, and what the user is told of them."""

from collections.abc import Iterable

import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import Numbering
from DeepGMMSegmentationLib import dependencies, inputs
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.drawn import curves_drawn, when_drawn
from DeepGMMSegmentationLib.followed import about_followed, what_followed
from DeepGMMSegmentationLib.job import Outcome
from DeepGMMSegmentationLib.method import chosen_settings
from DeepGMMSegmentationLib.output import ask_again, ask_output
from DeepGMMSegmentationLib.panel import Panel, Section, sentence
from DeepGMMSegmentationLib.parameters import (
    SETTINGS,
    PanelState,
    borders_ticked,
    slices_chosen,
    tick,
)
from DeepGMMSegmentationLib.proposing import proposed_unseen
from DeepGMMSegmentationLib.run import Run
from DeepGMMSegmentationLib.warming import Warming


class ApplySection(Section):
    """The button that starts a run and, while one runs, stops it."""

    def __init__(self, ui, panel: Panel, editor) -> None:
        super().__init__(ui, panel)
        run = panel.run
        run.listeners.append(self._on_run_changed)
        self._editor = editor
        run.before_writing, run.ask_where = editor.save_for_undo, ask_again
        run.on_done, run.on_failed, run.on_said = self._on_done, self._on_failed, panel.log
        self._asking = False
        self._complete: bool | None = None
        self._shown: tuple = ()
        self._warming = Warming(self._on_warm)
        ui.applyButton.connect("clicked()", self._on_pressed)
        slicer.app.connect("aboutToQuit()", run.close)

    def refresh(self) -> None:
        run, button = self.panel.run, self.ui.applyButton
        missing = self._missing()
        button.text = (_("Stopping...") if run.cancelling else _("Cancel") if run.busy
                       else _("Apply"))
        button.enabled = not run.cancelling if run.busy else not missing
        button.toolTip = "\n".join(
            [_("Stop it; nothing will be changed.") if run.task != "segment" else
             _("Stop the segmentation; nothing will be changed.")] if run.busy
            else [_("Still to do:"), *(f"- {one}" for one in missing)] if missing
            else [_("Segment the left ventricle with the choices above."), *self._unseen()])
        self.ui.progressBar.visible = run.busy
        if run.busy:
            self.ui.progressBar.value = round(100 * run.fraction)
            self.ui.statusLabel.text = about_progress(run, self.panel.numbering)
        elif not missing and run.cold and self._packages_are_there():
            run.warm()

    def enter(self) -> None:
        self._complete = None
        self._warming.start()
        self.panel.refresh()

    def close(self) -> None:
        self.panel.run.cancel()
        self.panel.run.last = self.panel.run.fitted = None

    def cleanup(self) -> None:
        run = self.panel.run
        self._warming.stop()
        self.ui.applyButton.disconnect("clicked()", self._on_pressed)
        slicer.app.disconnect("aboutToQuit()", run.close)
        run.close()
        run.forget()

    def _on_warm(self) -> None:
        other = dependencies.other_version()
        if other:
            self.panel.tell(_("Python also finds DeepGMM {version} elsewhere. This module uses its "
                              "own; your scripts may not.").format(version=other))
        self.panel.refresh()

    def _missing(self) -> list[str]:
        if self.state is None:
            return [_("a scene")]
        return inputs.missing(self.state)

    def _unseen(self) -> list[str]:
        return [_("The LV mask was proposed: look at every slice of it first.")] \
            if proposed_unseen(self.state) else []

    def _packages_are_there(self) -> bool:
        """Looked up once for each time the user comes to the module."""
        if self._complete is None:
            self._complete = not dependencies.missing()
        return self._complete

    def _on_pressed(self) -> None:
        if self._asking:  # a second press, from within the event loop of a question
            return
        if self.panel.run.busy:
            self.panel.run.cancel()
            return
        self._asking = True
        try:
            self._apply()
        except InputError as error:
            self.panel.tell_of(error)
        finally:
            self._asking = False
            self.panel.refresh()

    def _apply(self) -> None:
        """Packages first, then what is wrong with the inputs, then the question about the
        output: who answers that does so once."""
        state = self.state
        missing = self._missing()
        if missing:
            raise InputError("; ".join(missing))
        dependencies.ensure()
        self._complete = True
        settings = chosen_settings(state)
        job = self.panel.run.prepare(state, settings)
        job.choices = choices_of(state)
        wanted, job.output = ask_output(state.output)
        if wanted and state is self.state:  # the scene may have gone during the questions
            job.chosen = state.output
            self.panel.run.begin(job)
            self.panel.log(_("Segmentation started: {method}.").format(
                method=settings.method.value))

    def _on_run_changed(self) -> None:
        """Progress touches this section only; what others show too, all of them."""
        run = self.panel.run
        self.refresh()
        shown = (run.busy, run.cancelling, run.machine is None)
        if shown != self._shown:
            self._shown = shown
            self.panel.refresh()

    def _on_done(self, outcome: Outcome) -> None:
        state = self.state
        changed = state is not None and choices_of(state) != outcome.choices
        outcome.told += self._show(state, outcome)
        followed = about_followed(what_followed(outcome)[1], self.panel.numbering)
        said = " ".join([about_done(outcome, outcome.task), *([followed] if followed else []), *(
            [_("The LV mask was proposed, and nobody has said that its slices were looked at.")]
            if outcome.unseen else []), *(
            sentence(self.panel.numbering.in_words(one)) for one in outcome.told)])
        if changed:
            said += " " + _("It is the result of the inputs and choices when you pressed Apply, "
                            "some of which you have changed since.")
        for warning in outcome.warnings:
            self.panel.log(sentence(self.panel.numbering.in_words(warning)))
        self.panel.tell(said)
        self.panel.refresh()

    def _show(self, state: PanelState | None, outcome: Outcome) -> list[str]:
        """On the panel and in its editor, unless the user has turned to something else; and what
        is to be said of ticks and curves."""
        from deepgmm.scene.borders import hand_over
        from deepgmm.scene.read_back import is_of

        result = outcome.written.segmentation
        volume = None if state is None else reference(state)
        if volume is None or state.output is not outcome.chosen or not is_of(result, volume):
            return []
        said = []
        if state.output is not result:
            outcome.earlier, state.output = state.output, result
            if hand_over(outcome.earlier, result):
                said.append(_("The border curves go with the new segmentation."))
        self._editor.follow(result, state.mask, outcome.earlier)
        return said + ticked_anew(state, volume, outcome)

    def _on_failed(self, kind: str, message: str) -> None:
        said = sentence(self.panel.numbering.in_words(message))
        if kind not in ("input", "cancelled"):
            said += " " + _("Nothing in the scene was changed.")
        if kind == "dependencies":
            self._complete = None
        self.panel.tell(said)
        self.panel.refresh()


def ticked_anew(state: PanelState, volume, outcome: Outcome) -> list[str]:
    """Ticks say nothing of a result that is another now; what is to be said where some changed."""
    before = slices_chosen(state, volume)[1], borders_ticked(state, volume)
    done, borders = before
    if outcome.task == "segment":  # slices that are done kept their segments
        borders = []
    elif outcome.task == "back":
        done, borders = ticks_of(outcome.answer.result, curves_drawn(state, volume)[0])
    if (done, borders) == before:
        return []
    outcome.ticked = before
    state.slicesOf = volume
    tick(state, done, borders)
    return [_("Border is ticked nowhere any more, for the borders are new.")
            if outcome.task == "segment" else
            _("Done and Border are ticked as that version was told.")]


def ticks_of(result, curves: Iterable[int]) -> tuple[list[int], list[int]]:
    """The slices that a result was told are done, and those with a border that is right; not of a
    curve that lies there."""
    known = result.corrections
    done = {*result.provenance.get("locked_slices", ()), *(() if known is None else known.done)}
    return sorted(done), sorted({*(() if known is None else known.bordered)} - {*curves})


def choices_of(state: PanelState) -> list:
    """What a result depends on, to see whether it was changed; what is done stays as it is."""
    values = [getattr(state, field) for field in (
        *SETTINGS, "align", "bssfp", "matchFrame", "lge", "lgeKind", "t2", "t2Kind", "mask",
        "maskSegmentIDs", "insertionPoints", "excluded")]
    # The result is drawn beside a mask that is in the same segmentation.
    drawn = when_drawn(state.mask) if is_there(state.mask) \
        and state.mask is not state.output else ()
    return [*(value.GetID() if hasattr(value, "GetID") else str(value) for value in values), drawn]


def _stages() -> dict[str, str]:
    """What the stages of a fit are called here."""
    return {
        "starting": _("Starting"), "checking": _("Checking the images"),
        "checking alignment": _("Comparing the sequences"),
        "preparing": _("Preparing the images"), "EM": _("Fitting the mixture"),
        "finding the ventricle": _("Finding the left ventricle"),
        "outlining": _("Outlining the left ventricle"),
        "anchored EM": _("Fitting the mixture"), "network": _("Fitting the network"),
        "adapting": _("Adapting to this patient"),
        "refining": _("Following your corrections"), "done": _("Finishing"),
        "measuring": _("Measuring"), "writing": _("Writing the files"),
    }


def about_progress(run: Run, numbering: Numbering) -> str:
    """Stage, slice and time left, in one line."""
    if run.cancelling:
        return _("Stopping...")
    if not run.stage:
        return _("Starting...")
    stage, _comma, which = run.stage.partition(", ")
    parts = [_stages().get(stage, stage.capitalize())]
    if which.startswith("slice "):
        parts.append(numbering.in_words(which))
    elif stage in ("EM", "anchored EM", "network") and run.slices > 1:
        parts.append(_("all {count} slices at once").format(count=run.slices))
    if run.seconds_left is not None:
        parts.append(time_left(run.seconds_left))
    return ", ".join(parts)


def about_done(outcome: Outcome, task: str = "segment") -> str:
    """How long it took, and whether there is something to read."""
    said = {
        "refine": _("Refined in {seconds:.1f} s: what you corrected stays, check what followed."),
        "back": _("The earlier version is in the output again."),
    }.get(task, _("Done in {seconds:.1f} s: check every slice.")).format(seconds=outcome.seconds)
    count = len(outcome.warnings)
    if not count:
        return said
    return said + " " + (_("1 warning, under Results.") if count == 1 else
                         _("{count} warnings, under Results.").format(count=count))


def time_left(seconds: float) -> str:
    """In words."""
    if seconds < 90:
        return _("about {count} s left").format(count=max(1, round(seconds)))
    return _("about {count} min left").format(count=round(seconds / 60))
