"""Contrast priors: what each tissue looks like on each kind of sequence, in small files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import read_json
from deepgmm.study.words import Kind, Role, Tissue

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "priors"
FIELDS = ("mean", "sd", "mean_sd")


@dataclass(frozen=True)
class ContrastPrior:
    """Contrasts of the tissues of one study, in mask-normalised units.

    Attributes
    ----------
    tissues : order of the first axis below.
    means : (tissues, sequences) expected means.
    deviations : (tissues, sequences) expected standard deviation inside a tissue.
    mean_deviations : (tissues, sequences) how far a patient's mean strays from `means`.
    weights : (tissues,) expected share of the LV mask.
    sources : where the numbers are from, one entry per sequence.
    """

    tissues: tuple[Tissue, ...]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    mean_deviations: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    sources: tuple[str, ...] = ()


#: Expected share of the LV mask, for the start (means over phantom patients).
SHARES = {Tissue.BLOOD: 0.53, Tissue.MYOCARDIUM: 0.32, Tissue.EDEMA: 0.09, Tissue.SCAR: 0.06,
          Tissue.MVO: 0.01}

#: Kinds on which contrasts scale with the difference between blood and healthy wall.
STRETCHED = (Kind.BSSFP, Kind.T2_PREPARED, Kind.T2_MAP)


def contrast_prior(kinds: dict[Role, Kind], tissues: tuple[Tissue, ...],
                   table: str | Path | None = None) -> ContrastPrior:
    """The prior of a study with these kinds of sequences.

    Parameters
    ----------
    kinds : in the order of the study's sequences. An unknown kind takes its role's
        `unknown` file, whose spread is wide.
    tissues : sought.
    table : the user's own file: an object of kind names, each as in a shipped file. Kinds it
        lacks come from the shipped files.

    Raises
    ------
    InputError : for a damaged table, naming the entry.
    """
    own = _users(Path(table)) if table else {}
    columns, sources = [], []
    for role, kind in kinds.items():
        name = prior_name(role, kind)
        entry = own.get(name) or shipped_prior(name)
        columns.append([_row(entry, name, tissue) for tissue in tissues])
        sources.append(str(entry.get("source", "the user's table")))
    numbers = np.asarray(columns, dtype=np.float64)  # sequences, tissues, fields
    means, deviations, strays = numbers.transpose(2, 1, 0)
    shares = np.array([SHARES[t] for t in tissues])
    return ContrastPrior(tissues, means, deviations, strays, shares / shares.sum(),
                         tuple(sources))


def prior_name(role: Role, kind: Kind) -> str:
    """What a kind's prior is called; all unknown kinds of a role share one."""
    return kind.value if kind is not Kind.UNKNOWN else f"{role.value}-unknown"


def shipped_prior(name: str) -> dict:
    """The shipped file of that name."""
    return _read(SHIPPED / f"{name}.json")


def reanchored(prior: ContrastPrior, kinds: dict[Role, Kind], blood: npt.NDArray,
               muscle: npt.NDArray) -> ContrastPrior:
    """The prior moved to where this patient's blood and healthy wall are seen to lie.

    Percentile units depend on what the mask holds: without edema, healthy wall itself is the
    brightest tissue on dark-blood T2, just where the table puts edema. Told relative to blood
    and healthy wall, contrasts hold for hearts with and without disease. Where the pool's
    brightness says little of the wall's contrasts (on LGE it varies with the time since
    injection, on dark-blood T2 it is nulled) only the wall anchors.

    Parameters
    ----------
    blood, muscle : (sequences,) typical intensity deep in the pool and in the outer wall,
        normalised units.
    """
    if not {Tissue.BLOOD, Tissue.MYOCARDIUM} <= set(prior.tissues):
        return prior
    b, m = prior.tissues.index(Tissue.BLOOD), prior.tissues.index(Tissue.MYOCARDIUM)
    means, strays = prior.means.copy(), prior.mean_deviations.copy()
    for j, kind in enumerate(kinds.values()):
        expected, seen = means[b, j] - means[m, j], blood[j] - muscle[j]
        stretch = 1.0
        if kind in STRETCHED:
            stretch = float(np.clip(seen / expected, 0.4, 2.5))
        means[:, j] = muscle[j] + stretch * (means[:, j] - means[m, j])
        means[b, j] = blood[j]
        strays[:, j] *= max(stretch, 0.5)
    return replace(prior, means=means, mean_deviations=strays)


def _users(path: Path) -> dict:
    """The user's own file, by the names of kinds."""
    content = _read(path)
    own = content.get("kinds", content)
    known = {kind.value for kind in Kind} | {f"{role.value}-unknown" for role in Role}
    if not isinstance(own, dict) or not known & set(own):
        raise InputError(f"contrast priors: {path.name} tells of no kind of sequence "
                         f"({', '.join(sorted(known - {Kind.UNKNOWN.value}))}): give a file that "
                         "deepgmm priors wrote")
    return own


def _row(entry: dict, name: str, tissue: Tissue) -> list[float]:
    try:
        row = [float(entry["tissues"][tissue.name.lower()][field]) for field in FIELDS]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"contrast prior '{name}' lacks numbers for {tissue.name.lower()}: "
                         f"wanted {', '.join(FIELDS)}") from None
    if not (np.isfinite(row).all() and row[1] > 0 and row[2] > 0):
        raise InputError(f"contrast prior '{name}', {tissue.name.lower()}: "
                         "sd and mean_sd must be positive numbers")
    return row


def _read(path: Path) -> dict:
    try:
        content = read_json(path)
    except OSError:
        raise InputError(f"contrast priors: cannot read {path.name}") from None
    except ValueError as error:
        raise InputError(f"contrast priors: {path.name} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"contrast priors: {path.name} must hold an object of kinds")
    return content
