"""Whether the named tissues look as physics says they must; a failed check is a warning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from deepgmm.study.words import Kind, Role, Tissue, named_slices

#: brighter, darker: tissues; on which roles and kinds; what a user is told when it fails.
Rule = tuple[Tissue, Tissue, Callable[[Kind], bool], Role, str]

RULES: tuple[Rule, ...] = (
    (Tissue.BLOOD, Tissue.MYOCARDIUM, lambda kind: True, Role.BSSFP,
     "blood is not brighter than myocardium on bSSFP"),
    (Tissue.SCAR, Tissue.MYOCARDIUM, lambda kind: True, Role.LGE,
     "scar is not brighter than myocardium on LGE"),
    (Tissue.SCAR, Tissue.EDEMA, lambda kind: True, Role.LGE,
     "scar is not brighter than edema on LGE"),
    (Tissue.EDEMA, Tissue.MYOCARDIUM, lambda kind: True, Role.T2,
     "edema is not brighter than myocardium on T2"),
    (Tissue.MYOCARDIUM, Tissue.BLOOD, lambda kind: kind is Kind.T2_DARK_BLOOD, Role.T2,
     "blood is not dark on dark-blood T2"),
    (Tissue.BLOOD, Tissue.MYOCARDIUM, lambda kind: kind in (Kind.T2_PREPARED, Kind.T2_MAP),
     Role.T2, "blood is not bright on T2"),
    (Tissue.SCAR, Tissue.BLOOD, lambda kind: kind is Kind.LGE_DARK_BLOOD, Role.LGE,
     "blood is not darker than scar on dark-blood LGE"),
)


def check_physics(
    means: npt.NDArray,
    kinds: dict[Role, Kind],
    tissues: tuple[Tissue, ...],
    present: npt.NDArray[np.bool_],
    slices: tuple[int, ...],
) -> list[str]:
    """Warnings about contrasts that cannot be right for these kinds of sequences.

    Scar and blood are never compared on ordinary LGE: there they may be equally bright.

    Parameters
    ----------
    means : (slices, tissues, sequences) fitted means.
    present : (slices, tissues) whether the tissue was found in the slice; absent tissues are
        not judged.
    slices : the study's index of each.
    """
    warnings = []
    for bright, dark, applies, role, message in RULES:
        if bright not in tissues or dark not in tissues or role not in kinds:
            continue
        if not applies(kinds[role]):
            continue
        b, d, m = tissues.index(bright), tissues.index(dark), list(kinds).index(role)
        judged = present[:, b] & present[:, d]
        wrong = judged & (means[:, b, m] <= means[:, d, m])
        if wrong.any():
            where = named_slices([slices[i] for i in np.nonzero(wrong)[0]])
            kind = kinds[role].value.partition("-")[2]
            and_kind = f", and whether {role.title} is {kind} as said or guessed" if kind else ""
            warnings.append(f"{message} in {where}: check the tissues there{and_kind}")
    for role, kind in kinds.items():
        if kind is Kind.UNKNOWN:
            warnings.append(f"the kind of {role.title} is unknown: its contrast prior is wide "
                            "and the tissues are less certain; say which kind it is")
    return warnings
