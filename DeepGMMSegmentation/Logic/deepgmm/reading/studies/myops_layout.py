"""The folder layout of the MyoPS 2020 challenge.

Users bring their own copy of that data set; the phantom can be written in its layout, so that
whatever reads the one can be tried on the other::

    train25/myops_training_101_C0.nii.gz        bSSFP
    train25/myops_training_101_DE.nii.gz        LGE
    train25/myops_training_101_T2.nii.gz        T2
    train25_myops_gd/myops_training_101_gd.nii.gz   truth

Its test cases (test20) come without truth, so without an LV mask, and are not read.

Source of layout and codes: Zhuang and Li, MyoPS 2020, and the readme of the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.files import sha256
from deepgmm.reading.conventions import MYOPS_CODES, MYOPS_RV
from deepgmm.reading.images.grids import difference, geometry_of
from deepgmm.reading.images.image import read_image
from deepgmm.reading.masks.labelmap import read_labels
from deepgmm.study.checks import check_study
from deepgmm.study.levels import counted
from deepgmm.study.study import Sequence, Study
from deepgmm.study.words import Kind, Role

#: The folders of the training cases: of their images, and of their truth.
FOLDERS = ("train25", "train25_myops_gd")

#: How the layout names the sequences.
SEQUENCE_NAMES = {Role.BSSFP: "C0", Role.LGE: "DE", Role.T2: "T2"}

#: Its sequences: balanced cine, inversion-recovery LGE, fat-saturated black-blood T2.
KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}

_NAME = re.compile(r"myops_training_(\d+)_(C0|DE|T2|gd)\.nii(\.gz)?$", re.IGNORECASE)
_ROLES = {name.lower(): role for role, name in SEQUENCE_NAMES.items()}


@dataclass(frozen=True)
class MyopsCase:
    """One training case of the data set, as files.

    Attributes
    ----------
    case : its number, "101".
    sequences : the file of each of the three roles.
    truth : the label file.
    """

    case: str
    sequences: dict[Role, Path]
    truth: Path


def case_files(root: str | Path) -> dict[str, dict[Role | None, list[Path]]]:
    """The files of the training cases that are there, whatever is wrong with them.

    Files belong together by case number, never by their order in the folder.

    Parameters
    ----------
    root : the folder that holds `train25` and `train25_myops_gd`.

    Returns
    -------
    files : case number, in order, to role to files; None is the role of the truth.

    Raises
    ------
    InputError
        No such folders, or no case in them.
    """
    images, truths = (Path(root) / name for name in FOLDERS)
    if not images.is_dir():
        raise InputError(f"no folder '{images.name}' there: give the folder of MyoPS 2020 that "
                         f"holds {images.name} and {truths.name}")
    files: dict[str, dict[Role | None, list[Path]]] = {}
    for folder in (images, truths):
        for case, role, path in _named(folder):
            # Truth counts only from its own folder, and images only from theirs.
            if (role is None) is (folder is truths):
                files.setdefault(case, {}).setdefault(role, []).append(path)
    if not files:
        raise InputError(f"'{images.name}' holds no file named like "
                         "myops_training_101_C0.nii.gz: unpack the data set as it came")
    return {case: files[case] for case in sorted(files, key=lambda number: (int(number), number))}


def read_case(case: MyopsCase) -> tuple[Study, npt.NDArray[np.uint8]]:
    """A case as a study and our labels.

    The LV mask is the union of blood, myocardium, edema and scar: the outline of the left
    ventricle that a user would have drawn. No more of the truth enters the study.

    Returns
    -------
    study : its kinds are those of the data set.
    truth : (slices, rows, columns) uint8, values of `Tissue`, 0 to 4.

    Raises
    ------
    InputError
        A file that cannot be read, a code that is no tissue, or files whose affines differ.
    """
    import SimpleITK as sitk

    files = {role.title: path for role, path in case.sequences.items()} | {"truth": case.truth}
    images = {name: read_image(path, f"{name} of case {case.case}")[0]
              for name, path in files.items()}
    for name, image in images.items():
        what = difference(images[Role.LGE.title], image)
        if what:
            raise InputError(f"MyoPS case {case.case}: {name} and LGE lie on different grids "
                             f"({what}): unpack the data set again")
    truth = read_labels(case.truth, f"truth of case {case.case}", convention="myops").values
    study = Study(
        {role: Sequence(role, sitk.GetArrayFromImage(images[role.title]).astype(np.float32),
                        KINDS[role]) for role in case.sequences},
        mask=truth > 0,
        geometry=geometry_of(images["truth"]),
        hashes={**{role.value: sha256(path) for role, path in case.sequences.items()},
                "mask": sha256(case.truth)})
    with counted(study.mask):
        check_study(study)
    return study, truth


def coded(truth: npt.NDArray[np.uint8],
          rv: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int16]:
    """Our labels in the data set's codes; `rv` is the right ventricle's blood."""
    codes = np.zeros(truth.shape, dtype=np.int16)
    if rv is not None:
        codes[rv] = MYOPS_RV
    for tissue, code in MYOPS_CODES.items():
        codes[truth == tissue] = code
    return codes


def _named(folder: Path) -> Iterator[tuple[str, Role | None, Path]]:
    """(case, role, path) of the files of a folder that are named as the data set names them."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            yield match[1], _ROLES.get(match[2].lower()), path
