"""How long does `deepgmm import` take on a whole examination, and how much memory? And the list of
a larger one, with nothing written?

A folder of some 3,000 classic DICOM files, as a scanner exports them: cines in three long-axis
views and in short axis, a series a slice; LGE magnitude and PSIR, T2, perfusion, T1 mapping, flow,
scouts; headers with 120 private elements and 60 kB of private data. Measured is the whole command,
from the start of the process to its end, the file cache warm.

    python Benchmarks/import_speed.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import (
    ROOT,
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

sys.path.insert(0, str(ROOT / "Testing" / "library"))

#: What the study folder must hold.
WANTED = ("bssfp.nii.gz", "cine.nii.gz", "lge.nii.gz", "t2.nii.gz", "study.json")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="measured runs; 3 by default")
    parser.add_argument("--files", type=int, default=3000, help="files, about; 3,000 by default")
    parser.add_argument("--listed", type=int, default=7000,
                        help="files of the examination that is only listed; 7,000 by default")
    parser.add_argument("--write", type=Path, help="only write the examination into this folder")
    options = parser.parse_args()
    if options.write:
        print(write_examination(options.write, options.files))
        return
    keep_to_cores(options.threads)
    environment = child_environment(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        exam, study = Path(temporary, "exam"), Path(temporary, "study")
        files = _written(exam, options.files, environment)
        size = sum(f.stat().st_size for f in exam.rglob("*") if f.is_file()) / 1e6
        imported = _measured(["--force", str(exam), "-o", str(study)], options, environment)
        whole = all((study / name).is_file() for name in WANTED)
    with tempfile.TemporaryDirectory() as temporary:
        exam = Path(temporary, "exam")
        many = _written(exam, options.listed, environment)
        listed = _measured([str(exam)], options, environment)
    print(f"`deepgmm import` of {files} files, {size:.0f} MB, written to a study folder; and of "
          f"{many} files, only listed. Warm file cache, one run before the measured ones. MB and "
          "GB are powers of ten.")
    print(machine(options.threads) + "\n")
    _report(f"import of {files} files", imported, (10.0, 1.0), [
        ("all files of the study written", str(len(WANTED)), "all" if whole else "not all",
         whole)])
    _report(f"list of {many} files", listed, (7.0, 0.1), [])


def _written(folder: Path, files: int, environment: dict[str, str]) -> int:
    """Write an examination by another process: a child begins with its parent's peak memory."""
    return int(subprocess.run(
        [sys.executable, __file__, "--write", str(folder), "--files", str(files)],
        env=environment, check=True, capture_output=True, text=True).stdout)


def _measured(words: list[str], options: argparse.Namespace, environment: dict[str, str]
              ) -> list[tuple[float, float | None]]:
    """Seconds and peak memory in GB of each run of the command."""
    command = [sys.executable, "-m", "deepgmm", "import", *words]
    measure(command, environment)  # fills the file cache
    return [measure(command, environment)[:2] for _ in range(options.runs)]


def write_examination(folder: Path, files: int) -> int:
    """Write an examination of about so many files; returns how many."""
    import numpy as np
    from dicom_files import AXIAL, CINE, LGE, PSIR, STIR, Examination, a_patient, long_axis

    from deepgmm.study.study import Geometry

    exam = Examination(folder, clutter=120, bulk=60_000)
    geometry = a_patient(1000).study.geometry
    geometry = Geometry((1.4, 1.4, 8.0), geometry.origin, geometry.direction)
    images = np.random.default_rng(1).integers(0, 1500, (30, 12, 256, 208)).astype(np.float32)
    times = [15.0 + 28 * p for p in range(30)]
    body = Geometry(geometry.spacing, geometry.origin, AXIAL)
    exam.add(1, "localizer", images[0], body, tags=CINE)
    for number, view in ((3, "2ch"), (4, "3ch"), (5, "4ch")):
        exam.add(number, f"cine_retro_{view}", images[:, :1], long_axis(geometry), tags=CINE,
                 times=times)
    exam.add(10, "cine_retro_sa", images, geometry, tags=CINE, times=times,
             one_series_a_slice=True)
    exam.add(30, "de_psir_sa_MAG", images[0], geometry, tags=LGE)
    exam.add(31, "de_psir_sa_PSIR", images[1], geometry, tags=PSIR)
    exam.add(40, "t2_stir_sa", images[2], geometry, tags=STIR)
    exam.add(50, "T1map_MOLLI_sax", images[:8, :3], geometry, tags=LGE,
             vary={"InversionTime": [100 + 90 * p for p in range(8)]})
    exam.add(60, "flow_ao", images[:, :1], body, tags=CINE, times=times)
    number = 70
    while exam.written < files:  # perfusion at rest, under stress, and once more
        exam.add(number, "perf_sax", np.concatenate([images, images])[:, :3], geometry,
                 seconds_apart=0.9, tags={"ScanningSequence": "GR", "SequenceVariant": "SP"})
        number += 1
    return exam.written


def _report(what: str, runs: list[tuple[float, float | None]], most: tuple[float, float],
            more: list[tuple[str, str, str, bool]]) -> None:
    """A table of runs and their bars: seconds, and GB."""
    seconds = [one[0] for one in runs]
    peaks = [one[1] for one in runs if one[1] is not None]
    rows = [spread_row(f"{what}, process start to end", seconds, "s")]
    if peaks:
        rows.append(spread_row(f"{what}, peak memory", peaks, "GB"))
    print(table(SPREAD, rows))
    median, peak = statistics.median(seconds), max(peaks, default=None)
    print(bars([*more, (
        f"{what}, time, median", f"under {most[0]:.0f} s", f"{median:.2f} s", median < most[0]), (
        f"{what}, peak memory, most", f"under {1000 * most[1]:.0f} MB",
        "not known here" if peak is None else f"{1000 * peak:.0f} MB",
        peak is not None and peak < most[1])]))


if __name__ == "__main__":
    run(main)
