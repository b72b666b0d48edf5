"""A long installation in a process of its own: Slicer answers meanwhile, and it can be stopped."""

import queue
import shutil
import subprocess
import sys
import threading
import time

import qt
import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError

_LONGEST_LINE = 90


def python() -> str:
    """Slicer's Python as a program."""
    return shutil.which("PythonSlicer") or sys.executable


def run_module(name: str, arguments: list[str], title: str) -> None:
    """Run a Python module as a program and wait, showing its last line and a Cancel.

    Every line is printed too, and so stands in Slicer's Python console.

    Parameters
    ----------
    name, arguments : as after `python -m`.
    title : what to say is being done.

    Raises
    ------
    deepgmm.errors.InputError
        The user stopped it.
    subprocess.CalledProcessError
        It failed.
    """
    command = [python(), "-m", name, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    lines: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    stopped: list[bool] = []
    dialog = qt.QProgressDialog(title, _("Cancel"), 0, 0, slicer.util.mainWindow())
    dialog.windowTitle = _("DeepGMM - Install packages")
    dialog.connect("canceled()", lambda: stopped.append(True))
    dialog.show()
    try:
        while process.poll() is None or not lines.empty():
            if stopped:
                _end(process)
                raise InputError(_("The installation was stopped. Press Apply to begin again"))
            _show(lines, dialog, title)
            slicer.app.processEvents()
            time.sleep(0.02)
    finally:
        dialog.close()
        dialog.deleteLater()
    _show(lines, dialog, title)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _read(stream, lines: queue.Queue) -> None:
    with stream:
        for line in stream:
            lines.put(line.rstrip())


def _show(lines: queue.Queue, dialog, title: str) -> None:
    while not lines.empty():
        line = lines.get()
        print(line)
        if line:
            dialog.labelText = f"{title}\n{line[:_LONGEST_LINE]}"


def _end(process) -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
