"""What was corrected, what the last Refine changed elsewhere, and which correction it followed."""

from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.given import Strength
from deepgmm.study.levels import Numbering
from DeepGMMSegmentationLib import cells
from DeepGMMSegmentationLib.job import Outcome
from DeepGMMSegmentationLib.panel import Panel, Section
from DeepGMMSegmentationLib.refining import (
    Corrected,
    Moved,
    corrected_since,
    fitted_in,
    in_words,
    moved,
)


class FollowedSection(Section):
    """The table of corrections and their consequences."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._shown: list[list[str]] = []
        self._slices: list[int] = []
        self._learned: tuple = (None, {}, {})
        cells.prepare(ui.correctionsTable, [_("Slice"), _("What"), _("Voxels"), _("Why")])
        ui.correctionsTable.connect("cellClicked(int,int)", self._on_clicked)

    def refresh(self) -> None:
        fitted, numbering, rows = fitted_in(self.panel), self.panel.numbering, []
        if fitted is not None:
            try:
                rows += new_rows(corrected_since(fitted, self.state), fitted)
            except InputError:  # said at Refine
                pass
            rows += learned_rows(fitted, *self._of(fitted), numbering)
        self._slices = [row[0] for row in rows]
        texts = [[str(numbering.of(index)), *rest[:3]] for index, *rest in rows]
        if texts != self._shown:
            self._shown = texts
            cells.fill(self.ui.correctionsTable, texts)
            for number, row in enumerate(rows):
                self.ui.correctionsTable.item(number, 1).setToolTip(row[-1] if len(row) > 4 else "")
        self.ui.correctionsGroupBox.visible = bool(texts)

    def close(self) -> None:
        self._learned = (None, {}, {})

    def cleanup(self) -> None:
        self.ui.correctionsTable.disconnect("cellClicked(int,int)", self._on_clicked)

    def _of(self, fitted: Outcome) -> tuple[Moved, Moved]:
        """What the last Refine was told, and what followed; counted once."""
        if self._learned[0] is not fitted:
            self._learned = (fitted, *what_followed(fitted))
        return self._learned[1:]

    def _on_clicked(self, row: int, column: int) -> None:
        self.panel.go_to(self._slices[row])


def what_followed(fitted: Outcome) -> tuple[Moved, Moved]:
    """What the person had changed before a Refine, and what that changed elsewhere.

    Nothing but the corrections differs between the result before and after, so all that changed
    followed them.
    """
    if fitted.given is None:
        return {}, {}
    given, drawn = fitted.given
    before, after = fitted.before, fitted.answer.result
    was = drawn if before is None or before.answer is None else before.answer.result.labels
    strength = given.strength
    by_hand = moved(was, drawn, given.fixed & (strength != Strength.CONTOUR) & (was != drawn))
    drawn = given.painted(drawn)  # what a curve moved was not drawn, and did not follow
    free = ~after.corrections.fixed & drawn.any((1, 2))[:, None, None]  # one emptied stays empty
    return by_hand, moved(drawn, after.labels, free & (after.labels != drawn))


def new_rows(found: Corrected, fitted: Outcome) -> list[list]:
    """What nothing has learned from yet: slice, what, voxels, why."""
    later = _("drawn, for the next Refine")
    rows = [[index, in_words(before, now), str(count), later]
            for (index, before, now), count in found.moved.items()]
    rows += [[index, _border(), "", _("border right, for the next Refine")]
             for index in found.borders]
    rows += [[index, _border(), "", _("drawn as a curve, for the next Refine")]
             for index in found.curves]
    rows += [[index, _("all of it is right"), "", _("slice done, for the next Refine")]
             for index in found.new]
    rows += [[index, _("may follow again"), "", _("no longer done")] for index in found.reopened]
    return rows + [[index, _border(), "", _("no longer said to be right")]
                   for index in found.unbordered]


def learned_rows(fitted: Outcome, by_hand: Moved, followed: Moved,
                 numbering: Numbering) -> list[list]:
    """What the last Refine learned from, and a row for each slice where something followed, the
    most first; all of that in a fifth text."""
    if fitted.given is None:
        return []
    given = fitted.given[0]
    taught = sorted({index for index, *_rest in by_hand} | {*given.done, *given.bordered})
    where = numbering.listed(taught)
    why = "" if not taught else (
        _("follows slice {where}") if len(taught) == 1 else _("follows slices {where}")
    ).format(where=where)
    rows = [[index, in_words(before, now), str(count), _("drawn by hand")]
            for (index, before, now), count in by_hand.items()]
    rows += [[index, _border(), str(_bordered(given, index)), _("contour")]
             for index in given.bordered]
    rows += [[index, _("all of it is right"), "", _("slice done")] for index in given.done]
    slices: dict[int, list[tuple[int, str]]] = {}
    for (index, before, now), count in followed.items():
        slices.setdefault(index, []).append((count, in_words(before, now)))
    for index, pairs in sorted(slices.items(), key=lambda one: -sum(n for n, _w in one[1])):
        most = max(pairs)[1]
        rows.append([index, _("{most} and other").format(most=most) if len(pairs) > 1 else most,
                     str(sum(count for count, _words in pairs)), why or _("no longer done"),
                     "\n".join(f"{what}: {count}" for count, what in sorted(pairs, reverse=True))])
    return rows


def _border() -> str:
    return _("border of pool and wall")


def _bordered(given, index: int) -> int:
    """How many voxels beside a border that is right are known by it."""
    return int((given.strength[index] == Strength.CONTOUR).sum())


def about_followed(followed: Moved, numbering: Numbering) -> str:
    """The same in a line; empty where nothing followed."""
    if not followed:
        return ""
    slices = sorted({index for index, *_rest in followed})
    return (_("{count} voxels followed on slice {where}.") if len(slices) == 1 else
            _("{count} voxels followed on slices {where}.")).format(
                count=sum(followed.values()), where=numbering.listed(slices))
