"""Tables of the panel: as high as what is in them, cells filled only where they change."""

import qt

_SHOWN_ROWS = 16


def prepare(table, titles: list[str]) -> None:
    """Give a `QTableWidget` its columns; the last takes the space that is left."""
    table.columnCount = len(titles)
    table.setHorizontalHeaderLabels(titles)
    table.verticalHeader().visible = False
    header = table.horizontalHeader()
    header.stretchLastSection = True
    header.highlightSections = False  # bold words would not fit
    for column in range(len(titles) - 1):  # whatever the font
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
    table.selectionBehavior = qt.QAbstractItemView.SelectRows
    table.selectionMode = qt.QAbstractItemView.SingleSelection
    table.verticalScrollMode = qt.QAbstractItemView.ScrollPerPixel


def set_rows(table, count: int) -> None:
    """Make room for so many rows; more than fit on a panel are scrolled."""
    if table.rowCount != count:
        table.rowCount = count
    row = table.verticalHeader().defaultSectionSize
    # A line more than the rows and the header, or a bar to scroll by would hide one.
    height = (min(max(count, 1), _SHOWN_ROWS) + 1) * row + 2 * table.frameWidth + 4
    table.minimumHeight = table.maximumHeight = height


def cell(table, row: int, column: int):
    """The item there, made if there is none."""
    item = table.item(row, column)
    if item is None:
        item = qt.QTableWidgetItem()
        table.setItem(row, column, item)
    return item


def fill(table, rows: list[list[str]]) -> None:
    """Show texts; the first column to the left, numbers to the right."""
    set_rows(table, len(rows))
    for number, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = table.item(number, column)
            if item is None:
                item = qt.QTableWidgetItem()  # made ready first: a table looks at each change
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                item.setText(text)
                table.setItem(number, column, item)
            elif item.text() != text:
                item.setText(text)


def give_room(label, width: int) -> None:
    """Have a label of several lines keep the height that they need at a width, in pixels.

    A scrolled panel asks its parts how high they are, not how high at its width, and a label that
    has no more room than one line is then drawn over.
    """
    label.minimumHeight = max(label.heightForWidth(width), 0) if label.text else 0
