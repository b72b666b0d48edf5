"""The words of the field: sequences and their kinds, tissues and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum, IntEnum

from deepgmm.errors import InputError

#: A proposed outline is said to be sure on slices whose confidence is above this.
SURE = 0.9


class Role(str, Enum):
    """Which of the three sequences an image is."""

    BSSFP = "bssfp"
    LGE = "lge"
    T2 = "t2"

    @property
    def title(self) -> str:  # type: ignore[override]
        return {"bssfp": "bSSFP", "lge": "LGE", "t2": "T2"}[self.value]


class Kind(str, Enum):
    """How a sequence was acquired; decides what "bright" means on it."""

    BSSFP = "bssfp"
    LGE_MAGNITUDE = "lge-magnitude"
    LGE_PSIR = "lge-psir"
    LGE_DARK_BLOOD = "lge-dark-blood"
    T2_DARK_BLOOD = "t2-dark-blood"
    T2_PREPARED = "t2-prepared"
    T2_MAP = "t2-map"
    UNKNOWN = "unknown"

    @property
    def role(self) -> Role | None:
        """The sequence this is a kind of; None for an unknown kind."""
        return None if self is Kind.UNKNOWN else Role(self.value.split("-")[0])


class PatientSet(str, Enum):
    """Which hearts a phantom has."""

    TYPICAL = "typical"
    ATYPICAL = "atypical"
    HEALTHY = "healthy"


class Align(str, Enum):
    """What is done about sequences that do not lie on each other."""

    OFF = "off"
    CHECK = "check"
    SHIFT = "shift"
    RIGID = "rigid"


def align_named(align: Align | str) -> Align:
    """The choice of that name.

    Raises
    ------
    InputError : there is none.
    """
    try:
        return Align(align)
    except ValueError:
        raise InputError(f"--align: '{align}' is unknown: give one of "
                         + ", ".join(a.value for a in Align)) from None


class Tissue(IntEnum):
    """Tissues; the value is the label in every labelmap of the house."""

    BACKGROUND = 0
    BLOOD = 1
    MYOCARDIUM = 2
    EDEMA = 3
    SCAR = 4
    MVO = 5

    @property
    def title(self) -> str:
        return {0: "Background", 1: "Blood", 2: "Myocardium", 3: "Edema", 4: "Scar",
                5: "Microvascular obstruction"}[self.value]

    @classmethod
    def named(cls, name: Tissue | str) -> Tissue:
        """The tissue of a name or title in any case; raises `InputError` for another word."""
        wanted = str(name.name if isinstance(name, cls) else name).strip().lower()
        for tissue in cls:
            if tissue and wanted in (tissue.name.lower(), tissue.title.lower()):
                return tissue
        names = ", ".join(t.name.lower() for t in cls if t)
        raise InputError(f"no tissue is called {name!r}: choose from {names}")


#: Overlay colours (red, green, blue; 0 to 255), the same in every picture and segmentation.
COLOURS: dict[Tissue, tuple[int, int, int]] = {
    Tissue.BACKGROUND: (0, 0, 0),
    Tissue.BLOOD: (216, 101, 79),
    Tissue.MYOCARDIUM: (111, 184, 140),
    Tissue.EDEMA: (255, 216, 64),
    Tissue.SCAR: (64, 104, 240),
    Tissue.MVO: (190, 64, 200),
}

#: The tissues of the papers, and of a network's answer in the order of its channels.
FOUR_TISSUES = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)

#: The wall's tissues.
WALL_TISSUES = (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR, Tissue.MVO)

#: The tissues that each set of sequences can tell apart.
TISSUES_BY_ROLES: dict[frozenset[Role], tuple[Tissue, ...]] = {
    frozenset({Role.BSSFP}): (Tissue.BLOOD, Tissue.MYOCARDIUM),
    frozenset({Role.LGE}): (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR),
    frozenset({Role.T2}): (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA),
    frozenset({Role.BSSFP, Role.LGE}): (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.SCAR),
    frozenset({Role.BSSFP, Role.T2}): (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA),
    frozenset({Role.LGE, Role.T2}): FOUR_TISSUES,
    frozenset({Role.BSSFP, Role.LGE, Role.T2}): FOUR_TISSUES,
}

#: Whose grid a study takes, the first that is given: the LV mask is drawn on it, and the others
#: are aligned with it. Next to LGE, bSSFP shows the borders of the wall best.
GRID_ORDER = (Role.LGE, Role.BSSFP, Role.T2)


def grid_role(roles: Iterable[Role]) -> Role:
    """The sequence on whose grid a study of these lies: LGE, else bSSFP, else T2."""
    return min(roles, key=GRID_ORDER.index)


def ranges(numbers: Iterable[int], between: str = ",") -> str:
    """Whole numbers with runs joined: "0-2,5", as `parse_slices` reads them."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return between.join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def named_slices(indices: Iterable[int]) -> str:
    """Slices in words, runs joined: "slice 3", "slices 0-2, 5"."""
    found = list(indices)
    return f"slice{'s' if len(found) > 1 else ''} {ranges(found, ', ')}"


def slices_named(text: str) -> set[int]:
    """The slices that a warning speaks of, as "slice 3" or "slices 0-2, 5", but for those that it
    excepts."""
    named: set[int] = set()
    for listed in re.findall(r"(?<!-)(?<!but )\bslices? ((?:\d+(?:-\d+)?(?:, | and )?)+)", text):
        for part in re.findall(r"\d+(?:-\d+)?", listed):
            first, _, last = part.partition("-")
            named.update(range(int(first), int(last or first) + 1))
    return named


#: What is asked of an outline that was proposed.
LOOK = "look at its outline on every slice"


def to_be_looked_at(drawn: Iterable[int] = (), right: Iterable[int] = ()) -> str:
    """What is asked of an outline that was proposed, of which some slices were drawn since, and
    some called right as they are."""
    called = sorted(set(right) - set(drawn))
    mine = sorted({*drawn, *called})
    how = "drawn" if not called else "called right" if len(called) == len(mine) else \
        "drawn or called right"
    return LOOK + (f" but {named_slices(mine)}, which {'were' if len(mine) > 1 else 'was'} {how}"
                   if mine else "")


#: How it begins that outlines may be wrong.
UNSURE = "the proposed LV mask is unsure on"


def unsure_outlines(confidence: Sequence[float], proposed: Iterable[int]) -> list[str]:
    """What is to be said of the slices with a proposed outline that may be wrong.

    Parameters
    ----------
    confidence : of every slice, 0 to 1.
    proposed : the slices that have an outline.
    """
    unsure = [i for i in sorted(proposed) if confidence[i] <= SURE]
    return [f"{UNSURE} {named_slices(unsure)}"] if unsure else []
