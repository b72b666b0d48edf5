"""The bull's-eye on the panel: drawn by Qt into a label's picture, and clicked into."""

import qt
from slicer.i18n import tr as _

from deepgmm.review.aha import APEX
from deepgmm.review.bullseye import Sector, sectors, segment_at
from deepgmm.study.words import COLOURS, Tissue

#: Lines of text that the picture is high, and of its radius what the words around it leave.
_LINES, _RADIUS = 17, 0.86

#: Colour of the fullest sector, by the key of what is shown.
_FULL = {"edema_percent": COLOURS[Tissue.EDEMA]}


class Bullseye:
    """A picture of the AHA segments in a `QLabel`.

    Parameters
    ----------
    label : as wide as the panel; its height follows its font.
    on_click : called with the number of the segment that was clicked.
    """

    def __init__(self, label, on_click) -> None:
        self._label, self._on_click = label, on_click
        self._shown: tuple | None = None
        self._events = _Events()
        self._events.heard = self._on_event
        label.installEventFilter(self._events)

    def show(self, values: dict, model: int, key: str, most: float = 100.0,
             chosen: int = 0) -> None:
        """Draw values by segment, None where there is none.

        Parameters
        ----------
        model : of 16 segments, or 17.
        key : of the number that is shown; its colour follows from it.
        most : the value of the fullest colour.
        chosen : the segment with a thick border; 0 for none.
        """
        self._shown = (dict(values), model, key, most, chosen)
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self._shown = None
        self._label.clear()
        self._label.visible = False

    def cleanup(self) -> None:
        self._label.removeEventFilter(self._events)
        self._events.heard = None

    def _side(self) -> int:
        """Of the square that is drawn, in the label's own units."""
        wanted = _LINES * self._label.fontMetrics().height()
        return max(min(wanted, self._label.width), 60)

    def _draw(self) -> None:
        label = self._label
        if self._shown is None:
            return
        label.visible = True
        side = self._side()
        if label.minimumHeight != side:
            label.minimumHeight = label.maximumHeight = side
        sharp = label.devicePixelRatioF()
        picture = qt.QPixmap(max(round(side * sharp), 1), max(round(side * sharp), 1))
        picture.setDevicePixelRatio(sharp)
        picture.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter()
        painter.begin(picture)
        painter.setRenderHint(qt.QPainter.Antialiasing)
        painter.setRenderHint(qt.QPainter.TextAntialiasing)
        _Drawing(painter, side, label.palette, label.font).all(*self._shown)
        painter.end()
        label.setPixmap(picture)

    def _on_event(self, event) -> None:
        kind = event.type()
        if kind == qt.QEvent.Resize or kind == qt.QEvent.PaletteChange \
                or kind == qt.QEvent.FontChange:
            self._draw()
        elif kind == qt.QEvent.MouseButtonPress and self._shown is not None:
            place, side = event.pos(), self._side()
            radius = side / 2 * _RADIUS
            right = (place.x() - self._label.width / 2) / radius
            up = (self._label.height / 2 - place.y()) / radius
            segment = segment_at(right, up, self._shown[1])
            if segment:
                self._on_click(segment)


class _Events(qt.QObject):
    """Hears the events of another object, and takes none of them."""

    def __init__(self, *arguments) -> None:
        qt.QObject.__init__(self, *arguments)
        self.heard = None

    def eventFilter(self, watched, event) -> bool:
        if self.heard is not None:
            self.heard(event)
        return False


class _Drawing:
    """One picture, a square of `side`."""

    def __init__(self, painter, side: int, palette, font) -> None:
        self._painter, self._side, self._font = painter, side, font
        self._radius = side / 2 * _RADIUS
        self._ground = palette.color(qt.QPalette.Base)
        self._ink = palette.color(qt.QPalette.WindowText)

    def all(self, values: dict, model: int, key: str, most: float, chosen: int) -> None:
        full = qt.QColor(*_FULL.get(key, COLOURS[Tissue.SCAR]))
        for sector in sectors(model):
            self._sector(sector, values.get(sector.segment), most, full)
        for sector in sectors(model):
            if sector.segment == chosen:
                self._outline(sector, 3.0)
            self._written(sector, values.get(sector.segment), most, full)
        self._around()

    def _path(self, sector: Sector):
        path = qt.QPainterPath()
        outer, inner = (self._square(radius) for radius in (sector.outer, sector.inner))
        if sector.segment == APEX:
            path.addEllipse(outer)
            return path
        path.arcMoveTo(outer, sector.start)
        path.arcTo(outer, sector.start, sector.width)
        path.arcTo(inner, sector.start + sector.width, -sector.width)
        path.closeSubpath()
        return path

    def _square(self, radius: float):
        half, middle = radius * self._radius, self._side / 2
        return qt.QRectF(middle - half, middle - half, 2 * half, 2 * half)

    def _sector(self, sector: Sector, value, most: float, full) -> None:
        path = self._path(sector)
        if value is None:
            self._painter.fillPath(path, qt.QBrush(self._ground))
            self._painter.fillPath(path, qt.QBrush(self._ink, qt.Qt.BDiagPattern))
        else:
            self._painter.fillPath(path, qt.QBrush(self._shade(value, most, full)))
        self._outline(sector, 1.0)

    def _outline(self, sector: Sector, wide: float) -> None:
        pen = qt.QPen(self._ink)
        pen.setWidthF(wide)
        self._painter.strokePath(self._path(sector), pen)

    def _shade(self, value: float, most: float, full):
        """Between the ground, for nothing, and the fullest colour."""
        share = min(max(value / most, 0.0), 1.0)
        return qt.QColor(*(round((1 - share) * one + share * other) for one, other in (
            (self._ground.red(), full.red()), (self._ground.green(), full.green()),
            (self._ground.blue(), full.blue()))))

    def _written(self, sector: Sector, value, most: float, full) -> None:
        """The value, and small below it the segment's number."""
        right, up = sector.middle
        x = self._side / 2 + right * self._radius
        y = self._side / 2 - up * self._radius
        fill = self._ground if value is None else self._shade(value, most, full)
        bright = 0.3 * fill.red() + 0.59 * fill.green() + 0.11 * fill.blue() > 128
        self._painter.setPen(qt.QPen(qt.QColor(0, 0, 0) if bright else qt.QColor(255, 255, 255)))
        high = self._side / 19
        if value is not None:
            self._text(f"{value:.0f}", x, y - 0.3 * high, high)
            self._text(str(sector.segment), x, y + 0.55 * high, 0.6 * high)
        else:
            self._painter.fillRect(qt.QRectF(x - 0.6 * high, y - 0.5 * high, 1.2 * high, high),
                                   qt.QBrush(self._ground))
            self._text(str(sector.segment), x, y, 0.6 * high)

    def _around(self) -> None:
        self._painter.setPen(qt.QPen(self._ink))
        middle, edge, high = self._side / 2, self._side * (1 - _RADIUS) / 4, self._side / 21
        self._text(_("anterior"), middle, edge, high)
        self._text(_("inferior"), middle, self._side - edge, high)
        for text, x, turn in ((_("septal"), edge, -90), (_("lateral"), self._side - edge, 90)):
            self._painter.save()
            self._painter.translate(x, middle)
            self._painter.rotate(turn)
            self._text(text, 0.0, 0.0, high)
            self._painter.restore()

    def _text(self, text: str, x: float, y: float, high: float) -> None:
        """Text so high, its middle at a place."""
        font = qt.QFont(self._font)
        font.setPixelSize(max(round(high), 6))
        self._painter.setFont(font)
        self._painter.drawText(qt.QRectF(x - 100, y - high, 200, 2 * high), _CENTRE, text)


_CENTRE = 0x0084  # AlignCenter; Qt takes a whole number here
