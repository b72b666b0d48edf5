"""How long does `deepgmm import` take on a whole examination, and how much memory?

A folder of some 3,000 classic DICOM files, as a scanner exports them: cines in three long-axis
views and in short axis, a series a slice; LGE magnitude and PSIR, T2, perfusion, T1 mapping, flow,
scouts; headers with 120 private elements and 60 kB of private data. Measured is the whole command,
from the start of the process to its end, the file cache warm.

    python Benchmarks/import_speed.py
"""

from __future__ import annotations

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
    parser.add_argument("--write", type=Path, help="only write the examination into this folder")
    options = parser.parse_args()
    if options.write:
        print(write_examination(options.write, options.files))
        return
    keep_to_cores(options.threads)
    environment = child_environment(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        exam, study = Path(temporary, "exam"), Path(temporary, "study")
        # Written by another process, because a child begins with its parent's peak memory.
        files = int(subprocess.run(
            [sys.executable, __file__, "--write", str(exam), "--files", str(options.files)],
            env=environment, check=True, capture_output=True, text=True).stdout)
        from segment_command import measure

        command = [sys.executable, "-m", "deepgmm", "import", "--force", str(exam),
                   "-o", str(study)]
        measure(command, environment)  # fills the file cache
        measured = [measure(command, environment) for _ in range(options.runs)]
        size = sum(f.stat().st_size for f in exam.rglob("*") if f.is_file()) / 1e6
        whole = all((study / name).is_file() for name in WANTED)
    report(options, files, size, [m[0] for m in measured], [m[1] for m in measured], whole)


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


def report(options, files: int, size: float, seconds: list[float],
           memory: list[float | None], whole: bool) -> None:
    peaks = [m for m in memory if m is not None]
    print(f"`deepgmm import` of {files} files, {size:.0f} MB, written to a study folder. Warm "
          "file cache, one run before the measured ones. MB and GB are powers of ten.")
    print(machine(options.threads) + "\n")
    rows = [spread_row("time, process start to end", seconds, "s")]
    if peaks:
        rows.append(spread_row("peak memory", peaks, "GB"))
    print(table(SPREAD, rows))
    median, most = statistics.median(seconds), max(peaks, default=None)
    print(bars([
        ("all files of the study written", str(len(WANTED)), "all" if whole else "not all", whole),
        (f"import of {files} files, time, median", "under 30 s", f"{median:.2f} s", median < 30),
        ("import, peak memory, most", "under 1 GB",
         "not known here" if most is None else f"{most:.2f} GB", most is not None and most < 1),
    ]))


if __name__ == "__main__":
    run(main)
