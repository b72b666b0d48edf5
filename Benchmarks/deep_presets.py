"""Is deepsvg's `fast` preset ten times faster than `paper` and as good?

Both fit the same phantom slices with the same threads. What they reach is computed in one way for
all rows, from the network's responsibilities w alone: one M-step in float64 without prior or
floor, then the raw NLL and two labellings, by the posterior of that M-step and by argmax w; both
ordered by truth.

    python Benchmarks/deep_presets.py                      (the `paper` rows take minutes)
    python Benchmarks/deep_presets.py --patients 5 --slices-each 3 --seeds 3
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from common import (
    REPORTED_SEED,
    bars,
    four_tissue_slices,
    machine,
    number,
    ordered_by_truth,
    painted,
    parser_of,
    problem_of,
    quiet,
    run,
    table,
    use_threads,
)

from deepgmm import Method
from deepgmm.methods import METHODS
from deepgmm.review.metrics import FOUR_TISSUES, dice, mean_of
from deepgmm.settings import Preset
from deepgmm.study.phantom import PhantomPatient, make_patient

#: How much less time; how much worse NLL (nats a pixel) and Dice may be.
FASTER, NLL_WORSE, DICE_WORSE = 10.0, 0.05, 0.01
#: Pixels; a class with less mass is left out of the M-step, where it has no variance.
NO_CLASS = 1e-6


@dataclass
class Row:
    """One preset, and per fit of one patient's slices what it took and reached."""

    name: str
    method: Method
    preset: Preset
    spatial: bool = True
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    nll: list[list[float]] = field(default_factory=list)
    posterior: list[list[float | None]] = field(default_factory=list)
    network: list[list[float | None]] = field(default_factory=list)

    def measure(self, patient: PhantomPatient, slices: list[int], seed: int) -> None:
        began = time.perf_counter()
        problem = problem_of(patient, slices, method=self.method, preset=self.preset, seed=seed)
        fit = METHODS[self.method](problem, quiet)
        self.seconds.append(time.perf_counter() - began)
        self.steps += fit.iterations.tolist()
        # map has no network: its posterior, as the fast preset's network takes it up, is step 0
        w = fit.posterior.clamp_min(1e-6) if fit.responsibilities is None else fit.responsibilities
        w = w.double().numpy()
        images = patient.study.images[slices].astype(np.float64)
        nll, by_posterior = [], np.zeros(w.shape[:2], dtype=int)
        for i, mask in enumerate(problem.mask):
            pixels = images[i][:, mask].T
            value, posterior = judged(pixels, w[i, : len(pixels)], self.spatial)
            nll.append(value)
            by_posterior[i, : len(pixels)] = posterior.argmax(1)
        self.nll.append(nll)
        self.posterior.append(overlap(patient, slices, painted(problem, by_posterior)))
        self.network.append(overlap(patient, slices, painted(problem, w.argmax(2))))


def judged(pixels: np.ndarray, w: np.ndarray, spatial: bool) -> tuple[float, np.ndarray]:
    """Raw NLL per pixel and posterior (pixels, tissues) of responsibilities.

    Means and variances are the maximum-likelihood M-step of `w`, in float64, without prior or
    floor; the mixing weights are w itself (deepSVG, NLL_V) or its mean (deepG, NLL).

    Parameters
    ----------
    pixels : (pixels, sequences), in the units of the image files.
    w : (pixels, tissues).
    """
    w = w / w.sum(1, keepdims=True)
    mass = w.sum(0)
    log_joint = np.full(w.shape, -np.inf)
    for k in np.flatnonzero(mass > NO_CLASS):
        mean = w[:, k] @ pixels / mass[k]
        squares = (pixels - mean) ** 2
        variance = np.maximum(w[:, k] @ squares / mass[k], np.finfo(float).tiny)
        log_g = -0.5 * (np.log(2 * np.pi * variance).sum() + (squares / variance).sum(1))
        with np.errstate(divide="ignore"):
            log_joint[:, k] = log_g + np.log(w[:, k] if spatial else mass[k] / len(w))
    evidence = np.logaddexp.reduce(log_joint, axis=1)
    return float(-evidence.mean()), np.exp(log_joint - evidence[:, None])


def overlap(patient: PhantomPatient, slices: list[int],
            components: np.ndarray) -> list[float | None]:
    """Mean Dice over the tissues of each slice, components ordered by the truth."""
    truth = patient.truth[slices]
    labels = ordered_by_truth(components[slices], truth, FOUR_TISSUES)
    return [mean_of(dice(found == t, true == t) for t in FOUR_TISSUES).value
            for found, true in zip(labels, truth, strict=True)]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=2, help="2 by default")
    parser.add_argument("--slices-each", type=int, default=2,
                        help="four-tissue slices of each patient, 2 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--seeds", type=int, default=1,
                        help="seeds of the networks, 1 by default; the tables' figures are means")
    parser.add_argument("--without-deepg", action="store_true", help="only the rows with bars")
    options = parser.parse_args()
    use_threads(options.threads)
    cases = chosen(options)
    rows = [Row("deepsvg, `paper`", Method.DEEPSVG, Preset.PAPER),
            Row("deepsvg, `fast`", Method.DEEPSVG, Preset.FAST),
            Row("deepsvg, `fast`, 0 network steps (anchored start)", Method.MAP, Preset.FAST)]
    if not options.without_deepg:
        rows += [Row("deepg, `paper`", Method.DEEPG, Preset.PAPER, spatial=False),
                 Row("deepg, `fast`", Method.DEEPG, Preset.FAST, spatial=False)]
    # the first fit of a process pays for more than itself
    warm = make_patient(0, slices=1)
    Row("", Method.DEEPSVG, Preset.FAST).measure(warm, [0], 0)
    for row in rows:
        for seed in range(options.seeds):
            for patient, slices in cases:
                row.measure(patient, slices, seed)
    report(options, cases, rows)


def chosen(options) -> list[tuple[PhantomPatient, list[int]]]:
    """Patients with as many four-tissue slices as asked for; the middle ones of each."""
    cases: list[tuple[PhantomPatient, list[int]]] = []
    seed = options.first_seed
    while len(cases) < options.patients:
        patient = make_patient(seed)
        slices, wanted = four_tissue_slices(patient.truth), options.slices_each
        first = max(len(slices) - wanted, 0) // 2
        if slices:
            cases.append((patient, slices[first : first + wanted]))
        seed += 1
    return cases


def report(options, cases: list[tuple[PhantomPatient, list[int]]], rows: list[Row]) -> None:
    which = "; ".join(f"{p.seed}: {', '.join(map(str, s))}" for p, s in cases)
    print(f"Phantom seeds and their four-tissue slices: {which}. {options.seeds} network seed(s). "
          "Seconds of a slice run from the study in memory to the fit, imports and a first small "
          "fit excluded. NLL is raw, nats a pixel: NLL_V for deepsvg, NLL for deepg. Components "
          "are ordered by truth, slice by slice, in every row. Labelled cases: the contrast "
          "tables place the start of `fast`; none in a loss.")
    print(machine(options.threads) + "\n")
    total = sum(len(slices) for _, slices in cases) * options.seeds
    cells = []
    for row in rows:
        cells.append((row.name, f"{np.median(row.steps):.0f}",
                      number(sum(row.seconds) / total, 3), *(
                          spread(values, options.seeds, digits) for values, digits in
                          ((row.nll, 3), (row.posterior, 3), (row.network, 3)))))
    print(table(("preset", "median steps", "s a slice", "raw NLL", "Dice, posterior",
                 "Dice, argmax w"), cells))
    print("\"Steps\" of the anchored start are its EM iterations.\n")
    paper, fast = rows[:2]
    ratio = sum(paper.seconds) / sum(fast.seconds)
    checks = [("deepsvg `fast`, fit time against `paper`", f"at least {FASTER:.0f} times less",
               f"{ratio:.1f} times less", ratio >= FASTER)]
    ours, theirs = average(fast.nll), average(paper.nll)
    checks.append(("deepsvg `fast`, raw NLL", f"at most {theirs + NLL_WORSE:.3f}",
                   f"{ours:.3f}", ours <= theirs + NLL_WORSE))
    for name in ("posterior", "network"):
        ours, theirs = average(getattr(fast, name)), average(getattr(paper, name))
        how = "posterior" if name == "posterior" else "argmax w"
        checks.append((f"deepsvg `fast`, Dice by {how}", f"at least {theirs - DICE_WORSE:.3f}",
                       f"{ours:.3f}", ours >= theirs - DICE_WORSE))
    print(bars(checks))


def average(values: list[list[float]]) -> float:
    return float(np.mean([v for fit in values for v in fit]))


def spread(values: list[list[float]], seeds: int, digits: int) -> str:
    """Mean, and over several network seeds their standard deviation."""
    text = number(average(values), digits)
    if seeds == 1:
        return text
    each = len(values) // seeds
    means = [average(values[i * each : (i + 1) * each]) for i in range(seeds)]
    return f"{text} ± {np.std(means, ddof=1):.{digits}f}"


if __name__ == "__main__":
    run(main)
