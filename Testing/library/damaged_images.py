"""Damaged NIfTI, NRRD, MetaImage and `.seg.nrrd` files."""

from __future__ import annotations

import bz2
import gzip
import struct
from typing import Any

import numpy as np
import SimpleITK as sitk
from damage import NUMBERS, WORDS, Desk, cut, flipped, spoilt
from study_files import TRUTH

from deepgmm.reading.images.grids import geometry_of
from deepgmm.reading.masks.seg_nrrd import seg_nrrd_image
from deepgmm.study.words import FOUR_TISSUES

#: Every field of NIfTI-1's header: where it lies and what it is (nifti1.h).
NIFTI = {
    "sizeof_hdr": (0, "i"), "data_type": (4, "10s"), "db_name": (14, "18s"), "extents": (32, "i"),
    "session_error": (36, "h"), "regular": (38, "B"), "dim_info": (39, "B"), "dim": (40, "8h"),
    "intent_p1": (56, "f"), "intent_p2": (60, "f"), "intent_p3": (64, "f"),
    "intent_code": (68, "h"), "datatype": (70, "h"), "bitpix": (72, "h"), "slice_start": (74, "h"),
    "pixdim": (76, "8f"), "vox_offset": (108, "f"), "scl_slope": (112, "f"),
    "scl_inter": (116, "f"), "slice_end": (120, "h"), "slice_code": (122, "B"),
    "xyzt_units": (123, "B"), "cal_max": (124, "f"), "cal_min": (128, "f"),
    "slice_duration": (132, "f"), "toffset": (136, "f"), "glmax": (140, "i"), "glmin": (144, "i"),
    "descrip": (148, "80s"), "aux_file": (228, "24s"), "qform_code": (252, "h"),
    "sform_code": (254, "h"), "quatern_b": (256, "f"), "quatern_c": (260, "f"),
    "quatern_d": (264, "f"), "qoffset_x": (268, "f"), "qoffset_y": (272, "f"),
    "qoffset_z": (276, "f"), "srow_x": (280, "4f"), "srow_y": (296, "4f"), "srow_z": (312, "4f"),
    "intent_name": (328, "16s"), "magic": (344, "4s"),
}
_FLOATS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, 3.4e38, 1e-38, 0.5, 353.0, 1e9, -352.0)
_SMALL = (0, -1, 1, 2, 3, 4, 5, 6, 7, 8, 100, 127, 1000, -32768, 32767)
_TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 7)
_INTENTS = (0, 2, 1001, 1002, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 2003, -5, 32767)

#: Which file is spoilt: a quiet field of the mask is as good as one of an image.
_ROLES = ("lge", "lge", "mask", "bssfp")


def _given(desk: Desk, role: str, path: Any) -> list[Any]:
    return desk.segment(**{role: path})


def nifti_field(desk: Desk) -> list[Any]:
    """Fields of the header, each by its name."""
    role = desk.choose(_ROLES)
    source = "float.nii" if role == "lge" and desk.chance(0.3) else f"{role}.nii"
    content = bytearray(desk.good.bytes(source))
    for _ in range(desk.choose((1, 1, 1, 2, 3))):
        name = desk.choose(sorted(NIFTI))
        at, form = NIFTI[name]
        size = struct.calcsize(f"<{form}")
        if form.endswith("s"):
            value: Any = desk.choose((b"", b"\0" * size, desk.rng.bytes(size), b"ni1\0", b"n+2\0",
                                      b"n+1 ", b"xxxx"))[:size]
            content[at:at + size] = value.ljust(size, b"\0")
        else:
            letter = form[-1]
            count = struct.calcsize(f"<{form}") // struct.calcsize(f"<{letter}")
            which = int(desk.rng.integers(count))
            if letter == "f":
                value = desk.choose(_FLOATS)
            else:
                value = desk.choose({"datatype": _TYPES, "intent_code": _INTENTS}.get(name, _SMALL))
                low, high = {"B": (0, 255), "h": (-32768, 32767), "i": (-1 << 31, (1 << 31) - 1)}[
                    letter]
                value = max(low, min(high, value))
            size = struct.calcsize(f"<{letter}")
            struct.pack_into(f"<{letter}", content, at + which * size, value)
            name = f"{name}[{which}]" if count > 1 else name
        desk.say(f"{role}: {name} = {value!r}")
    packed = desk.chance(0.3)
    return _given(desk, role, desk.write(
        f"{role}.nii.gz" if packed else f"{role}.nii",
        gzip.compress(bytes(content)) if packed else bytes(content)))


def nifti_dims(desk: Desk) -> list[Any]:
    """Sizes that the file does not have, up to far more than any memory."""
    role = desk.choose(_ROLES)
    content = bytearray(desk.good.bytes(f"{role}.nii"))
    axes = desk.choose((0, 1, 2, 3, 4, 5, 6, 7, 8, -1))
    sizes = [desk.choose((48, 48, 3, 1, 0, -1, 2, 32767, 7)) for _ in range(7)]
    if desk.chance(0.5):
        sizes[:3] = 48, 48, 3
    struct.pack_into("<8h", content, 40, axes, *sizes)
    desk.say(f"{role}: dim = {axes}, {sizes}")
    return _given(desk, role, desk.write(f"{role}.nii", bytes(content)))


def nifti_type(desk: Desk) -> list[Any]:
    """Types of voxels, with the sizes that belong to them and enough voxels."""
    role = desk.choose(_ROLES)
    content = bytearray(desk.good.bytes(f"{role}.nii"))
    code, bits = desk.choose((
        (1, 1), (2, 8), (8, 32), (16, 32), (32, 64), (64, 64), (128, 24), (256, 8), (512, 16),
        (768, 32), (1024, 64), (1280, 64), (1536, 128), (1792, 128), (2048, 256), (2304, 32),
        (16, 16), (4, 32), (0, 0), (4, 0), (4, -16), (3, 8)))
    struct.pack_into("<2h", content, 70, code, bits)
    if desk.chance(0.3):
        slope, inter = desk.choose(_FLOATS), desk.choose(_FLOATS)
        struct.pack_into("<2f", content, 112, slope, inter)
        desk.say(f"slope {slope}, intercept {inter}")
    desk.say(f"{role}: datatype {code} of {bits} bits")
    voxels = desk.rng.bytes(48 * 48 * 3 * 32)
    return _given(desk, role, desk.write(f"{role}.nii", bytes(content[:352]) + voxels))


def nifti_extension(desk: Desk) -> list[Any]:
    """Extensions between header and voxels, sound and not."""
    content = desk.good.bytes("lge.nii")
    length = desk.choose((16, 32, 0, -16, 15, 1 << 30, (1 << 31) - 1, 8))
    body = struct.pack("<2i", length, desk.choose((0, 2, 4, 6, -1))) + desk.rng.bytes(
        max(min(length, 4096) - 8, 0))
    offset = float(desk.choose((352 + len(body), 352 + len(body), 352, 0, 348, 353, 1e6)))
    head = bytearray(content[:348]) + desk.choose((b"\1\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff"))
    struct.pack_into("<f", head, 108, offset)
    desk.say(f"an extension of {length}, vox_offset {offset}")
    return _given(desk, "lge", desk.write("lge.nii", bytes(head) + body + content[352:]))


def nifti_bytes(desk: Desk) -> list[Any]:
    """Files cut, changed, packed as they are not called, and not packed as they are."""
    role = desk.choose(_ROLES)
    how = desk.choose(("header", "any", "cut", "called", "half a gzip", "two gzips", "big endian"))
    plain, packed = desk.good.bytes(f"{role}.nii"), desk.good.bytes(f"{role}.nii.gz")
    name = desk.choose((f"{role}.nii", f"{role}.nii.gz"))
    content = packed if name.endswith(".gz") else plain
    desk.say(f"{role}: {how}, {name}")
    if how == "header":
        content = flipped(desk, plain, last=352)
        name = f"{role}.nii"
    elif how == "any":
        content = spoilt(desk, content)
    elif how == "cut":
        content = cut(desk, content)
    elif how == "called":
        content = plain if name.endswith(".gz") else packed
        name = desk.choose((name, f"{role}.nrrd", f"{role}.mha", f"{role}.dcm", role, f"{role}.hdr",
                            f"{role}.img", f"{role}.nii.GZ", f"{role}.seg.nrrd", f"{role}.png"))
    elif how == "half a gzip":
        content, name = packed[:len(packed) // 2] + desk.rng.bytes(50), f"{role}.nii.gz"
    elif how == "two gzips":
        content, name = gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]), f"{role}.nii.gz"
    else:
        content = struct.pack(">i", 348) + plain[4:]
    return _given(desk, role, desk.write(name, content))


def nifti_frames(desk: Desk) -> list[Any]:
    """A cine whose header is spoilt."""
    content = bytearray(desk.good.bytes("cine.nii"))
    for _ in range(desk.choose((1, 2))):
        name = desk.choose(("dim", "pixdim", "datatype", "vox_offset", "srow_x", "qform_code",
                            "scl_slope", "quatern_b", "bitpix"))
        at, form = NIFTI[name]
        letter = form[-1]
        size = struct.calcsize(letter)
        which = int(desk.rng.integers(struct.calcsize(f"<{form}") // size))
        value = desk.choose(_FLOATS if letter == "f" else _SMALL)
        struct.pack_into(f"<{letter}", content, at + which * size, value)
        desk.say(f"cine: {name}[{which}] = {value}")
    made = desk.write("cine.nii", bytes(content))
    return [*desk.segment(bssfp=made), *desk.choose(
        ([], ["--phase", "1"], ["--phase", "match"], ["--phase", "9"], ["--phase", "ed"]))]


# NRRD and MetaImage: headers of text

def _lines(content: bytes, end: bytes) -> tuple[list[bytes], bytes]:
    """A header's lines and what follows it."""
    at = content.index(end) + len(end)
    if not end.endswith(b"\n"):
        at = content.index(b"\n", at) + 1
    return content[:at].splitlines(), content[at:]


def _spoil_lines(desk: Desk, lines: list[bytes], between: bytes) -> list[bytes]:
    """Fields missing, twice, garbled, or of another value."""
    lines = list(lines)
    for _ in range(desk.choose((1, 1, 2))):
        at = int(desk.rng.integers(len(lines)))
        name, colon, value = lines[at].partition(between)
        how = desk.choose(("missing", "twice", "number", "numbers", "word", "garbled", "rubbish",
                           "huge", "name"))
        desk.say(f"{lines[at][:60]!r}: {how}")
        if how == "missing":
            del lines[at]
            if not lines:
                lines = [b""]
        elif how == "twice":
            lines.insert(at, lines[int(desk.rng.integers(len(lines)))])
        elif how in ("number", "numbers", "huge"):
            parts = value.replace(b"(", b" ( ").replace(b")", b" ) ").replace(b",", b" , ").split()
            places = [i for i, part in enumerate(parts) if part not in b"(),"]
            for i in places if how == "numbers" else places[:1] if how == "huge" else (
                    [desk.choose(places)] if places else []):
                parts[i] = b"99999999" if how == "huge" else desk.choose(NUMBERS).encode()
            lines[at] = name + colon + b" ".join(parts)
        elif how == "word":
            lines[at] = name + colon + desk.choose(WORDS).encode().replace(b"\n", b"\\n")
        elif how == "garbled":
            lines[at] = bytes(flipped(desk, lines[at])) if lines[at] else b"\xff"
        elif how == "name":
            lines[at] = desk.choose(WORDS).encode()[:400] + colon + value
        else:
            lines.insert(at, desk.rng.bytes(40))
    return lines


def nrrd_field(desk: Desk) -> list[Any]:
    """Fields of an NRRD's header."""
    role = desk.choose(("lge", "mask"))
    lines, data = _lines(desk.good.bytes(
        desk.choose((f"{role}-raw.nrrd", f"{role}.nrrd"))), b"\n\n")
    lines = _spoil_lines(desk, lines, b":")
    return _given(desk, role, desk.write(f"{role}.nrrd", b"\n".join(lines) + b"\n" + data))


def nrrd_encoding(desk: Desk) -> list[Any]:
    """Encodings, byte orders, types and detached data that are as said, or not."""
    role = desk.choose(("lge", "mask"))
    lines, data = _lines(desk.good.bytes(f"{role}-raw.nrrd"), b"\n\n")
    encoding = desk.choose((b"raw", b"gzip", b"bzip2", b"bz2", b"hex", b"ascii", b"text", b"zip",
                            b"zstd", b""))
    packed = desk.choose((data, gzip.compress(data), bz2.compress(data), data.hex().encode(),
                          b" ".join(b"%d" % v for v in data)))
    swap = {b"encoding": encoding}
    if desk.chance(0.3):
        swap[b"type"] = desk.choose((b"double", b"float", b"uchar", b"long long", b"block",
                                     b"unsigned short", b"complex", b"int512"))
    if desk.chance(0.3):
        swap[b"sizes"] = desk.choose((b"48 48 3 1", b"48 48", b"1 48 48 3", b"0 48 3", b"48 48 -3",
                                      b"1000000 1000000 1000", b"48 48 3 2", b"48 48 4"))
    if desk.chance(0.3):
        swap[b"dimension"] = desk.choose((b"0", b"1", b"2", b"4", b"16", b"17", b"-1", b"x"))
    lines = [name + b": " + swap[name] if (name := line.partition(b":")[0]) in swap else line
             for line in lines]
    if desk.chance(0.3):
        there = desk.choose((b"lge.raw", b"nowhere.raw", b"/etc/hostname", b"LIST", b"", b".",
                             b"image%03d.raw 1 3 1", b"\xff\xfe.raw", b"a" * 5000))
        lines.insert(len(lines) - 1, b"data file: " + there)
        desk.write("lge.raw", packed)
        packed = b""
        swap[b"data file"] = there[:40]
    if desk.chance(0.2):
        lines.insert(len(lines) - 1, b"line skip: " + desk.choose(NUMBERS).encode())
        lines.insert(len(lines) - 1, b"byte skip: " + desk.choose(NUMBERS).encode())
    desk.say(f"{role}: {swap}")
    return _given(desk, role, desk.write(
        desk.choose((f"{role}.nrrd", f"{role}.nhdr", f"{role}.seg.nrrd")),
        b"\n".join(lines) + b"\n" + packed))


def metaimage_field(desk: Desk) -> list[Any]:
    """Fields of a MetaImage's header, of one file and of two."""
    role = desk.choose(("lge", "mask"))
    if desk.chance(0.5):
        lines = desk.good.bytes(f"{role}.mhd").splitlines()
        data = desk.good.path(f"{role}.mhd").with_suffix(".zraw")
        raw = (data if data.exists() else data.with_suffix(".raw")).read_bytes()
        for name in (f"{role}.zraw", f"{role}.raw"):
            if desk.chance(0.9):
                desk.write(name, raw if desk.chance(0.7) else spoilt(desk, raw))
        lines = _spoil_lines(desk, lines, b"=")
        return _given(desk, role, desk.write(f"{role}.mhd", b"\n".join(lines) + b"\n"))
    lines, data = _lines(desk.good.bytes(
        desk.choose((f"{role}-raw.mha", f"{role}.mha"))), b"ElementDataFile = LOCAL\n")
    lines = _spoil_lines(desk, lines, b"=")
    return _given(desk, role, desk.write(f"{role}.mha", b"\n".join(lines) + b"\n" + data))


def text_header_bytes(desk: Desk) -> list[Any]:
    """NRRD and MetaImage files changed anywhere."""
    role = desk.choose(("lge", "mask", "bssfp"))
    name = desk.choose((f"{role}.nrrd", f"{role}.mha", f"{role}.mhd"))
    return _given(desk, role, desk.write(name, spoilt(desk, desk.good.bytes(name))))


# Segmentations

def seg_nrrd_field(desk: Desk) -> list[Any]:
    """Fields of a Slicer segmentation's header, as mask, as truth and as prediction."""
    grid = sitk.ReadImage(str(desk.good.path("mask.nii.gz")))
    path = desk.folder / "written.nrrd"
    sitk.WriteImage(seg_nrrd_image(TRUTH, geometry_of(grid), FOUR_TISSUES), str(path), False)
    lines, data = _lines(path.read_bytes(), b"\n\n")
    path.unlink()
    lines = _spoil_lines(desk, lines, desk.choose((b":=", b":")))
    made = desk.write("some.seg.nrrd", b"\n".join(lines) + b"\n" + data)
    if desk.chance(0.5):
        labels = desk.choose(([], ["--mask-labels", "deepgmm"], ["--mask-labels", "plain"]))
        return [*desk.segment(mask=made), *labels]
    pair = [made, desk.good.path("truth.nii.gz")]
    return ["evaluate", *(pair if desk.chance(0.5) else pair[::-1]), "--json"]


def label_values(desk: Desk) -> list[Any]:
    """Labels of all sorts in sound files."""
    form = desk.choose((np.uint8, np.int16, np.float32, np.float64, np.int32, np.uint16))
    odd = np.array(desk.choose(([7], [255], [-1], [0.5], [np.nan], [np.inf], [1e30], [3.001],
                                [200, 500, 600], [1220, 2221], [32767], [0])), float)
    with np.errstate(all="ignore"):
        values = TRUTH.astype(form)
        where = desk.rng.random(values.shape) < desk.choose((0.001, 0.05, 0.5, 1.0))
        values[where] = desk.rng.choice(odd, where.sum()).astype(form)
    desk.say(f"{form.__name__}, {odd.tolist()}")
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(sitk.ReadImage(str(desk.good.path("mask.nii.gz"))))
    made = desk.folder / desk.choose(("some.nii.gz", "some.nrrd", "some.mha"))
    sitk.WriteImage(image, str(made))
    if desk.chance(0.5):
        labels = desk.choose(([], ["--mask-labels", "deepgmm"], ["--mask-labels", "myops"],
                              ["--mask-labels", "emidec"], ["--mask-labels", "plain"]))
        return [*desk.segment(mask=made), *labels]
    pair = [made, desk.good.path("truth.nii.gz")]
    return ["evaluate", *(pair if desk.chance(0.5) else pair[::-1]), "--json"]


KINDS = (nifti_field, nifti_dims, nifti_type, nifti_extension, nifti_bytes, nifti_frames,
         nrrd_field, nrrd_encoding, metaimage_field, text_header_bytes, seg_nrrd_field,
         label_values)
