"""What a brain's networks reach, and what each adds over plain EM with the same atlas.

    python Benchmarks/brain_networks.py                       on phantoms
    python Benchmarks/brain_networks.py --ibsr IBSR18         on a user's own copy

Networks learn of the training cases without their labels, but for the rows that say so; all rows
are scored on the same other cases, and differences are paired by case. Labels of the training cases
enter the atlas. `--labelled` adds a row that learns of a quarter of the training cases' labels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common import bars, machine, parser_of, table, use_threads

if TYPE_CHECKING:
    import numpy as np

    from deepgmm.brain.atlas import Atlas
    from deepgmm.brain.volumes import BrainVolume

#: The paper's rows of IBSR without labels, F1 of GM and WM, %.
PAPER = {"mixture": "63.4 / 74.2", "network": "70.2 / 75.6", "network, field": "77.3 / 80.8"}


@dataclass
class Row:
    """One method over the cases that are scored.

    `labels` and `drawn` (CSF of the sulci as grey matter) are by name of the case.
    """

    name: str
    supervised: str
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    drawn: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    training: float = 0.0

    def add(self, volume: BrainVolume, found: Any, seconds: float) -> None:
        self.labels[volume.name] = found.labels
        self.drawn[volume.name] = found.as_labelled
        self.seconds.append(seconds)


def without_atlas(learning: Sequence[BrainVolume], scored: Sequence[BrainVolume],
                  steps: int, seeds: int) -> Iterator[Row]:
    """EM without an atlas, and the slices' network without and with a field."""
    from deepgmm.brain.segmenting import segment_brain
    from deepgmm.brain.unsupervised import UnsupervisedSettings, fit

    shares = "none; an adult's shares in the prior"
    yield asked("EM, no atlas, field", shares, scored, segment_brain)
    for degree, name in ((0, "network"), (2, "network, field")):
        for seed in range(seeds):
            settings = UnsupervisedSettings(degree=degree, steps=steps, seed=seed)
            began = time.perf_counter()
            network = fit(learning, settings)
            spent = time.perf_counter() - began
            row = asked(name + (f", seed {seed}" if seeds > 1 else ""), shares, scored,
                        lambda v, n=network, s=settings: by_slices(v, n, s))
            row.training = spent
            yield row


def with_few_labels(learning: Sequence[BrainVolume], scored: Sequence[BrainVolume],
                    steps: int) -> Iterator[Row]:
    """A quarter of the training cases labelled, with and without the mixture loss."""
    from deepgmm.brain.unsupervised import UnsupervisedSettings, fit

    count = max(1, len(learning) // 4)
    for weight, name in ((0.0, "cross entropy"), (0.05, "cross entropy and mixture loss")):
        settings = UnsupervisedSettings(label_weight=1.0, likelihood_weight=weight, degree=0,
                                        corrects=False, variation=0.1, steps=steps)
        began = time.perf_counter()
        taken = learning if weight else learning[:count]
        network = fit(taken, settings, labelled=[i < count for i in range(len(taken))])
        row = asked(f"{name}, {count} labelled", f"{count} cases in the loss", scored,
                    lambda v, n=network, s=settings: by_slices(v, n, s))
        row.training = time.perf_counter() - began
        yield row


def with_atlas(learning: Sequence[BrainVolume], scored: Sequence[BrainVolume], atlas: Atlas,
               steps: int) -> Iterator[Row]:
    """EM under the affine and the deformed atlas; the network in one pass, and with steps after."""
    from deepgmm.brain.amortised import AmortisedSettings, CoarseAtlas, fit, passed
    from deepgmm.brain.by_network import STEPS
    from deepgmm.brain.scene import BrainSettings
    from deepgmm.brain.segmenting import segment_brain, segment_deformed

    used = f"{atlas.labelled} cases in the atlas"
    for deform, name in ((False, "EM, affine atlas"), (True, "EM, deformed atlas")):
        yield asked(name, used, scored, lambda v, d=deform: segment_brain(
            v, atlas, BrainSettings(deform=d)))
    settings = AmortisedSettings(steps=steps)
    coarse = CoarseAtlas.of(atlas, settings.voxel)
    began = time.perf_counter()
    network = fit(learning, coarse, settings)
    spent = time.perf_counter() - began

    def by_pass(volume: BrainVolume, after: int) -> Any:
        laid, one = passed(volume, coarse, network, settings, steps=after)
        return segment_deformed(volume, atlas, laid.to_image, one.displacement, coarse.affine)

    for after, name in ((0, "network, one pass"), (STEPS, f"network, pass and {STEPS} steps")):
        row = asked(name, used, scored, lambda v, a=after: by_pass(v, a))
        row.training = spent
        yield row


def by_slices(volume: BrainVolume, network: Any, settings: Any) -> Any:
    """The slices' network's labels in both conventions."""
    from types import SimpleNamespace

    from deepgmm.brain.scores import sulci_as_grey, ventricular
    from deepgmm.brain.unsupervised import segment

    labels = segment(volume, network, settings).labels
    ventricles = ventricular(labels, volume.mask, volume.spacing)
    return SimpleNamespace(labels=labels, as_labelled=sulci_as_grey(labels, ventricles))


def asked(name: str, supervised: str, scored: Sequence[BrainVolume],
          segment: Callable[[BrainVolume], Any]) -> Row:
    row = Row(name, supervised)
    for volume in scored:
        began = time.perf_counter()
        found = segment(volume)
        row.add(volume, found, time.perf_counter() - began)
    print(f"{name}: done", file=sys.stderr)
    return row


def f1(row: Row, scored: Sequence[BrainVolume], drawn: bool) -> dict[str, dict[str, float]]:
    """By tissue and case, %; the labels of IBSR have the sulci's CSF as grey matter."""
    from deepgmm.brain.scores import agreement

    ours = row.drawn if drawn else row.labels
    found: dict[str, dict[str, float]] = {}
    for volume in scored:
        assert volume.labels is not None
        for tissue, counts in agreement(ours[volume.name], volume.labels).items():
            found.setdefault(tissue.name, {})[volume.name] = 100 * counts.f1
    return found


def report(rows: Sequence[Row], scored: Sequence[BrainVolume],
           pairs: Sequence[tuple[str, str]]) -> str:
    from deepgmm.brain.scores import paired, summary

    scores = {(row.name, drawn): f1(row, scored, drawn) for row in rows for drawn in (False, True)}

    def cells(name: str, drawn: bool) -> str:
        parts = [summary(list(scores[name, drawn][t].values())) for t in ("GM", "WM", "CSF")]
        return " / ".join(f"{p['mean']:.1f} ({p['sd']:.1f})" for p in parts)

    text = table(
        ("method", "labels used", "physical: GM / WM / CSF (sd)", "as labelled", "the paper's",
         "s a volume", "training, s"),
        [(row.name, row.supervised, cells(row.name, False), cells(row.name, True),
          PAPER.get(row.name.split(", seed")[0], "-"), f"{sum(row.seconds) / len(row.seconds):.1f}",
          f"{row.training:.0f}" if row.training else "-") for row in rows])
    lines = []
    for one, other in pairs:
        if (one, True) in scores and (other, True) in scores:
            drawn = "atlas" in other and "no atlas" not in other
            for tissue in ("GM", "WM", "CSF"):
                d = paired(scores[one, drawn][tissue], scores[other, drawn][tissue])
                lines.append((f"{one} less {other}", tissue, f"{d.mean:+.2f}",
                              f"{d.low:+.2f} to {d.high:+.2f}", f"{d.better} of {d.cases}"))
    return text + "\n" + table(("difference", "tissue", "F1", "95 %, by cases", "better in"), lines)


def verdicts(rows: Sequence[Row], scored: Sequence[BrainVolume]) -> str:
    """One pass beside the deformed atlas, and times."""
    import numpy as np

    named = {row.name: row for row in rows}
    lines: list[tuple[str, str, str, bool | None]] = []
    if "network, one pass" in named:
        one, other = named["network, one pass"], named["EM, deformed atlas"]
        scores = [f1(row, scored, True) for row in (one, other)]
        for tissue in ("GM", "WM", "CSF"):
            lost = float(np.nanmean(list(scores[1][tissue].values()))
                         - np.nanmean(list(scores[0][tissue].values())))
            lines.append((f"one pass below the deformed atlas, F1 of {tissue}", "at most 1.0",
                          f"{lost:+.2f}", lost <= 1))
        seconds = sum(one.seconds) / len(one.seconds)
        lines.append(("one pass, time a volume", "at most 1 s", f"{seconds:.2f} s", seconds <= 1))
    for row in rows:
        if row.training:
            lines.append((f"{row.name}: training", "at most 10 min", f"{row.training / 60:.1f} min",
                          row.training <= 600))
    return bars(lines)


#: Who is compared with whom: what the network adds.
PAIRS = (("network", "EM, no atlas, field"), ("network, field", "EM, no atlas, field"),
         ("network, field", "network"), ("network, one pass", "EM, affine atlas"),
         ("network, one pass", "EM, deformed atlas"))


def cases_of(words: Any) -> tuple[list[BrainVolume], list[BrainVolume]]:
    """To learn of, and to score on."""
    from deepgmm.brain.layouts import brain_cases, read_case
    from deepgmm.brain.phantom import make_brain

    if words.ibsr:
        cases = brain_cases(words.ibsr, labelled=True)
        held = [c for c in cases if c.group == "validation"]
        learning = [c for c in cases if c.group == "training"]
        return ([read_case(c) for c in learning[:words.cases]],
                [read_case(c) for c in held[:words.cases]])
    made = [make_brain(seed, spacing=words.spacing) for seed in range(300, 300 + words.cases)]
    scored = [make_brain(seed, spacing=words.spacing)
              for seed in range(1000, 1000 + max(2, words.cases // 2))]
    for phantom in (*made, *scored):
        phantom.volume.labels = phantom.as_labelled
    return [p.volume for p in made], [p.volume for p in scored]


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--ibsr", metavar="FOLDER", help="IBSR18, with its two sets")
    parser.add_argument("--cases", type=int, default=10, help="of each set at most; 10")
    parser.add_argument("--spacing", type=float, default=2.0, help="of phantoms, mm; 2")
    parser.add_argument("--seeds", type=int, default=1, help="of the slices' networks")
    parser.add_argument("--steps", type=int, default=0, help="of each training; 0: the defaults")
    parser.add_argument("--atlas", metavar="FILE", help="made of the training cases before")
    parser.add_argument("--only", choices=("slices", "atlas"), help="half of the rows")
    parser.add_argument("--labelled", action="store_true", help="with rows of few labels")
    words = parser.parse_args()
    use_threads(words.threads)
    from deepgmm.brain.amortised import AmortisedSettings
    from deepgmm.brain.atlas import Atlas, make_atlas
    from deepgmm.brain.unsupervised import UnsupervisedSettings

    learning, scored = cases_of(words)
    rows: list[Row] = []
    if words.only != "atlas":
        rows += without_atlas(learning, scored, words.steps or UnsupervisedSettings().steps,
                              words.seeds)
        if words.labelled:
            rows += with_few_labels(learning, scored, words.steps or UnsupervisedSettings().steps)
    if words.only != "slices":
        atlas = Atlas.load(words.atlas) if words.atlas else make_atlas(learning)
        rows += with_atlas(learning, scored, atlas, words.steps or AmortisedSettings().steps)
    print(machine(words.threads) + "\n")
    print(f"{'IBSR18' if words.ibsr else 'Phantoms'}: networks learned of {len(learning)} cases, "
          f"{len(scored)} others are scored. F1 in %.\n")
    print(report(rows, scored, PAIRS))
    print(verdicts(rows, scored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
