"""Is EM on all slices at once as right as scikit-learn's, and how much faster?

Both get the same pixels in float64, the same start, the same floor (1e-6) and the same
tolerance; scikit-learn fits a slice at a time.

    python Benchmarks/em_speed.py
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from common import (
    REPORTED_SEED,
    bars,
    machine,
    parser_of,
    run,
    table,
    use_threads,
)

from deepgmm.model.batch import PixelBatch
from deepgmm.model.devices import few_threads
from deepgmm.model.em import fit_em
from deepgmm.model.mixture import Mixture, m_step
from deepgmm.model.starts import spread_centres
from deepgmm.phantom import make_patient
from deepgmm.study.normalisation import normalise

TISSUES, FLOOR, TOLERANCE, ITERATIONS = 4, 1e-6, 1e-4, 200
#: How many times faster than scikit-learn EM must be on so many slices.
WANTED = {5: 1.5, 500: 4.0}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--slices", type=int, nargs="+", default=[5, 500],
                        help="sizes of the batch; 5 500 by default")
    parser.add_argument("--repeats", type=int, default=3, help="timings, of which the median")
    options = parser.parse_args()
    use_threads(options.threads)
    print(f"EM of {TISSUES} tissues with diagonal covariances on typical phantom slices, seeds "
          f"from {REPORTED_SEED}; one k-means start a slice for both, floor {FLOOR:g}, tolerance "
          f"{TOLERANCE:g}, at most {ITERATIONS} iterations; fit time alone, median of "
          f"{options.repeats}; no truth. Bounds are scikit-learn's `lower_bound_`, per pixel.")
    print(machine(options.threads) + "\n")
    rows, checks = [], []
    for count in options.slices:
        batch = slices(count)
        with few_threads(0):  # the start is not measured
            start = m_step(batch, spread_centres(batch, TISSUES, seed=0), floor=1e-3)
        ours, fit = timed(options.repeats, lambda: fit_em(  # noqa: B023
            batch, start, floor=FLOOR, tolerance=TOLERANCE, max_iterations=ITERATIONS))  # noqa: B023
        theirs, mixtures = timed(options.repeats, lambda: one_by_one(batch, start))  # noqa: B023
        bounds = np.array([-trace[-1] for trace in fit.traces])
        apart = float(np.abs(bounds - [m.lower_bound_ for m in mixtures]).max())
        same = int((fit.iterations.numpy() == [m.n_iter_ for m in mixtures]).sum())
        rows.append((str(count), f"{int(batch.counts.sum())}", f"{1e3 * ours:.1f} ms",
                     f"{1e3 * theirs:.1f} ms", f"{theirs / ours:.1f}", f"{apart:.1e}",
                     f"{same} of {count}"))
        checks.append((f"EM equals scikit-learn's, {count} slices", "bounds within 1e-6",
                       f"{apart:.1e}", apart <= 1e-6))
        if count in WANTED:
            checks.append((f"EM against scikit-learn's, {count} slices, time",
                           f"{WANTED[count]:g} times less", f"{theirs / ours:.1f} times less",
                           theirs >= WANTED[count] * ours))
    print(table(("slices", "pixels", "all at once (ours)", "one by one (scikit-learn)",
                 "times faster", "largest difference of bounds", "same iterations"), rows))
    print(bars(checks))


def slices(count: int) -> PixelBatch:
    """So many masked phantom slices, normalised study by study."""
    images, masks, seed = [], [], REPORTED_SEED
    while sum(map(len, masks)) < count:
        study = make_patient(seed, slices=min(count, 10), shape=(160, 160)).study
        images.append(normalise(study, study.slices)[0])
        masks.append(study.mask[list(study.slices)])
        seed += 1
    return PixelBatch.from_images(np.concatenate(images)[:count], np.concatenate(masks)[:count])


def one_by_one(batch: PixelBatch, start: Mixture) -> list:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixtures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for i in range(batch.slices):
            # given all three, `init_params` only spares older versions a k-means they discard
            mixture = GaussianMixture(
                TISSUES, covariance_type="diag", tol=TOLERANCE, reg_covar=FLOOR,
                max_iter=ITERATIONS, init_params="random", random_state=0,
                weights_init=start.log_weights[i].exp().numpy(),
                means_init=start.means[i].numpy(),
                precisions_init=1.0 / start.covariances[i].numpy())
            mixtures.append(mixture.fit(batch.values[i, batch.valid[i] > 0].numpy()))
    return mixtures


def timed(repeats: int, work: Callable):
    """Median seconds, and what the work gives; one round before is not counted."""
    made = work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), made


if __name__ == "__main__":
    run(main)
