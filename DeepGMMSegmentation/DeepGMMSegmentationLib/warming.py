"""What Apply and the mask's check will import, imported ahead beside the window, not in it."""

import importlib
import logging
import threading
from collections.abc import Callable

import qt

#: Imported in this order; none of them imports torch.
MODULES = ("SimpleITK", "deepgmm.jobs.tasks", "deepgmm.scene.inputs", "deepgmm.scene.outputs",
           "deepgmm.scene.labels", "deepgmm.propose.proposal",
           "deepgmm.weights.shelf", "deepgmm.scene.drawing", "deepgmm.review.live",
           "deepgmm.review.corrections", "deepgmm.review.versions",
           "deepgmm.scene.measured",
           "scipy.ndimage")


class Warming:
    """Imports modules in a thread, to which a timer gives Python's lock now and then: while
    Slicer waits for the user, it keeps that lock, and no other thread gets on.

    Parameters
    ----------
    then : called in the window's own thread once all is imported.
    """

    #: Whether everything has been imported in this process.
    done = False

    _EVERY_MS, _SHARE_S = 20, 0.005

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._thread: threading.Thread | None = None
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self._share)

    def start(self) -> None:
        """Begin, unless it was begun before."""
        if self._thread is None:
            self._thread = threading.Thread(target=_import_all, name="DeepGMM warming", daemon=True)
            self._thread.start()
            self._timer.start(self._EVERY_MS)

    def stop(self) -> None:
        """Give it no more time; what is not imported yet is imported when it is needed."""
        self._timer.stop()

    def _share(self) -> None:
        self._thread.join(self._SHARE_S)
        if not self._thread.is_alive():
            self._timer.stop()
            Warming.done = True
            self._then()


def _import_all() -> None:
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception:  # said plainly where it is needed
            logging.exception("DeepGMM: %s could not be imported", name)
