"""The slices: used or left out and why, done, how sure the fit is; a click goes there."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError
from deepgmm.study.levels import Numbering, numbering_of
from DeepGMMSegmentationLib import cells
from DeepGMMSegmentationLib.chosen import reference
from DeepGMMSegmentationLib.drawn import curves_drawn, masked
from DeepGMMSegmentationLib.panel import Panel, Section, named_here, scene
from DeepGMMSegmentationLib.parameters import PanelState, borders_ticked, slices_chosen, tick

_INDEX, _USE, _DONE, _BORDER, _LEVEL, _UNCERTAINTY, _NOTE = range(7)

#: The uncertainty that is painted strongest, if no slice has more.
_MUCH = 0.3
_QUIET = (128, 128, 128)


@dataclass(frozen=True)
class Row:
    """What the table says of a slice.

    Attributes
    ----------
    index, number : counted from 0 in the order of the grid, and from 1, the base first.
    masked : whether there is LV mask on it; what else is there is shown greyed.
    used, done : what the user says of it.
    may_be_done : whether there are segments on it that may be right.
    border, curve : whether the border of pool and wall is right, and is drawn as a curve.
    level, uncertainty : of the last result, "" and None where there is none.
    note : why it is left out, or what the last result warns of.
    """

    index: int
    number: int
    masked: bool
    used: bool
    done: bool
    may_be_done: bool
    level: str
    uncertainty: float | None
    note: str
    border: bool = False
    curve: bool = False


def rows_to_show(state: PanelState, volume, masked: set[int], levels: dict[int, str],
                 curves: Iterable[int] = ()) -> tuple[list[Row], Numbering]:
    """A row for every slice of a volume's grid, the base first, and how they are counted.

    Parameters
    ----------
    masked : the slices with LV mask.
    levels : of slices, where the mask tells; what the last result says goes before.
    curves : slices on which the border is drawn as a curve.
    """
    borders = borders_ticked(state, volume)
    excluded, done = slices_chosen(state, volume)
    said = result_rows(state, volume)
    may_be_done = bool(said)
    count = volume.GetImageData().GetDimensions()[2]
    levels = {index: row["level"] for index, row in said.items() if row["level"]} or levels
    numbering = numbering_of(levels, count)
    rows = [_row(index, numbering, index in masked, excluded, may_be_done and index in done,
                 may_be_done, levels.get(index, ""), said.get(index, {}))
            for index in range(count)]
    rows = [replace(row, curve=may_be_done and row.index in curves,
                    border=may_be_done and (row.index in borders or row.index in curves))
            for row in rows]
    return sorted(rows, key=lambda row: row.number), numbering


def result_rows(state: PanelState, volume) -> dict[int, dict]:
    """The rows of the last result in the output, by slice; none if it lies on another grid."""
    output = state.output
    if output is None or volume is None:
        return {}
    from deepgmm.scene.read_back import is_of, slices_of

    rows = slices_of(output)
    count = volume.GetImageData().GetDimensions()[2]
    return {row["index"]: row for row in rows} if len(rows) == count and is_of(output, volume) \
        else {}


def _row(index: int, numbering: Numbering, masked: bool, excluded: dict[int, str], done: bool,
         may_be_done: bool, level: str, said: dict) -> Row:
    note = named_here(numbering.in_words(said.get("warning", "")))
    if not masked:
        note = _("No LV mask here")
    elif index in excluded:
        note = excluded[index]
    elif said.get("why"):
        note = _("Left out of the last result: {reason}").format(reason=said["why"])
    level = {"base": _("base"), "mid": _("mid"), "apex": _("apex")}.get(level, "")
    return Row(index, numbering.of(index), masked, masked and index not in excluded, done,
               may_be_done, level, said.get("uncertainty"), note)


def by_uncertainty(rows: list[Row]) -> list[int]:
    """Rows of slices that the last result is not sure of, the least certain first; not those that
    are done."""
    seen = [number for number, row in enumerate(rows)
            if row.uncertainty is not None and not row.done]
    return sorted(seen, key=lambda number: -rows[number].uncertainty)


class SlicesSection(Section):
    """The table of slices, and the way to the next one to look at."""

    def __init__(self, ui, panel: Panel) -> None:
        super().__init__(ui, panel)
        self._shown: list[Row] = []
        self._volume = None
        table = ui.sliceTable
        cells.prepare(table, [_("Slice"), _("Use"), _("Done"), _("Border"), _("Level"),
                              _("Uncertainty"), _("Note")])
        table.horizontalHeaderItem(_DONE).setToolTip(
            _("Everything on this slice is right: it stays as it is, and at Refine the others "
              "learn from it."))
        table.horizontalHeaderItem(_BORDER).setToolTip(
            _("The border of pool and wall is right on this slice, or drawn as a curve: at Refine "
              "it stays, and the others learn from it. All else of the slice may follow."))
        table.horizontalHeaderItem(_UNCERTAINTY).setToolTip(
            _("Of the last result: mean over the LV mask, from 0 to 1."))
        table.horizontalHeaderItem(_INDEX).setToolTip(
            _("Counted from 1, the base first where base and apex can be told."))
        table.connect("cellChanged(int,int)", self._on_changed)
        table.connect("cellClicked(int,int)", self._on_clicked)
        table.connect("currentCellChanged(int,int,int,int)", self._on_moved)
        ui.nextUncertainButton.connect("clicked()", self._on_next)
        panel.go_to = self._go_to

    def refresh(self) -> None:
        volume = None if self.state is None else reference(self.state)
        if volume is not None and volume.GetImageData() is None:
            volume = None
        self._volume = volume
        rows, self.panel.numbering = ([], Numbering()) if volume is None else self._rows(volume)
        self._show(rows)
        self._show_next()

    def close(self) -> None:
        self._volume = None

    def cleanup(self) -> None:
        table = self.ui.sliceTable
        table.disconnect("cellChanged(int,int)", self._on_changed)
        table.disconnect("cellClicked(int,int)", self._on_clicked)
        table.disconnect("currentCellChanged(int,int,int,int)", self._on_moved)
        self.ui.nextUncertainButton.disconnect("clicked()", self._on_next)

    def _rows(self, volume) -> tuple[list[Row], Numbering]:
        self._clear_done(volume)
        state = self.state
        drawn = masked.of(state.mask, list(state.maskSegmentIDs), volume)
        return rows_to_show(state, volume, drawn, masked.levels, self._curves(volume))

    def _curves(self, volume) -> list[int]:
        """Slices with a border curve; what is wrong with one is said where Refine learns of it."""
        return [*curves_drawn(self.state, volume)[0]]

    def _clear_done(self, volume) -> None:
        """Done are segments of the output; where there are none, no slice must seem to be."""
        done, borders = slices_chosen(self.state, volume)[1], borders_ticked(self.state, volume)
        if (done or borders) and not result_rows(self.state, volume):
            tick(self.state, [], [])
            self.panel.tell(
                _("No slice is done any more: Output holds no result of these slices.")
                if not borders else
                _("No border is right any more: Output holds no result of these slices.")
                if not done else
                _("No slice is done and no border right any more: Output holds no result of these "
                  "slices."))

    def _show(self, rows: list[Row]) -> None:
        if rows == self._shown:
            return
        table, before = self.ui.sliceTable, self._shown
        most = max([_MUCH, *(row.uncertainty or 0 for row in rows)])
        blocked = table.blockSignals(True)
        cells.set_rows(table, len(rows))
        for number, row in enumerate(rows):
            if number >= len(before) or row != before[number]:
                _fill(table, number, row, most)
        table.blockSignals(blocked)
        self._shown = rows

    def _go_to(self, index: int) -> None:
        number = next((n for n, row in enumerate(self._shown) if row.index == index), None)
        if number is not None:
            self.ui.sliceTable.setCurrentCell(number, _INDEX)
            self._go(number)

    def _on_clicked(self, number: int, column: int) -> None:
        self._go(number)

    def _on_moved(self, number: int, column: int, before: int, before_column: int) -> None:
        if number != before:
            self._go(number)

    def _go(self, number: int) -> None:
        """Every slice view to this slice."""
        if self._volume is None or not 0 <= number < len(self._shown):
            return
        from deepgmm.scene.views import point_on, show_slice

        mask = self.state.mask
        drawn = mask is not None and mask.IsA("vtkMRMLSegmentationNode")
        try:
            show_slice(scene(), point_on(self._volume, self._shown[number].index,
                                         self.state.output or (mask if drawn else None)))
        except InputError as error:
            self.panel.tell_of(error)
        self._show_next()

    def _show_next(self) -> None:
        order, button = by_uncertainty(self._shown), self.ui.nextUncertainButton
        button.enabled = bool(order)
        button.toolTip = _("Go to slice {number} (key N)").format(
            number=self._shown[self._after(order)].number) if order else _(
                "There is no result yet.")

    def _on_next(self) -> None:
        order = by_uncertainty(self._shown)
        if order:
            number = self._after(order)
            self.ui.sliceTable.setCurrentCell(number, _INDEX)
            self._go(number)

    def _after(self, order: list[int]) -> int:
        """The row that follows the present one in an order, which begins again at its end."""
        present = self.ui.sliceTable.currentRow()
        return order[(order.index(present) + 1) % len(order)] if present in order else order[0]

    def _on_changed(self, number: int, column: int) -> None:
        """A box that was ticked, or a reason that was written."""
        row, item = self._shown[number], self.ui.sliceTable.item(number, column)
        ticked = item.checkState() == qt.Qt.Checked
        excluded, done = slices_chosen(self.state, self._volume)
        borders = borders_ticked(self.state, self._volume)
        if column == _USE and ticked:
            excluded.pop(row.index, None)
        elif column == _USE:
            excluded[row.index] = _left_out()
        elif column == _DONE:
            done = sorted({*done, row.index} if ticked else {*done} - {row.index})
        elif column == _BORDER:
            borders = sorted({*borders, row.index} if ticked else {*borders} - {row.index})
        elif column == _NOTE and not row.used:
            excluded[row.index] = " ".join(item.text().split()) or _left_out()
        with slicer.util.NodeModify(self.state.parameterNode):
            self.state.slicesOf = self._volume
            self.state.excluded, self.state.locked = excluded, done
            self.state.borders = borders
        self.panel.refresh()


def _left_out() -> str:
    return _("left out by the user")


def _fill(table, number: int, row: Row, most: float) -> None:
    texts = {_INDEX: str(row.number), _LEVEL: row.level, _NOTE: row.note,
             _UNCERTAINTY: "" if row.uncertainty is None else f"{row.uncertainty:.2f}"}
    for column in range(table.columnCount):
        item = cells.cell(table, number, column)
        item.setFlags(_flags(row, column))
        if column in texts:
            item.setText(texts[column])
        item.setToolTip(row.note if column == _NOTE else
                        _("Drawn as a curve; delete it in the module Data to take this back.")
                        if column == _BORDER and row.curve else "")
        item.setForeground(qt.QBrush() if row.masked and row.used
                           else qt.QBrush(qt.QColor(*_QUIET)))
    table.item(number, _USE).setCheckState(_tick(row.used))
    table.item(number, _DONE).setCheckState(_tick(row.done))
    table.item(number, _BORDER).setCheckState(_tick(row.border))
    strength = 0 if row.uncertainty is None else round(200 * row.uncertainty / most)
    table.item(number, _UNCERTAINTY).setBackground(qt.QBrush(qt.QColor(255, 140, 0, strength)))


def _flags(row: Row, column: int):
    """What can be done with a cell; the reason of a slice that was left out may be written."""
    flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    may_be_right = column == _DONE or column == _BORDER and not row.curve
    if row.masked and (column == _USE or may_be_right and row.may_be_done):
        flags |= qt.Qt.ItemIsUserCheckable
    if column == _NOTE and row.masked and not row.used:
        flags |= qt.Qt.ItemIsEditable
    return flags


def _tick(wanted: bool):
    return qt.Qt.Checked if wanted else qt.Qt.Unchecked
