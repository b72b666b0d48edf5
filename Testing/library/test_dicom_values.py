"""Values of DICOM images: what pydicom and the standard say of every kind of scale and encoding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_files import LGE, PSIR, Examination
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from deepgmm import InputError
from deepgmm.reading.dicom.headers import scan
from deepgmm.reading.dicom.pixels import volume_of
from deepgmm.reading.dicom.stacks import stacks_of
from deepgmm.reading.images.image import read_image
from deepgmm.study.study import Geometry

GRID = Geometry((1.5, 1.5, 8.0), (-20.0, 10.0, 30.0), (0.8, -0.36, 0.48, 0.6, 0.48, -0.64,
                                                       0.0, 0.8, 0.6))


@pytest.fixture
def exam(tmp_path: Path) -> Examination:
    return Examination(tmp_path / "exam")


def some(low: int = 0, high: int = 3000, slices: int = 3) -> np.ndarray:
    return np.random.default_rng(4).integers(low, high, (slices, 12, 10)).astype(np.float64)


def read(folder: Path) -> np.ndarray:
    """Values by the road of `segment`, which must be that of `import` too."""
    image, _, _ = read_image(folder, "LGE")
    (stack,) = stacks_of(scan(folder).frames)
    values = sitk.GetArrayFromImage(image)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, volume_of(stack).values[0])
    return values


def by_pydicom(paths: list[Path]) -> np.ndarray:
    """Slices by position, with pydicom's own decoding and rescale."""
    from pydicom.pixels import apply_rescale

    images = sorted(map(pydicom.dcmread, paths), key=lambda d: np.dot(
        d.ImagePositionPatient, np.cross(d.ImageOrientationPatient[:3],
                                         d.ImageOrientationPatient[3:])))
    return np.stack([apply_rescale(d.pixel_array, d) for d in images])


def edit(paths: list[Path], change) -> None:
    for path in paths:
        image = pydicom.dcmread(path)
        change(image)
        pydicom.dcmwrite(path, image)


def encoded(path: Path, syntax: str) -> None:
    """The same file in another transfer syntax."""
    image = pydicom.dcmread(path)
    if syntax == RLELossless:
        image.compress(RLELossless, encoding_plugin="pydicom")
        pydicom.dcmwrite(path, image)
    elif syntax in (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless):
        gdcm = pytest.importorskip("gdcm")
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()  # which keeps little of the header
        writer.SetFileName(str(path.parent.parent / "encoded"))
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        image.PixelData = pydicom.dcmread(path.parent.parent / "encoded").PixelData
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(path, image)
    else:
        image.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
        pydicom.dcmwrite(path, image, implicit_vr=syntax == ImplicitVRLittleEndian,
                         little_endian=syntax != ExplicitVRBigEndian)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [
    ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless], ids=lambda u: u.name.split(",")[0])
def test_every_encoding_has_pydicoms_values(exam, syntax, signed) -> None:
    values = some(-900 if signed else 0) * 2 + 7
    paths = exam.add(31, "psir_sa", values, GRID, tags=PSIR, signed=signed, slopes=[2.0] * 3,
                     intercept=7.0)
    for path in paths:
        encoded(path, syntax)
    found = read(exam.folder)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found, by_pydicom(paths))


@pytest.mark.parametrize("scales", [
    [(None, None), (1, -300), (1, -300)], [(1, 0), (0.001, 0), (0.25, 12.5)],
    [(2.5, -4096), (None, None), (-1, 10)]])
def test_a_scale_of_each_slice(exam, scales) -> None:
    stored = some(0, 400)
    paths = exam.add(3, "lge_sa", stored, GRID, tags=LGE)

    def scaled(image: Dataset) -> None:
        slope, intercept = scales[image.InstanceNumber - 1]
        if slope is not None:
            image.RescaleSlope, image.RescaleIntercept = slope, intercept

    edit(paths, scaled)
    np.testing.assert_allclose(read(exam.folder), by_pydicom(paths), rtol=1e-6)
    wanted = [s if a is None else s * a + b for s, (a, b) in zip(stored, scales)]
    np.testing.assert_allclose(read(exam.folder), wanted, rtol=1e-6)


def test_frames_of_an_enhanced_file_have_their_own_scales(exam) -> None:
    stored, scales = some(0, 600), [(1.5, 0.0), (2.0, -2000.0), (0.1, 3.25)]
    path = exam.add_enhanced(9, "lge_sa", stored, GRID, seed=3)
    image = pydicom.dcmread(path)
    for group in image.PerFrameFunctionalGroupsSequence:
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient) - GRID.origin
        layer = round(float(np.linalg.norm(place)) / GRID.spacing[2])
        one = group.PixelValueTransformationSequence[0]
        one.RescaleSlope, one.RescaleIntercept = scales[layer]
    pydicom.dcmwrite(path, image)
    wanted = [s * a + b for s, (a, b) in zip(stored, scales)]
    np.testing.assert_allclose(read(exam.folder), wanted, rtol=1e-6)
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_image(path, "LGE")[0]), wanted,
                               rtol=1e-6)  # the file instead of its folder


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_bits_that_are_not_used_are_taken_off(exam, signed, syntax) -> None:
    """12 bits stored in 16; an overlay of old in the other four (PS3.5 8.1.1)."""
    values = some(-2048 if signed else 0, 2048 if signed else 4096)
    paths = exam.add(3, "lge_sa", values, GRID, tags=LGE, signed=signed)
    dirt = np.random.default_rng(1).integers(0, 16, (12, 10)).astype(np.uint16) << 12

    def soiled(image: Dataset) -> None:
        image.BitsStored, image.HighBit = 12, 11
        stored = np.frombuffer(image.PixelData, np.uint16).reshape(12, 10) & 0x0FFF
        image.PixelData = (stored | dirt).tobytes()

    edit(paths, soiled)
    for path in paths if syntax else []:
        encoded(path, syntax)
    np.testing.assert_array_equal(read(exam.folder), values)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("lowest", "below"), [(4, 0), (4, 9), (0, 0), (3, 0)])
def test_values_lie_where_the_high_bit_says(exam, signed, lowest, below) -> None:
    """Twelve bits from the lowest one on, with something in the bits below or nothing; where
    nothing fits the high bit that is said, it is wrong."""
    values = some(-900 if signed else 0, 1500)
    values[:, 0, 0] = 1  # an odd number
    paths = exam.add(3, "lge_sa", values, GRID, tags=PSIR if signed else LGE)

    def raised(image: pydicom.FileDataset) -> None:
        stored = image.pixel_array.astype(np.int64) & 0xFFF
        image.BitsStored, image.HighBit = 12, 15 if lowest == 0 else 11 + lowest
        image.PixelRepresentation = int(signed)
        image.PixelData = ((stored << lowest) | below).astype(np.uint16).tobytes()
        image.RescaleSlope, image.RescaleIntercept = 1, 0

    edit(paths, raised)
    np.testing.assert_array_equal(read(exam.folder), values)


def test_a_table_of_real_world_values_that_is_a_line(exam) -> None:
    stored = some(high=200)
    paths = exam.add(3, "t2map_sa", stored, GRID, tags=LGE)

    def mapped(image: Dataset) -> None:
        item = mapping(0.0, 0.0, "ms")
        del item.RealWorldValueSlope, item.RealWorldValueIntercept
        item.RealWorldValueLUTData = [20.0 + 0.25 * n for n in range(220)]
        item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 10, 229
        image.RealWorldValueMappingSequence = [item]

    edit(paths, mapped)
    np.testing.assert_allclose(read(exam.folder), 20.0 + 0.25 * (stored - 10), rtol=1e-6)
    assert not read_image(exam.folder, "LGE")[1]


def mapping(slope: float, intercept: float, unit: str = "1") -> Dataset:
    item, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    item.MeasurementUnitsCodeSequence = [code]
    return item


@pytest.mark.parametrize(("rescale", "unit", "wanted", "word"), [
    (None, "1", (0.5, -3.0), ""), ((2.0, 1.0), "1", (2.0, 1.0), "the rescale was taken"),
    ((2.0, 1.0), "ms", (0.5, -3.0), ""), ((0.5, -3.0), "1", (0.5, -3.0), "")])
@pytest.mark.parametrize("enhanced", [False, True])
def test_real_world_values(exam, rescale, unit, wanted, word, enhanced) -> None:
    stored = some()
    paths = ([exam.add_enhanced(3, "lge_sa", stored, GRID)] if enhanced
             else exam.add(3, "lge_sa", stored, GRID, tags=LGE))

    def mapped(image: Dataset) -> None:
        for where in image.PerFrameFunctionalGroupsSequence if enhanced else [image]:
            where.RealWorldValueMappingSequence = [mapping(0.5, -3.0, unit)]
            if enhanced:
                del where.PixelValueTransformationSequence
            if rescale and enhanced:
                where.PixelValueTransformationSequence = [Dataset()]
            if rescale:
                place = where.PixelValueTransformationSequence[0] if enhanced else where
                place.RescaleSlope, place.RescaleIntercept = rescale

    edit(paths, mapped)
    np.testing.assert_allclose(read(exam.folder), stored * wanted[0] + wanted[1], rtol=1e-6)
    said = " ".join(read_image(exam.folder, "LGE")[1])
    assert word in said if word else not said


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("private", [[0.01, 0.01, 0.01], [0.01, 0.02, 0.005]])
def test_philips_scale_counts_where_slices_differ(exam, private, enhanced) -> None:
    """The signal is (stored * slope + intercept) / (slope * private slope), here in the first
    slice's units; where all slices share a scale, the values that every reader shows."""
    stored = some()
    paths = ([exam.add_enhanced(3, "lge_sa", stored, GRID)] if enhanced
             else exam.add(3, "lge_sa", stored, GRID, tags=LGE))

    def scaled(image: Dataset) -> None:
        groups = image.PerFrameFunctionalGroupsSequence if enhanced else [image]
        for layer, where in enumerate(groups):
            place = image.ImagePositionPatient if not enhanced \
                else where.PlanePositionSequence[0].ImagePositionPatient
            layer = round(float(np.linalg.norm(np.subtract(place, GRID.origin))) / 8)
            values = where.PixelValueTransformationSequence[0] if enhanced else where
            values.RescaleSlope, values.RescaleIntercept = 2.0, 0.0
            inner = Dataset() if enhanced else where
            inner.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
            inner.add_new(0x2005100E, "FL", private[layer])
            if enhanced:
                where.add_new(0x20050014, "LO", "Philips MR Imaging DD 005")
                where.add_new(0x2005140F, "SQ", [inner])

    edit(paths, scaled)
    wanted = np.stack([2 * s * private[0] / p for s, p in zip(stored, private)])
    np.testing.assert_allclose(read(exam.folder), wanted, rtol=1e-6)
    assert any("Philips" in w for w in read_image(exam.folder, "LGE")[1]) == (
        len(set(private)) > 1)


@pytest.mark.parametrize("slope", ["0", "much"])
def test_a_scale_that_is_none_is_refused(exam, slope) -> None:
    paths = exam.add(3, "lge_sa", some(), GRID, tags=LGE, slopes=[1.0] * 3)
    for path in paths:
        tag = b"(\x00\x53\x10DS"
        data = path.read_bytes()
        at = data.index(tag)
        length = int.from_bytes(data[at + 6:at + 8], "little")
        value = slope.encode() + b" " * (len(slope) % 2)
        path.write_bytes(data[:at] + tag + len(value).to_bytes(2, "little") + value
                         + data[at + 8 + length:])
    with pytest.raises(InputError, match="rescale slope"):
        read_image(exam.folder, "LGE")


@pytest.mark.parametrize("photometric", ["PALETTE COLOR", "YBR_FULL", "RGB"])
def test_colours_are_refused(exam, photometric) -> None:
    edit(exam.add(3, "lge_sa", some(), GRID, tags=LGE),
         lambda image: setattr(image, "PhotometricInterpretation", photometric))
    with pytest.raises(InputError, match="colour picture"):
        read_image(exam.folder, "LGE")


def test_inverted_display_changes_no_value_and_is_said(exam) -> None:
    paths = exam.add(3, "lge_sa", some(), GRID, tags=LGE)
    edit(paths, lambda image: setattr(image, "PhotometricInterpretation", "MONOCHROME1"))
    np.testing.assert_array_equal(read(exam.folder), by_pydicom(paths))
    assert "MONOCHROME1" in read_image(exam.folder, "LGE")[1][0]


def test_a_missing_decoder_is_named_and_can_be_offered(exam) -> None:
    """In a Python of its own, in which no decoder is there."""
    for path in exam.add(31, "lge_sa", some(), GRID, tags=LGE):
        encoded(path, JPEGLosslessSV1)
    code = (
        "import sys\n"
        "for name in ('gdcm', 'pylibjpeg', 'openjpeg', 'libjpeg', 'jpeg_ls', 'PIL'):\n"
        "    sys.modules[name] = None\n"
        "from deepgmm.errors import MissingPackages\n"
        "from deepgmm.reading.images.image import read_image\n"
        "try:\n"
        f"    read_image({str(exam.folder)!r}, 'LGE')\n"
        "except MissingPackages as error:\n"
        "    print(error.requirements, error)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "('python-gdcm>=3.0.24',) series 31 is compressed (JPEG lossless)")
    assert "-m pip install 'python-gdcm>=3.0.24'" in done.stdout and len(done.stdout) < 330


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_truncated_image_is_left_out_and_said(exam, syntax, capfd) -> None:
    values = np.random.default_rng(4).integers(0, 3000, (5, 64, 64)).astype(float)
    for path in exam.add(31, "lge_sa", values, GRID, tags=LGE):
        encoded(path, syntax)
        if pydicom.dcmread(path).InstanceNumber == 3:
            path.write_bytes(path.read_bytes()[:-3000])
    image, warnings, _ = read_image(exam.folder, "LGE")
    found = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(found[[0, 1, 3, 4]], values[[0, 1, 3, 4]])
    assert np.isnan(found[2]).all() and any("damaged" in w or "truncated" in w for w in warnings)
    assert not capfd.readouterr().err
