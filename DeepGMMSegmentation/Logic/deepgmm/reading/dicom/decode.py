"""Stored pixels of one file: decoded by pydicom alone, unused bits taken off."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgmm.errors import InputError, MissingPackages, how_to_install
from deepgmm.reading.dicom.headers import the_reader

_GDCM = ("python-gdcm>=3.0.24",)
_JPEG2000 = ("pylibjpeg>=2.0", "pylibjpeg-openjpeg>=2.0")
_JPEG = ("pylibjpeg>=2.0", "pylibjpeg-libjpeg>=2.1")

#: Transfer syntaxes that need a decoder: their names, and the packages that bring one.
_DECODERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "1.2.840.10008.1.2.4.50": ("JPEG", _GDCM),
    "1.2.840.10008.1.2.4.51": ("JPEG of 12 bits", _JPEG),
    "1.2.840.10008.1.2.4.57": ("JPEG lossless", _GDCM),
    "1.2.840.10008.1.2.4.70": ("JPEG lossless", _GDCM),
    "1.2.840.10008.1.2.4.80": ("JPEG-LS", _GDCM),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS", _GDCM),
    "1.2.840.10008.1.2.4.90": ("JPEG 2000", _GDCM),
    "1.2.840.10008.1.2.4.91": ("JPEG 2000", _GDCM),
    "1.2.840.10008.1.2.4.201": ("high-throughput JPEG 2000", _JPEG2000),
    "1.2.840.10008.1.2.4.202": ("high-throughput JPEG 2000", _JPEG2000),
    "1.2.840.10008.1.2.4.203": ("high-throughput JPEG 2000", _JPEG2000),
}

#: What pydicom reads by itself, compressed or not.
_OWN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5")


#: Those whose values lie in the file as words.
_PLAIN = _OWN[:4]


class Undecodable(Exception):
    """A file's pixels are damaged; the text says how, in a word."""


def stored_values(file: Path, number: int, frames: int, *, lookup: bool = False
                  ) -> npt.NDArray[Any]:
    """The values of a file as the scanner stored them.

    Parameters
    ----------
    number : of the series, for messages.
    frames : how many the file must hold at least.
    lookup : apply the header's table (Modality LUT Sequence).

    Returns
    -------
    values : (frames, rows, columns).

    Raises
    ------
    MissingPackages
        The file is compressed and no decoder of that kind is installed.
    InputError
        It is compressed in a way that nothing here decodes.
    Undecodable
        It is damaged.
    """
    pydicom = the_reader()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is wrong is found by decoding
        try:
            data = pydicom.dcmread(file, force=True)
            syntax = str(getattr(data.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2"))
        except Exception as error:  # a damaged file can raise anything
            raise Undecodable(type(error).__name__) from None
        _check_decoder(syntax, number)
        _silence_gdcm(syntax)
        try:
            words = _as_words(data) if syntax in _PLAIN else None
            values = np.asarray(data.pixel_array)
            if words is not None:
                values = _from_high_bit(values, data, *words)
            if lookup:
                values = np.asarray(_lookup(pydicom)(values, data))
            elif values.dtype.kind in "iu":
                values = _used_bits(values, data)
        except Exception as error:
            if syntax in _DECODERS and "12" in _DECODERS[syntax][0] and isinstance(
                    error, (RuntimeError, NotImplementedError)):
                raise missing(number, syntax) from None
            raise Undecodable(type(error).__name__) from None
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or len(values) < frames:
        raise Undecodable("frames are missing")
    return values


def _as_words(data: Any) -> tuple[int, int, int] | None:
    """Where values do not begin at the lowest bit: their bits, highest bit and sign, and from here
    on the data set gives whole words. None where nothing is unusual.

    PS3.5 8.1.1 wants the high bit just above the stored ones; files converted from older formats
    have values further up. pydicom does not look at it.
    """
    stored, high, allocated = (int(data.get(name) or 0) for name in (
        "BitsStored", "HighBit", "BitsAllocated"))
    if not 0 < stored <= high < allocated <= 16 or "PixelData" not in data:
        return None
    words = stored, high, int(data.get("PixelRepresentation") or 0)
    data.BitsStored, data.HighBit, data.PixelRepresentation = allocated, allocated - 1, 0
    return words


def _from_high_bit(values: npt.NDArray[Any], data: Any, stored: int, high: int, signed: int
                   ) -> npt.NDArray[Any]:
    """Values of so many bits up to the high one; from the lowest bit up where nothing lies above
    them there and something below the high ones, so that the header's high bit is wrong."""
    data.BitsStored, data.HighBit, data.PixelRepresentation = stored, stored - 1, signed
    lowest = high + 1 - stored
    wrong = not (values >> stored).any() and (values & ((1 << lowest) - 1)).any()
    values = ((values >> (0 if wrong else lowest)) & ((1 << stored) - 1)).astype(np.int32)
    return values - ((values >> (stored - 1)) << stored) if signed else values


def missing(number: int, syntax: str) -> MissingPackages:
    """The error that says what must be installed for a transfer syntax."""
    what, packages = _DECODERS[syntax]
    return MissingPackages(
        f"series {number} is compressed ({what}), for which no decoder is installed: "
        f"{how_to_install(*packages)}, or export the examination again, uncompressed", packages)


def _check_decoder(syntax: str, number: int) -> None:
    if syntax in _OWN:
        return
    if syntax not in _DECODERS:
        raise InputError(f"series {number} has an image that cannot be decoded (transfer syntax "
                         f"{syntax[:64]}): it is compressed in an uncommon way; export the "
                         "examination again, uncompressed")
    with suppress(ImportError):  # before pydicom 3 decoding itself says it
        from pydicom.pixels import get_decoder

        if not get_decoder(syntax).is_available:
            raise missing(number, syntax)


def _silence_gdcm(syntax: str) -> None:
    """GDCM prints what it thinks of damaged files; here an error says it."""
    if syntax in _DECODERS:
        with suppress(ImportError):
            import gdcm

            gdcm.Trace.WarningOff()
            gdcm.Trace.ErrorOff()
            gdcm.Trace.DebugOff()


def _lookup(pydicom: Any) -> Any:
    try:
        from pydicom.pixels import apply_modality_lut
    except ImportError:
        from pydicom.pixel_data_handlers import apply_modality_lut
    return apply_modality_lut


def _used_bits(values: npt.NDArray[Any], data: Any) -> npt.NDArray[Any]:
    """Values without what lies above their bits (PS3.5 8.1.1): overlays of old, or rubbish.

    pydicom takes it off itself since its version 3.
    """
    unused = values.dtype.itemsize * 8 - int(data.BitsStored)
    if unused <= 0:
        return values
    return np.right_shift(np.left_shift(values, unused), unused)  # the sign, where there is one
