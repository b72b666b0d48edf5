"""What Slicer's DICOM browser knows: examinations, their files, and where a volume's DICOM lies.

All of it is asked of `slicer.dicomDatabase`, a `ctkDICOMDatabase`, which is there once Slicer's
DICOM module was set up, and which may be closed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from deepgmm.errors import InputError

#: Series description and protocol, of volumes that Slicer's DICOM module loaded.
_TAGS = ("0008,103e", "0018,1030")

#: So many examinations are offered: those of the scene, then those that came last.
_OFFERED = 15


@dataclass(frozen=True)
class Study:
    """An examination of the database.

    Attributes
    ----------
    title : patient, date and description, as the browser shows them to whoever looks for them;
        never told to anybody else.
    in_scene : whether the scene holds volumes of it.
    """

    uid: str
    title: str
    in_scene: bool = False


def database():
    """The open database; None where there is none."""
    found = getattr(slicer, "dicomDatabase", None)
    return found if found is not None and found.isOpen else None


def studies() -> list[Study]:
    """Examinations that can be taken, those of the scene first, then the last that came."""
    known = database()
    if known is None:
        return []
    here = _of_the_scene(known)
    every = [(patient, uid) for patient in known.patients()
             for uid in known.studiesForPatient(patient)]
    chosen = [one for one in every if one[1] in here] + [
        one for one in reversed(every) if one[1] not in here]
    return [Study(uid, _title(known, patient, uid), uid in here)
            for patient, uid in chosen[:_OFFERED]]


def files_of(study: str, series: tuple[int, ...] = ()) -> list[str]:
    """Files of an examination, or of its series of these numbers, that are on the disk."""
    known = database()
    if known is None:
        return []
    return [file for uid in known.seriesForStudy(study)
            if not series or known.fieldForSeries("SeriesNumber", uid) in map(str, series)
            for file in known.filesForSeries(uid) if os.path.isfile(file)]


@contextmanager
def in_one_folder(files: list[str]) -> Iterator[str]:
    """A folder for the time being through which files can be read, wherever they lie.

    Raises
    ------
    deepgmm.errors.InputError : there is none, or they cannot be brought together.
    """
    if not files:
        raise InputError(_("the DICOM browser's files of this examination are not on the disk: "
                           "import it again there, or choose its folder"))
    with tempfile.TemporaryDirectory(prefix="deepgmm-") as folder:
        try:
            for number, file in enumerate(files):
                _brought(file, os.path.join(folder, f"{number:06d}"))
        except OSError as error:
            raise InputError(_("the examination's files cannot be brought together ({why}): "
                               "choose its folder").format(why=error.strerror)) from error
        yield folder


def _brought(file: str, place: str) -> None:
    """By a link, where the system and the disk allow it; else a copy."""
    for way in (os.symlink, os.link):
        with suppress(OSError, NotImplementedError):
            way(file, place)
            return
    shutil.copyfile(file, place)


def source_of(study: str, series: list[int]) -> dict | None:
    """Where series of an examination lie, as `deepgmm.review.dicom.sources_in` takes it."""
    return _in_their_folder(files_of(study, tuple(series)), series=series)


def source_of_volume(volume) -> dict | None:
    """The same of a volume that Slicer's DICOM module loaded; None where that is not known."""
    uids, known = instances_of(volume), database()
    if not uids or known is None:
        return None
    return _in_their_folder([known.fileForInstance(uid) or "" for uid in uids], instances=uids)


def _in_their_folder(files: list[str], **only) -> dict | None:
    folders = {os.path.dirname(file) for file in files}
    if len(folders) != 1 or not all(folders):
        return None
    return {"folder": folders.pop(), **only}


def instances_of(volume) -> list[str]:
    """UIDs of the images that a volume was loaded from by Slicer's DICOM module."""
    return (volume.GetAttribute("DICOM.instanceUIDs") or "").split()


def words_of(volume) -> str:
    """What the headers call a volume's series; used here, told to nobody."""
    uids, known = instances_of(volume), database()
    if not uids or known is None:
        return ""
    return " ".join(known.instanceValue(uids[0], tag) or "" for tag in _TAGS)


def _of_the_scene(known) -> set[str]:
    found = set()
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        for uid in instances_of(node)[:1]:
            file = known.fileForInstance(uid)
            found.add(known.studyForSeries(known.seriesForFile(file)) if file else "")
    return found - {""}


def _title(known, patient: str, study: str) -> str:
    words = [known.displayedNameForPatient(patient) or known.nameForPatient(patient),
             known.fieldForStudy("StudyDate", study), known.descriptionForStudy(study)]
    return ", ".join(word for word in words if word) or _("an examination without a name")
