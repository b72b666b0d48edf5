"""Versions: the results of this session in a table, and the way back to any of them."""

import weakref
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from DeepGMMSegmentationLib import cells
from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.job import Job, Outcome, grid_of
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.refining import corrected_since, fitted_in

#: Versions at once; beyond, the oldest but the first go, and what was drawn in them alone.
_MOST = 20


@dataclass
class Kept:
    """A version.

    Attributes
    ----------
    number : counted from 1.
    what : was done.
    when : in local time.
    task : of the run that made it; `made_by`, a weak reference to that run.
    said : its answer (`deepgmm.jobs.tasks.Segmented`) without the result.
    packed : the result, as `deepgmm.review.encoding.encode_result` has it.
    study : of the result; those of refits share their arrays.
    choices, sent, curves : as `Outcome` has them.
    volume, grid : that it lies on.
    """

    number: int
    what: str
    when: datetime
    task: str
    made_by: Any
    said: Any
    packed: tuple[dict, dict]
    study: Any
    choices: list | None
    sent: Any
    volume: Any
    grid: tuple
    curves: dict[int, Any] = field(default_factory=dict)

    def answer(self):
        """As the worker gave it."""
        from deepgmm.review.encoding import decode_result

        return replace(self.said, result=decode_result(*self.packed, self.study))

    # As `deepgmm.review.versions.Version` has them.

    def labels(self):
        """(slices, rows, columns)."""
        return self.packed[1]["labels"]

    def corrections(self):
        """All that had been corrected by then, or None."""
        from deepgmm.review.encoding import decode_corrections

        header, arrays = self.packed
        return header["corrections"] and decode_corrections(header["corrections"], arrays)

    @property
    def tissues(self) -> tuple:
        """That were sought."""
        from deepgmm.study.words import Tissue

        return tuple(Tissue(label) for label in self.packed[0]["tissues"])

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in self.packed[1].values())

    @property
    def has_posterior(self) -> bool:
        """Whether one can go back to it."""
        return "posterior" in self.packed[1]

    def give_up(self) -> None:
        """Lose the probabilities; labels and corrections stay."""
        from deepgmm.review.versions import without_posterior

        without_posterior(self.packed[1])

    def row(self, shown: bool) -> list[str]:
        """What the table says of it; what is shown is said."""
        volumes = self.said.report["volumes_ml"]
        return [str(self.number), self.when.strftime("%H:%M"),
                _("{what} (shown)").format(what=self.what) if shown else self.what,
                ", ".join(f"{name} {volumes[name]:.1f}" for name in reversed(volumes))]


def kept(number: int, what: str, fitted: Outcome, volume) -> Kept:
    """The result of a run, packed: quick, for nothing is compressed."""
    from deepgmm.review.encoding import encode_result

    answer = fitted.answer
    study = answer.result.study
    return Kept(number, what, datetime.now(), fitted.task, weakref.ref(fitted),
                replace(answer, result=None), encode_result(answer.result, study), study,
                fitted.choices, fitted.sent, volume, grid_of(volume), fitted.curves)


@dataclass
class BackJob(Job):
    """An earlier answer put into the output; the worker is not asked."""

    task: str = "back"
    answer: Any = None
    sent: Any = None
    curves: dict[int, Any] = field(default_factory=dict)

    def as_sent(self):
        return self.sent

    def answer_in(self, header: dict, arrays: dict):
        return self.answer

    def write(self, header: dict, arrays: dict) -> Outcome:
        return replace(super().write(header, arrays), curves=self.curves)


class VersionsSection(Section):
    """What Apply and Refine made in this session; there is no version of what is only drawn."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._kept: list[Kept] = []
        self._count = 0
        self._back_to: tuple = (None, "")  # the run that went back, and what it is called
        self._shown: list[list[str]] = []
        self._timer = qt.QTimer()  # not in the slot that wrote the result
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._keep)
        cells.prepare(ui.versionsTable, ["", _("When"), _("What"), _("Volumes (ml)")])
        ui.versionsTable.selectionMode = qt.QAbstractItemView.ExtendedSelection  # two to compare
        ui.versionsTable.connect("currentCellChanged(int,int,int,int)", self._on_moved)
        ui.goBackButton.connect("clicked()", self._on_pressed)

    def refresh(self) -> None:
        fitted = fitted_in(self.panel)
        if fitted is not None and all(one.made_by() is not fitted for one in self._kept):
            self._timer.start()
        rows = [one.row(one.made_by() is fitted) for one in self.here()]
        if rows != self._shown:
            self._shown = rows
            cells.fill(self.ui.versionsTable, rows)
        self.ui.versionsGroupBox.visible = len(rows) > 1
        self._show_button()

    def close(self) -> None:
        self._kept, self._count, self._back_to = [], 0, (None, "")

    def cleanup(self) -> None:
        self._timer.stop()
        self._timer.timeout.disconnect(self._keep)
        self.ui.versionsTable.disconnect("currentCellChanged(int,int,int,int)", self._on_moved)
        self.ui.goBackButton.disconnect("clicked()", self._on_pressed)

    def of(self, fitted: Outcome) -> Kept | None:
        """The version that a run made, once it is kept."""
        return next((one for one in self._kept if one.made_by() is fitted), None)

    def automatic_of(self, version: Kept) -> Kept:
        """The last that was segmented up to a version, else the oldest that is kept."""
        until = [one for one in self._kept if one.number <= version.number
                 and one.volume is version.volume]
        return next((one for one in reversed(until) if one.task == "segment"),
                    until[0] if until else version)

    def here(self) -> list[Kept]:
        """Those of the images that are chosen, where these lie now."""
        volume = None if self.state is None else reference(self.state)
        grid = grid_of(volume)
        return [one for one in self._kept if one.volume is volume and one.grid == grid]

    def _keep(self) -> None:
        from deepgmm.review.versions import make_room

        fitted = fitted_in(self.panel)
        if fitted is None or any(one.made_by() is fitted for one in self._kept):
            return
        run, called = self._back_to
        what = called if run is fitted else (
            _("Refined") if fitted.task == "refine" else _("Segmented"))
        self._count += 1
        self._kept.append(kept(self._count, what, fitted, reference(self.state)))
        if len(self._kept) > _MOST:
            self._kept.pop(1)
        make_room(self._kept)
        self.panel.refresh()

    def _chosen(self) -> Kept | None:
        """The version whose row is chosen, unless it is shown or one cannot go back to it."""
        here, row = self.here(), self.ui.versionsTable.currentRow()
        fitted = fitted_in(self.panel)
        if fitted is None or self.panel.run.busy or not 0 <= row < len(here):
            return None
        chosen = here[row]
        return chosen if chosen.made_by() is not fitted and chosen.has_posterior else None

    def _on_moved(self, row: int, column: int, before: int, before_column: int) -> None:
        self._show_button()

    def _show_button(self) -> None:
        chosen, button = self._chosen(), self.ui.goBackButton
        button.enabled = chosen is not None
        button.toolTip = _("Put version {number} into the output again; the others stay in the "
                           "list.").format(number=chosen.number) if chosen else _(
                               "Choose a version that is not shown. (One that gave up its "
                               "probabilities for room can only be compared.)")

    def _on_pressed(self) -> None:
        chosen, state = self._chosen(), self.state
        if chosen is None:
            return
        run = self.panel.run
        try:
            if corrected_since(run.fitted, state).voxels and not slicer.util.confirmOkCancelDisplay(
                    _("You changed segments since the last result. Going back takes these changes "
                      "away; Undo Apply brings them back."), windowTitle=_("DeepGMM - Versions")):
                return
            run.put(BackJob(None, {}, chosen.volume, state.output, state.probabilities,
                            state.uncertainty, choices=chosen.choices, chosen=state.output,
                            grid=chosen.grid, answer=chosen.answer(), sent=chosen.sent,
                            curves=chosen.curves))
        except InputError as error:
            self.panel.tell_of(error)
        if run.last is not None and run.last.task == "back":
            self._back_to = (run.last, _("Back to {number}").format(number=chosen.number))
        self.panel.refresh()
