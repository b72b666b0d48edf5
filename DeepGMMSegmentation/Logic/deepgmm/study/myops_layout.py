"""The folder layout of the MyoPS 2020 challenge, read and written.

Users bring their own copy of that data set; the phantom can be written in its layout, so that
whatever reads the one can be tried on the other::

    train25/myops_training_101_C0.nii.gz        bSSFP
    train25/myops_training_101_DE.nii.gz        LGE
    train25/myops_training_101_T2.nii.gz        T2
    train25_myops_gd/myops_training_101_gd.nii.gz   truth
    test20/myops_test_201_C0.nii.gz             test cases come without truth

Source of layout and codes: Zhuang and Li, MyoPS 2020, and the readme of the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError
from deepgmm.study.checks import check_study
from deepgmm.study.files import sha256
from deepgmm.study.grids import difference
from deepgmm.study.images import read_image
from deepgmm.study.labelmap import geometry_of, read_labels
from deepgmm.study.phantom.files import write_volumes
from deepgmm.study.study import Sequence, Study
from deepgmm.study.words import Kind, Role, Tissue

if TYPE_CHECKING:
    from deepgmm.study.phantom import PhantomPatient

#: How the layout names the sequences.
SEQUENCE_NAMES = {Role.BSSFP: "C0", Role.LGE: "DE", Role.T2: "T2"}

#: How its truth codes the tissues; the right ventricle's blood is none of ours.
CODES = {Tissue.MYOCARDIUM: 200, Tissue.BLOOD: 500, Tissue.EDEMA: 1220, Tissue.SCAR: 2221}
RV_BLOOD = 600

#: Its sequences: balanced cine, inversion-recovery LGE, fat-saturated black-blood T2.
KINDS = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}

_NAME = re.compile(r"myops_(training|test)_(\d+)_(C0|DE|T2|gd)\.nii(\.gz)?$", re.IGNORECASE)
_ROLES = {name.lower(): role for role, name in SEQUENCE_NAMES.items()}
#: Part of the data set to the folders of its images and of its truth.
_FOLDERS = {"training": ("train25", "train25_myops_gd"), "test": ("test20", "test20_myops_gd")}


@dataclass(frozen=True)
class MyopsCase:
    """One case of the data set, as files.

    Attributes
    ----------
    case : its number, "101".
    sequences : the file of each of the three roles.
    truth : the label file, or None where there is none.
    """

    case: str
    sequences: dict[Role, Path]
    truth: Path | None


def find_cases(root: str | Path, part: str = "training") -> list[MyopsCase]:
    """The cases of a copy of the data set, in the order of their numbers.

    Files belong together by case number, never by their order in the folder.

    Parameters
    ----------
    root : the folder that holds `train25` and `train25_myops_gd`.
    part : "training" or "test".

    Raises
    ------
    InputError
        No such folders, no case in them, a case that lacks a sequence, a truth without its
        case, or two files for one thing.

    Examples
    --------
    >>> cases = find_cases("MyoPS 2020 Dataset")                           # doctest: +SKIP
    """
    cases = []
    for case, files in case_files(root, part).items():
        for what, paths in files.items():
            if len(paths) > 1:
                name = "GD" if what is None else SEQUENCE_NAMES[what]
                raise InputError(f"MyoPS case {case} has two files for {name} in "
                                 f"'{paths[0].parent.name}': keep one")
        missing = [f"{name} ({role.title})" for role, name in SEQUENCE_NAMES.items()
                   if role not in files]
        if missing:
            raise InputError(f"MyoPS case {case} lacks {', '.join(missing)} in "
                             f"'{_FOLDERS[part][0]}': unpack the data set again")
        cases.append(MyopsCase(case, {role: files[role][0] for role in SEQUENCE_NAMES},
                               files[None][0] if None in files else None))
    return cases


def case_files(root: str | Path,
               part: str = "training") -> dict[str, dict[Role | None, list[Path]]]:
    """The files that are there, whatever is wrong with them.

    Parameters
    ----------
    root, part : as for `find_cases`.

    Returns
    -------
    files : case number, in order, to role to files; None is the role of the truth.

    Raises
    ------
    InputError
        No such folders, or no case in them.
    """
    if part not in _FOLDERS:
        raise InputError(f"MyoPS 2020 has no part '{part}': give training or test")
    images, truths = (Path(root) / name for name in _FOLDERS[part])
    if not images.is_dir():
        raise InputError(f"no folder '{images.name}' there: give the folder of MyoPS 2020 that "
                         f"holds {images.name} and {truths.name}")
    files: dict[str, dict[Role | None, list[Path]]] = {}
    for folder in (images, truths):
        for case, role, path in _named(folder, part):
            # Truth counts only from its own folder, and images only from theirs.
            if (role is None) is (folder is truths):
                files.setdefault(case, {}).setdefault(role, []).append(path)
    if not files:
        raise InputError(f"'{images.name}' holds no file named like "
                         f"myops_{part}_101_C0.nii.gz: unpack the data set as it came")
    return {case: files[case] for case in sorted(files, key=lambda number: (int(number), number))}


def read_case(case: MyopsCase) -> tuple[Study, npt.NDArray[np.uint8]]:
    """A case with truth as a study and our labels.

    The LV mask is the union of blood, myocardium, edema and scar: the outline of the left
    ventricle that a user would have drawn. No more of the truth enters the study.

    Returns
    -------
    study : its kinds are those of the data set.
    truth : (slices, rows, columns) uint8, values of `Tissue`, 0 to 4.

    Raises
    ------
    InputError
        A case without truth, a file that cannot be read, a code that is no tissue, or files
        whose affines differ.
    """
    import SimpleITK as sitk

    if case.truth is None:
        raise InputError(f"MyoPS case {case.case} comes without truth, so without an LV mask: "
                         "segment its files with an LV mask of your own")
    files = {role.title: path for role, path in case.sequences.items()} | {"truth": case.truth}
    images = {name: read_image(path, f"{name} of case {case.case}")[0]
              for name, path in files.items()}
    for name, image in images.items():
        what = difference(images[Role.LGE.title], image)
        if what:
            raise InputError(f"MyoPS case {case.case}: {name} and LGE lie on different grids "
                             f"({what}): unpack the data set again")
    truth = read_labels(case.truth, f"truth of case {case.case}").values
    study = Study(
        {role: Sequence(role, sitk.GetArrayFromImage(images[role.title]).astype(np.float32),
                        KINDS[role]) for role in case.sequences},
        mask=truth > 0,
        geometry=geometry_of(images["truth"]),
        hashes={**{role.value: sha256(path) for role, path in case.sequences.items()},
                "mask": sha256(case.truth)})
    check_study(study)
    return study, truth


def write_patient(patient: PhantomPatient, root: str | Path,
                  case: int | None = None) -> MyopsCase:
    """Write a phantom patient as a training case; all its files appear or none.

    Parameters
    ----------
    root : the folder that holds, or shall hold, `train25` and `train25_myops_gd`.
    case : its number; by default 101 and the patient's seed.

    Raises
    ------
    InputError
        A patient who lacks a sequence, or a folder that cannot be written to.
    """
    missing = [role.title for role in Role if role not in patient.study.sequences]
    if missing:
        raise InputError(f"the layout of MyoPS 2020 wants all three sequences: make the phantom "
                         f"with {', '.join(missing)} too, or choose the plain layout")
    number = str(101 + patient.seed if case is None else case)
    images, truths = (Path(root) / name for name in _FOLDERS["training"])
    sequences = {role: images / f"myops_training_{number}_{name}.nii.gz"
                 for role, name in SEQUENCE_NAMES.items()}
    truth = truths / f"myops_training_{number}_gd.nii.gz"
    volumes: dict[Path, npt.NDArray[np.generic]] = {
        path: patient.study.sequences[role].values.astype(np.float32)
        for role, path in sequences.items()}
    volumes[truth] = coded(patient.truth, patient.rv)
    write_volumes(volumes, patient.study.geometry)
    return MyopsCase(number, sequences, truth)


def write_patients(patients: Iterable[PhantomPatient], root: str | Path,
                   first_case: int = 101) -> list[MyopsCase]:
    """Write phantom patients as training cases numbered from `first_case`."""
    return [write_patient(patient, root, first_case + i) for i, patient in enumerate(patients)]


def coded(truth: npt.NDArray[np.uint8],
          rv: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int16]:
    """Our labels in the data set's codes; `rv` is the right ventricle's blood."""
    codes = np.zeros(truth.shape, dtype=np.int16)
    if rv is not None:
        codes[rv] = RV_BLOOD
    for tissue, code in CODES.items():
        codes[truth == tissue] = code
    return codes


def _named(folder: Path, part: str) -> Iterator[tuple[str, Role | None, Path]]:
    """(case, role, path) of the files of a folder that are named as the data set names them."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and match[1].lower() == part:
            yield match[2], _ROLES.get(match[3].lower()), path
