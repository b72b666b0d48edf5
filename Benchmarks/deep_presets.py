"""Is deepsvg's `fast` preset fifty times faster than `paper` and as good?

All rows fit the same phantom studies, five slices each, with the same threads. What they reach is
computed in one way for all, from the network's responsibilities w alone: one M-step in float64
without prior or floor, then the raw NLL and two labellings, by the posterior of that M-step and by
argmax w; both ordered by truth.

    python Benchmarks/deep_presets.py                      (the `paper` rows take minutes)
    python Benchmarks/deep_presets.py --patients 2 --without-deepg --paper-seeds 3
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from common import (
    REPORTED_SEED,
    bars,
    four_tissue_slices,
    machine,
    number,
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
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.review.metrics import dice
from deepgmm.review.ordering import ordered_by_truth
from deepgmm.settings import Preset
from deepgmm.study.words import FOUR_TISSUES, Tissue

#: How much less time; how much worse NLL (nats a pixel) and Dice may be.
FASTER, NLL_WORSE, DICE_WORSE = 50.0, 0.01, 0.01
#: Weights of the total variation whose effect is shown.
VARIATIONS = (0.1, 1.0, 10.0)
#: Pixels; a class with less mass is left out of the M-step, where it has no variance.
NO_CLASS = 1e-6


@dataclass
class Row:
    """One way to fit, and per fit of one study what it took and reached.

    Attributes
    ----------
    choices : fields of `Settings`.
    seeds : networks of so many seeds; figures are means over them.
    nll, posterior, network, rim : per fit and slice the raw NLL; per fit and four-tissue slice
        the Dice of each tissue by posterior and by argmax w, and the area of edema by posterior
        over the true one.
    """

    name: str
    choices: dict[str, Any]
    seeds: int = 1
    spatial: bool = True
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    nll: list[list[float]] = field(default_factory=list)
    posterior: list[np.ndarray] = field(default_factory=list)
    network: list[np.ndarray] = field(default_factory=list)
    rim: list[np.ndarray] = field(default_factory=list)

    def measure(self, patient: PhantomPatient, slices: list[int], seed: int) -> None:
        began = time.perf_counter()
        problem = problem_of(patient, slices, seed=seed, **self.choices)
        fit = METHODS[problem.settings.method](problem, quiet)
        self.seconds.append(time.perf_counter() - began)
        self.steps += fit.iterations.tolist()
        # map has no network: its posterior, as the fast preset's network takes it up, is step 0
        w = fit.posterior.clamp_min(1e-6) if fit.responsibilities is None else fit.responsibilities
        w = w.double().numpy()
        images = patient.study.images[slices].astype(np.float64)
        nll, by_posterior = [], np.zeros(w.shape[:2], dtype=int)
        for i, mask in enumerate(problem.cases[0].mask):
            pixels = images[i][:, mask].T
            value, posterior = judged(pixels, w[i, : len(pixels)], self.spatial)
            nll.append(value)
            by_posterior[i, : len(pixels)] = posterior.argmax(1)
        self.nll.append(nll)
        scores, rim = overlap(patient, slices, painted(problem, by_posterior))
        self.posterior.append(scores)
        self.rim.append(rim)
        self.network.append(overlap(patient, slices, painted(problem, w.argmax(2)))[0])

    def spread(self, values: list, digits: int) -> str:
        """Mean, and over several network seeds their standard deviation."""
        text = number(average(values), digits)
        if self.seeds == 1:
            return text
        each = len(values) // self.seeds
        means = [average(values[i * each : (i + 1) * each]) for i in range(self.seeds)]
        return f"{text} ± {np.std(means, ddof=1):.{digits}f}"


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
            components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the four-tissue slices, components ordered by the truth: Dice (slices, tissues), and the
    area of edema over the true area (slices,)."""
    chosen = [i for i in four_tissue_slices(patient.truth) if i in slices]
    truth = patient.truth[chosen]
    labels = ordered_by_truth(components[chosen], truth, FOUR_TISSUES)
    scores = [[dice(found == t, true == t) for t in FOUR_TISSUES]
              for found, true in zip(labels, truth, strict=True)]
    areas = [(each == Tissue.EDEMA).sum((1, 2)) for each in (labels, truth)]
    return np.array(scores, dtype=float), areas[0] / areas[1]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--patients", type=int, default=1, help="1 by default")
    parser.add_argument("--slices", type=int, default=5, help="of a study, 5 by default")
    parser.add_argument("--first-seed", type=int, default=REPORTED_SEED)
    parser.add_argument("--seeds", type=int, default=3,
                        help="seeds of the networks outside `paper`, 3 by default")
    parser.add_argument("--paper-seeds", type=int, default=1, help="of `paper`, 1 by default")
    parser.add_argument("--without-deepg", action="store_true", help="no deepG rows")
    options = parser.parse_args()
    use_threads(options.threads)
    cases = chosen(options)
    rows = rows_of(options)
    # the first fit of a process pays for more than itself
    Row("", fit_with(Preset.FAST)).measure(make_patient(0, slices=1), [0], 0)
    for row in rows:
        for seed in range(row.seeds):
            for patient, slices in cases:
                row.measure(patient, slices, seed)
    report(options, cases, rows)


def fit_with(preset: Preset, method: Method = Method.DEEPSVG, **others: Any) -> dict[str, Any]:
    return {"method": method, "preset": preset, **others}


def rows_of(options) -> list[Row]:
    """`paper`, `fast` and its start first, as the bars read them."""
    seeds, paper = options.seeds, options.paper_seeds
    rows = [Row("deepsvg, `paper`", fit_with(Preset.PAPER), paper),
            Row("deepsvg, `fast`", fit_with(Preset.FAST), seeds),
            Row("deepsvg, `fast`, 0 network steps (anchored start)",
                fit_with(Preset.FAST, Method.MAP)),
            Row("deepsvg, `accurate`", fit_with(Preset.ACCURATE), seeds)]
    rows += [Row(f"deepsvg, `fast`, total variation {weight:g}",
                 fit_with(Preset.FAST, total_variation=weight), seeds) for weight in VARIATIONS]
    if not options.without_deepg:
        rows += [Row("deepg, `paper`", fit_with(Preset.PAPER, Method.DEEPG), paper, spatial=False),
                 Row("deepg, `fast`", fit_with(Preset.FAST, Method.DEEPG), seeds, spatial=False)]
    return rows


def chosen(options) -> list[tuple[PhantomPatient, list[int]]]:
    """Patients with a four-tissue slice; so many slices about the middle of each."""
    cases: list[tuple[PhantomPatient, list[int]]] = []
    seed = options.first_seed
    while len(cases) < options.patients:
        patient = make_patient(seed)
        first = max(len(patient.truth) - options.slices, 0) // 2
        slices = list(range(len(patient.truth)))[first : first + options.slices]
        if set(four_tissue_slices(patient.truth)) & set(slices):
            cases.append((patient, slices))
        seed += 1
    return cases


def report(options, cases: list[tuple[PhantomPatient, list[int]]], rows: list[Row]) -> None:
    which = "; ".join(f"{p.seed}: {', '.join(map(str, s))}" for p, s in cases)
    print(f"Phantom seeds and their slices: {which}. Network seeds: {options.seeds}, `paper` "
          f"{options.paper_seeds}; ± is their standard deviation. Seconds of a slice run from the "
          "study in memory to the fit of all its slices, imports and a first small fit excluded. "
          "NLL is raw, nats a pixel: NLL_V for deepsvg, NLL for deepg. Dice is of four-tissue "
          "slices; components are ordered by truth, slice by slice, in every row. Labelled cases: "
          "the contrast tables and the atlas place the start outside `paper`; none in a loss.")
    print(machine(options.threads) + "\n")
    total = sum(len(slices) for _, slices in cases)
    cells = []
    for row in rows:
        one = {t: [scores[:, FOUR_TISSUES.index(t)] for scores in row.posterior]
               for t in (Tissue.EDEMA, Tissue.SCAR)}
        cells.append((row.name, f"{np.median(row.steps):.0f}",
                      number(sum(row.seconds) / total / row.seeds, 3), *(
                          row.spread(values, digits) for values, digits in
                          ((row.nll, 3), (row.posterior, 3), (row.network, 3),
                           (one[Tissue.EDEMA], 2), (one[Tissue.SCAR], 2), (row.rim, 2)))))
    print(table(("preset", "median steps", "s a slice", "raw NLL", "Dice, posterior",
                 "Dice, argmax w", "edema", "scar", "area of edema over true"), cells))
    print("\"Steps\" of the anchored start are its EM iterations.\n")
    paper, fast, start = rows[:3]
    gained = average(fast.posterior) - average(start.posterior)
    print(f"The network steps change the anchored start's Dice by {gained:+.3f}"
          + (": they add nothing to the labels.\n" if gained <= 0 else ".\n"))
    ratio = (sum(paper.seconds) / paper.seeds) / (sum(fast.seconds) / fast.seeds)
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


def average(values: list) -> float:
    return float(np.concatenate([np.ravel(each) for each in values]).mean())


if __name__ == "__main__":
    run(main)
