"""`deepgmm evaluate`: how well segmentations agree with the truth; truth enters only here."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli import options
from deepgmm.cli.common import check_places, progress_bar, table, warn
from deepgmm.errors import InputError
from deepgmm.review.label_files import AS_OURS, pairs_of, score_of

if TYPE_CHECKING:
    from deepgmm.review.metrics import Scores
    from deepgmm.study.words import Tissue


def evaluate(
    prediction: Annotated[Path, typer.Argument(
        help="A labelmap or .seg.nrrd, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(
        help="The true one on the same grid, or a folder of them.")],
    tissues: Annotated[str | None, typer.Option(
        metavar="LIST", help="blood,myocardium,edema,scar,mvo; by default the first four, as far "
        "as prediction or truth hold them.")] = None,
    labels: Annotated[str | None, typer.Option(
        metavar="CONVENTION", help="What the truth's values mean, and the prediction's where they "
        "could mean that: deepgmm, emidec, acdc, mnms or myops. By default values and shapes must "
        "tell.")] = None,
    prediction_labels: Annotated[str | None, typer.Option(
        metavar="CONVENTION", help="What the prediction's values mean.")] = None,
    against: Annotated[list[Path] | None, typer.Option(
        "--against", metavar="PATH", help="Another method's predictions, named like the first's; "
        "may be given several times. Dice is tested against them (Wilcoxon, Holm).")] = None,
    reader: Annotated[Path | None, typer.Option(
        "--reader", metavar="PATH", help="A second reader's labels of the same cases: kappa, ICC, "
        "and Bland and Altman beside the first's (TRUTH).")] = None,
    by_segment: Annotated[bool, typer.Option(
        "--by-segment", help="Also by AHA segment of the truth.")] = False,
    rv_points: Annotated[Path | None, typer.Option(
        "--rv-points", metavar="PATH", help="RV insertion points: a .mrk.json, or a folder of "
        "them, named by case; without them they are estimated.")] = None,
    csv: Annotated[Path | None, typer.Option(
        metavar="OUT.csv", help="Every score of every case.")] = None,
    latex: Annotated[Path | None, typer.Option(
        metavar="OUT.tex", help="The table of means for a paper.")] = None,
    plot: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="Scar volumes against the truth's (of edema, without scar): "
        "agreement, and Bland and Altman.")] = None,
    quiet: options.Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
    log: options.Log = None,
) -> None:
    """Compare segmentations with the truth.

    Dice, Hausdorff distance (95 %) and mean surface distance in mm, volumes in ml.

    Where a tissue is empty in both there is no Dice and no distance; in one, Dice is 0 and there
    is no distance. What is undefined is counted, and not averaged in. Slices that the prediction
    left out are not compared, and said.

    Folders are matched by case: the file's name without its ending, or the name of its folder
    where the file is called truth, segmentation or labelmap.

    Example:

        deepgmm evaluate out.seg.nrrd phantoms/phantom-0100/truth.nii.gz
    """
    check_places({"scores' table": csv, "LaTeX table": latex, "agreement's picture": plot}, {})
    pairs, warnings = pairs_of(prediction, truth)
    warn(warnings)
    wanted = _tissues(tissues)
    scores: dict[str, Scores] = {}
    notes: list[str] = []
    with progress_bar(quiet) as progress:
        for number, (case, files) in enumerate(pairs.items()):
            progress(number / len(pairs), f"case {number + 1} of {len(pairs)}")
            name = case if len(pairs) > 1 else ""
            scores[case], blank, said = score_of(name, *files, wanted, labels, prediction_labels)
            notes += [f"case {name}: {text}" if name else text for text in said
                      if not (json and text == AS_OURS)]
            if blank:
                notes.append(_blank_note(name, blank))
    more: dict[str, Any] = {}
    if any((against, reader, by_segment, csv, latex, plot)):
        from deepgmm.cli.evaluate_series import Series

        series = Series(prediction, truth, pairs, scores, wanted, by_segment or bool(rv_points),
                        rv_points, labels,
                        prediction_labels)
        series.add_methods(against or [])
        more = series.said(reader)
        warn(series.warnings)
        series.write(csv, latex, plot)
    if json:
        sys.stdout.write(_json(scores, single=prediction.is_file(), more=more))
    else:
        print(_one(next(iter(scores.values()))) if len(scores) == 1 else _many(scores))
        if more:
            print(series.words(more))
    for note in _brief(notes):
        print(f"note: {note}", file=sys.stderr if json else sys.stdout)


#: So many notes are printed one by one.
_MOST_NOTES = 12


def _brief(notes: list[str]) -> list[str]:
    """Notes, not hundreds of them."""
    if len(notes) <= _MOST_NOTES:
        return notes
    return [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more notes of other cases"]


def _blank_note(case: str, slices: list[int]) -> str:
    one = len(slices) == 1
    which = " and ".join(filter(None, [", ".join(map(str, slices[:-1])), str(slices[-1])]))
    return ((f"case {case}: " if case else "")
            + f"slice{'' if one else 's'} {which} hold{'s' if one else ''} no prediction: "
            f"{'was it' if one else 'were they'} left out? "
            f"{'It was' if one else 'They were'} not compared")


def _tissues(text: str | None) -> tuple[Tissue, ...] | None:
    from deepgmm.study.words import Tissue

    if text is None:
        return None
    try:
        return tuple(sorted({Tissue[n.strip().upper()] for n in text.split(",")} - {0}))
    except KeyError as unknown:
        raise InputError(f"--tissues: there is no tissue {str(unknown).lower()}: give some of "
                         "blood,myocardium,edema,scar,mvo") from None


def _json(scores: dict[str, Scores], *, single: bool, more: dict[str, Any]) -> str:
    from deepgmm.review.metrics import aggregate

    content: Any = (next(iter(scores.values())).as_dict() if single else
                    aggregate(list(scores.values()))
                    | {"cases": {case: s.as_dict() for case, s in scores.items()}})
    return json_format.dumps(content | more, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _one(scores: Scores) -> str:
    rows = [("tissue", "Dice", "HD95 mm", "surface mm", "ml", "true ml")]
    for tissue, s in scores.tissues.items():
        rows.append((tissue.title, _number(s.dice, 3), _number(s.hausdorff95, 1),
                     _number(s.surface_distance, 2), f"{s.volume:.1f}", f"{s.true_volume:.1f}"))
    missed = [t for t, s in scores.tissues.items() if s.volume == 0 and s.true_volume > 0]
    note = "".join(f"\n{t.title} is in the truth and nowhere in the prediction: --tissues without "
                   "it leaves it out of the means" for t in missed)
    return table(rows) + _slice_line([scores]) + note


def _many(scores: dict[str, Scores]) -> str:
    from deepgmm.cli.evaluate_series import IN_NEITHER
    from deepgmm.review.metrics import bootstrap_interval, mean_of

    everyone, fewer = list(scores.values()), []
    rows = [("tissue", "Dice", "95 %", "HD95 mm", "surface mm", "ml off", "cases", "in neither")]
    for tissue in dict.fromkeys(t for s in everyone for t in s.tissues):
        held = [s.tissues[tissue] for s in everyone if tissue in s.tissues]
        dice = mean_of(s.dice for s in held)
        interval = bootstrap_interval([s for s in everyone if tissue in s.tissues],
                                      lambda s, t=tissue: s.tissues[t].dice)  # type: ignore[misc]
        rows.append((
            tissue.title, _number(dice.value, 3),
            "-" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}",
            _number(mean_of(s.hausdorff95 for s in held).value, 1),
            _number(mean_of(s.surface_distance for s in held).value, 2),
            _number(mean_of(s.volume_difference for s in held).value, 1),
            str(dice.defined), str(dice.undefined)))
        far = mean_of(s.hausdorff95 for s in held)
        if far.defined < dice.defined:
            fewer.append(f"\n{tissue.title}: distances are of {far.defined} cases; in "
                         f"{dice.defined - far.defined} it is empty in one of the two: Dice 0, no "
                         "distance")
    note = f"\n{IN_NEITHER}" if any(row[-1] != "0" for row in rows[1:]) else ""
    return (f"{len(everyone)} cases, means over cases\n{table(rows)}{note}" + "".join(fewer)
            + _slice_line(everyone))


def _slice_line(everyone: list[Scores]) -> str:
    """Mean Dice over slices, in the papers' way and over all."""
    from deepgmm.review.metrics import aggregate

    means: Any = aggregate(everyone)["slice_means"]
    four, every = means["four_tissue_slices"], means["all_slices"]
    line = f"\nmean Dice over slices: {_number(every['mean_dice'], 3)} (all {every['slices']})"
    if four["slices"]:
        line += (f", {_number(four['mean_dice'], 3)} (the {four['slices']} whose truth holds all "
                 "four tissues)")
    return line


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
