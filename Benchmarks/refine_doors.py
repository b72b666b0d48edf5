"""What the doors to a refit take: the worker, the command, and the room of versions."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import REPORTED_SEED, child_environment

from deepgmm import Settings, refine, segment
from deepgmm.refine import case_of
from deepgmm.review.corrections import corrections_of
from deepgmm.study.words import Role, Tissue


def _stroke(result: Any, at: int) -> np.ndarray:
    """Labels with a small stroke of scar in the wall of one slice."""
    edited = result.labels.copy()
    place = np.argwhere(edited[at] == Tissue.MYOCARDIUM)[:12]
    edited[at][tuple(place.T)] = Tissue.SCAR
    return edited


def worker_seconds(study: Any, done: int = 0, runs: int = 3) -> tuple[float, float]:
    """From a stroke to the labels as the worker's owner has them: the first refit, which makes the
    study ready, and the median of those after it. With the first the first `done` slices are
    called done as they are, and the strokes are on the others."""
    from worker_speed import Owner

    from deepgmm.jobs.client import Done, Ready, Worker
    from deepgmm.jobs.tasks import refine_request, refined, segment_request, segmented

    owner = Owner(Worker())
    owner.worker.start()
    owner.until(Ready)
    owner.worker.submit("segment", *segment_request(study))
    finished = owner.until(Done)
    held = segmented(finished.header, finished.arrays, study)
    times = []
    for k in range(runs + 1):
        began = time.perf_counter()
        at = done + k % (len(study.mask) - done)
        given = corrections_of(held.result, _stroke(held.result, at),
                               done=() if k else range(done))
        owner.worker.submit("refine", *refine_request(given, held.kept))
        finished = owner.until(Done)
        found = refined(finished.header, finished.arrays, held.result.study)
        assert found is not None
        held = found
        times.append(time.perf_counter() - began)
    owner.worker.close()
    return times[0], median(times[1:])


def lge_alone(study: Any) -> Any:
    """A study of LGE and nothing else."""
    return replace(study, sequences={Role.LGE: study.sequences[Role.LGE]})


def command_seconds(folder: Path, runs: int = 2) -> float:
    """`deepgmm refine` on a state of five slices, the quickest."""
    from deepgmm.phantom import make_patient
    from deepgmm.reading.masks.labelmap import write_image
    from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image
    from deepgmm.review.outputs import write_outputs

    result = segment(make_patient(REPORTED_SEED).study, Settings())
    write_outputs(result, state=folder / "s.dgmm")
    write_image(seg_nrrd_image(_stroke(result, 2), result.study.geometry, result.present_tissues),
                folder / "e.seg.nrrd", "segmentation")
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "deepgmm", "refine", str(folder / "s.dgmm"),
                        "--edited", str(folder / "e.seg.nrrd"), "-o", str(folder / "n.seg.nrrd"),
                        "--state", str(folder / "n.dgmm"), "-q"], check=True,
                       env=child_environment(2), stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)


def versions_size(count: int) -> int:
    """Bytes of a file with so many versions of a study of five slices: a fit, and refits with two
    slices done, each with more strokes than the one before."""
    from deepgmm.phantom import make_patient
    from deepgmm.review.state import state_bytes
    from deepgmm.review.versions import Versions

    result = segment(make_patient(REPORTED_SEED).study, Settings())
    versions, case = Versions.begun(result), case_of(result)
    for k in range(count - 1):
        given = corrections_of(result, _stroke(result, 2 + k % 3), done=() if k else (0, 1))
        result = refine(result, given, case=case)
        versions.add(result, "refined")
    return len(state_bytes(versions))
