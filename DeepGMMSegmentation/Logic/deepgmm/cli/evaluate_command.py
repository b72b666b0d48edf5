"""`deepgmm evaluate`: how well segmentations agree with the truth; truth enters only here."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepgmm.cli.common import Log, Quiet, check_places, hushed, progress_bar, table, warn
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.reading.masks.labelmap import Labels
    from deepgmm.review.metrics import Scores
    from deepgmm.study.words import Tissue

_COMPARED, _OUT = "Comparison", "Output"

_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

#: Files named like these are called by the folder that they are in.
_GENERIC = {"truth", "labelmap", "segmentation", "labels", "prediction", "label", "seg"}


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
        "may be given several times. Dice is tested against them (Wilcoxon, Holm).",
        rich_help_panel=_COMPARED)] = None,
    reader: Annotated[Path | None, typer.Option(
        "--reader", metavar="PATH", help="A second reader's labels of the same cases: kappa, ICC, "
        "and Bland and Altman beside the first's (TRUTH).", rich_help_panel=_COMPARED)] = None,
    by_segment: Annotated[bool, typer.Option(
        "--by-segment", help="Also by AHA segment of the truth.",
        rich_help_panel=_COMPARED)] = False,
    rv_points: Annotated[Path | None, typer.Option(
        "--rv-points", metavar="PATH", help="RV insertion points: a .mrk.json, or a folder of "
        "them, named by case; without them they are estimated.",
        rich_help_panel=_COMPARED)] = None,
    csv: Annotated[Path | None, typer.Option(
        metavar="OUT.csv", help="Every score of every case.", rich_help_panel=_OUT)] = None,
    latex: Annotated[Path | None, typer.Option(
        metavar="OUT.tex", help="The table of means for a paper.", rich_help_panel=_OUT)] = None,
    plot: Annotated[Path | None, typer.Option(
        metavar="OUT.png", help="Scar volumes against the truth's (of edema, without scar): "
        "agreement, and Bland and Altman.", rich_help_panel=_OUT)] = None,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
    log: Log = None,
) -> None:
    """Compare segmentations with the truth.

    Dice, Hausdorff distance (95 %) and mean surface distance in mm, volumes in ml.

    Where a tissue is empty in both there is no Dice and no distance; in one, Dice is 0 and there
    is no distance. What is undefined is counted, and not averaged in.

    Folders are matched by case: the file's name without its ending, or the name of its folder
    where the file is called truth, segmentation or labelmap.

    Example:

        deepgmm evaluate out.seg.nrrd phantoms/phantom-0100/truth.nii.gz
    """
    check_places({"scores' table": csv, "LaTeX table": latex, "agreement's picture": plot}, {})
    pairs, warnings = _pairs(prediction, truth)
    warn(warnings)
    wanted = _tissues(tissues)
    scores: dict[str, Scores] = {}
    notes: list[str] = []
    with progress_bar(quiet) as progress:
        for number, (case, files) in enumerate(pairs.items()):
            progress(number / len(pairs), f"case {number + 1} of {len(pairs)}")
            name = case if len(pairs) > 1 else ""
            scores[case], blank, said = _score(name, *files, wanted, labels, prediction_labels)
            notes += [f"case {name}: {text}" if name else text for text in said
                      if not (json and text == _AS_OURS)]
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


#: Said where 3 and 4 could be EMIDEC's as well, and nothing else speaks for that.
_AS_OURS = ("labels 3 and 4 were taken for edema and scar; say --labels emidec if they are infarct "
            "and no-reflow")

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
            f"{'was it' if one else 'were they'} left out?")


def _pairs(prediction: Path, truth: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    for name, path in (("prediction", prediction), ("truth", truth)):
        if not path.exists():
            raise InputError(f"the {name} does not exist: check the path that was given")
    if prediction.is_dir() != truth.is_dir():
        raise InputError("prediction and truth must both be files or both be folders")
    if prediction.is_file():
        return {"": (prediction, truth)}, []
    predicted, true = _cases(prediction, "prediction"), _cases(truth, "truth")
    both = sorted(predicted.keys() & true.keys())
    if not both:
        raise InputError(f"none of the {len(predicted)} predictions has the case name of one of "
                         f"the {len(true)} truths: name the files alike")
    warnings = [f"{len(rest)} {what}; left out"
                for rest, what in ((predicted.keys() - true.keys(), "predictions have no truth"),
                                   (true.keys() - predicted.keys(), "truths have no prediction"))
                if rest]
    return {case: (predicted[case], true[case]) for case in both}, warnings


def _cases(folder: Path, name: str) -> dict[str, Path]:
    """Label files of a folder by case; two files of one case would be a coin toss."""
    found: dict[str, list[Path]] = {}
    generic: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.name[:-len(suffix)]
        if stem.lower() in _GENERIC and path.parent != folder:
            generic.setdefault(path.parent.name, []).append(path)
        else:
            found.setdefault(stem, []).append(path)
    # Where patients have folders, the images beside the labels are no cases.
    found = generic or found
    if not found:
        raise InputError(f"the {name} folder holds no label images ({', '.join(_SUFFIXES)})")
    double = {case: paths for case, paths in found.items() if len(paths) > 1}
    for case, paths in double.items():
        # The same labels in two formats, as `deepgmm demo` writes them, are one.
        if len({p.parent for p in paths}) > 1:
            raise InputError(f"the {name} folder holds {len(paths)} files of one case: keep one")
        found[case] = sorted(paths, key=lambda p: not p.name.endswith(".seg.nrrd"))[:1]
    return {case: paths[0] for case, paths in found.items()}


def _tissues(text: str | None) -> tuple[Tissue, ...] | None:
    from deepgmm.study.words import Tissue

    if text is None:
        return None
    try:
        return tuple(sorted({Tissue[n.strip().upper()] for n in text.split(",")} - {0}))
    except KeyError as unknown:
        raise InputError(f"--tissues: there is no tissue {str(unknown).lower()}: give some of "
                         "blood,myocardium,edema,scar,mvo") from None


def _score(case: str, prediction: Path, truth: Path, tissues: tuple[Tissue, ...] | None,
           labels: str | None, prediction_labels: str | None
           ) -> tuple[Scores, list[int], list[str]]:
    """Scores, the slices on which the truth holds something and the prediction nothing, and how
    the labels were read."""
    import numpy as np

    from deepgmm.review.metrics import evaluate as compare
    from deepgmm.study.words import FOUR_TISSUES, Tissue

    try:
        with hushed():
            true, predicted, said = _read_both(prediction, truth, labels, prediction_labels)
            found = predicted.on(true.geometry, true.values.shape)
    except InputError as error:
        told = InputError(f"case {case}: {error}" if case else str(error))
        told.private = error.private
        raise told from error
    present = set(np.unique(found)) | set(np.unique(true.values))
    if Tissue.MVO in present:
        present.add(Tissue.SCAR)
    chosen = tissues or tuple(t for t in FOUR_TISSUES if t in present)
    if not chosen:
        raise InputError("neither prediction nor truth holds any tissue: see whether the right "
                         "files were given")
    blank = np.flatnonzero(true.values.any((1, 2)) & ~found.any((1, 2))).tolist()
    return (compare(found, true.values, true.geometry, chosen),
            blank if len(blank) < len(found) and found.any() else [], said)


def _read_both(prediction: Path, truth: Path, labels: str | None,
               prediction_labels: str | None) -> tuple[Labels, Labels, list[str]]:
    """Truth and prediction, and what is to be said of their labels.

    Raises
    ------
    InputError
        Labels that could mean several things: a truth that may be EMIDEC's beside a prediction
        that is not, or the other way round.
    """
    from deepgmm.reading.conventions import parse_convention
    from deepgmm.reading.masks.labelmap import read_labels

    named = parse_convention(labels)
    true = read_labels(truth, "truth", convention=named)
    found = read_labels(prediction, "prediction", convention=prediction_labels,
                        decide=lambda _, names: named if named in names else None,
                        option="--prediction-labels")
    said = [*true.warnings, *found.warnings]
    if true.alike and (found.ours or not found.convention):
        raise InputError("the truth's labels 3 and 4 may be edema and scar, or infarct and "
                         "no-reflow: say --labels deepgmm or emidec")
    if found.alike and true.convention not in ("", "deepgmm"):
        raise InputError("the prediction's labels 3 and 4 may be edema and scar, or infarct and "
                         "no-reflow: say --prediction-labels deepgmm or emidec")
    return true, found, said + ([_AS_OURS] if true.alike or found.alike else [])


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
    from deepgmm.review.metrics import bootstrap_interval, mean_of

    everyone = list(scores.values())
    rows = [("tissue", "Dice", "95 %", "HD95 mm", "surface mm", "ml off", "cases", "undefined")]
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
    return f"{len(everyone)} cases, means over cases\n{table(rows)}" + _slice_line(everyone)


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
