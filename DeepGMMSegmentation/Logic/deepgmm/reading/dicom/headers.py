"""Walk a folder and read the headers of all DICOM images in it, quickly."""

from __future__ import annotations

import io
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from deepgmm.errors import InputError, MissingPackages, how_to_install
from deepgmm.progress import Progress, silent
from deepgmm.reading.dicom.elements import SEQUENCES, TEXTS, WANTED, Header
from deepgmm.reading.dicom.frames import Frame, component_of, place_trouble
from deepgmm.reading.dicom.plain import plain_elements
from deepgmm.reading.dicom.values import philips_number, scale_of, scale_trouble

_PYDICOM = "pydicom>=2.4"

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
    births : (patient, date of birth) to the examinations' UIDs; never written anywhere.
    days : dates of the examinations.
    identity : the header's own words about the patient; only `--identified` passes them on.
    """

    frames: list[Frame] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    damaged: Counter[tuple[int, str]] = field(default_factory=Counter)
    patients: Counter[tuple[str, ...]] = field(default_factory=Counter)
    births: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    days: set[str] = field(default_factory=set)
    identity: dict[str, str] = field(default_factory=dict)


class NoImage(InputError):
    """A folder or file holds no DICOM image that could be used.

    Attributes
    ----------
    found : what it holds instead ("3 files: not DICOM"); empty where it holds nothing.
    """

    def __init__(self, found: str) -> None:
        super().__init__("the folder holds no DICOM image" + (f" ({found})" if found else "")
                         + ": give the folder of one cardiac MRI examination")
        self.found = found


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
        # A required package, so the installation is not whole.
        raise MissingPackages("pydicom, which reads DICOM, is missing: "
                              f"{how_to_install(_PYDICOM)}", (_PYDICOM,)) from missing
    return pydicom


def scan(folder: str | os.PathLike[str],
         progress: Progress = silent) -> Scan:
    """Read the headers of a folder and of all folders in it, or of one DICOM file.

    Files need no extension. What is no DICOM image is counted; a DICOMDIR is ignored.

    Raises
    ------
    NoImage
        No DICOM image in it.
    InputError
        No such folder, or images of several patients or examinations.
    """
    if find_spec("pydicom") is None:  # it is loaded where a file needs it
        the_reader()
    found = Scan()
    files = _files(Path(folder), found)
    with _Lenient() as reader:
        for number, file in enumerate(files):
            if number % 50 == 0:
                progress(number / len(files), "reading headers")
            _add(found, file, reader)
    if not found.frames and not found.damaged:
        raise NoImage("; ".join(f"{n} file{'s' if n != 1 else ''}: {reason}"
                                for reason, n in sorted(found.left.items())))
    _check_one_examination(found)
    return found


def is_dicom(file: Path) -> bool:
    """Whether a file begins as DICOM files with a preamble do."""
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _files(folder: Path, found: Scan) -> list[Path]:
    """The files to look at; links that lead to nothing are counted."""
    if folder.is_file() and is_dicom(folder):
        return [folder]
    if folder.is_file():
        raise InputError("the examination is a file: give the folder that holds the DICOM files "
                         "(unpack an archive first)")
    if not folder.is_dir():
        raise InputError("the examination's folder does not exist: check the path that was given")
    files = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(where, name)
            if os.path.isfile(path):  # a pipe or a device would be waited for
                files.append(Path(path))
            elif not os.path.exists(path):
                found.left["a link that leads to nothing: see whether its disk is there"] += 1
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


class _Lenient(ExitStack):
    """pydicom, loaded and made lenient when the first file needs it, until all are read."""

    pydicom: Any = None

    def read(self, stream: IO[bytes], force: bool) -> Any:
        if self.pydicom is None:
            self.pydicom = the_reader()
            self.enter_context(_lenient(self.pydicom))
        return self.pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=sorted(WANTED),
                                    force=force)


def _header(stream: io.FileIO, size: int, preamble: bool, reader: _Lenient) -> tuple[Header, int]:
    """A file's header, and how many bytes follow what was read of it."""
    plain = plain_elements(stream, size, WANTED, TEXTS, SEQUENCES) if preamble else None
    if plain is not None:
        values, syntax, end = plain
        return Header(values, syntax), size - end
    stream.seek(0)
    with io.BufferedReader(stream) as buffered:
        header = Header.of(reader.read(buffered, not preamble))
        return header, size - buffered.tell()


def _add(found: Scan, file: Path, reader: _Lenient) -> None:
    if file.name.upper() == "DICOMDIR":
        return
    try:
        with file.open("rb", buffering=0) as stream:
            head = stream.read(132)
            if head[128:] != b"DICM" and not head.startswith(_BARE):
                found.left["not DICOM"] += 1
                return
            header, size = _header(stream, os.fstat(stream.fileno()).st_size,
                                   head[128:] == b"DICM", reader)
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
    patient = _patient(header)
    found.patients[patient] += 1
    if patient and header.text("PatientBirthDate"):
        found.births.setdefault((patient[0], header.text("PatientBirthDate")), set()).add(
            header.text("StudyInstanceUID"))
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
        trouble = place_trouble(frame) or scale_trouble(frame)
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
    shown = header.text("PhotometricInterpretation")
    if shown and not shown.startswith("MONOCHROME"):
        return "a colour picture"
    return ""


def _truncated(header: Header, size: int) -> bool:
    if header.syntax not in _UNCOMPRESSED:
        return False
    voxels = math.prod(int(header.number(k) or 1) for k in ("Rows", "Columns", "NumberOfFrames"))
    return size < voxels * int(header.number("BitsAllocated") or 16) // 8


def _patient(header: Header) -> tuple[str, ...]:
    known = header.text("PatientID") or header.text("PatientName")
    return (known,) if known else ()


def _check_one_examination(found: Scan) -> None:
    known = {key: n for key, n in found.patients.items() if key}
    if len(known) > 1:
        raise InputError(f"the folder holds images of {len(known)} patients "
                         f"({', '.join(str(n) for n in known.values())} images): "
                         "give a folder with one patient's examination")
    # Dates of birth part people of one name only where no examination has both: anonymisers change
    # or empty them.
    for patient in known:
        births = [uids for (who, _), uids in found.births.items() if (who,) == patient]
        if len(births) > 1 and not set.intersection(*births):
            raise InputError(f"the folder holds images of {len(births)} patients, by their dates "
                             "of birth: give a folder with one patient's examination")
    if len(found.days) > 1:
        raise InputError(f"the folder holds examinations of {len(found.days)} different days: "
                         "give a folder with one examination")


def _frames(header: Header, file: Path) -> list[Frame]:
    frame = _classic(header, file)
    several = int(header.number("NumberOfFrames") or 1) > 1
    if "PerFrameFunctionalGroupsSequence" in header:
        from deepgmm.reading.dicom.enhanced import enhanced_frames

        frames = enhanced_frames(header.data, frame)
        # Some tools add functional groups that say nothing to a classic image.
        if several or frame.position is None or frames and frames[0].position is not None:
            return frames
    if several:
        # A film loop of another class says nothing of where its frames lie.
        return [replace(frame, position=None)]
    return [frame]


def _classic(header: Header, file: Path) -> Frame:
    image_type = tuple(w.upper() for w in header.words("ImageType"))
    scale = scale_of(_rescale(header, "RescaleSlope"), _rescale(header, "RescaleIntercept"),
                     header.items("RealWorldValueMappingSequence"))
    return Frame(
        file=file, index=0, uid=header.text("SOPInstanceUID"),
        study=header.text("StudyInstanceUID"), series=header.text("SeriesInstanceUID"),
        number=header.integer("SeriesNumber"),
        instance=header.integer("InstanceNumber"),
        description=header.text("SeriesDescription"), protocol=header.text("ProtocolName"),
        sequence=(header.text("SequenceName") or header.text("PulseSequenceName")
                  or header.text("ScanningTechnique") or header.text("GEPulseSequence")),
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
        velocity=_velocity(header),
        slope=scale.slope, intercept=scale.intercept,
        reference=header.text("FrameOfReferenceUID"),
        philips=philips_number(header.stored("PhilipsScale")),
        lookup="ModalityLUTSequence" in header,
        doubt=scale.doubt or _inverted(header),
        temporal=header.integer("TemporalPositionIdentifier") or None,
        content=_when(header, "Content"), diffusion=header.number("DiffusionBValue"))


def _rescale(header: Header, keyword: str) -> float | None:
    """NaN where the header says something that is no number."""
    number = header.number(keyword)
    return math.nan if number is None and header.text(keyword) else number


def _inverted(header: Header) -> str:
    return ("its images are meant to be shown inverted (MONOCHROME1); values are those stored: "
            "see whether blood is bright where it should be"
            if header.text("PhotometricInterpretation") == "MONOCHROME1" else "")


def _velocity(header: Header) -> bool:
    """Whether velocities are encoded; a direction of zeros, as Philips writes, is none."""
    if header.text("PhaseContrast") == "NO":
        return False
    most = header.number("VelocityEncodingMaximumValue") or header.number("GEVelocityEncoding")
    direction = header.numbers("VelocityEncodingDirection", 3)
    return (header.text("PhaseContrast") == "YES" or bool(most and most > 0)
            or direction is not None and any(direction))


def _acquired(header: Header) -> str:
    whole = header.text("AcquisitionDateTime")
    if whole:
        return whole
    return next(filter(None, (_when(header, name) for name in ("Acquisition", "Content",
                                                               "Series"))), "")


def _when(header: Header, what: str) -> str:
    time = header.text(f"{what}Time").replace(":", "")
    day = header.text(f"{what}Date") or header.text("StudyDate") if time else ""
    return f"{day:0<8.8}{time}" if time else ""


def _raw_type(header: Header) -> int | None:
    """GE's number, written as text or as a 16-bit number."""
    number = header.number("RawDataType")
    if number is None and "RawDataType" in header:
        value = header.stored("RawDataType")
        return value[0] if isinstance(value, bytes) and value else None
    return None if number is None else int(number)
