"""The proposed LV mask on cases turned, cut, in other pixels and slices, noisy, at any phase; bars.

    python Benchmarks/outline_sweeps.py --threads 1
    python Benchmarks/outline_sweeps.py --rows pixels,slices --sets Sunnybrook --emidec-of 3
What a row varies is compared with what was proposed on the plain case, moved the same way. Patients
of EMIDEC are every fourth. Phantoms and chests are those that `mask_proposal.py` reports, unless
`--first-phantom` and `--first-chest` say others, to choose something on. Nothing of the data is
written but to a folder that goes again.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import outline_variations as to
from common import ROOT, bars, machine, parser_of, run, table, use_threads
from outline_patients import FIRST_CHEST, FIRST_PHANTOM, MAKES, chests, phantoms, real
from outline_variations import Case, Variation

from deepgmm.errors import InputError
from deepgmm.propose.proposal import propose_mask
from deepgmm.propose.proposed import MaskProposal
from deepgmm.review.metrics import dice
from deepgmm.study.study import BoolArray, Study
from deepgmm.study.words import SURE, Role

DATA = ROOT.parent / "shared" / "data"
GOOD, MOST_BAD = 0.85, 3.0
#: What a set's mean Dice may change by at most where pixels are only put elsewhere or are as bright
#: as another scanner has them, and fall by where less is to be seen.
SAME, LESS = 0.01, 0.03
REAL = ("Sunnybrook, bSSFP", "EMIDEC, LGE")
#: Sets that hold bSSFP, of which there are cines.
CINES = (REAL[0], "phantoms")


@dataclass(frozen=True)
class Row:
    """One variation: its group, its name, and the most that it may change; None where it lies
    beyond what is asked for. `draws` : how many times each case is varied, by chance."""

    group: str
    name: str
    way: Variation
    limit: float | None = LESS
    draws: int = 1


def rows() -> list[Row]:
    return [
        Row("turned", "by a quarter", to.turned(1), SAME),
        Row("turned", "by a half", to.turned(2), SAME),
        Row("turned", "mirrored", to.turned(0, True), SAME),
        Row("turned", "rows and columns exchanged", to.turned(1, True), SAME),
        Row("turned", "slices from the other end", to.backwards, SAME),
        Row("turned", "file: slices first, two axes backwards", to.in_file(
            (2, 0, 1), (True, False, True)), SAME),
        Row("turned", "file: slices second, all backwards", to.in_file(
            (1, 2, 0), (True, True, True)), SAME),
        Row("turned", "by 30 degrees", to.rotated(30.0)),
        Row("brightness", "times .004, less its range", to.brightness(0.004, -1.0), SAME),
        Row("brightness", "times 40, more ten of its ranges", to.brightness(40.0, 10.0), SAME),
        Row("brightness", "dark for bright", to.brightness(-1.0, 0.0), None),
        Row("cut", "4 to 28 pixels around", to.cut(least=4, most=28), SAME, 2),
        Row("cut", "4 pixels around", to.cut(least=4, most=4)),
        Row("cut", "28 pixels around", to.cut(least=28, most=28)),
        Row("cut", "at the heart on one side", to.cut(least=12, most=28, side=0)),
        Row("cut", "through the heart, 6 pixels", to.cut(least=12, most=28, side=-6), None),
        Row("cut", "30 mm of nothing around", to.bordered(30.0), SAME),
        Row("cut", "air around to 500 mm", to.to_field(500.0)),
        *(Row("pixels", f"{mm:g} mm", to.in_pixels(mm), LESS if 1 <= mm <= 2 else None)
          for mm in (0.7, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5)),
        *(Row("slices", str(count), to.in_slices(count)) for count in (3, 5, 8, 14)),
        Row("slices", "thicker: .15 of each beside", to.thick(0.15)),
        Row("slices", "twice as thick as their gap", to.thick(0.25), None),
        *(Row("noise", f"contrast {ratio:g} of its sigma", to.noisy(ratio),
              LESS if ratio >= 4 else None) for ratio in (8.0, 4.0, 2.0)),
        *(Row("shading", f"{times:g} times over 200 mm", to.shaded(times),
              LESS if times <= 3 else None) for times in (2.0, 3.0, 5.0)),
        *(Row("phase", f"{left:.0%} of the pool left", to.contracted(left))
          for left in (0.75, 0.55, 0.4)),
    ]


@dataclass
class Score:
    """One row on one set. `before` and `dices` : of the plain proposal and the new one, on the same
    images; `slices` : confidence and Dice."""

    before: list[float] = field(default_factory=list)
    dices: list[float] = field(default_factory=list)
    alike: list[float] = field(default_factory=list)
    slices: list[tuple[float, float]] = field(default_factory=list)
    nothing: int = 0

    def add(self, case: Case, found: MaskProposal | None) -> None:
        truth, plain = case.masks
        mask = found.mask if found else np.zeros(truth.shape, bool)
        self.nothing += found is None
        self.before.append(dice(plain, truth) or 0.0)
        self.dices.append(dice(mask, truth) or 0.0)
        self.alike.append(dice(mask, plain) or 0.0)
        if found:
            self.slices += [(float(found.confidence[i]), dice(mask[i], truth[i]) or 0.0)
                            for i in np.flatnonzero(mask.any((1, 2)))]

    @property
    def change(self) -> float:
        return float(np.mean(self.dices) - np.mean(self.before))


def sure(scores: list[Score]) -> tuple[float, float]:
    """% of slices said to be sure, and % of these that are not good."""
    held = [s for score in scores for s in score.slices]
    good = [d >= GOOD for c, d in held if c > SURE]
    return 100 * len(good) / max(len(held), 1), 100 * (1 - np.mean(good)) if good else 0.0


def proposed(study: Study) -> MaskProposal | None:
    try:
        return propose_mask(study)
    except InputError:
        return None


def line(row: Row, scores: dict[str, Score]) -> tuple[str, ...]:
    """A row of the table."""
    every = list(scores.values())
    share, bad = sure(every)
    cells = [f"{np.mean(s.dices):.3f} ({s.change:+.3f}, "
             f"{np.abs(np.subtract(s.dices, s.before)).max():.3f})" for s in every]
    moved = np.abs(np.concatenate([np.subtract(s.dices, s.before) for s in every]))
    return (row.group, row.name, *cells, f"{min(min(s.dices) for s in every):.2f}",
            f"{moved.mean():.3f}, {moved.max():.3f}",
            f"{np.mean([a for s in every for a in s.alike]):.3f}", f"{share:.0f}", f"{bad:.1f}",
            str(sum(s.nothing for s in every)))


def checks(measured: list[tuple[Row, dict[str, Score]]]) -> list[tuple[str, str, str, bool | None]]:
    """The bars of each group of rows: the row and set that change most, and sure slices of the row
    that has most bad ones. Phases are a cine's."""
    lines: list[tuple[str, str, str, bool | None]] = []
    for group in dict.fromkeys(row.group for row, _ in measured):
        for limit, what in ((SAME, "changes"), (LESS, "falls")):
            held = [(row.name, name, score) for row, scores in measured
                    for name, score in scores.items() if (row.group, row.limit) == (group, limit)
                    and (group != "phase" or name in CINES)]
            if not held:
                continue
            most, *at = max((abs(s.change) if limit == SAME else max(-s.change, 0.0), row, name)
                            for row, name, s in held)
            lines.append((f"{group}: mean Dice {what}, most ({', '.join(at)})",
                          f"at most {limit:g}", f"{most:.3f}", most <= limit))
        found = [(sure(list(scores.values()))[1], row.name) for row, scores in measured
                 if row.group == group and row.limit is not None]
        bad, name = max(found)
        lines.append((f"{group}: of sure slices under {GOOD}, %, most ({name})",
                      f"at most {MOST_BAD:g}", f"{bad:.1f}", bad <= MOST_BAD))
    return lines


def nothing_there(hearts: list[Case], seeds: range) -> tuple[str, list]:
    """What is said of images without a heart, in Python and by the command."""
    answers: dict[str, list[str]] = {}
    for what, study in to.without_heart(hearts, seeds):
        found = proposed(study)
        answers.setdefault(what, []).append(
            "nothing" if found is None else
            "sure" if found.confidence.max() > SURE else "unsure")
    told = {what: [said.count(w) for w in ("nothing", "unsure", "sure")]
            for what, said in answers.items()}
    every = [said for one in answers.values() for said in one]
    status = by_command(hearts, seeds)
    share = 100 * every.count("sure") / len(every)
    found = 100 * every.count("nothing") / len(every)
    return table(("no heart", "images", "nothing found", "found, no slice sure", "a slice sure"),
                 [(what, str(sum(n)), *map(str, n)) for what, n in told.items()]), [
        ("no heart: a slice sure, % of images", "at most 5", f"{share:.0f}", share <= 5),
        ("no heart: nothing found, % of images", "at least 90", f"{found:.0f}", found >= 90),
        ("no heart: exit status of the command where nothing is found", "at least 2",
         str(min(status, default=0)), bool(status) and set(status) == {2})]


def by_command(hearts: list[Case], seeds: range) -> list[int]:
    """Exit statuses of `deepgmm propose-mask` on one image of each kind on which nothing is
    found."""
    import contextlib
    import io

    import SimpleITK as sitk

    from deepgmm.cli.main import main as command
    from deepgmm.reading.images.grids import image_of
    status = {}
    for what, study in to.without_heart(hearts, seeds):
        if what in status or proposed(study) is not None:
            continue
        (role, held), = study.sequences.items()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            file, out = (str(Path(folder) / name) for name in ("image.nii.gz", "lv.nii.gz"))
            sitk.WriteImage(image_of(held.values, study.geometry), file)
            status[what] = command(["propose-mask", f"--{role.value}", file, "-o", out, "-q"])
            assert not Path(out).exists()
    return list(status.values())


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook")
    parser.add_argument("--emidec", type=Path, default=DATA / "emidec")
    parser.add_argument("--emidec-of", type=int, default=4, help="one of so many patients is taken")
    parser.add_argument("--phantoms", type=int, default=1, help="patients of each make")
    parser.add_argument("--chests", type=int, default=4)
    parser.add_argument("--empty", type=int, default=4, help="images of each kind without a heart")
    parser.add_argument("--first-phantom", type=int, default=FIRST_PHANTOM)
    parser.add_argument("--first-chest", type=int, default=FIRST_CHEST)
    parser.add_argument("--rows", default="", help="groups of rows, comma-separated")
    parser.add_argument("--sets", default="", help="first words of sets, comma-separated")
    options = parser.parse_args()
    use_threads(options.threads)
    began = time.perf_counter()
    sources: dict[str, Iterator[tuple[Study, np.ndarray, BoolArray]]] = {
        REAL[0]: real(options.sunnybrook, "_ED.nii.gz", "_ED_lv.nii.gz", Role.BSSFP),
        REAL[1]: islice(real(options.emidec, "_lge.nii.gz", "_labels.nii.gz", Role.LGE),
                        0, None, options.emidec_of),
        "phantoms": (one for make in MAKES
                     for one in phantoms(make, options.phantoms, options.first_phantom)),
        "chests": chests(options.chests, options.first_chest)}
    cases: dict[str, list[Case]] = {}
    plain: dict[str, Score] = {}
    for name, patients in sources.items():
        if options.sets and not name.startswith(tuple(options.sets.split(","))):
            continue
        for study, labels, _ in patients:
            found, truth = proposed(study), labels > 0
            case = Case.of(study, truth, found.mask if found else np.zeros(truth.shape, bool))
            cases.setdefault(name, []).append(case)
            plain.setdefault(name, Score()).add(case, found)
    lines = [line(Row("as it is", "", to.backwards), plain)]
    measured = []
    for row in rows():
        if options.rows and row.group not in options.rows.split(","):
            continue
        scores = {name: Score() for name in cases}
        for name, held in cases.items():
            for k, case in enumerate(held):
                rng = np.random.default_rng([k, zlib.crc32(f"{name} {row.name}".encode())])
                for _ in range(row.draws):
                    other = row.way(case, rng)
                    scores[name].add(other, proposed(other.study))
        lines.append(line(row, scores))
        print(*lines[-1], sep=" | ", file=sys.stderr)
        measured.append((row, scores))
    empty, found_bars = "", checks(measured)
    if not options.rows or "nothing" in options.rows:
        empty, more = nothing_there(cases.get(REAL[0], []), range(options.empty))
        found_bars += more
    print(f"Mask Dice a case, mean of a set (its change against the plain proposal on the same "
          f"pixels, and the largest of a case, either way); "
          f"{', '.join(f'{len(held)} of {name}' for name, held in cases.items())}. "
          f"{time.perf_counter() - began:.0f} s in all.")
    print(machine(options.threads) + "\n")
    print(table(("", "", *cases, "worst", "a case's change: mean, most", "Dice of both proposals",
                 "sure, %", f"sure under {GOOD}, %", "nothing found"), lines))
    print(empty)
    print(bars(found_bars))


if __name__ == "__main__":
    run(main)
