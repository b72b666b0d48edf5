"""What a brain's networks reach, and what each adds over plain EM with the same atlas.

    python Benchmarks/brain_networks.py                       on phantoms
    python Benchmarks/brain_networks.py --ibsr IBSR18         on a user's own copy
    python Benchmarks/brain_networks.py --ibsr IBSR18 --tune  on its training folder alone

Networks learn of the training cases without their labels, as `deepgmm brain train` has it; labels
of these cases enter the atlas. All rows are scored on the same other cases under the three
conventions of CSF in the sulci, and differences are paired by case. Time and memory are also
measured of the whole command on the largest brain, in a process of its own. `--tables` runs the
article's tables 1 to 4 too, in which labels enter the loss.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tables import TISSUES, Scores, cells, differences, headings, keep, mean_of, two_sets
from common import bars, machine, measured_apart, number, parser_of, table, use_threads

if TYPE_CHECKING:
    from deepgmm.brain.atlas import Atlas
    from deepgmm.brain.layouts import BrainCase
    from deepgmm.brain.volumes import BrainVolume

#: The article's rows of IBSR without labels, F1 of GM and WM, %.
PAPER = {"EM, no atlas, field": "63.4 / 74.2 (its mixture)", "network of slices": "70.2 / 75.6",
         "network of slices, field": "77.3 / 80.8"}
LAID, DEFORMED = "EM, affine atlas", "EM, deformed atlas"
MOMENTS, PASS = "EM, atlas laid by moments", "network, one pass"

#: Who is compared with whom: what the network adds.
PAIRS = (("network of slices", "EM, no atlas, field", "physical"),
         ("network of slices, field", "EM, no atlas, field", "physical"),
         ("network of slices, field", "network of slices", "physical"),
         (PASS, MOMENTS, "as labelled"), (PASS, LAID, "as labelled"),
         (PASS, DEFORMED, "as labelled"), (DEFORMED, LAID, "as labelled"))


@dataclass
class Row:
    """One way of segmenting a brain.

    Attributes
    ----------
    segment : a volume's `BrainSegmentation`.
    options : of `deepgmm brain segment` for the same; none where it has no such way.
    training : seconds.
    seconds, parts : of each case, all of it and its parts; `processor` : of all threads together,
        which other programs on the machine change less.
    command : seconds and GB of the whole command.
    """

    name: str
    supervised: str
    segment: Callable[[BrainVolume], Any]
    options: list[str] | None = None
    training: float = 0.0
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    command: tuple[float, float | None] | None = None

    def run(self, scored: Sequence[BrainVolume], scores: Scores) -> None:
        """Segment and score each case."""
        for volume in scored:
            began, spent = time.perf_counter(), time.process_time()
            found = self.segment(volume)
            self.seconds.append(time.perf_counter() - began)
            self.processor.append(time.process_time() - spent)
            self.parts.append(found.seconds)
            keep(scores, self.name, volume, found.labels, found.ventricles)
        print(f"{self.name}: done", file=sys.stderr)

    def ask(self, case: BrainCase, threads: int) -> None:
        """The command's time and memory for one case."""
        if self.options is not None:
            with tempfile.TemporaryDirectory() as folder:
                self.command = measured_apart(
                    ["brain", "segment", str(case.image), "--mask", str(case.labels), "--quiet",
                     "-o", f"{folder}/labels.nii.gz", *self.options], threads)


def of_slices(cases: Path, work: Path, steps: int, seeds: int) -> list[Row]:
    """EM without an atlas, and the slices' network without and with a field."""
    from deepgmm.brain.by_network import segment_by_network
    from deepgmm.brain.network_card import load_brain_network
    from deepgmm.brain.segmenting import segment_brain
    from deepgmm.brain.training import train
    from deepgmm.brain.unsupervised import UnsupervisedSettings

    shares = "none; an adult's shares in the prior"
    rows = [Row("EM, no atlas, field", shares, segment_brain, [])]
    for degree, name in ((0, "network of slices"), (2, "network of slices, field")):
        for seed in range(seeds):
            settings = UnsupervisedSettings(degree=degree, seed=seed,
                                            **({"steps": steps} if steps else {}))
            place = work / f"slices-{degree}-{seed}"
            card = train(cases, place, unsupervised=settings)
            network, _ = load_brain_network(place)
            rows.append(Row(name + (f", seed {seed}" if seed else ""), shares,
                            lambda v, n=network, c=card: segment_by_network(v, n, c),
                            ["--model", str(place)], card.training["seconds"]))
    return rows


def of_an_atlas(cases: Path, work: Path, atlas: Atlas, steps: int) -> list[Row]:
    """EM under the atlas, laid and deformed; the network in one pass, and with steps after."""
    import torch

    from deepgmm.brain.amortised import AmortisedSettings, CoarseAtlas, Laid
    from deepgmm.brain.by_network import STEPS, segment_by_network
    from deepgmm.brain.network_card import load_brain_network
    from deepgmm.brain.scene import BrainSettings
    from deepgmm.brain.segmenting import segment_brain, segment_deformed
    from deepgmm.brain.training import train

    used = f"{atlas.labelled} cases in the atlas"
    file, place = work / "atlas.npz", work / "deforming"
    atlas.save(file)
    settings = AmortisedSettings(**({"steps": steps} if steps else {}))
    card = train(cases, place, amortised=settings, atlas=atlas)
    network, _ = load_brain_network(place)
    coarse = CoarseAtlas.of(atlas, settings.voxel)

    def by_moments(volume: BrainVolume) -> Any:
        still = torch.zeros(1, 3, *coarse.probabilities.shape[1:])
        return segment_deformed(volume, atlas, Laid.of(volume, coarse).to_image, still,
                                coarse.affine)

    def by_network(volume: BrainVolume, after: int) -> Any:
        return segment_by_network(volume, network, card, atlas=atlas, steps=after)

    given, asked = ["--atlas", str(file)], ["--atlas", str(file), "--model", str(place)]
    return [
        Row(LAID, used, lambda v: segment_brain(v, atlas, BrainSettings(deform=False)),
            [*given, "--affine"]),
        Row(DEFORMED, used, lambda v: segment_brain(v, atlas), given),
        Row(MOMENTS, used, by_moments),
        Row(PASS, used, lambda v: by_network(v, 0), asked, card.training["seconds"]),
        Row(f"network, pass and {STEPS} steps", used, lambda v: by_network(v, STEPS),
            [*asked, "--steps", str(STEPS)], card.training["seconds"])]


def report(rows: Sequence[Row], scores: Scores) -> str:
    text = table(("method", "labels used", *headings(scores), "the article's GM / WM",
                  "s a volume in memory / of processors", "training, s"),
                 [(row.name, row.supervised, *cells(scores, row.name), PAPER.get(row.name, "-"),
                   " / ".join(f"{sum(s) / len(s):.2f}" for s in (row.seconds, row.processor)),
                   number(row.training or None, 0)) for row in rows])
    steps = "\n".join(
        f"{row.name}, mean seconds of its parts: " + ", ".join(
            f"{part} {sum(p[part] for p in row.parts) / len(row.parts):.2f}"
            for part in row.parts[0]) + f"; slowest volume {max(row.seconds):.2f}."
        for row in rows if row.name.startswith("network, "))
    return f"{text}\n{steps}\n\n{differences(scores, PAIRS)}"


def commands(rows: Sequence[Row]) -> str:
    """Time and memory of `deepgmm brain segment` on the largest brain."""
    return table(("the command", "s, from start to end", "its peak, GB"),
                 [(row.name, number(row.command[0], 1), number(row.command[1]))
                  for row in rows if row.command])


def verdicts(rows: Sequence[Row], scores: Scores) -> str:
    """One pass beside the deformed atlas; times and memory."""
    lines: list[tuple[str, str, str, bool | None]] = []
    for row in rows:
        if row.name == PASS:
            for tissue in TISSUES:
                lost = (mean_of(scores, DEFORMED, "as labelled", tissue)
                        - mean_of(scores, PASS, "as labelled", tissue))
                lines.append((f"one pass below the deformed atlas, as labelled, {tissue}",
                              "at most 1.0", f"{lost:+.2f}", lost <= 1))
            seconds = sum(row.seconds) / len(row.seconds)
            lines.append(("one pass, all of it, a volume in memory", "at most 1 s",
                          f"{seconds:.2f} s", seconds <= 1))
        if row.training:
            lines.append((f"{row.name}: training", "at most 10 min", f"{row.training / 60:.1f} min",
                          row.training <= 600))
        if row.command:
            took, held = row.command
            lines.append((f"{row.name}: the command on the largest", "at most 40 s",
                          f"{took:.1f} s", took <= 40))
            lines.append((f"{row.name}: its peak memory", "at most 2 GB", f"{number(held)} GB",
                          held is not None and held <= 2))
    return bars(lines)


def the_tables(folder: Path, fractions: str, steps: int, threads: int) -> str:
    """Tables 1 to 4 by the command, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "tables.md"
        took, held = measured_apart(
            ["brain", "table", str(folder), "--fractions", fractions, "--quiet", "-o", str(file),
             *(["--steps", str(steps)] if steps else [])], threads)
        return (f"Tables 1 to 4, `deepgmm brain table` with fractions {fractions} and "
                f"{f'{steps} steps' if steps else 'its own steps'} a network: {took / 60:.1f} min, "
                f"{number(held)} GB at most.\n\n{file.read_text(encoding='utf-8')}")


def cases_of(words: Any, work: Path) -> tuple[list[BrainCase], list[BrainCase]]:
    """To learn of, and to score on."""
    from deepgmm.brain.layouts import brain_cases
    from deepgmm.brain.phantom import make_brain
    from deepgmm.brain.phantom_files import write_ibsr

    if words.ibsr:
        return two_sets(words.ibsr, tune=words.tune, most=words.cases)
    for name, seeds in (("learning", range(300, 300 + words.cases)),
                        ("scored", range(1000, 1000 + max(2, words.cases // 2)))):
        write_ibsr([make_brain(seed, spacing=words.spacing) for seed in seeds], work / name)
    return brain_cases(work / "learning"), brain_cases(work / "scored")


def linked(cases: Sequence[BrainCase], folder: Path) -> Path:
    """A folder of these cases alone."""
    folder.mkdir(parents=True)
    for case in cases:
        (folder / case.image.parent.name).symlink_to(case.image.parent.resolve())
    return folder


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--ibsr", metavar="FOLDER", help="IBSR18, with its two sets")
    parser.add_argument("--tune", action="store_true", help="score half of the training set alone")
    parser.add_argument("--cases", type=int, default=10, help="of each set at most; 10")
    parser.add_argument("--spacing", type=float, default=2.0, help="of phantoms, mm; 2")
    parser.add_argument("--seeds", type=int, default=1, help="of the slices' networks")
    parser.add_argument("--steps", type=int, default=0, help="of each training; 0: the defaults")
    parser.add_argument("--atlas", metavar="FILE", help="made of the training cases before")
    parser.add_argument("--only", choices=("slices", "atlas"), help="half of the rows")
    parser.add_argument("--tables", metavar="FRACTIONS", help="tables 1 to 4 too, as 0.25,0.5,0.75")
    parser.add_argument("--table-steps", type=int, default=0, help="of each of their trainings")
    words = parser.parse_args()
    use_threads(words.threads)
    from deepgmm.brain.atlas import Atlas, make_atlas
    from deepgmm.brain.layouts import read_case

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        learning, held = cases_of(words, work)
        cases = linked(learning, work / "cases" / "Training_Set")
        scored = [read_case(case) for case in held]
        largest = held[max(range(len(held)), key=lambda i: scored[i].mask.sum())]
        rows: list[Row] = []
        scores: Scores = {}
        if words.only != "atlas":
            rows += of_slices(cases, work, words.steps, words.seeds)
        if words.only != "slices":
            atlas = (Atlas.load(words.atlas) if words.atlas
                     else make_atlas([read_case(case) for case in learning]))
            for volume in scored:
                atlas.may_score(volume)
            rows += of_an_atlas(cases, work, atlas, words.steps)
        for row in rows:
            row.run(scored, scores)
        print(machine(words.threads) + "\n")
        where = "the same folder" if words.tune else "the validation folder"
        print(f"{f'IBSR18, {where}' if words.ibsr else 'Phantoms'}: networks learned of "
              f"{len(learning)} cases, {len(held)} others are scored. F1 in %, mean (standard "
              "deviation). Seconds a volume are from the image in memory to tissues, "
              "probabilities and field in memory; the command reads and writes files and starts "
              "Python too.\n")
        print(report(rows, scores))
        for row in rows:
            row.ask(largest, words.threads)
        print(commands(rows))
        print(verdicts(rows, scores))
        if words.tables:
            linked(held, work / "cases" / "Validation_Set")
            print(the_tables(work / "cases", words.tables, words.table_steps, words.threads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
