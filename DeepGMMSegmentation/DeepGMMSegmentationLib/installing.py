"""A long task in a process of its own: Slicer answers meanwhile, and it can be stopped."""

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

import deepgmm
from deepgmm.errors import InputError

_LONGEST_LINE = 90


def python() -> str:
    """Slicer's Python as a program."""
    return shutil.which("PythonSlicer") or sys.executable


def run_module(name: str, arguments: list[str], title: str,
               hear: Callable[[str], None] = print) -> None:
    """Run a Python module as a program and wait, showing a Cancel.

    Parameters
    ----------
    name, arguments : as after `python -m`.
    title : what to say is being done.
    hear : called with every line it says. By default it is printed, and so stands in Slicer's
        Python console, and the last one is shown: not for what may name a patient.

    Raises
    ------
    deepgmm.errors.InputError
        The user stopped it.
    subprocess.CalledProcessError
        It failed.
    """
    command = [python(), "-m", name, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", env=_environment())
    lines: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    stopped: list[bool] = []
    dialog = qt.QProgressDialog(title, _("Cancel"), 0, 0, slicer.util.mainWindow())
    dialog.windowTitle = _("DeepGMM")
    dialog.connect("canceled()", lambda: stopped.append(True))
    dialog.show()
    try:
        while process.poll() is None or not lines.empty():
            if stopped:
                _end(process)
                raise InputError(_("It was stopped. Press the button to begin again"))
            _show(lines, dialog, title, hear)
            slicer.app.processEvents()
            time.sleep(0.02)
    finally:
        dialog.close()
        dialog.deleteLater()
    _show(lines, dialog, title, hear)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _read(stream, lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put(line.rstrip())


def _show(lines: queue.Queue, dialog, title: str, hear: Callable[[str], None]) -> None:
    while not lines.empty():
        line = lines.get()
        hear(line)
        if line and hear is print:
            dialog.labelText = f"{title}\n{line[:_LONGEST_LINE]}"


def _environment() -> dict[str, str]:
    """Slicer's own, in which our library is found first."""
    logic = str(Path(deepgmm.__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (logic, known)))}


def _end(process) -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
