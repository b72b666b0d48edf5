"""The application's window: the module's panel at the left, the views at the right. Stand-in."""

from __future__ import annotations

import slicer
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDockWidget,
    QLabel,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QToolBar,
    QWidget,
)

from .pythonqt import Property, Signal

_MENUS = ("File", "Edit", "View", "Help")


class qSlicerModuleSelectorToolBar(QToolBar):
    """The choice of the module that is shown."""

    moduleSelected = Signal("moduleSelected(QString)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen = ""
        self._box = QComboBox()
        self._box.setMinimumWidth(220)
        self.setMovable(False)
        self.addWidget(QLabel(" Modules: "))
        self.addWidget(self._box)

    def selectModule(self, name: str) -> None:
        """Leave one module and come to the other, if it is another."""
        manager = slicer.app.moduleManager()
        if name == self._chosen or manager.module(name) is None:
            return
        before, self._chosen = manager.module(self._chosen), name
        self._box.clear()
        self._box.addItem(manager.module(name).title)
        for module, step in ((before, "exit"), (manager.module(name), "enter")):
            if module is not None and module.widgetRepresentation() is not None:
                getattr(module.widgetRepresentation(), step)()
        self.moduleSelected.emit(name)

    selectedModule = Property(str, lambda self: self._chosen, selectModule)


class qSlicerMainWindow(QMainWindow):
    """The window, made for pictures: its menus are empty.

    Parameters
    ----------
    module : name of the module that is open in it.
    """

    def __init__(self, module: str) -> None:
        super().__init__()
        known = slicer.app.moduleManager().module(module)
        panel = known.widgetRepresentation()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (stand-in)")
        for menu in _MENUS:
            self.menuBar().addMenu(menu)
        self._modules = qSlicerModuleSelectorToolBar(self)
        self._modules._chosen = module
        self._modules._box.addItem(known.title)
        self.addToolBar(self._modules)
        self.setCentralWidget(slicer.app.layoutManager().viewport())
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        panel.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred)
        self._scroll.setWidget(panel)
        dock = QDockWidget()
        dock.setFeatures(QDockWidget.NoDockWidgetFeatures)
        dock.setTitleBarWidget(QWidget())
        dock.setWidget(self._scroll)
        dock.setMinimumWidth(490)
        self.addDockWidget(Qt.LeftDockWidgetArea, dock)
        self._panel = panel
        self.statusBar().showMessage("")

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._modules

    def _close(self) -> None:
        """Give the panel and the views back before the window goes."""
        self._scroll.takeWidget()
        self.takeCentralWidget()
        self.deleteLater()
