"""How long does the shipped network take: loading, a study of five slices, a step of training?

    python Benchmarks/pretrained_speed.py
    python Benchmarks/pretrained_speed.py --device cuda
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from common import (
    LIBRARY,
    REPORTED_SEED,
    bars,
    machine,
    number,
    parser_of,
    run,
    table,
    use_threads,
)

LOADING = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch, safetensors.torch
from deepgmm.weights.shelf import find
began = time.perf_counter()
from deepgmm.weights.folder import load_network
load_network(find())
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    use_threads(options.threads)
    loading = [float(subprocess.run([sys.executable, "-c", LOADING, str(LIBRARY)], check=True,
                                    capture_output=True, text=True).stdout)
               for _ in range(3)]
    print(f"The shipped network on a phantom patient of five slices and three sequences; medians "
          f"of {options.runs} runs after two that do not count, device {options.device}. Loading "
          "is in a fresh process that has torch; `segment` is the whole call: checks, "
          "normalisation, LV coordinates, network, M-step, posterior, absence, quality of the "
          "slices.")
    print(machine(options.threads) + "\n")
    from deepgmm import Settings, segment
    from deepgmm.phantom import make_patient

    patient = make_patient(REPORTED_SEED)
    rows = [("loading the network", number(median(loading), 3))]
    took = {}
    for name, settings in (
            ("segment, pretrained", {"method": "pretrained"}),
            ("segment, pretrained, --adapt 20", {"method": "pretrained", "adapt": 20}),
            ("segment, map", {})):
        times, fits = [], []
        for _ in range(options.runs + 2):
            began = time.perf_counter()
            result = segment(patient.study, Settings(device=options.device, **settings))
            times.append(time.perf_counter() - began)
            fits.append(result.provenance["seconds"]["segment"])
        took[name] = median(times[2:])
        rows.append((name, number(took[name], 3)))
        rows.append(("... of which the fit, to the posterior", number(median(fits[2:]), 3)))
    step = training_step(options.device, options.runs)
    rows.append(("a training step of 12 slices of 64 x 64, augmentation included",
                 number(step, 3)))
    print(table(("what", "s"), rows))
    print(bars([
        ("loading", "under 0.5 s", f"{median(loading):.3f} s", median(loading) < 0.5),
        ("a five-slice study, posterior included", "under 0.150 s",
         f"{took['segment, pretrained']:.3f} s", took["segment, pretrained"] < 0.150)]))


def training_step(device: str, runs: int) -> float:
    """Seconds of a step, the median."""
    import tempfile

    from deepgmm.phantom import make_patient
    from deepgmm.training.augmentation import Augmentation
    from deepgmm.training.examples import make_examples
    from deepgmm.training.loop import train_network
    from deepgmm.training.settings import TrainingSettings

    patients = [make_patient(seed, slices=6) for seed in (100, 101)]
    examples, _ = make_examples([(p.study, p.truth) for p in patients], teach=False)
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train_network(
            examples.enlarged(64), None,
            TrainingSettings(steps=runs + 3, device=device, checkpoint_every=0, teacher_weight=0),
            Path(folder), augment=Augmentation().augmented,
            progress=lambda fraction, stage: marks.append(time.perf_counter()))
    return median(b - a for a, b in zip(marks[2:], marks[3:], strict=False))


if __name__ == "__main__":
    run(main)
