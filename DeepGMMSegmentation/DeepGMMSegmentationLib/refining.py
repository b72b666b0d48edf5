"""Refine: the other slices follow what the user corrected in some."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import Numbering
from DeepGMMSegmentationLib.chosen import is_there, reference
from DeepGMMSegmentationLib.drawn import curves_drawn, drawn_labels
from DeepGMMSegmentationLib.job import Job, Outcome, counted, grid_of
from DeepGMMSegmentationLib.panel import Panel, Section, sentence
from DeepGMMSegmentationLib.parameters import PanelState, borders_ticked, slices_chosen

_TASK = "refine"
#: A curve that moved less, in pixels, lies where it lay.
_STILL = 0.05
#: (slice, tissue before, tissue now) to how many voxels.
Moved = dict[tuple[int, int, int], int]


@dataclass
class Corrected:
    """What a user says of a result, that it has not learned from yet.

    Attributes
    ----------
    voxels : slice to how many of its voxels are drawn otherwise than the fit left them.
    done : slices that are ticked done.
    new : those of them that no refit took as done, where anything is drawn.
    reopened : slices that one did, and that are ticked no longer.
    borders : slices whose border is ticked as right, and that no refit took so as it is drawn now.
    curves : slice to a border curve that no refit has learned from as it lies now.
    unbordered : slices whose border one took as right, and of which nothing says so any longer.
    learned : slice to a border curve that one has learned from, and that lies as it lay.
    moved : as `moved`; of `voxels`.
    wrong : what is wrong with border curves that therefore count for nothing.
    """

    voxels: dict[int, int] = field(default_factory=dict)
    done: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)
    borders: list[int] = field(default_factory=list)
    curves: dict[int, Any] = field(default_factory=dict)
    unbordered: list[int] = field(default_factory=list)
    learned: dict[int, Any] = field(default_factory=dict)
    moved: "Moved" = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.voxels or self.new or self.reopened or self.borders or self.curves
                    or self.unbordered)


def corrected_in(result, labels, done: list[int], ticked: Iterable[int] = (),
                 curves: Mapping[int, Any] | None = None,
                 learned: Mapping[int, Any] | None = None) -> Corrected:
    """What is drawn otherwise than a result has it, and the slices that are done.

    Parameters
    ----------
    result : `deepgmm.result.Result`, as the worker has it.
    labels : (slices, rows, columns), as they are drawn.
    ticked : slices whose border is right.
    curves, learned : border curves as they lie now, and those that the result has learned from.
    """
    differs = labels != result.labels
    differs[_emptied(result, labels)] = False
    counts = differs.sum((1, 2))
    known, bordered = (set(), set()) if result.corrections is None else (
        {*result.corrections.done}, {*result.corrections.bordered})
    whole, curves = {*done}, curves or {}  # of a slice that is done all is said
    same = {i for i, line in (learned or {}).items() if i in bordered and i in curves
            and line.shape == curves[i].shape and np.abs(line - curves[i]).max() < _STILL}
    return Corrected(
        {int(i): int(counts[i]) for i in np.flatnonzero(counts)}, done,
        sorted(i for i in {*done} - known if labels[i].any()), sorted(known - {*done}),
        [i for i in ticked if i not in whole and i not in curves and _has_border(labels[i])
         and (i not in bordered or counts[i])],
        {i: line for i, line in curves.items()
         if i not in whole and i not in same and labels[i].any()},
        sorted(bordered - {*ticked} - {*curves} - whole), {i: curves[i] for i in same},
        moved(result.labels, labels, differs))


def _has_border(labels) -> bool:
    """Whether there are pool and wall on a slice."""
    from deepgmm.study.words import WALL_TISSUES, Tissue

    return bool((labels == Tissue.BLOOD).any() and np.isin(labels, WALL_TISSUES).any())


def given_by(corrected: Corrected, result, labels):
    """The same as `deepgmm.given.Corrections`, to be learned from, and what is to be said of it.

    Raises
    ------
    deepgmm.errors.InputError
        Labels that cannot be this result's.
    """
    from deepgmm.review.corrections import (
        contour_corrections,
        corrections_of,
        lost_to_curves,
        moved_outside,
        strays,
    )

    given = corrections_of(result, labels, done=corrected.new, borders=corrected.borders)
    moved_out = moved_outside(given, result)
    told = [*strays(given, result), *([_outer(moved_out)] if moved_out else [])]
    if not corrected.curves:
        return given, told
    curves = contour_corrections(result, corrected.curves, drawn=given)
    return given.joined(curves), [*told, *lost_to_curves(given, curves)]


def _outer(slices: list[int]) -> str:
    """That the outer border was moved, and what moves it where."""
    from deepgmm.study.words import named_slices

    return _("the outer border was moved on {slices}: that stays as drawn, and no outer border "
             "follows it, for Refine goes by the LV mask; to have it followed redraw it in the LV "
             "mask (of one that was just proposed Neighbours follow moves the slices beside), and "
             "press Apply").format(slices=named_slices(slices))


def moved(before, now, where) -> Moved:
    """What became what, slice by slice.

    Parameters
    ----------
    before, now, where : (slices, rows, columns), labels and the voxels that are meant.
    """
    at = np.nonzero(where)
    pairs = np.stack((at[0], before[at], now[at]), 1).astype(int)
    kinds, many = np.unique(pairs, axis=0, return_counts=True)
    return {tuple(kind): count for kind, count in zip(kinds.tolist(), many.tolist())}


def _emptied(result, labels) -> list[int]:
    """Slices of which nothing is drawn any more: nothing can be learned from them."""
    from deepgmm.review.corrections import left_empty

    return left_empty(labels, result)


@dataclass
class RefineJob(Job):
    """A refit asked for; of the corrections alone, where the worker still has the result.

    Attributes
    ----------
    fitted : the run whose result was corrected.
    corrected : what of it.
    """

    task: str = _TASK
    fitted: Outcome | None = None
    corrected: Corrected = field(default_factory=Corrected)
    _labels: Any = None
    _corrections: Any = None
    _told: list[str] = field(default_factory=list)
    _whole: bool = False

    def read(self) -> None:
        result = self.fitted.answer.result
        self.study, self.slices = result.study, len(result.study.slices)
        self.grid = grid_of(self.reference)
        self._labels = drawn_labels.of(self.output, self.reference)
        self._corrections, self._told = given_by(self.corrected, result, self._labels)
        self._whole = not self.fitted.answer.kept  # of an earlier session: no worker has it
        self._ask()

    def _ask(self) -> None:
        from deepgmm.jobs.tasks import refine_request

        answer = self.fitted.answer
        self.message = refine_request(self._corrections, "" if self._whole else answer.kept,
                                      answer.result if self._whole else None,
                                      reopened=self.corrected.reopened,
                                      unbordered=self.corrected.unbordered)

    def asks_again(self, header: dict) -> bool:
        """A worker that no longer has the result is sent all of it, once."""
        if header["kept"] or self._whole:
            return False
        self._whole = True
        self._ask()
        return True

    def was_drawn_on(self) -> bool:
        """Nobody is asked: what was drawn meanwhile stays."""
        return False

    def answer_in(self, header: dict, arrays: dict):
        from deepgmm.jobs.tasks import refined

        return refined(header, arrays, self.study)

    def as_sent(self):
        return self.fitted.sent

    def write(self, header: dict, arrays: dict) -> Outcome:
        return replace(super().write(header, arrays), given=(self._corrections, self._labels),
                       curves=self._learned(), told=self._told)

    def _learned(self) -> dict[int, Any]:
        """Also of a curve that counts for nothing at present, as it lay."""
        before = {i: line for i, line in self.fitted.curves.items()
                  if i not in self.corrected.unbordered}
        return before | self.corrected.learned | self.corrected.curves

    def as_drawn(self, answer) -> tuple[Any, dict, list[dict]]:
        """With the strokes since it began, which are the next corrections, and without slices
        that the user emptied."""
        now = drawn_labels.of(self.output, self.reference)
        stays = now != self._labels
        stays[_emptied(answer.result, now)] = True
        labels = np.where(stays, now, answer.result.labels)
        if (labels == answer.result.labels).all():
            return answer.result, answer.report, answer.slices
        return replace(answer.result, labels=labels), *counted(answer, labels)


def fitted_in(panel: Panel) -> Outcome | None:
    """The run that made the output, of this session and of the images that are chosen."""
    fitted, state = panel.run.fitted, panel.state
    volume = None if state is None else reference(state)
    if volume is None or fitted is None or fitted.answer is None or not is_there(state.output) \
            or fitted.written.segmentation is not state.output:
        return None
    from deepgmm.scene.read_back import is_of

    return fitted if is_of(state.output, volume) else None


def corrected_since(fitted: Outcome, state: PanelState) -> Corrected:
    """What a user says of the output since it was fitted.

    Raises
    ------
    deepgmm.errors.InputError
        A segmentation that cannot be read on the grid of the images.
    """
    volume = reference(state)
    curves, wrong = curves_drawn(state, volume)
    found = corrected_in(fitted.answer.result, drawn_labels.of(state.output, volume),
                         slices_chosen(state, volume)[1], borders_ticked(state, volume),
                         curves, fitted.curves)
    useless = _outside_mask(found.curves, fitted.answer.result)
    if wrong:  # one of these may be what was learned there
        found.unbordered = [i for i in found.unbordered if i not in fitted.curves]
    return replace(found, wrong=[*wrong, *useless.values()],
                   curves={i: line for i, line in found.curves.items() if i not in useless})


def _outside_mask(curves: Mapping[int, Any], result) -> dict[int, str]:
    """Slices on which a curve does not lie inside the LV mask, and how that is said."""
    from deepgmm.review.corrections import pool_within

    said = {}
    for index, line in curves.items():
        try:
            pool_within(line, result.study.mask[index], index)
        except InputError as error:
            said[index] = str(error)
    return said


class RefineSection(Section):
    """The button beside Apply, and what it would learn from."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        ui.refineButton.connect("clicked()", self._on_pressed)

    def refresh(self) -> None:
        ui, fitted = self.ui, fitted_in(self.panel)
        found, said = Corrected(), ""
        if fitted is not None:
            try:
                found = corrected_since(fitted, self.state)
            except InputError as error:
                said = self._in_words(error)
        wrong = " ".join(self._in_words(one) for one in found.wrong)
        ui.refineButton.enabled = bool(found) and not self.panel.run.busy
        ui.refineButton.toolTip = said or (
            _("Press Apply first: a result of this session can learn from your corrections.")
            if fitted is None else
            _("Have the other slices follow what you corrected, which stays as it is.") if found
            else _("Correct a slice in the Segment editor, or tick Done where all of it is right, "
                   "or Border where that of pool and wall is: the others will follow."))
        ui.correctedLabel.text = said or ("" if fitted is None else " ".join(filter(None, (
            about_corrected(found, fitted, self.panel.numbering), wrong))))
        ui.correctedLabel.toolTip = details_of(found, self.panel.numbering)
        ui.correctedLabel.visible = bool(ui.correctedLabel.text)

    def _in_words(self, message) -> str:
        return sentence(self.panel.numbering.in_words(str(message)))

    def cleanup(self) -> None:
        self.ui.refineButton.disconnect("clicked()", self._on_pressed)

    def _on_pressed(self) -> None:
        state, fitted = self.state, fitted_in(self.panel)
        if fitted is None or self.panel.run.busy:
            return
        try:
            self.panel.run.begin(RefineJob(
                None, {}, reference(state), state.output, state.probabilities, state.uncertainty,
                choices=fitted.choices, chosen=state.output, fitted=fitted,
                corrected=corrected_since(fitted, state)))
        except InputError as error:
            self.panel.tell_of(error)
        else:
            self.panel.log(_("Refine started."))
        self.panel.refresh()


def about_corrected(found: Corrected, fitted: Outcome, numbering: Numbering) -> str:
    """What was corrected since the fit, and where to look next."""
    voxels, parts = sum(found.voxels.values()), []
    if voxels:
        where = numbering.listed(found.voxels)
        parts.append((_("1 voxel on slice {where}") if voxels == 1 else
                      _("{count} voxels on slice {where}") if len(found.voxels) == 1 else
                      _("{count} voxels on slices {where}")).format(count=voxels, where=where))
    if found.done:
        parts.append((_("slice {which} done") if len(found.done) == 1 else
                      _("slices {which} done")).format(which=numbering.listed(found.done)))
    borders = [*found.borders, *found.curves]
    if borders:
        parts.append((_("border on slice {which}") if len(borders) == 1 else
                      _("borders on slices {which}")).format(which=numbering.listed(borders)))
    said = [_("Corrected: {what}.").format(what="; ".join(parts))] if parts else []
    if fitted.answer.next:
        said.append(_("Look next at slice {number}.").format(
            number=numbering.of(fitted.answer.next[0]["index"])))
    return " ".join(said)


def details_of(found: Corrected, numbering: Numbering) -> str:
    """A line for each slice and pair of tissues, with how strongly it is said."""
    lines = [_("Slice {number}: {what}, {count} (voxel)").format(
        number=numbering.of(index), what=in_words(before, after), count=count)
        for (index, before, after), count in found.moved.items()]
    lines += [_("Slice {number}: the border of pool and wall is right (contour)").format(
        number=numbering.of(index)) for index in found.borders]
    lines += [_("Slice {number}: the border of pool and wall is drawn as a curve (contour)").format(
        number=numbering.of(index)) for index in found.curves]
    lines += [_("Slice {number}: all of it is right (slice done)").format(
        number=numbering.of(index)) for index in found.done]
    return "\n".join(lines)


def in_words(before: int, now: int) -> str:
    """Of two tissues, which became which."""
    from deepgmm.study.words import Tissue

    nothing = _("nothing")
    return _("{before} to {after}").format(before=Tissue(before).title if before else nothing,
                                           after=Tissue(now).title if now else nothing)
