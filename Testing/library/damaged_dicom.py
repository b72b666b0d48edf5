"""Damaged DICOM folders and files of contours."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from damage import NUMBERS, WORDS, Desk, spoilt
from pydicom.dataset import FileDataset
from study_files import arrays

from deepgmm.study.study import Geometry

_NAMES = ("lge_psir_sa", "T2_STIR_sa", "cine_sa")


def _examination(desk: Desk, folder: str = "exam") -> list[Path]:
    """LGE, on the grid of the good patient's mask; now and then T2 too."""
    from dicom_files import LGE, PSIR, STIR, Examination
    from study_files import OBLIQUE, ORIGIN, SPACING

    geometry = Geometry(SPACING, ORIGIN, OBLIQUE)
    exam = Examination(desk.folder / folder, bulk=8, clutter=1)
    values = arrays()
    paths = exam.add(31, _NAMES[0], np.rint(values["lge"]).clip(0), geometry,
                     tags=desk.choose((LGE, PSIR)))
    if desk.chance(0.3):
        paths += exam.add(40, _NAMES[1], np.rint(values["t2"]).clip(0), geometry, tags=STIR)
    return paths


def _enhanced(desk: Desk) -> list[Path]:
    from dicom_files import LGE, Examination
    from study_files import OBLIQUE, ORIGIN, SPACING

    exam = Examination(desk.folder / "exam", bulk=8, clutter=1)
    return [exam.add_enhanced(31, _NAMES[0], np.rint(arrays()["lge"]).clip(0),
                              Geometry(SPACING, ORIGIN, OBLIQUE), tags=LGE,
                              slopes=desk.choose((None, (1.0, 2.0, 0.5))))]


def _used(desk: Desk, folder: Path) -> list[Any]:
    """The folder as a sequence, or as an examination."""
    if desk.chance(0.5):
        return desk.segment(lge=folder)
    more = desk.choose(([], ["-o", desk.out / "study"], ["-o", desk.out / "study", "--identified"]))
    return ["import", folder, *more]


def _write(path: Path, data: FileDataset) -> None:
    """As damaged as it is: pydicom would mend or refuse it."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = pydicom.config.settings
        before = settings.writing_validation_mode
        settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            pydicom.dcmwrite(stream, data)
        except Exception:
            return
        finally:
            settings.writing_validation_mode = before
    path.write_bytes(stream.getvalue())


def _some(desk: Desk, paths: list[Path]) -> list[Path]:
    """One file, or all of them."""
    return list(paths) if desk.chance(0.5) else [desk.choose(paths)]


def dicom_element(desk: Desk) -> list[Any]:
    """Elements missing, empty, of another type, or with what cannot be."""
    paths = _examination(desk)
    wanted = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
              "SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID",
              "FrameOfReferenceUID", "SeriesNumber", "InstanceNumber", "EchoTime", "InversionTime",
              "TriggerTime", "ImageType", "SeriesDescription", "AcquisitionTime", "Modality",
              "PatientID", "PatientName", "PatientBirthDate", "StudyDate", "ScanningSequence",
              "RescaleSlope", "RescaleIntercept", "SpecificCharacterSet", "NominalInterval",
              "SpacingBetweenSlices", "SeriesDate", "NumberOfFrames", "PixelPaddingValue")
    name = desk.choose(wanted)
    how = desk.choose(("missing", "empty", "text", "numbers", "number", "bytes"))
    count = desk.choose((1, 2, 3, 6, 200))
    text = "\\".join(desk.choose(NUMBERS) for _ in range(count))
    raw, word = desk.rng.bytes(desk.choose((2, 8, 64))), desk.choose(WORDS).replace("\\", "/")
    desk.say(f"{name}: {how}, {text[:60]}")
    for path in _some(desk, paths):
        data = pydicom.dcmread(path)
        tag = pydicom.datadict.tag_for_keyword(name)
        data.pop(tag, None)
        if how != "missing":
            value: Any = {"empty": b"", "text": word.encode(), "numbers": text.encode(),
                          "number": desk.choose(NUMBERS).encode(), "bytes": raw}[how][:60_000]
            value += b" " * (len(value) % 2)
            vr = pydicom.datadict.dictionary_VR(tag) if desk.chance(0.7) else desk.choose(
                ("UN", "OB", "US", "FD", "DS", "LO", "UI", "SQ", "IS"))
            data[tag] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)
        _write(path, data)
    return _used(desk, desk.folder / "exam")


def dicom_pixels(desk: Desk) -> list[Any]:
    """Sizes, bits and signs that do not fit the pixels that are there."""
    paths = _examination(desk)
    changes = {}
    for _ in range(desk.choose((1, 1, 2))):
        name = desk.choose(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
                            "PixelRepresentation", "SamplesPerPixel", "PlanarConfiguration"))
        changes[name] = desk.choose((0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 24, 32, 47, 64, 65535))
    pixels = desk.choose(("whole", "whole", "none", "empty", "half", "odd", "double"))
    words = {}
    if desk.chance(0.3):
        words["PhotometricInterpretation"] = desk.choose(
            ("RGB", "PALETTE COLOR", "MONOCHROME1", "", "YBR_FULL", "x"))
    if desk.chance(0.3):
        words["NumberOfFrames"] = desk.choose(NUMBERS)
    syntax = desk.choose((None, None, None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2",
                          "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5",
                          "1.2.840.10008.1.2.1.99", "1.2.3", ""))
    desk.say(f"{changes}, {words}, pixels {pixels}, syntax {syntax}")
    for path in _some(desk, paths):
        data = pydicom.dcmread(path)
        whole = data.PixelData
        for name, value in changes.items():
            setattr(data, name, value)
        for name, value in words.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data[name] = pydicom.dataelem.RawDataElement(
                    pydicom.tag.Tag(name), None, len(value), value.encode(), 0, False, True)
        if pixels == "none":
            del data.PixelData
        else:
            data.PixelData = {"whole": whole, "empty": b"", "half": whole[:len(whole) // 2],
                              "odd": whole[:-2], "double": whole * 2}[pixels]
        _write(path, data)
        if syntax is not None:  # the bytes stay as they are
            content = path.read_bytes()
            old = b"1.2.840.10008.1.2.1\0"
            path.write_bytes(content.replace(old, syntax.encode().ljust(20, b"\0")[:20], 1)
                             if len(syntax) <= 20 else content.replace(
                                 old, syntax.encode()[:20], 1))
    return _used(desk, desk.folder / "exam")


def dicom_bytes(desk: Desk) -> list[Any]:
    """Files changed anywhere: cut, flipped, lengths that lead nowhere."""
    paths = _enhanced(desk) if desk.chance(0.3) else _examination(desk)
    for path in _some(desk, paths):
        content = path.read_bytes()
        how = desk.choose(("header", "header", "any", "length", "length", "vr", "preamble"))
        desk.say(how)
        if how == "any":
            content = spoilt(desk, content)
        elif how == "preamble":
            content = desk.choose((content[132:], content[128:], b"\0" * 128 + content[132:],
                                   content[:132] + content, content[:132]))
        else:
            at = int(desk.rng.integers(132, max(len(content) - 5000, 140)))
            if how in ("length", "vr"):  # of an element, which begins with a group in the header
                groups = [at for at in range(132, min(len(content) - 8, 4000), 2)
                          if content[at:at + 1] in b"\x02\x08\x10\x18\x20\x28"
                          and content[at + 1:at + 2] == b"\0" and content[at + 4:at + 6].isalpha()]
                at = desk.choose(groups) + (6 if how == "length" else 4)
            with_ = desk.choose((b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0", b"\x01\0", b"SQ", b"OB",
                                 b"UN", b"??", desk.rng.bytes(4)))
            content = content[:at] + with_ + content[at + len(with_):]
            desk.say(f"at {at}: {with_!r}")
        path.write_bytes(content)
    return _used(desk, desk.folder / "exam")


def dicom_rubbish(desk: Desk) -> list[Any]:
    """What else lies in folders: empty files, folders, text, other people's formats, links."""
    paths = _examination(desk)
    folder = desk.folder / "exam"
    for number in range(desk.choose((1, 3))):
        how = desk.choose(("empty", "noise", "text", "folder", "image", "dicomdir", "link", "loop",
                           "preamble", "copy", "deep"))
        name = desk.choose((f"x{number}", f"x{number}.dcm", f"ü {number}.dcm", f".x{number}",
                            "n" * 200))
        desk.say(f"{how}: {name[:20]}")
        place = folder / name
        if place.exists() or place.is_symlink():
            continue
        if how == "folder":
            place.mkdir()
        elif how == "deep":
            (folder.joinpath(*["d"] * 60)).mkdir(parents=True, exist_ok=True)
        elif how == "link":
            place.symlink_to(folder / "nowhere")
        elif how == "loop":
            place.symlink_to(folder)
        elif how == "copy":
            place.write_bytes(desk.choose(paths).read_bytes())
        else:
            place.write_bytes({"empty": b"", "noise": desk.rng.bytes(3000),
                               "text": b"report\n" * 50, "image": desk.good.bytes("lge.nii"),
                               "dicomdir": b"\0" * 128 + b"DICM",
                               "preamble": b"\0" * 128 + b"DICM" + desk.rng.bytes(300)}[how])
    if desk.chance(0.3):
        for path in paths:
            path.unlink()
    return _used(desk, folder)


def dicom_enhanced(desk: Desk) -> list[Any]:
    """Functional groups missing, empty, too few or too many, with what cannot be."""
    path, = _enhanced(desk)
    data = pydicom.dcmread(path)
    groups = data.PerFrameFunctionalGroupsSequence
    how = desk.choose(("no frames", "few", "many", "no shared", "empty item", "missing", "number",
                       "frames", "no pixels"))
    desk.say(how)
    frame = desk.choose(groups)
    if how == "no frames":
        data.PerFrameFunctionalGroupsSequence = []
    elif how == "few":
        del groups[-1]
    elif how == "many":
        groups.append(frame)
    elif how == "no shared":
        del data.SharedFunctionalGroupsSequence
    elif how == "empty item":
        name = desk.choose([e.keyword for e in frame if e.keyword])
        frame[name].value = pydicom.Sequence()
        desk.say(name)
    elif how == "missing":
        name = desk.choose([e.keyword for e in frame if e.keyword])
        for one in groups if desk.chance(0.5) else [frame]:
            one.pop(name, None)
        desk.say(name)
    elif how == "frames":
        value = desk.choose(NUMBERS)
        desk.say(value)
        data[0x00280008] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(0x00280008), "IS", len(value.encode()), value.encode(), 0, False, True)
    elif how == "no pixels":
        del data.PixelData
    else:
        name = desk.choose([e.keyword for e in frame if e.keyword])
        item = frame[name][0] if frame[name].value else None
        inner = [e.tag for e in item or ()]
        if item is not None and inner:
            tag, value = desk.choose(inner), desk.choose(NUMBERS).encode()
            item[tag] = pydicom.dataelem.RawDataElement(
                tag, desk.choose((None, "DS", "FD", "UN")), len(value), value, 0, False, True)
            desk.say(f"{name}: {tag} = {value!r}")
    _write(path, data)
    return _used(desk, desk.folder / "exam")


def contours(desk: Desk) -> list[Any]:
    """Workspaces, contours and segmentations of other programs, changed anywhere."""
    from contour_files import (
        dicom_images,
        heart_lines,
        rtstruct,
        segment_stack,
        segmentation,
        write_cvi42,
        write_images,
        write_segment,
    )

    how = desk.choose(("cvi42", "segment", "rtstruct", "seg"))
    path = desk.folder / {"cvi42": "some.cvi42wsx", "segment": "some.mat"}.get(how, "some.dcm")
    more: list[Any] = []
    if how == "cvi42":
        write_cvi42(path)
        more = ["--mask-dicom", write_images(desk.folder / "drawn")]
    elif how == "segment":
        write_segment(path, segment_stack(), compressed=desk.chance(0.5))
    elif how == "rtstruct":
        rtstruct({"LV Epi": heart_lines(), "LV Endo": heart_lines()}).save_as(path)
    else:
        segmentation({"Left ventricle": arrays()["mask"] > 0}, dicom_images()).save_as(path)
    content = path.read_bytes()
    if how == "cvi42" and desk.chance(0.6):
        old, new = desk.choose(((b"Hash", b"Hush"), (b"Points", b"Point"), (b"SubpixelResolution",
                                b"Nothing"), (b">4<", b">nan<"), (b">1", b">-"), (b".", b"e9"),
                                (b"<", b"&"), (b"Contours", "C\xfc".encode("latin-1")),
                                (b'"', b"'"), (b"?>", b'?><!DOCTYPE a [<!ENTITY b "c">]>')))
        desk.say(f"{old!r} is {new!r}")
        content = content.replace(old, new, desk.choose((1, 1000)))
    else:
        content = spoilt(desk, content)
    path.write_bytes(content)
    return [*desk.segment(mask=path), *more]


KINDS = (dicom_element, dicom_pixels, dicom_bytes, dicom_rubbish, dicom_enhanced, contours)
