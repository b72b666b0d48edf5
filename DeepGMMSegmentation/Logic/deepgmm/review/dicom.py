"""A segmentation and its numbers as DICOM: a SEG and a TID 1500 structured report, by highdicom.

Both refer to the images that the segmentation lies on. Where these came as DICOM, to them, and so
they carry their patient and study. Where they did not, a derived series is written beside, of
nobody, and it is what they refer to.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import deepgmm
from deepgmm.errors import InputError, how_to_install
from deepgmm.files import Outputs
from deepgmm.reading.dicom.headers import the_reader
from deepgmm.reading.masks.seg_nrrd import TERMS
from deepgmm.review.quantities import Number, Numbers
from deepgmm.study.study import Geometry
from deepgmm.study.words import COLOURS, Role, Tissue

_MR = "1.2.840.10008.5.1.4.1.1.4"
#: A slice lies on an image when it is off by less than this share of a pixel, and turned by less.
_OFF, _TURNED = 0.05, 1e-3

#: What of a tissue goes into the report: key, its name's code, its unit's code.
_MEASURED = (
    ("volume", ("118565006", "SCT", "Volume"), ("ml", "UCUM", "milliliter")),
    ("mass", ("118538004", "SCT", "Mass"), ("g", "UCUM", "gram")),
    ("percent", ("99DEEPGMM-1", "99DEEPGMM", "Share of left ventricular mass"),
     ("%", "UCUM", "percent")))
_GROUPS = {Tissue.BLOOD: "blood", Tissue.MYOCARDIUM: "myocardium", Tissue.EDEMA: "edema",
           Tissue.SCAR: "scar", Tissue.MVO: "obstruction"}

#: What a header must have for anything to refer to it, and what it may lack.
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
           "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
           "FrameOfReferenceUID")
_MAY_BE_EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate",
                 "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
                 "SeriesNumber", "InstanceNumber")


@dataclass
class Sources:
    """The images that a segmentation lies on, one a slice.

    Attributes
    ----------
    datasets : in the order of the slices.
    derived : whether we made them.
    missing : elements that the headers lack and that go into ours empty.
    """

    datasets: list[Any]
    derived: bool
    missing: tuple[str, ...] = ()


def sources_in(folder: str | os.PathLike[str], geometry: Geometry, shape: tuple[int, int, int],
               series: Collection[int] = (), instances: Collection[str] = ()) -> Sources:
    """The DICOM images of a folder, one for each slice of a grid.

    Parameters
    ----------
    series, instances : numbers of the series, or UIDs of the images, that alone are meant; by
        default whatever the folder holds.

    Raises
    ------
    InputError
        No images, headers without what a reference needs, or images on another grid.
    """
    pydicom = the_reader()
    images = []
    try:
        files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    except OSError as error:
        raise InputError(f"the DICOM source folder cannot be read: {error.strerror}") from error
    for file in files:
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
        except Exception:  # not DICOM, or damaged: no image to refer to
            continue
        meant = (not series or dataset.get("SeriesNumber") in series) and (
            not instances or dataset.get("SOPInstanceUID") in instances)
        if meant and ("ImagePositionPatient" in dataset or "Rows" in dataset):
            images.append(dataset)
    if not images:
        raise InputError("the DICOM source folder holds no DICOM images of one frame each: give "
                         "the folder of the series that the segmentation lies on")
    lacking = sorted({name for d in images for name in _NEEDED if not d.get(name)})
    if lacking:
        raise InputError(f"the DICOM source lacks {', '.join(lacking[:4])}: nothing can refer to "
                         "it; export it again from the scanner or archive")
    matrix = geometry.index_to_world()
    found: dict[int, Any] = {}
    for dataset in images:
        index = _slice_of(dataset, matrix, shape)
        if index is not None:
            if index in found:
                raise InputError("the DICOM source has several images at one slice (heart phases, "
                                 "or several series): give the folder of one series")
            found[index] = dataset
    if len(found) < shape[0]:
        raise InputError(f"the DICOM source has images for {len(found)} of the {shape[0]} slices "
                         "of the segmentation's grid: give the series that it lies on, or leave "
                         "it out for a derived one")
    datasets = [found[i] for i in range(shape[0])]
    missing = tuple(name for name in _MAY_BE_EMPTY if any(name not in d for d in datasets))
    for dataset in datasets:
        for name in _MAY_BE_EMPTY:
            if name not in dataset:
                setattr(dataset, name, 1 if name.endswith("Number")
                        and not name.startswith("Acc") else "")
    return Sources(datasets, False, missing)


def derived_sources(image: npt.NDArray[Any] | None, geometry: Geometry,
                    shape: tuple[int, int, int]) -> Sources:
    """A series of MR images made of an image, of no patient, for others to refer to.

    Parameters
    ----------
    image : (slices, rows, columns), scaled to whole numbers of 0 to 4095; None: all 0.
    """
    pydicom = the_reader()
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    values = np.zeros(shape) if image is None else np.nan_to_num(np.asarray(image, float))
    low, high = float(values.min()), float(values.max())
    slope = (high - low) / 4095 or 1.0
    stored = np.rint((values - low) / slope).astype(np.uint16)
    study, series, frame = (generate_uid() for _ in range(3))
    direction = np.asarray(geometry.direction).reshape(3, 3)
    matrix = geometry.index_to_world()
    made = []
    for index in range(shape[0]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = _MR
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
        d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID = _MR, meta.MediaStorageSOPInstanceUID
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = "Anonymous^", "ANON", "", ""
        d.StudyDate = d.StudyTime = d.AccessionNumber = d.ReferringPhysicianName = ""
        d.StudyID, d.PositionReferenceIndicator, d.BodyPartExamined = "1", "", "HEART"
        d.PatientIdentityRemoved, d.DeidentificationMethod = "YES", "made from images without names"
        d.Modality, d.Manufacturer, d.SeriesNumber = "MR", "DeepGMM", 1
        d.SeriesDescription = "Derived from images that were no DICOM"
        d.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        d.DerivationDescription = "Converted from another format, scaled to 12 bits"
        d.ScanningSequence, d.SequenceVariant, d.ScanOptions = "RM", "NONE", ""
        d.MRAcquisitionType, d.EchoTime, d.RepetitionTime = "2D", "", ""
        d.EchoTrainLength, d.InstanceNumber, d.PatientPosition = "", index + 1, ""
        d.ImagePositionPatient = [_ds(v) for v in (matrix @ [0, 0, index, 1])[:3]]
        d.ImageOrientationPatient = [_ds(v) for v in (*direction[:, 0], *direction[:, 1])]
        d.PixelSpacing = [_ds(geometry.spacing[1]), _ds(geometry.spacing[0])]
        d.SliceThickness = d.SpacingBetweenSlices = _ds(geometry.spacing[2])
        d.Rows, d.Columns, d.SamplesPerPixel = shape[1], shape[2], 1
        d.PhotometricInterpretation, d.PixelRepresentation = "MONOCHROME2", 0
        d.BitsAllocated, d.BitsStored, d.HighBit = 16, 12, 11
        d.PixelData = stored[index].tobytes()
        d["PixelData"].VR = "OW"
        made.append(d)
    return Sources(made, True)


def segmentation(labels: npt.NDArray[np.uint8], tissues: Sequence[Tissue],
                 sources: Sources) -> Any:
    """A DICOM SEG (BINARY), one segment a tissue, with the terminology of our `.seg.nrrd`.

    Parameters
    ----------
    labels : (slices, rows, columns).
    tissues : each becomes a segment; those without a voxel are left out, for a SEG cannot hold an
        empty one.
    """
    hd = _highdicom()
    from pydicom.uid import generate_uid

    held = [t for t in tissues if (labels == t).any()]
    if not held:
        raise InputError("the segmentation holds no tissue: there is nothing to write as DICOM")
    algorithm = hd.AlgorithmIdentificationSequence(
        name="DeepGMM", version=deepgmm.__version__,
        family=hd.sr.CodedConcept("123107", "DCM", "Cluster Analysis"))
    segments = []
    for number, tissue in enumerate(held, start=1):
        _, category, kind = TERMS[tissue]
        segments.append(hd.seg.SegmentDescription(
            segment_number=number, segment_label=tissue.title,
            segmented_property_category=_concept(hd, category),
            segmented_property_type=_concept(hd, kind), algorithm_type="SEMIAUTOMATIC",
            algorithm_identification=algorithm, tracking_uid=generate_uid(),
            tracking_id=tissue.title,
            anatomic_regions=[hd.sr.CodedConcept("87878005", "SCT", "Left cardiac ventricle")],
            display_color=_colour(hd, tissue)))
    planes = np.stack([labels == tissue for tissue in held], axis=-1).astype(np.uint8)
    with _words_of_ours("segmentation"):
        return hd.seg.Segmentation(
            source_images=sources.datasets, pixel_array=planes, segmentation_type="BINARY",
            segment_descriptions=segments, series_instance_uid=generate_uid(),
            series_number=_series_number(sources), sop_instance_uid=generate_uid(),
            instance_number=1, manufacturer="DeepGMM", manufacturer_model_name="DeepGMM",
            software_versions=deepgmm.__version__, device_serial_number="0",
            content_label="LV_TISSUES",
            content_description="Tissues of the left ventricle", content_creator_name="DeepGMM^",
            series_description="LV tissues (DeepGMM, research)")


def measurements(numbers: Numbers, seg: Any, sources: Sources) -> Any:
    """A structured report (TID 1500) of volumes, masses and shares of each segment of a SEG."""
    hd = _highdicom()
    from pydicom.uid import generate_uid

    sr = hd.sr
    groups = []
    for description in seg.SegmentSequence:
        tissue = Tissue.named(str(description.SegmentLabel))
        found = [_measurement(hd, numbers, f"{_GROUPS[tissue]}_{what}", name, unit)
                 for what, name, unit in _MEASURED]
        category, kind = (sr.CodedConcept(
            str(c.CodeValue), str(c.CodingSchemeDesignator), str(c.CodeMeaning))
            for c in (description.SegmentedPropertyCategoryCodeSequence[0],
                      description.SegmentedPropertyTypeCodeSequence[0]))
        groups.append(sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(str(description.TrackingUID),
                                                      str(description.TrackingID)),
            referenced_segment=sr.ReferencedSegment.from_segmentation(
                seg, segment_number=int(description.SegmentNumber)),
            finding_category=category, finding_type=kind,
            finding_sites=[sr.FindingSite(sr.CodedConcept("87878005", "SCT",
                                                          "Left cardiac ventricle"))],
            algorithm_id=sr.AlgorithmIdentification("DeepGMM", deepgmm.__version__),
            measurements=[m for m in found if m is not None]))
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(), name="DeepGMM", manufacturer_name="DeepGMM",
            model_name="DeepGMM"))
    with _words_of_ours("structured report"):
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=observer),
            procedure_reported=sr.CodedConcept("241620005", "SCT", "MRI of heart"),
            imaging_measurements=groups,
            title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"))
        return sr.ComprehensiveSR(
            evidence=[seg, *sources.datasets], content=content,
            series_instance_uid=generate_uid(), series_number=_series_number(sources) + 1,
            sop_instance_uid=generate_uid(), instance_number=1, manufacturer="DeepGMM",
            is_complete=True, series_description="LV measurements (DeepGMM, research)")


def written(numbers: Numbers, tissues: Sequence[Tissue], sources: Sources, *, seg: Path,
            report: Path | None = None, derived: Sequence[Path] = ()) -> None:
    """Write the SEG, and the report and the derived series where asked for.

    Parameters
    ----------
    derived : one file for each slice, where the sources are derived.
    """
    made = segmentation(numbers.labels, tissues, sources)
    made.save_as(seg)
    if report is not None:
        measurements(numbers, made, sources).save_as(report)
    for dataset, path in zip(sources.datasets, derived):
        dataset.save_as(path, enforce_file_format=True)


def write_beside(numbers: Numbers, outputs: Outputs, seg: Path, *, report: Path | None = None,
                 folder: str | os.PathLike[str] | None = None, series: Collection[int] = (),
                 instances: Collection[str] = ()) -> None:
    """Write a SEG, a report where asked for, and, where there is no DICOM to refer to, a derived
    series beside; what a reader must know is added to the warnings.

    Parameters
    ----------
    outputs : of `deepgmm.files.together`.
    folder, series, instances : as `sources_in` takes them.
    """
    shape = numbers.labels.shape
    grid = (shape[0], shape[1], shape[2])
    if folder is not None:
        sources = sources_in(folder, numbers.geometry, grid, series, instances)
    else:
        held = next((numbers.sequences[r] for r in (Role.LGE, Role.BSSFP, Role.T2)
                     if r in numbers.sequences), None)
        sources = derived_sources(None if held is None else held.values, numbers.geometry, grid)
        numbers.warnings.append("the DICOM segmentation refers to a derived series, written beside "
                                "it: the images came without DICOM headers")
    if sources.missing:
        numbers.warnings.append("the DICOM source lacks " + ", ".join(sources.missing[:6])
                                + ": empty in what was written")
    written(numbers, [t for t in Tissue if t], sources,
            seg=outputs.path(seg, "DICOM segmentation"),
            report=None if report is None else outputs.path(report, "DICOM report"),
            derived=[outputs.path(seg.with_name(f"{seg.stem}-derived-{i:03d}.dcm"),
                                  "derived series")
                     for i in range(grid[0])] if sources.derived else [])


def _slice_of(dataset: Any, matrix: npt.NDArray[np.float64],
              shape: tuple[int, int, int]) -> int | None:
    """Which slice of a grid an image is; None where it lies elsewhere."""
    along = np.asarray(dataset.ImageOrientationPatient, float)
    down, across = (float(v) for v in dataset.PixelSpacing)
    steps = np.stack([along[:3] * across, along[3:] * down], axis=1)
    if (int(dataset.Rows), int(dataset.Columns)) != tuple(shape[1:]):
        return None
    if np.abs(steps - matrix[:3, :2]).max() > _TURNED * max(across, down):
        return None
    place = np.linalg.solve(matrix, [*map(float, dataset.ImagePositionPatient), 1.0])[:3]
    index = int(np.rint(place[2]))
    near = np.abs(place - [0, 0, index]).max() < _OFF
    return index if near and 0 <= index < shape[0] else None


def _measurement(hd: Any, numbers: Numbers, key: str, name: tuple[str, str, str],
                 unit: tuple[str, str, str]) -> Any:
    try:
        number: Number = numbers.get(key)
    except KeyError:
        return None
    if number.value is None:
        return None
    return hd.sr.Measurement(name=hd.sr.CodedConcept(*name), value=_ds(number.value),
                             unit=hd.sr.CodedConcept(*unit))


def _series_number(sources: Sources) -> int:
    """After the images' own, so that viewers list it below them."""
    number = str(sources.datasets[0].get("SeriesNumber") or 1)
    return 100 * (int(number) if number.isdigit() else 1) + 1


def _concept(hd: Any, term: str) -> Any:
    scheme, code, meaning = term.split("^")
    return hd.sr.CodedConcept(code, scheme, meaning)


def _colour(hd: Any, tissue: Tissue) -> Any:
    """The overlay's colour in CIE Lab, as DICOM wants it."""
    linear = np.array(COLOURS[tissue]) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                    [0.0193, 0.1192, 0.9505]]) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return hd.color.CIELabColor(float(116 * f[1] - 16), float(500 * (f[0] - f[1])),
                                float(200 * (f[1] - f[2])))


def _ds(value: float) -> float:
    """A number that fits the 16 characters of a decimal string."""
    return float(f"{float(value):.10g}")


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError as missing:
        raise InputError("writing DICOM needs highdicom: "
                         + how_to_install("pydicom>=2.4", "highdicom>=0.28")) from missing
    return highdicom


@contextmanager
def _words_of_ours(what: str) -> Iterator[None]:
    """highdicom says in many ways that the source's headers are not as they must be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the {what} cannot be written as DICOM: the headers of the DICOM source "
                         f"are incomplete or contradict each other ({type(error).__name__})"
                         ) from error
