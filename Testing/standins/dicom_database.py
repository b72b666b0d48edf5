"""Slicer's DICOM database, as Python sees it. Stand-in for `ctkDICOMDatabase`.

As the real: lists come as tuples of text; what is not known is an empty one, never an error; a
patient's key is a number of the database's own, not his ID; a closed database knows nothing; files
are listed that have gone from the disk since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

_FIELDS = ("SeriesNumber", "SeriesDescription", "SeriesDate", "Modality", "FrameOfReferenceUID")


@dataclass
class _Image:
    file: str
    study: str
    series: str
    patient: str
    data: Any = field(repr=False)


class ctkDICOMDatabase:
    """Holds what `insert` was given, in that order; `isOpen` is a property of Qt."""

    def __init__(self) -> None:
        self.isOpen = True
        self._images: dict[str, _Image] = {}
        self._patients: dict[tuple[str, str], str] = {}

    def insert(self, folder: Path) -> None:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = pydicom.dcmread(file, stop_before_pixels=True)
            who = str(data.PatientName), str(data.PatientID)
            patient = self._patients.setdefault(who, str(len(self._patients) + 1))
            self._images.setdefault(str(data.SOPInstanceUID), _Image(
                str(file), str(data.StudyInstanceUID), str(data.SeriesInstanceUID), patient, data))

    def _some(self, **wanted: str) -> list[_Image]:
        return [one for one in self._images.values() if self.isOpen
                and all(getattr(one, key) == value for key, value in wanted.items())]

    def _first(self, tag: str, **wanted: str) -> str:
        found = self._some(**wanted)
        return str(found[0].data.get(tag, "")) if found else ""

    def patients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.patient for one in self._some()))

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.study for one in self._some(patient=patient)))

    def seriesForStudy(self, study: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.series for one in self._some(study=study)))

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        found = tuple(one.file for one in self._some(series=series))
        return found[:hits] if hits > 0 else found

    def nameForPatient(self, patient: str) -> str:
        return self._first("PatientName", patient=patient)

    def displayedNameForPatient(self, patient: str) -> str:
        return self.nameForPatient(patient).replace("^", ", ")

    def descriptionForStudy(self, study: str) -> str:
        return self._first("StudyDescription", study=study)

    def fieldForStudy(self, name: str, study: str) -> str:
        return self._first(name, study=study)

    def fieldForSeries(self, name: str, series: str) -> str:
        return self._first(name, series=series) if name in _FIELDS else ""

    def studyForSeries(self, series: str) -> str:
        found = self._some(series=series)
        return found[0].study if found else ""

    def seriesForFile(self, file: str) -> str:
        found = self._some(file=file)
        return found[0].series if found else ""

    def fileForInstance(self, uid: str) -> str:
        known = self._images.get(uid) if self.isOpen else None
        return known.file if known else ""

    def instanceValue(self, uid: str, tag: str) -> str:
        known = self._images.get(uid) if self.isOpen else None
        if known is None:
            return ""
        group, element = (int(part, 16) for part in tag.split(","))
        return str(known.data[group, element].value) if (group, element) in known.data else ""
