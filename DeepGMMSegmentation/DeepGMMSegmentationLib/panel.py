"""What the sections of the panel share: the state, the worker's run, when to look again."""

import logging
import re
from collections.abc import Callable

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from deepgmm.study.levels import Numbering
from DeepGMMSegmentationLib.observing import Observers
from DeepGMMSegmentationLib.parameters import NODES, PanelState


class Section:
    """One part of the panel.

    Parameters
    ----------
    ui : the widgets of the `.ui`, by name.
    panel : what the sections share.
    """

    def __init__(self, ui, panel: "Panel") -> None:
        self.ui = ui
        self.panel = panel

    @property
    def state(self) -> PanelState | None:
        """The state, or None while there is no scene to keep it in."""
        return self.panel.state

    def refresh(self) -> None:
        """Show what the state, the scene and the run are now. Quick, and safe at any time."""

    def enter(self) -> None:
        """The user comes to the module."""

    def exit(self) -> None:
        """The user leaves the module."""

    def close(self) -> None:
        """The scene is about to be closed: let go of its nodes."""

    def cleanup(self) -> None:
        """The panel ends: disconnect what would keep it alive."""


class Panel:
    """State, run and sections of one panel.

    Attributes
    ----------
    ui : the widgets of the `.ui`, by name.
    state : `PanelState` of the scene, or None.
    run : the segmentation in the background (`run.Run`).
    sections : in the order in which they are refreshed.
    numbering : how the slices are counted for the user; the section of the slices says it.
    go_to : brings every slice view to a slice, by index; the section of the slices says how.
    dicom_folders : ID of a volume to the folder of DICOM that it came from, in this session.
    """

    def __init__(self, ui, run) -> None:
        self.ui = ui
        self.observers = Observers()
        self.run = run
        self.state: PanelState | None = None
        self.sections: list[Section] = []
        self.numbering = Numbering()
        self.go_to: Callable[[int], None] = lambda index: None
        self.dicom_folders: dict[str, str] = {}
        self._wrapper: PanelState | None = None
        self._gui_tag = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.refresh_now)

    def take(self, node) -> None:
        """Take a parameter node as the state, or let go of it with None."""
        if node is None or self.state is None or self.state.parameterNode is not node:
            self._let_go()
            if node is not None:
                self._hold(node)
        self.refresh_now()

    def _let_go(self) -> None:
        if self.state is not None:
            self.state.disconnectGui(self._gui_tag)
            self.observers.remove(self.state.parameterNode, vtk.vtkCommand.ModifiedEvent,
                                  self.refresh)
        self.state = None

    def _hold(self, node) -> None:
        """In Slicer 5.10 every new wrapper leaves an observer on its node: one for each node."""
        if self._wrapper is None or self._wrapper.parameterNode is not node:
            self._wrapper = PanelState(node)
        else:
            node.Modified()  # what it keeps of the node is read again, after an import too
        self.state = self._wrapper
        self._gui_tag = self.state.connectGui(self.ui)
        self.observers.add(node, vtk.vtkCommand.ModifiedEvent, self.refresh)

    def close(self) -> None:
        """The scene is about to be closed, and what its parameter node says goes with it."""
        self.each("close")
        self.take(None)
        self._wrapper = None

    def forget(self, node) -> None:
        """A node is about to leave the scene: None is chosen where it was, before Slicer's node
        selectors go to the entry above it, whatever that is."""
        if self.state is None:
            return
        for field in NODES:
            if getattr(self.state, field) is node:
                setattr(self.state, field, None)

    def refresh(self, caller=None, event=None) -> None:
        """Look again once what happens now is over; many calls become one."""
        self._timer.start()

    def refresh_now(self) -> None:
        """Look again now."""
        for section in self.sections:
            section.refresh()

    def log(self, text: str) -> None:
        """A line for the panel's log and for Slicer's, without names of patients."""
        logging.info("DeepGMM: %s", text)
        self.ui.logTextEdit.appendPlainText(text)

    def tell(self, text: str) -> None:
        """What the user must see now, on the panel."""
        self.ui.statusLabel.text = text
        self.log(text)

    def tell_of(self, message) -> None:
        """The same of the library's one-line message, which names slices by index."""
        self.tell(sentence(self.numbering.in_words(str(message))))

    def each(self, what: str) -> None:
        """Call `enter`, `exit`, `close` or `cleanup` of every section; one that fails hinders no
        other."""
        for section in self.sections:
            try:
                getattr(section, what)()
            except Exception:
                logging.exception("DeepGMM: %s of %s failed", what, type(section).__name__)

    def cleanup(self) -> None:
        """End: no observer, timer or connection is left."""
        self._timer.stop()
        self._timer.timeout.disconnect(self.refresh_now)
        self.each("cleanup")
        self.take(None)
        self._wrapper = None
        self.observers.clear()
        self.sections.clear()


def sentence(message: str) -> str:
    """The house's one-line message as a sentence, its options as they are called here; a name such
    as bSSFP stays as it is."""
    message = named_here(message)
    if not message[1:2].isupper():
        message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "!", "?")) else message + "."


def named_here(message: str) -> str:
    """A message of the library, which names options as the command line does, by what they are
    called on the panel."""
    for option, name in (
            (r"--align shift", _("{choice} under Alignment with LGE").format(choice=_("Shift"))),
            (r"--lge-kind", _("LGE kind")), (r"--t2-kind", _("T2 kind")),
            (r"--mvo of segment", _("{choice} under Segmentation, Advanced").format(
                choice=_("Microvascular obstruction as a segment of its own"))),
            (r" \(--slices [\d,-]+\)", "")):
        message = re.sub(option, name, message)
    return message


def scene():
    """The application's scene."""
    return slicer.mrmlScene
