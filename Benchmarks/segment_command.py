"""How long does `deepgmm segment` take, and how much memory?

The whole command with its defaults and every output (segmentation, labelmap, probabilities,
montage, report) on a five-slice phantom study with three sequences, from the start of the process
to its end, the file cache warm. Then more studies in one process that stays.

    python Benchmarks/segment_command.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import (
    REPORTED_SEED,
    SPREAD,
    bars,
    child_environment,
    keep_to_cores,
    machine,
    measure,
    parser_of,
    run,
    spread_row,
    table,
)

# Nothing heavy is imported here: a child begins with its parent's peak memory.
INPUTS = ("bssfp", "lge", "t2", "mask")
OUTPUTS = {"output": "out.seg.nrrd", "labelmap": "labels.nii.gz",
           "probabilities": "probabilities.nii.gz", "montage": "montage.png",
           "report": "report.json"}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="measured runs; 5 by default")
    parser.add_argument("--slices", type=int, default=5, help="slices of the study; 5 by default")
    parser.add_argument("--stay", nargs="+", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stay:
        print(json.dumps(seconds_in_one_process(options.stay)))
        return
    keep_to_cores(options.threads)
    environment = child_environment(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        studies = write_studies(folder, options.runs + 1, options.slices, environment)
        command = [sys.executable, "-m", "deepgmm", "segment", *words(studies[0])]
        measure(command, environment)  # fills the file cache
        measured = [measure(command, environment) for _ in range(options.runs)]
        written = sorted(name for name in OUTPUTS.values() if (studies[0] / name).is_file())
        stay = [sys.executable, __file__, "--stay", *map(str, studies)]
        first, *later = json.loads(subprocess.run(
            stay, env=environment, check=True, capture_output=True, text=True).stdout)
    report(options, [m[0] for m in measured], [m[1] for m in measured], written, first, later)


def write_studies(folder: Path, count: int, slices: int, environment: dict[str, str]) -> list[Path]:
    subprocess.run(
        [sys.executable, "-m", "deepgmm", "phantom", "--quiet", "--patients", str(count),
         "--seed", str(REPORTED_SEED), "--slices", str(slices), "-o", str(folder)],
        env=environment, check=True)
    return [folder / f"phantom-{REPORTED_SEED + i:04d}" for i in range(count)]


def words(study: Path) -> list[str]:
    """What a user types after `deepgmm segment`."""
    given = [w for name in INPUTS for w in (f"--{name}", str(study / f"{name}.nii.gz"))]
    return given + [w for name, file in OUTPUTS.items() for w in (f"--{name}", str(study / file))]


def seconds_in_one_process(studies: list[Path]) -> list[float]:
    """Read, fit and write one study after the other; imports count for the first."""
    seconds = []
    for study in studies:
        began = time.perf_counter()
        from deepgmm.cli.segment_command import Job, Settings
        from deepgmm.cli.segment_command import run as run_job

        outputs = {"segmentation" if name == "output" else name: study / file
                   for name, file in OUTPUTS.items()}
        inputs = {name: study / f"{name}.nii.gz" for name in INPUTS}
        run_job(Job(inputs, outputs, Settings()), quiet=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def report(options, seconds: list[float], memory: list[float | None], written: list[str],
           first: float, later: list[float]) -> None:
    peaks = [m for m in memory if m is not None]
    print(f"`deepgmm segment`, defaults, {options.slices} slices of phantom seed {REPORTED_SEED}, "
          f"three sequences; files written: {', '.join(written)}. Warm file cache, one run before "
          "the measured ones; no truth. GB are 10^9 bytes.")
    print(machine(options.threads) + "\n")
    rows = [spread_row("time, process start to end", seconds, "s")]
    if peaks:
        rows.append(spread_row("peak memory", peaks, "GB"))
    rows.append(spread_row("first study of a process that stays, imports included", [first], "s"))
    rows.append(spread_row("each later study in that process", later, "s"))
    print(table(SPREAD, rows))
    again = statistics.median(later)
    median, most = statistics.median(seconds), max(peaks, default=None)
    whole = len(written) == len(OUTPUTS)
    took = f"{median:.2f} s"
    held = "not known here" if most is None else f"{most:.2f} GB"
    print(bars([
        ("all outputs written", str(len(OUTPUTS)), str(len(written)), whole),
        ("segment, time, median", "under 10 s", took, median < 10),
        ("segment, peak memory, most", "under 1.5 GB", held, most is not None and most < 1.5),
        ("segment, time, median (later bar)", "under 5 s", took, median < 5),
        ("segment, peak memory, most (later bar)", "under 1 GB", held,
         most is not None and most < 1),
        ("a later study in the same process, median", "under 1 s", f"{again:.2f} s", again < 1),
    ]))


if __name__ == "__main__":
    run(main)
