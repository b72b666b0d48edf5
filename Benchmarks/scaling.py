"""What do 5, 50 and 500 slices cost in time and memory?

Studies of five slices are segmented by the default method, one stream of them in a process of its
own for every size. They are drawn from the disk as they are asked for. Only few are different: a
stream goes round them, each time as a new study.

    python Benchmarks/scaling.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common import (
    REPORTED_SEED,
    bars,
    child_environment,
    keep_to_cores,
    machine,
    parser_of,
    peak_memory,
    run,
    table,
)

if TYPE_CHECKING:
    from deepgmm.study.study import Study

# Nothing heavy is imported here: a child begins with its parent's peak memory.
SLICES, DIFFERENT = 5, 10


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--slices", type=int, nargs="+", default=[5, 50, 500],
                        help="sizes, multiples of 5; 5 50 500 by default")
    parser.add_argument("--repeats", type=int, default=3, help="processes a size")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make)
    elif options.measure:
        print(json.dumps(measured(options.measure, options.slices[0], options.threads)))
    else:
        keep_to_cores(options.threads)
        report(options, in_children(options))


def in_children(options: argparse.Namespace) -> dict[int, list[dict[str, float]]]:
    """What every size cost, each time; the sizes by turns, so that all see the same machine."""
    environment = child_environment(options.threads)

    def child(*words: str) -> str:
        return subprocess.run([sys.executable, __file__, *words], env=environment, check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    costs: dict[int, list[dict[str, float]]] = {count: [] for count in options.slices}
    with tempfile.TemporaryDirectory() as folder:
        child("--make", folder)
        for _ in range(options.repeats):
            for count, seen in costs.items():
                seen.append(json.loads(child("--measure", folder, "--slices", str(count),
                                             "--threads", str(options.threads))))
    return costs


def make(folder: Path) -> None:
    import numpy as np

    from deepgmm.phantom import make_patient

    for number in range(DIFFERENT):
        study = make_patient(REPORTED_SEED + number, slices=SLICES).study
        np.savez(folder / f"{number}.npz", mask=study.mask, spacing=study.geometry.spacing,
                 **{role.value: s.values for role, s in study.sequences.items()})


def studies(folder: Path, slices: int) -> Iterator[Study]:
    """So many slices, five a study, each study read when its turn comes."""
    import numpy as np

    from deepgmm.phantom import DEFAULT_KINDS
    from deepgmm.study.study import Geometry, Sequence, Study
    from deepgmm.study.words import Role

    for number in range(slices // SLICES):
        with np.load(folder / f"{number % DIFFERENT}.npz") as held:
            yield Study({role: Sequence(role, held[role.value], DEFAULT_KINDS[role])
                         for role in Role}, held["mask"], Geometry(tuple(held["spacing"])))


def measured(folder: Path, slices: int, threads: int) -> dict[str, float]:
    """Seconds for all slices after one study to warm up, and the process's peak memory in GB."""
    import resource

    import torch

    from deepgmm import segment
    from deepgmm.segment import segment_many

    torch.set_num_threads(threads)
    segment(next(studies(folder, SLICES)))
    began = time.perf_counter()
    fitted = sum(len(result.fits) for result in segment_many(studies(folder, slices)))
    seconds = time.perf_counter() - began
    if fitted != slices:
        raise SystemExit(f"{fitted} of {slices} slices were fitted")
    return {"seconds": seconds, "peak": peak_memory(resource.getrusage(resource.RUSAGE_SELF))}


def report(options: argparse.Namespace, costs: dict[int, list[dict[str, float]]]) -> None:
    each = {count: [1e3 * c["seconds"] / count for c in seen] for count, seen in costs.items()}
    peak = {count: max(c["peak"] for c in seen) for count, seen in costs.items()}
    print(f"Default method, three sequences, studies of {SLICES} slices, phantom seeds from "
          f"{REPORTED_SEED} ({DIFFERENT} different ones, by turns); {options.repeats} processes a "
          "size, the sizes by turns; time after one study to warm up, the drawing from the disk "
          "included; no truth. GB are 10^9 bytes.")
    print(machine(options.threads) + "\n")
    print(table(("slices", "time a slice, median", "least", "most", "peak memory, most"), [
        (str(count), *(f"{v:.0f} ms" for v in (statistics.median(t), min(t), max(t))),
         f"{peak[count]:.2f} GB") for count, t in each.items()]))
    checks = []
    if 5 in costs:
        checks.append(("memory, 5 slices", "under 1 GB", f"{peak[5]:.2f} GB", peak[5] < 1))
    if 50 in costs and 500 in costs:
        slower = statistics.median(each[500]) / statistics.median(each[50])
        checks += [
            ("memory, 500 slices against 50", "at most 2 times", f"{peak[500] / peak[50]:.2f}",
             peak[500] <= 2 * peak[50]),
            ("time a slice, 500 against 50", "at most 1.1 times", f"{slower:.2f}", slower <= 1.1)]
    print(bars(checks))


if __name__ == "__main__":
    run(main)
