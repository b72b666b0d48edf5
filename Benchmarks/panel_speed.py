"""How quick is the Slicer panel: set-up, Apply to result, Cancel, its slots, its window?

On stand-ins for Slicer's desktop application (`Testing/standins`: real MRML, real Qt, drawn off
screen), not in Slicer itself: what Slicer's own views do with the nodes is not in these figures.
The worker is the true one, in its own process. The patient is a phantom of five slices.

    python Benchmarks/panel_speed.py
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

# before the folders of Testing, of which one is called slicer too
import slicer  # noqa: F401
from common import ROOT, bars, keep_to_cores, machine, parser_of, run, table

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
for folder in ("Testing", "Testing/panel", "Testing/scene", "Testing/library",
               "DeepGMMSegmentation"):
    sys.path.insert(0, str(ROOT / folder))

#: Milliseconds between two ticks of the clock whose gaps are measured.
TICK_MS = 10


@dataclass
class Measured:
    """What was measured, in seconds."""

    set_up: float = 0.0
    set_up_cpu: float = 0.0
    cold: float = 0.0
    warm: list[float] = field(default_factory=list)
    cancel: list[float] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)
    ready_again: list[float] = field(default_factory=list)
    stroke: list[float] = field(default_factory=list)
    bullseye: list[float] = field(default_factory=list)
    bullseye_cpu: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


class Slots:
    """CPU time of whatever Qt or VTK calls of ours; a call from within another is its own."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._inside = False

    def wrap(self, module: Any) -> None:
        """Every method of the classes of a module."""
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                for name, function in list(vars(kind).items()):
                    # the set-up is measured by itself
                    if isinstance(function, FunctionType) and name not in ("__init__", "setup"):
                        setattr(kind, name, self._timed(function))

    def longest(self, count: int) -> list[tuple[str, float, int]]:
        """Name, longest time and number of calls, the longest first."""
        return sorted(((name, max(times), len(times)) for name, times in self.seconds.items()),
                      key=lambda one: -one[1])[:count]

    def _timed(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*words: Any, **named: Any) -> Any:
            if self._inside:
                return function(*words, **named)
            self._inside, began = True, time.thread_time()
            try:
                return function(*words, **named)
            finally:
                self._inside = False
                self.seconds.setdefault(function.__qualname__, []).append(
                    time.thread_time() - began)
        return timed


class Ticks:
    """Gaps between ticks of a timer in the window's thread, while it is on."""

    def __init__(self, qt: Any) -> None:
        self.gaps: list[float] = []
        self._last: float | None = None
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    @contextmanager
    def on(self) -> Iterator[list[float]]:
        self.gaps, self._last = [], None
        yield self.gaps

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.gaps.append(now - self._last)
        self._last = now


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each kind; 5 by default")
    parser.add_argument("--patients", type=int, default=20,
                        help="opened and closed; 20 by default")
    options = parser.parse_args()
    keep_to_cores(options.threads)
    import standins

    standins.install()
    from standins.session import end

    measured, slots, gaps = Measured(), Slots(), {}
    panel = _opened(measured, slots)
    try:
        _use(panel, options.runs, measured, slots, gaps)
        measured.megabytes = _patients(panel, options.patients)
    finally:
        panel.close()
        end()
    report(options, measured, slots, gaps)


def _opened(measured: Measured, slots: Slots) -> Any:
    """Open the module, imports included, and see that no torch came with it; then open it again
    with every slot timed."""
    from panels import MODULE, open_panel
    from standins.session import begin, end

    begin()
    before, cpu = time.perf_counter(), time.thread_time()
    panel = open_panel()
    measured.set_up = time.perf_counter() - before
    measured.set_up_cpu = time.thread_time() - cpu
    assert "torch" not in sys.modules, "set-up imported torch"
    panel.close()
    end()
    for name, module in list(sys.modules.items()):
        if name == MODULE.stem or name.startswith("DeepGMMSegmentationLib."):
            slots.wrap(module)
    begin()
    return open_panel()


def _use(panel: Any, runs: int, measured: Measured, slots: Slots,
         gaps: dict[str, list[float]]) -> None:
    import qt
    from panels import A_PATIENT, put_patient
    from standins.session import wait_until

    from DeepGMMSegmentationLib.warming import Warming  # isort: skip

    ui, run_ = panel.ui, panel.widget.panel.run
    ticks = Ticks(qt)
    panel.window()
    wait_until(lambda: Warming.done, 30)
    patient = put_patient(A_PATIENT)

    def apply() -> float:
        panel.state.output = None
        began = time.perf_counter()
        ui.applyButton.click()
        wait_until(lambda: not run_.busy, 120)
        seconds = time.perf_counter() - began
        assert panel.state.output is not None, ui.statusLabel.text
        return seconds

    def begun() -> None:
        panel.state.output = None
        ui.applyButton.click()
        wait_until(lambda: run_.stage, 60)
        _let_pass(1.0)  # it is amid its fit then

    worker = run_._worker
    worker.start = lambda: None  # not ahead: the first Apply starts it
    patient.choose(panel)
    del worker.start
    measured.cold = apply()
    wait_until(lambda: run_.machine, 60)
    with ticks.on() as idle:
        _let_pass(5.0)
    gaps["idle, the panel open"] = list(idle)
    with ticks.on() as busy:
        measured.warm = [apply() for _ in range(runs)]
    gaps["Apply to result"] = list(busy)
    panel.settle()
    measured.stroke = [_stroke(panel, row)[0] for row in range(runs)]
    ui.numbersCollapsibleButton.collapsed = False
    wait_until(lambda: ui.methodsTable.rowCount > 0, 60)
    # the first while the worker's numbers are true, others on the heels of one another
    measured.bullseye, measured.bullseye_cpu = zip(*(
        _bullseye(panel, row) for row in range(4 * runs)))
    ui.numbersCollapsibleButton.collapsed = True
    panel.settle()
    ui.undoButton.click()
    panel.settle()
    panel.state.method, panel.state.preset = "deepsvg", "paper"
    for _ in range(runs):
        begun()
        before = time.perf_counter()
        ui.applyButton.click()
        wait_until(lambda: not run_.busy, 30)
        measured.cancel.append(time.perf_counter() - before)
        wait_until(lambda: worker.state.value == "idle", 60)
    for _ in range(max(runs // 2, 1)):
        begun()
        before = time.perf_counter()
        os.kill(worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        wait_until(lambda: not run_.busy, 30)
        measured.killed.append(time.perf_counter() - before)
        wait_until(lambda: worker.state.value == "idle", 60)
        measured.ready_again.append(time.perf_counter() - before)
    assert "torch" not in sys.modules, "torch came into the window's process"


def _drawn(panel: Any, flip: Callable[[Any], None], shown: Callable[[], Any]
           ) -> tuple[float, float]:
    """Seconds, and of them CPU time of the window's thread, from the end of a stroke in the
    result's scar, as an effect of the editor ends it, until what is shown is another.
    `slicer.util` would add nodes to the scene on its way, at which every selector of nodes looks
    again; an effect does not."""
    import vtk
    from standins.session import wait_until
    from vtk.util.numpy_support import vtk_to_numpy

    output, lge = panel.state.output, panel.state.lge
    voxels, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    lge.GetIJKToRASMatrix(matrix)
    voxels.SetExtent(lge.GetImageData().GetExtent())
    voxels.SetGeometryFromImageToWorldMatrix(matrix)
    voxels.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    scar = slicer.util.arrayFromSegmentBinaryLabelmap(output, "scar", lge)
    flip(scar)
    vtk_to_numpy(voxels.GetPointData().GetScalars())[:] = scar.ravel()
    _let_pass(0.2)  # what reading the scar set off is over
    before, began, cpu = shown(), time.perf_counter(), time.thread_time()
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        voxels, output, "scar")
    wait_until(lambda: shown() != before, 10)
    return time.perf_counter() - began, time.thread_time() - cpu


def _stroke(panel: Any, row: int) -> tuple[float, float]:
    """From a stroke in the result to its numbers."""
    def flip(scar: Any) -> None:
        scar[2, row] ^= 1

    return _drawn(panel, flip, lambda: panel.state.output.GetAttribute("DeepGMM.Provenance"))


def _bullseye(panel: Any, row: int) -> tuple[float, float]:
    """From a stroke in the result to the bull's-eye that shows it."""
    def flip(scar: Any) -> None:
        scar[row % len(scar), 20:40, 20 + row % 3::3] ^= 1

    return _drawn(panel, flip, lambda: panel.ui.bullseyeLabel.pixmap.cacheKey())


def _patients(panel: Any, count: int) -> list[float]:
    """Resident MB after each of so many patients was opened, given a result, and closed."""
    import gc

    from finished import finish
    from panels import A_PATIENT, put_patient

    found = []
    for _ in range(count):
        patient = put_patient(A_PATIENT)
        patient.choose(panel)
        finish(panel, patient)
        slicer.mrmlScene.Clear(0)
        patient = None
        panel.settle()
        gc.collect()
        with open("/proc/self/status", encoding="ascii") as file:
            found.append(next(int(line.split()[1]) / 1024 for line in file
                              if line.startswith("VmRSS")))
    return found


def _let_pass(seconds: float) -> None:
    from standins.session import wait_until

    ends = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > ends, seconds + 5)


def report(options: Any, measured: Measured, slots: Slots, gaps: dict[str, list[float]]) -> None:
    print("The Slicer panel on stand-ins for the desktop application (real MRML and Qt, drawn off "
          "screen); not measured in Slicer. A phantom patient of five slices, the default method; "
          "to be cancelled and killed, `deepsvg` with the `paper` preset.")
    print(machine(options.threads) + "\n")
    print(table(("what", "median", "most", "runs"), [
        (what, f"{statistics.median(values):.2f} s", f"{max(values):.2f} s", str(len(values)))
        for what, values in (
            ("set-up of the panel, with its imports", [measured.set_up]),
            ("the same, CPU time of its thread", [measured.set_up_cpu]),
            ("Apply to result, cold worker", [measured.cold]),
            ("Apply to result, warm worker", measured.warm),
            ("Cancel to idle", measured.cancel),
            ("killed from outside, to idle", measured.killed),
            ("killed from outside, to a new warm worker", measured.ready_again),
            ("a stroke in the result, to its numbers", measured.stroke),
            ("a stroke in the result, to the bull's-eye", measured.bullseye),
            ("the same, CPU time of the window's thread", measured.bullseye_cpu))]))
    longest = slots.longest(8)
    print(table(("slot of ours", "longest, CPU", "calls"), [
        (f"`{name}`", f"{1000 * most:.1f} ms", str(calls)) for name, most, calls in longest]))
    print(table((f"gaps between ticks of {TICK_MS} ms", "median", "99th percentile", "longest"), [
        (what, *(f"{1000 * value:.1f} ms" for value in (
            statistics.median(values), _percentile(values, 0.99), max(values))))
        for what, values in gaps.items()]))
    print(bars([
        ("set-up of the panel, no torch", "under 0.3 s", f"{measured.set_up:.2f} s",
         measured.set_up < 0.3),
        ("Apply to result, cold worker", "under 5 s", f"{measured.cold:.2f} s",
         measured.cold < 5),
        ("Apply to result, warm worker, most", "under 2 s", f"{max(measured.warm):.2f} s",
         max(measured.warm) < 2),
        ("longest slot of ours, CPU", "at most 50 ms", f"{1000 * longest[0][1]:.1f} ms",
         longest[0][1] <= 0.05),
        ("Cancel to idle, most", "under 1 s", f"{max(measured.cancel):.2f} s",
         max(measured.cancel) < 1),
        ("killed from outside, to idle, most", "under 2 s", f"{max(measured.killed):.2f} s",
         max(measured.killed) < 2),
        ("to a new warm worker, most", "under 6 s", f"{max(measured.ready_again):.2f} s",
         max(measured.ready_again) < 6),
        ("a stroke to its numbers, most", "under 100 ms", f"{1000 * max(measured.stroke):.0f} ms",
         max(measured.stroke) < 0.1),
        ("a stroke to the bull's-eye, most", "under 100 ms",
         f"{1000 * max(measured.bullseye):.0f} ms", max(measured.bullseye) < 0.1),
        (f"memory after {len(measured.megabytes)} patients, beside after two", "under 50 MB",
         f"{measured.megabytes[-1] - measured.megabytes[1]:.0f} MB",
         measured.megabytes[-1] - measured.megabytes[1] < 50),
    ]))


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


if __name__ == "__main__":
    run(main)
