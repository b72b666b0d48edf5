"""Walk a folder and read the headers of all DICOM images in it, quickly."""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepgmm.errors import InputError, how_to_install
from deepgmm.progress import Progress, silent
from deepgmm.reading.dicom.elements import WANTED, Header
from deepgmm.reading.dicom.frames import Frame, component_of, place_trouble

_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")

#: What stands at the start of a file without preamble: group 0002 or 0008, little endian.
_BARE = (b"\x02\x00", b"\x08\x00")


@dataclass
class Scan:
    """What lies in a folder.

    Attributes
    ----------
    frames : every MR image plane that can be placed.
    left : reason to the number of files that are no such image ("not DICOM").
    damaged : (series number, reason) to the number of images left out for it.
    patients : one key a patient, made of identifiers; never written anywhere.
    days : dates of the examinations.
    identity : the header's own words about the patient; only `--identified` passes them on.
    """

    frames: list[Frame] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    damaged: Counter[tuple[int, str]] = field(default_factory=Counter)
    patients: Counter[tuple[str, ...]] = field(default_factory=Counter)
    days: set[str] = field(default_factory=set)
    identity: dict[str, str] = field(default_factory=dict)


def the_reader() -> Any:
    """The module pydicom.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import pydicom
    except ModuleNotFoundError as missing:
        raise InputError("reading a DICOM examination needs pydicom: "
                         + how_to_install("pydicom>=2.4")) from missing
    return pydicom


def scan(folder: str | os.PathLike[str],
         progress: Progress = silent) -> Scan:
    """Read the headers of a folder and of all folders in it.

    Files need no extension. What is no DICOM image is counted; a DICOMDIR is ignored.

    Raises
    ------
    InputError
        No such folder, no DICOM image in it, or images of several patients or examinations.
    """
    pydicom = the_reader()
    files = _files(Path(folder))
    found = Scan()
    with _lenient(pydicom):
        for number, file in enumerate(files):
            if number % 50 == 0:
                progress(number / len(files), "reading headers")
            _add(found, file, pydicom)
    if not found.frames and not found.damaged:
        what = "; ".join(f"{n} file{'s' if n != 1 else ''}: {reason}"
                         for reason, n in sorted(found.left.items()))
        raise InputError("the folder holds no DICOM image" + (f" ({what})" if what else "")
                         + ": give the folder of one cardiac MRI examination")
    _check_one_examination(found)
    return found


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        raise InputError("the examination is a file: give the folder that holds the DICOM files "
                         "(unpack an archive first)")
    if not folder.is_dir():
        raise InputError("the examination's folder does not exist: check the path that was given")
    files = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        # a pipe or a device would be waited for
        files += [Path(where, name) for name in sorted(names)
                  if os.path.isfile(os.path.join(where, name))]
    return files


@contextmanager
def _lenient(pydicom: Any) -> Iterator[None]:
    """Scanners break rules that do not matter here; nothing of that is for users."""
    settings = pydicom.config.settings
    before = settings.reading_validation_mode
    settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode = before


def _add(found: Scan, file: Path, pydicom: Any) -> None:
    if file.name.upper() == "DICOMDIR":
        return
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
            if head[128:] != b"DICM" and not head.startswith(_BARE):
                found.left["not DICOM"] += 1
                return
            stream.seek(0)
            header = Header(pydicom.dcmread(stream, stop_before_pixels=True,
                                            specific_tags=WANTED, force=head[128:] != b"DICM"))
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        found.left["truncated or damaged" if isinstance(error, EOFError)
                   else "cannot be read"] += 1
        return
    except Exception:  # a damaged header can raise anything
        found.left["truncated or damaged"] += 1
        return
    reason = _not_an_image(header)
    if reason:
        found.left[reason] += 1
        return
    for key in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyInstanceUID"):
        found.identity.setdefault(key, header.text(key))
    found.patients[_patient(header)] += 1
    found.days |= {header.text("StudyDate")} - {""}
    if _truncated(header, size):
        found.damaged[header.integer("SeriesNumber"), "is truncated"] += 1
        return
    try:
        frames = _frames(header, file)
    except Exception:
        found.left["truncated or damaged"] += 1
        return
    for frame in frames:
        trouble = place_trouble(frame)
        if trouble:
            found.damaged[frame.number, trouble] += 1
        else:
            found.frames.append(frame)


def _not_an_image(header: Header) -> str:
    modality = header.text("Modality")
    if not modality and "Rows" not in header:
        return "truncated or damaged"
    if modality != "MR":
        return f"DICOM but not MR ({modality})" if modality else "DICOM but of no modality"
    if "Rows" not in header:
        return "DICOM without an image"
    if (header.number("SamplesPerPixel") or 1) != 1:
        return "a colour picture"
    return ""


def _truncated(header: Header, size: int) -> bool:
    if header.syntax not in _UNCOMPRESSED:
        return False
    voxels = math.prod(int(header.number(k) or 1) for k in ("Rows", "Columns", "NumberOfFrames"))
    return size < voxels * int(header.number("BitsAllocated") or 16) // 8


def _patient(header: Header) -> tuple[str, ...]:
    known = header.text("PatientID") or header.text("PatientName")
    return (known, header.text("PatientBirthDate")) if known else ()


def _check_one_examination(found: Scan) -> None:
    known = {key: n for key, n in found.patients.items() if key}
    if len(known) > 1:
        raise InputError(f"the folder holds images of {len(known)} patients "
                         f"({', '.join(str(n) for n in known.values())} images): "
                         "give a folder with one patient's examination")
    if len(found.days) > 1:
        raise InputError(f"the folder holds examinations of {len(found.days)} different days: "
                         "give a folder with one examination")


def _frames(header: Header, file: Path) -> list[Frame]:
    frame = _classic(header, file)
    if "PerFrameFunctionalGroupsSequence" in header:
        from deepgmm.reading.dicom.enhanced import enhanced_frames

        return enhanced_frames(header.data, frame)
    if int(header.number("NumberOfFrames") or 1) > 1:
        # A film loop of another class says nothing of where its frames lie.
        return [replace(frame, position=None)]
    return [frame]


def _classic(header: Header, file: Path) -> Frame:
    image_type = tuple(w.upper() for w in header.words("ImageType"))
    return Frame(
        file=file, index=0, uid=header.text("SOPInstanceUID"),
        study=header.text("StudyInstanceUID"), series=header.text("SeriesInstanceUID"),
        number=header.integer("SeriesNumber"),
        instance=header.integer("InstanceNumber"),
        description=header.text("SeriesDescription"), protocol=header.text("ProtocolName"),
        sequence=header.text("SequenceName") or header.text("PulseSequenceName"),
        image_type=image_type,
        component=component_of(image_type, header.text("ComplexImageComponent"),
                               _raw_type(header)),
        position=header.numbers("ImagePositionPatient", 3),
        orientation=header.numbers("ImageOrientationPatient", 6),
        spacing=header.numbers("PixelSpacing", 2),
        rows=header.integer("Rows"), columns=header.integer("Columns"),
        thickness=header.number("SliceThickness"), trigger=header.number("TriggerTime"),
        inversion=header.number("InversionTime") or None, echo=header.number("EchoTime"),
        interval=header.number("NominalInterval") or None,
        acquired=_acquired(header),
        scanning=frozenset(header.words("ScanningSequence")),
        variant=frozenset(header.words("SequenceVariant")),
        velocity="VelocityEncodingDirection" in header,
        slope=header.number("RescaleSlope") or 1.0,
        intercept=header.number("RescaleIntercept") or 0.0,
        reference=header.text("FrameOfReferenceUID"))


def _acquired(header: Header) -> str:
    whole = header.text("AcquisitionDateTime")
    if whole:
        return whole
    for name in ("Acquisition", "Content", "Series"):
        time = header.text(f"{name}Time").replace(":", "")
        if time:
            day = header.text(f"{name}Date") or header.text("StudyDate")
            return f"{day:0<8.8}{time}"
    return ""


def _raw_type(header: Header) -> int | None:
    """GE's number, written as text or as a 16-bit number."""
    number = header.number("RawDataType")
    if number is None and "RawDataType" in header:
        value = header.data.get_item(0x0043102F).value
        return value[0] if isinstance(value, bytes) and value else None
    return None if number is None else int(number)
