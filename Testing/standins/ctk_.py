"""CTK's widgets that the panel uses. Stand-ins, drawn like CTK's, with CTK's members only."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QStyleOptionGroupBox,
    QStyleOptionToolButton,
    QToolButton,
    QWidget,
)

from . import dialogs
from .pythonqt import Property, Signal

_HEADER = 24


class _Folding:
    """What has children that hide when it is folded."""

    def _fold(self, folded: bool) -> None:
        for child in self.children():
            if child.isWidgetType():
                self._fold_one(child, folded)

    def _fold_one(self, child: QWidget, folded: bool) -> None:
        """Hide a child, or show it again if it was this that hid it."""
        if folded and not child.isHidden():
            self._folded.add(child)
            child.hide()
        elif not folded and child in self._folded:
            self._folded.discard(child)
            child.show()

    def childEvent(self, event: Any) -> None:
        if event.type() == QEvent.ChildPolished and event.child().isWidgetType():
            self._fold_one(event.child(), self.collapsed)
        super().childEvent(event)


class ctkCollapsibleButton(_Folding, QAbstractButton):
    """A header that folds what is below it."""

    contentsCollapsed = Signal("contentsCollapsed(bool)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folded: set[QWidget] = set()
        self._collapsed = False
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred)
        self.setContentsMargins(0, _HEADER, 0, 0)
        self.setMinimumHeight(_HEADER)
        self.toggled.connect(self._on_toggled)

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)

    def _on_toggled(self, open_: bool) -> None:
        self._collapsed = not open_
        self._fold(self._collapsed)
        self.setMaximumHeight(_HEADER if self._collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(self._collapsed)

    def hitButton(self, where: Any) -> bool:
        return bool(where.y() < _HEADER)

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        look = QStyleOptionButton()
        look.initFrom(self)
        look.rect = QRect(0, 0, self.width, _HEADER)
        look.state |= QStyle.State_Raised
        self.style().drawControl(QStyle.CE_PushButtonBevel, look, painter, self)
        look.rect = QRect(8, 8, 9, 9)
        arrow = QStyle.PE_IndicatorArrowRight if self._collapsed else QStyle.PE_IndicatorArrowDown
        self.style().drawPrimitive(arrow, look, painter, self)
        painter.setPen(self.palette.color(QPalette.ButtonText))
        painter.drawText(QRect(24, 0, self.width - 28, _HEADER), Qt.AlignVCenter | Qt.AlignLeft,
                         self.text)
        if not self._collapsed:
            painter.setPen(self.palette.color(QPalette.Mid))
            painter.drawRect(0, _HEADER, self.width - 1, self.height - _HEADER - 1)


class ctkCollapsibleGroupBox(_Folding, QGroupBox):
    """A group box with an arrow that folds it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folded: set[QWidget] = set()
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._on_toggled)

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _get_collapsed, _set_collapsed)

    def _on_toggled(self, open_: bool) -> None:
        self._fold(not open_)
        self.setMaximumHeight(16777215 if open_ else _HEADER)
        self.updateGeometry()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        look = QStyleOptionGroupBox()
        self.initStyleOption(look)
        look.subControls &= ~QStyle.SC_GroupBoxCheckBox
        box = self.style().subControlRect(QStyle.CC_GroupBox, look, QStyle.SC_GroupBoxLabel, self)
        look.text = f"    {self.title}"
        self.style().drawComplexControl(QStyle.CC_GroupBox, look, painter, self)
        arrow = QStyleOptionButton()
        arrow.initFrom(self)
        arrow.rect = QRect(box.left() + 3, box.center().y() - 4, 9, 9)
        self.style().drawPrimitive(
            QStyle.PE_IndicatorArrowRight if self.collapsed else QStyle.PE_IndicatorArrowDown,
            arrow, painter, self)


class ctkSliderWidget(QWidget):
    """A slider and a spin box of one number."""

    valueChanged = Signal("valueChanged(double)")
    valueIsChanging = Signal("valueIsChanging(double)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Horizontal, self)
        self._spin = QDoubleSpinBox(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._spin)
        self._value = 0.0
        self._spin.valueChanged.connect(self.setValue)
        self._slider.valueChanged.connect(self._on_slid)
        self._spin.setDecimals(2)
        self._set_bound("Minimum", 0.0)
        self._set_bound("Maximum", 99.99)

    def _set_step(self, step: float) -> None:
        if step > self._spin.maximum - self._spin.minimum:
            raise AssertionError("a step that is longer than the slider is refused")
        self._spin.setSingleStep(step)
        self.setValue(self._value)

    def _on_slid(self, steps: int) -> None:
        """The slider knows whole steps only, as the real one does: 1 unless told otherwise."""
        self.setValue(round(self._spin.minimum + steps * self._spin.singleStep,
                            self._spin.decimals))

    def setValue(self, value: float) -> None:
        low, high = self._spin.minimum, self._spin.maximum
        value = min(max(float(value), low), high)
        changed, self._value = value != self._value, value
        for part in (self._spin, self._slider):
            part.blockSignals(True)
        self._spin.setValue(value)
        self._slider.setRange(0, round((high - low) / self._spin.singleStep))
        self._slider.setValue(round((value - low) / self._spin.singleStep))
        for part in (self._spin, self._slider):
            part.blockSignals(False)
        if changed:
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    def _set_bound(self, which: str, value: float) -> None:
        getattr(self._spin, f"set{which}")(value)
        self.setValue(self._value)

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._spin.minimum,
                       lambda self, value: self._set_bound("Minimum", value))
    maximum = Property(float, lambda self: self._spin.maximum,
                       lambda self, value: self._set_bound("Maximum", value))
    singleStep = Property(float, lambda self: self._spin.singleStep,
                          lambda self, value: self._set_step(value))
    decimals = Property(int, lambda self: self._spin.decimals,
                        lambda self, value: self._spin.setDecimals(value))
    suffix = Property(str, lambda self: self._spin.suffix,
                      lambda self, value: self._spin.setSuffix(value))
    prefix = Property(str, lambda self: self._spin.prefix,
                      lambda self, value: self._spin.setPrefix(value))
    tracking = Property(bool, lambda self: self._slider.tracking,
                        lambda self, value: self._slider.setTracking(value))
    spinBoxVisible = Property(bool, lambda self: not self._spin.isHidden(),
                              lambda self, value: self._spin.setVisible(value))

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def reset(self) -> None:
        self.setValue(0.0)


class ctkPathLineEdit(QWidget):
    """A path to type, or to look for."""

    currentPathChanged = Signal("currentPathChanged(QString)")
    validInputChanged = Signal("validInputChanged(bool)")
    Files, Dirs, Readable, Writable = 0x002, 0x001, 0x010, 0x020

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QComboBox(self)
        self._box.setEditable(True)
        self._box.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self._browse = QToolButton(self)
        self._browse.setText("...")
        self._browse.clicked.connect(self.browse)
        self._other: dict[str, Any] = {"filters": 0, "label": "", "nameFilters": [],
                                       "options": 0, "settingKey": ""}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        row.addWidget(self._browse)
        self._box.currentTextChanged.connect(self._on_text)

    def _on_text(self, text: str) -> None:
        self.currentPathChanged.emit(text)

    def setCurrentPath(self, path: str) -> None:
        self._box.setCurrentText(path)

    def browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.label, self.currentPath,
                                              ";;".join(self.nameFilters))
        if path:
            self.setCurrentPath(path)

    def comboBox(self) -> QComboBox:
        return self._box

    def addCurrentPathToHistory(self) -> None:
        if self.currentPath and self._box.findText(self.currentPath) < 0:
            self._box.addItem(self.currentPath)

    def retrieveHistory(self) -> None:
        """Nothing is remembered here."""

    def _kept(kind: Any, name: str) -> Property:
        return Property(kind, lambda self: self._other[name],
                        lambda self, value: self._other.__setitem__(name, value))

    currentPath = Property(str, lambda self: self._box.currentText, setCurrentPath)
    showBrowseButton = Property(bool, lambda self: not self._browse.isHidden(),
                                lambda self, value: self._browse.setVisible(value))
    showHistoryButton = Property(bool, lambda self: True, lambda self, value: None)
    filters = _kept(int, "filters")
    label = _kept(str, "label")
    nameFilters = _kept("QStringList", "nameFilters")
    options = _kept(int, "options")
    settingKey = _kept(str, "settingKey")
    del _kept


class ctkMenuButton(QPushButton):
    """A button with a menu behind an arrow."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(QSize(90, 0))

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        look = QStyleOptionToolButton()
        look.initFrom(self)
        look.rect = QRect(self.width - 14, self.height // 2 - 4, 9, 9)
        self.style().drawPrimitive(QStyle.PE_IndicatorArrowDown, look, QPainter(self), self)


class ctkMessageBox(QMessageBox):
    """A question to the user, answered by what the test has said (`dialogs`)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._again = {"dontShowAgain": False, "dontShowAgainSettingsKey": "",
                       "dontShowAgainVisible": False}

    def _kept(kind: Any, name: str) -> Property:
        return Property(kind, lambda self: self._again[name],
                        lambda self, value: self._again.__setitem__(name, value))

    dontShowAgain = _kept(bool, "dontShowAgain")
    dontShowAgainSettingsKey = _kept(str, "dontShowAgainSettingsKey")
    dontShowAgainVisible = _kept(bool, "dontShowAgainVisible")
    del _kept

    def exec(self) -> int:
        return dialogs.ask(self)

    exec_ = exec
