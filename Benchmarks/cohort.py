"""What does a cohort cost, and does it lose anything?

Phantom studies of five slices through `deepgmm cohort` with two workers and with one, beside one
process with one thread that does and writes the same in a loop, from the start of each process to
its end; the parent's own memory with few cases and with ten times as many, and a second run of
those; a run whose workers are killed at random.

    python Benchmarks/cohort.py                 200 studies; 20 minutes on two cores
    python Benchmarks/cohort.py --cases 8       to try it
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import (
    REPORTED_SEED,
    bars,
    child_environment,
    keep_to_cores,
    machine,
    parser_of,
    run,
    table,
)

#: Of the cases whose memory and second run are measured: quick ones.
QUICK = ("--method", "gmm", "--restarts", "1")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cases", type=int, default=200, help="studies; 200 by default")
    parser.add_argument("--many", type=int, help="cases of the larger cohort whose memory is "
                        "measured; two and a half times --cases by default")
    parser.add_argument("--kills", type=int, help="workers killed; a tenth of --cases by default")
    parser.add_argument("--loop", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        loop(*options.loop)
        return
    keep_to_cores(options.threads)
    many = options.many or 5 * options.cases // 2
    few, killed = max(many // 10, 2), max(options.cases // 2, 4)
    kills = options.kills or max(options.cases // 10, 1)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        environment = child_environment(1) | {
            "XDG_DATA_HOME": str(root / "user"),
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",  # as a cohort's workers have it
            "PYTHONPYCACHEPREFIX": str(root / "bytecode")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        first = phantoms(root / "first", 1, 1, environment)  # compiles, as an installation does
        measure([sys.executable, __file__, "--loop", first, root / "first-loop"], environment)
        measure(cohort(first, root / "first-out"), environment)
        studies = phantoms(root / "studies", options.cases, 5, environment)
        small = copies(phantoms(root / "some", min(many, 20), 1, environment), root / "many", many)
        loop_time, _, loop_cpu = measure(
            [sys.executable, __file__, "--loop", studies, root / "loop"], environment)
        two, _, two_cpu = measure(cohort(studies, root / "two"), environment)
        one, _, one_cpu = measure(cohort(studies, root / "one", "--workers", 1), environment)
        subset = root / "few"
        subset.mkdir()
        for folder in sorted(small.iterdir())[:few]:
            (subset / folder.name).symlink_to(folder)
        _, least, _ = measure(cohort(subset, root / "few-out", *QUICK), environment)
        _, most, _ = measure(cohort(small, root / "many-out", *QUICK), environment)
        again, _, _ = measure(cohort(small, root / "many-out", *QUICK), environment)
        part = root / "part"
        part.mkdir()
        for folder in sorted(studies.iterdir())[:killed]:
            (part / folder.name).symlink_to(folder)
        done, hit = with_kills(cohort(part, root / "killed"), environment, kills)
        counted = ends(root / "killed", killed)
    print(machine(options.threads) + "\n")
    print(table(("", "seconds", "a study", "CPU seconds"), [
        (what, f"{seconds:.1f}", f"{seconds / options.cases:.2f}", f"{cpu:.1f}")
        for what, seconds, cpu in (
            (f"{options.cases} studies in a loop, one process, one thread", loop_time, loop_cpu),
            ("cohort, two workers", two, two_cpu), ("cohort, one worker", one, one_cpu))]))
    print(bars([
        ("time, two workers against the loop", "at most 0.65", f"{two / loop_time:.2f}",
         two / loop_time <= 0.65),
        ("speed, two workers against one", "at least 1.7", f"{one / two:.2f}", one / two >= 1.7),
        (f"the parent's memory, {few} and {many} cases", "under 300 MB",
         f"{least:.0f} and {most:.0f} MB", max(least, most) < 300),
        ("its growth", "at most 1.1 times", f"{most / least:.2f}", most <= 1.1 * least),
        (f"second run of {many} finished cases", "under 5 s", f"{again:.1f} s", again < 5),
        (f"{hit} workers killed: cases that ended once", f"all {killed}", str(counted["once"]),
         counted["once"] == killed)]))
    print(f"\nThe run with kills: {counted['done']} of {killed} done, {counted['failed']} failed, "
          f"in {done:.0f} s.")


def loop(studies: Path, out: Path) -> None:
    """The same cases one after the other, here."""
    from deepgmm.jobs.cohort.cases import Plan, find_cases
    from deepgmm.jobs.cohort.work import Batch, run_batch

    out.mkdir()
    for case in find_cases(studies):
        case.pseudonym = case.name
        for outcome in run_batch(Batch([case], Plan(), out, "loop")):
            assert not outcome.message, outcome.message


def phantoms(folder: Path, count: int, slices: int, environment: dict[str, str]) -> Path:
    subprocess.run([sys.executable, "-m", "deepgmm", "phantom", "--quiet", "--patients", str(count),
                    "--seed", str(REPORTED_SEED), "--slices", str(slices), "-o", str(folder)],
                   env=environment, check=True)
    return folder


def copies(patients: Path, folder: Path, count: int) -> Path:
    """So many cases of a few patients."""
    known = sorted(patients.iterdir())
    for number in range(count):
        shutil.copytree(known[number % len(known)], folder / f"case-{number:04d}")
    return folder


def cohort(studies: Path, out: Path, *more: object) -> list[object]:
    return [sys.executable, "-m", "deepgmm", "cohort", studies, "-o", out, "--quiet", "--workers",
            2, *more]


def measure(command: list[object], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds from start to end of a process, the peak of its own memory, MB, and the CPU seconds
    of it and its own processes, which other programs beside it lengthen little."""
    began, peak, before = time.perf_counter(), 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, own_memory(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0, process.returncode
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, peak, sum(after[:2]) - sum(before[:2])


def own_memory(pid: int) -> float:
    """The peak of a process's memory so far, MB (10^6 bytes), without its children's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 / 1e6 for line in status.splitlines()
                 if line.startswith("VmHWM")), 0.0)


def with_kills(command: list[object], environment: dict[str, str], kills: int
               ) -> tuple[float, int]:
    """Run a cohort while its workers are killed at random; seconds, and how many were hit."""
    draw, began, hit = random.Random(0), time.perf_counter(), 0
    process = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(draw.uniform(1.0, 4.0))
        workers = workers_of(process.pid)
        if workers and hit < kills:
            os.kill(draw.choice(workers), signal.SIGKILL)
            hit += 1
    return time.perf_counter() - began, hit


def workers_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == pid and b"spawn_main" in line:
                found.append(int(folder.name))
    return found


def ends(out: Path, cases: int) -> dict[str, int]:
    """How the cases of a run ended, by its table, its failures and its files."""
    with (out / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (out / "failures.csv").open(newline="") as stream:
        failed = Counter(row["case"] for row in csv.DictReader(stream))
    done = {path.parent.name for path in out.glob("cases/*/record.json")}
    times = Counter(row["case"] for row in rows)
    once = sum(times[case] == 1 and (case in done) + failed[case] == 1 for case in times)
    return {"once": once if len(times) == cases else 0, "done": len(done),
            "failed": sum(failed.values())}


if __name__ == "__main__":
    run(main)
