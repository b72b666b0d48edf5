"""Files of labels: which belong together, and how well they agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepgmm.errors import InputError
from deepgmm.hushing import hushed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from deepgmm.reading.masks.labelmap import Labels
    from deepgmm.review.metrics import Scores
    from deepgmm.study.words import Tissue

_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")

#: Files named like these are called by the folder that they are in.
_GENERIC = {"truth", "labelmap", "segmentation", "labels", "prediction", "label", "seg"}

#: Said where 3 and 4 could be EMIDEC's as well, and nothing else speaks for that.
AS_OURS = ("labels 3 and 4 were taken for edema and scar; say --labels emidec if they are infarct "
            "and no-reflow")

#: Said where one file is a plain mask of the other's ventricle; with the Dice of the two masks.
AS_MASKS = ("one of the two is a plain LV mask, which counts as blood alone: with all tissues of "
            "the other taken together the two have a Dice of {:.3f}")


def pairs_of(prediction: Path, truth: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Case to its two files, and what was left out."""
    for name, path in (("prediction", prediction), ("truth", truth)):
        if not path.exists():
            raise InputError(f"the {name} does not exist: check the path that was given")
    if prediction.is_dir() != truth.is_dir():
        raise InputError("prediction and truth must both be files or both be folders")
    if prediction.is_file():
        return {"": (prediction, truth)}, []
    predicted, true = label_files(prediction, "prediction"), label_files(truth, "truth")
    both = sorted(predicted.keys() & true.keys())
    if not both:
        raise InputError(f"none of the {len(predicted)} predictions has the case name of one of "
                         f"the {len(true)} truths: name the files alike")
    warnings = [f"{len(rest)} {what}; left out"
                for rest, what in ((predicted.keys() - true.keys(), "predictions have no truth"),
                                   (true.keys() - predicted.keys(), "truths have no prediction"))
                if rest]
    return {case: (predicted[case], true[case]) for case in both}, warnings


def label_files(folder: Path, name: str) -> dict[str, Path]:
    """Label files of a folder by case; two files of one case would be a coin toss.

    Raises
    ------
    InputError : none, or two of one case.
    """
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


def score_of(case: str, prediction: Path, truth: Path, tissues: tuple[Tissue, ...] | None,
           labels: str | None, prediction_labels: str | None
           ) -> tuple[Scores, list[int], list[str]]:
    """Scores; the slices that the prediction leaves out, which are not compared, counted from 1,
    the base first; and how the labels were read."""
    import numpy as np

    from deepgmm.review.metrics import dice
    from deepgmm.review.metrics import evaluate as compare
    from deepgmm.study.levels import numbering_in
    from deepgmm.study.words import FOUR_TISSUES, Tissue

    try:
        with hushed():
            true, predicted, said = read_both(prediction, truth, labels, prediction_labels)
            found = predicted.on(true.geometry, true.values.shape)
    except InputError as error:
        told = InputError(f"case {case}: {error}" if case else str(error))
        told.private = error.private
        raise told from error
    values = true.values
    if tissues is None and not labels and _is_mask_of(found, values):
        said = [*said, AS_MASKS.format(dice(found > 0, values > 0))]
    present = set(np.unique(found)) | set(np.unique(values))
    if Tissue.MVO in present:
        present.add(Tissue.SCAR)
    chosen = tissues or tuple(t for t in FOUR_TISSUES if t in present)
    if not chosen:
        raise InputError("neither prediction nor truth holds any tissue: see whether the right "
                         "files were given")
    blank = left_out(found, values)
    numbering = numbering_in(values > 0)
    values = values.copy()
    values[blank] = 0
    return (compare(found, values, true.geometry, chosen), sorted(map(numbering.of, blank)),
            [numbering.in_words(text) for text in said])


def left_out(prediction: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> list[int]:
    """Slices without a prediction, counted from 0, that it must have left out: the truth holds
    pool or wall there, and the prediction draws them on other slices. Who draws scar alone leaves
    nothing out where there is none.

    Parameters
    ----------
    prediction, truth : (slices, rows, columns), values of `Tissue`.
    """
    import numpy as np

    from deepgmm.study.words import Tissue

    whole = (Tissue.BLOOD, Tissue.MYOCARDIUM)
    if not np.isin(prediction, whole).any():
        return []
    blank = np.isin(truth, whole).any((1, 2)) & ~prediction.any((1, 2))
    return [int(i) for i in np.flatnonzero(blank)]


def _is_mask_of(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Whether one of two holds label 1 alone, and this is the whole ventricle of the other and
    not its pool: a plain LV mask."""
    import numpy as np

    from deepgmm.review.metrics import dice
    from deepgmm.study.words import Tissue

    for mask, labels in ((one, other), (other, one)):
        if set(np.unique(mask)) == {0, Tissue.BLOOD} and np.isin(
                labels, (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)).any():
            whole, pool = (dice(mask > 0, drawn) or 0.0
                           for drawn in (labels > 0, labels == Tissue.BLOOD))
            return whole > pool
    return False


def read_both(prediction: Path, truth: Path, labels: str | None,
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
    return true, found, said + ([AS_OURS] if true.alike or found.alike else [])
