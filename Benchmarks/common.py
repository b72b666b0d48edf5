"""What the benchmarks share: the machine in words, tables, scores, and the reference mixture."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "DeepGMMSegmentation" / "Logic"
sys.path.insert(0, str(LIBRARY))

from deepgmm.study.words import Kind  # noqa: E402

if TYPE_CHECKING:
    import numpy as np

    from deepgmm.phantom import PhantomPatient

#: Seeds of the patients that figures are reported on; the methods' constants were chosen on
#: others.
REPORTED_SEED, TUNED_ON = 1000, "100 to 199"
#: Kinds of LGE and T2 that go together, so that with them every kind is seen.
KIND_PAIRS = ((Kind.LGE_MAGNITUDE, Kind.T2_DARK_BLOOD), (Kind.LGE_PSIR, Kind.T2_PREPARED),
              (Kind.LGE_DARK_BLOOD, Kind.T2_MAP))
#: The heading by which `run_all.py` finds the bars among the tables.
BARS = ("bar", "wanted", "measured", "verdict")
#: The heading of what was run several times.
SPREAD = ("", "median", "least", "most", "runs")


def parser_of(doc: str | None, *, threads: int = 2) -> argparse.ArgumentParser:
    """A parser with what every command has."""
    parser = argparse.ArgumentParser(description=(doc or "").strip().splitlines()[0])
    parser.add_argument("--threads", type=int, default=threads,
                        help=f"CPU cores and threads; {threads} by default")
    return parser


def keep_to_cores(count: int) -> None:
    """Let this process and its children have so many CPU cores, where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def use_threads(count: int) -> None:
    """Compute with so many threads on as many cores, in torch, BLAS and scikit-learn alike."""
    import torch
    from threadpoolctl import threadpool_limits

    keep_to_cores(count)
    torch.set_num_threads(count)
    threadpool_limits(limits=count)


def child_environment(threads: int) -> dict[str, str]:
    """Of a process that runs this library in so many threads."""
    return {**os.environ, "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": str(threads)}


def peak_memory(usage: Any) -> float:
    """GB (10^9 bytes), of what `resource.getrusage` or `os.wait4` say."""
    # kilobytes on Linux, bytes on macOS
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float | None]:
    """Wall seconds from start to end of a process, and its peak memory in GB (10^9 bytes).

    A child begins with its parent's peak; where that is large, see `measured_apart`.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    said = process.stderr.read() if process.stderr else ""
    peak = None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = peak_memory(usage)
    seconds = time.perf_counter() - began
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command[:5])} ... failed: {said}")
    return seconds, peak


def measured_apart(words: Sequence[str], threads: int) -> tuple[float, float | None]:
    """`measure` of `deepgmm` and some words, from a process between that holds next to nothing."""
    between = ("import json, os, sys; from common import measure; "
               "print(json.dumps(measure(sys.argv[1:], dict(os.environ))))")
    environment = child_environment(threads)
    environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", between, sys.executable, "-m", "deepgmm", *words],
                          env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak = json.loads(done.stdout)
    return float(seconds), peak


def machine(threads: int) -> str:
    """One line on the machine and the versions, without loading what it names."""
    packages = ", ".join(f"{name} {_version(name)}"
                         for name in ("torch", "numpy", "scipy", "scikit-learn", "SimpleITK"))
    return (f"Machine: {_processor()}, {os.cpu_count()} logical cores, {threads} used; "
            f"{platform.system()} {platform.machine()}; Python {platform.python_version()}, "
            f"{packages}.")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def bars(rows: Iterable[tuple[str, str, str, bool | None]]) -> str:
    """The table of bars; a bar whose figure could not be had (None) is missed."""
    return table(BARS, [(what, wanted, measured, "PASS" if held else "MISS")
                        for what, wanted, measured, held in rows])


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def spread_row(what: str, values: Sequence[float], unit: str) -> tuple[str, ...]:
    """A row under `SPREAD`: median, least and most of some runs."""
    return (what, *(f"{value:.2f} {unit}" for value in
                    (statistics.median(values), min(values), max(values))), str(len(values)))


def mean_with_interval(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean over patients and its 95 % patient-bootstrap interval, as text."""
    from deepgmm.review.metrics import bootstrap_interval, mean_of

    mean = mean_of(values).value
    interval = bootstrap_interval(values, lambda value: value)  # type: ignore[type-var]
    if mean is None or interval is None:
        return number(mean, digits)
    return f"{mean:.{digits}f} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def four_tissue_slices(truth: np.ndarray) -> list[int]:
    """Indices of the slices that hold blood, myocardium, edema and scar."""
    from deepgmm.study.words import FOUR_TISSUES

    return [i for i, labels in enumerate(truth) if all((labels == t).any() for t in FOUR_TISSUES)]


def reference_mixture(images: np.ndarray, mask: np.ndarray, components: int,
                      **options: Any) -> np.ndarray:
    """scikit-learn's diagonal Gaussian mixture of every slice by itself.

    Parameters
    ----------
    images : (slices, sequences, rows, columns).
    mask : (slices, rows, columns).
    options : of `sklearn.mixture.GaussianMixture`.

    Returns
    -------
    (slices, rows, columns) component indices; -1 outside the mask.
    """
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    found = np.full(mask.shape, -1)
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        mixture = GaussianMixture(components, covariance_type="diag", **options)
        with warnings.catch_warnings():
            # stopping at the iteration limit belongs to the reference
            warnings.simplefilter("ignore", ConvergenceWarning)
            found[index, mask[index]] = mixture.fit_predict(images[index][:, mask[index]].T)
    return found


def patients_of(patient_set: str, count: int, first: int = REPORTED_SEED) -> list[PhantomPatient]:
    """Calibrated phantom patients of five slices, from consecutive seeds."""
    from deepgmm.phantom import make_patient

    return [make_patient(seed, patient_set=patient_set) for seed in range(first, first + count)]


def problem_of(patient: PhantomPatient, slices: Sequence[int] | None = None,
               **settings: Any) -> Any:
    """A patient's study as `deepgmm.methods.Problem` of one case; no truth enters it."""
    from deepgmm.identify.contrast import contrast_prior
    from deepgmm.methods import Case, Problem
    from deepgmm.settings import Device, Settings

    study = patient.study
    kinds = {role: sequence.kind for role, sequence in study.sequences.items()}
    return Problem((Case(study, tuple(study.slices if slices is None else slices), study.tissues,
                         contrast_prior(kinds, study.tissues),
                         Settings(device=Device.CPU, **settings)),))


def painted(problem: Any, winner: np.ndarray) -> np.ndarray:
    """(slices, pixels) integers of a one-case problem's batch on the study's grid, -1 elsewhere."""
    import numpy as np

    case = problem.cases[0]
    inside = np.full((len(case.slices), *case.mask.shape[1:]), -1)
    case.batch.paint(winner, inside)
    full = np.full(case.study.mask.shape, -1)
    full[list(case.slices)] = inside
    return full


def in_processes(function: Callable[[Any], Any], tasks: Sequence[Any], count: int) -> list[Any]:
    """`function` of every task, in so many processes of one thread; results in order.

    A task's patient is made in the process that uses it, so nothing large is passed.
    """
    from concurrent.futures import ProcessPoolExecutor

    if count < 2:
        use_threads(1)
        return [function(task) for task in tasks]
    with ProcessPoolExecutor(count, initializer=_one_thread) as pool:
        return list(pool.map(function, tasks))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def quiet(fraction: float, stage: str) -> None:
    """Nobody watches a benchmark's progress."""


def run(main: Callable[[], None]) -> None:
    """Run a command; a bar missed is no failure, so the exit status stays 0."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
