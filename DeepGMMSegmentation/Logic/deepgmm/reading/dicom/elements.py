"""The elements of one header as text and numbers; several times quicker than pydicom's own.

`plain` or pydicom finds the elements; their values are converted here, because pydicom's
conversion of some thirty elements takes longer than reading the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from deepgmm.reading.dicom.values import PHILIPS_SCALE

if TYPE_CHECKING:
    import pydicom

#: The elements looked at that are no text, and all 16-bit numbers.
_BINARY = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")

_TAGS = {
    "SpecificCharacterSet": 0x00080005, "ImageType": 0x00080008, "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018, "StudyDate": 0x00080020, "SeriesDate": 0x00080021,
    "AcquisitionDate": 0x00080022, "ContentDate": 0x00080023, "AcquisitionDateTime": 0x0008002A,
    "SeriesTime": 0x00080031, "AcquisitionTime": 0x00080032, "ContentTime": 0x00080033,
    "Modality": 0x00080060, "SeriesDescription": 0x0008103E, "ComplexImageComponent": 0x00089208,
    "PatientName": 0x00100010, "PatientID": 0x00100020, "PatientBirthDate": 0x00100030,
    "ScanningSequence": 0x00180020, "SequenceVariant": 0x00180021, "SequenceName": 0x00180024,
    "SliceThickness": 0x00180050, "EchoTime": 0x00180081, "InversionTime": 0x00180082,
    "ProtocolName": 0x00181030, "TriggerTime": 0x00181060, "NominalInterval": 0x00181062,
    "PulseSequenceName": 0x00189005, "EchoPulseSequence": 0x00189008,
    "PhaseContrast": 0x00189014, "Spoiling": 0x00189016,
    "SteadyStatePulseSequence": 0x00189017, "EchoPlanarPulseSequence": 0x00189018,
    "DiffusionBValue": 0x00189087, "VelocityEncodingDirection": 0x00189090,
    "VelocityEncodingMaximumValue": 0x00189217, "TemporalPositionIdentifier": 0x00200100,
    "StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E, "SeriesNumber": 0x00200011,
    "InstanceNumber": 0x00200013, "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037, "FrameOfReferenceUID": 0x00200052,
    "SamplesPerPixel": 0x00280002, "NumberOfFrames": 0x00280008, "Rows": 0x00280010,
    "Columns": 0x00280011, "PixelSpacing": 0x00280030, "BitsAllocated": 0x00280100,
    "PhotometricInterpretation": 0x00280004, "ModalityLUTSequence": 0x00283000,
    "RealWorldValueMappingSequence": 0x00409096,
    "RescaleIntercept": 0x00281052, "RescaleSlope": 0x00281053,
    # GE's number for the part of the complex signal.
    "RawDataType": 0x0043102F,
    "PhilipsScale": PHILIPS_SCALE,
    # The sequence in the vendor's own words: Philips's scanning technique, GE's pulse sequence.
    "ScanningTechnique": 0x20011020, "GEPulseSequence": 0x0019109C,
    # GE's velocity encoding, mm/s; 0 where there is none.
    "GEVelocityEncoding": 0x001910CC,
    "SharedFunctionalGroupsSequence": 0x52009229,
    "PerFrameFunctionalGroupsSequence": 0x52009230,
}

#: The elements looked at that are 64-bit numbers.
_DOUBLES = ("DiffusionBValue", "VelocityEncodingDirection", "VelocityEncodingMaximumValue")

_BIG_ENDIAN = "1.2.840.10008.1.2.2"

#: The elements looked for.
WANTED = frozenset(_TAGS.values())

#: Those that are sequences.
SEQUENCES = frozenset(_TAGS[name] for name in (
    "ModalityLUTSequence", "RealWorldValueMappingSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence"))

#: Those whose bytes are characters, in a set that the header names where they are not ASCII.
TEXTS = WANTED - SEQUENCES - {
    _TAGS[name] for name in (*_BINARY, *_DOUBLES, "PhilipsScale")}


class Header:
    """A data set's elements by keyword. What is not there or not readable is "" or None.

    Parameters
    ----------
    values : by tag, as stored or as pydicom converted them.
    syntax : the transfer syntax.
    data : the data set that pydicom read; None where it was not asked, which is so only where all
        text is ASCII and there is no sequence (`deepgmm.reading.dicom.plain`).
    """

    def __init__(self, values: Mapping[int, Any], syntax: str,
                 data: pydicom.Dataset | None = None) -> None:
        self.values, self.syntax, self.data = values, syntax, data

    @staticmethod
    def of(data: pydicom.Dataset) -> Header:
        """Of what pydicom read; implicit little endian where the file does not say."""
        meta = getattr(data, "file_meta", {})
        return Header({tag: data.get_item(tag).value for tag in data.keys()},
                      str(meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")), data)

    def __contains__(self, keyword: str) -> bool:
        return _TAGS[keyword] in self.values

    def stored(self, keyword: str) -> Any:
        """The element's value, as stored where it was not converted yet; None without it."""
        return self.values.get(_TAGS[keyword])

    def _raw(self, keyword: str) -> Any:
        value = self.values.get(_TAGS[keyword])
        if self.data is not None and isinstance(value, bytes) and not value.isascii() \
                and keyword not in _BINARY and keyword not in _DOUBLES:
            return self.data[_TAGS[keyword]].value  # its character set matters
        return value

    def words(self, keyword: str) -> tuple[str, ...]:
        """The element's values as text."""
        try:
            value = self._raw(keyword)
        except Exception:  # a damaged value can raise anything
            return ()
        if value is None:
            return ()
        if isinstance(value, (bytes, str)):
            return _words(value)
        return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)

    def items(self, keyword: str) -> Any:
        """The items of a sequence; None where there are none."""
        return self.data[_TAGS[keyword]].value if self.data is not None and keyword in self \
            else None

    def text(self, keyword: str) -> str:
        return "\\".join(self.words(keyword))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """So many finite numbers, or None."""
        if keyword in _BINARY and keyword in self:
            value = self._raw(keyword)
            if isinstance(value, bytes):
                order = ">" if self.syntax == _BIG_ENDIAN else "<"
                return (float(struct.unpack(f"{order}H", value[:2])[0]),) \
                    if len(value) >= 2 else None
        if keyword in _DOUBLES and keyword in self:
            value = self._raw(keyword)
            if isinstance(value, bytes):
                if len(value) != 8 * count:
                    return None
                order = ">" if self.syntax == _BIG_ENDIAN else "<"
                doubles = struct.unpack(f"{order}{count}d", value)
                return doubles if all(map(math.isfinite, doubles)) else None
        return _finite(self.words(keyword), count)

    def number(self, keyword: str) -> float | None:
        found = self.numbers(keyword, 1)
        return found[0] if found else None

    def integer(self, keyword: str) -> int:
        """A whole number; 0 where there is none."""
        return int(self.number(keyword) or 0)


# Most of what headers say is the same in all images of a series: converted once, and kept once.
@lru_cache(maxsize=2048)
def _words(value: bytes | str) -> tuple[str, ...]:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return tuple(word.strip(" \0") for word in text.split("\\"))


@lru_cache(maxsize=2048)
def _finite(words: tuple[str, ...], count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None
