"""Files as contour programs and PACS write them, of a small heart whose outlines are known."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from study_files import OBLIQUE, ORIGIN, SHAPE, SPACING, an_image

MR = "1.2.840.10008.5.1.4.1.1.4"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"

#: Of each slice: centre (row, column) and half axes (rows, columns) in pixels; nothing alike.
EPI = [((20.3, 26.1), (14.2, 11.4)), ((22.0, 25.0), (15.7, 12.9)), ((23.6, 23.2), (16.1, 14.3))]
ENDO = [((20.8, 26.4), (7.1, 5.2)), ((22.3, 24.6), (8.4, 6.6)), ((23.1, 23.0), (9.2, 8.3))]
UIDS = [f"1.2.826.0.1.3680043.8.498.{i}" for i in (11, 22, 33)]


def grid() -> sitk.Image:
    """An empty image where the heart lies."""
    return an_image(np.zeros(SHAPE, np.uint8))


def line(k: int, ellipses=EPI, points: int = 72) -> np.ndarray:
    """(points, 2) rows and columns of one outline, not repeating its first point."""
    (row, column), (tall, wide) = ellipses[k]
    angle = 2 * np.pi * np.arange(points) / points
    return np.stack([row + tall * np.sin(angle), column + wide * np.cos(angle)], axis=1)


def beyond(ellipses) -> np.ndarray:
    """(slices, rows, columns) of about how many pixels each pixel lies outside its outline."""
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.stack([(np.hypot((rows - r) / tall, (columns - c) / wide) - 1) * min(tall, wide)
                     for (r, c), (tall, wide) in ellipses])


def world(corners: np.ndarray, k: float) -> np.ndarray:
    """(points, 3) mm, LPS, of rows and columns on slice k."""
    image = grid()
    return np.array([image.TransformContinuousIndexToPhysicalPoint((float(c), float(r), float(k)))
                     for r, c in corners])


def _dataset(sop_class: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uid
    made.PatientName, made.PatientID, made.PatientBirthDate = "Doe^Jane", "12345", ""
    made.PatientSex, made.StudyDate, made.StudyTime = "", "20200101", "120000"
    made.AccessionNumber = made.StudyID = made.ReferringPhysicianName = ""
    made.StudyInstanceUID, made.FrameOfReferenceUID = "1.2.3.4", "1.2.3.5"
    return made


def dicom_images(values: np.ndarray | None = None) -> list[FileDataset]:
    """One classic MR image a slice."""
    values = np.zeros(SHAPE) if values is None else values
    axes, made = np.asarray(OBLIQUE).reshape(3, 3), []
    for k, uid in enumerate(UIDS):
        image = _dataset(MR, uid)
        image.Modality, image.SeriesInstanceUID = "MR", "1.2.3.6"
        image.SeriesNumber, image.InstanceNumber = 1, k + 1
        image.Rows, image.Columns = SHAPE[1:]
        image.PixelSpacing, image.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        image.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
        image.ImagePositionPatient = [f"{v:.8g}" for v in ORIGIN + axes[:, 2] * SPACING[2] * k]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation = 0
        image.PixelData = values[k].astype(np.uint16).tobytes()
        made.append(image)
    return made


def write_images(folder: Path, values: np.ndarray | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(dicom_images(values)):
        image.save_as(folder / f"{9 - k}.dcm", enforce_file_format=True)
    return folder


# cvi42

def cvi42_contour(corners: np.ndarray, resolution: float | None = 4) -> str:
    """The inside of one contour's item; corners are rows and columns."""
    scale = resolution or 1
    points = "".join(f"<List:item><Point:x>{c * scale:.6f}</Point:x>"
                     f"<Point:y>{r * scale:.6f}</Point:y></List:item>" for r, c in corners)
    said = "" if resolution is None else \
        f'<Hash:item Hash:key="SubpixelResolution">{resolution}</Hash:item>'
    return (f'<Hash:item Hash:key="Points" List:count="{len(corners)}">{points}</Hash:item>'
            f'<Hash:item Hash:key="ImageSize"><Size:width>192</Size:width></Hash:item>{said}')


def cvi42_text(images: dict[str, dict[str, str]], head: str = "") -> str:
    """A workspace of images by UID, each with the insides of its contours by name."""
    states = "".join(
        f"<Hash:item Hash:key={quoteattr(uid)}><Hash:item Hash:key='Zoom'>1.5</Hash:item>"
        "<Hash:item Hash:key='Contours'>" + "".join(
            f'<Hash:item Hash:key="{name}" Hash:count="12">{inside}</Hash:item>'
            for name, inside in contours.items())
        + "</Hash:item></Hash:item>" for uid, contours in images.items())
    spaces = " ".join(
        f'xmlns:{name}="http://www.circlecvi.com/cvi42/Workspace/{name}/"'
        for name in ("Hash", "List", "Point", "Size"))
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n{head}<Workspace {spaces}>'
            '<Hash:item Hash:key="StudyMapStates"><List:item>'
            '<Hash:item Hash:key="StudyUid">1.2.3.4</Hash:item>'
            f'<Hash:item Hash:key="ImageStates">{states}</Hash:item>'
            "</List:item></Hash:item></Workspace>")


def cvi42_images(slices=range(3)) -> dict[str, dict[str, str]]:
    return {UIDS[k]: {"saendocardialContour": cvi42_contour(line(k, ENDO)),
                      "saepicardialContour": cvi42_contour(line(k, EPI)),
                      "sarvendocardialContour": cvi42_contour(line(k, ENDO) + 9)}
            for k in slices}


def write_cvi42(path: Path, images: dict[str, dict[str, str]] | None = None) -> Path:
    path.write_text(cvi42_text(cvi42_images() if images is None else images), encoding="utf-8")
    return path


# Segment

def segment_stack(*, frames: int = 1, at: tuple[int, ...] = (0,), shift: float = 0.0) -> dict:
    """A `setstruct` as Segment has it: its slices run against the normal."""
    points = {name: np.full((72, frames, SHAPE[0]), np.nan) for name in
              ("EndoX", "EndoY", "EpiX", "EpiY", "RVEndoX", "RVEndoY")}
    for z in range(SHAPE[0]):
        for name, ellipses in (("Endo", ENDO), ("Epi", EPI)):
            corners = line(SHAPE[0] - 1 - z, ellipses)
            for t in at:
                points[f"{name}X"][:, t, z] = corners[:, 0] + 1
                points[f"{name}Y"][:, t, z] = corners[:, 1] + 1
    axes = np.asarray(OBLIQUE).reshape(3, 3)
    first = ORIGIN + axes[:, 2] * (SPACING[2] * (SHAPE[0] - 1) + shift)
    return {**points, "ImagePosition": first, "ImageOrientation": np.r_[axes[:, 0], axes[:, 1]],
            "ResolutionX": SPACING[1], "ResolutionY": SPACING[0], "SliceThickness": 6.0,
            "SliceGap": SPACING[2] - 6.0, "XSize": SHAPE[1], "YSize": SHAPE[2],
            "ZSize": SHAPE[0], "TSize": frames, "PatientInfo": {"Name": "Doe"}}


def write_segment(path: Path, *stacks: dict, compressed: bool = True) -> Path:
    from scipy.io import savemat

    names = list(stacks[0])
    table = np.empty((1, len(stacks)), dtype=[(n, object) for n in names])
    for i, stack in enumerate(stacks):
        for name in names:
            table[0, i][name] = stack[name]
    # As MATLAB since version 7 does it.
    savemat(path, {"setstruct": table, "info": {"Name": "Doe"}}, do_compression=compressed)
    return path


# RTSTRUCT

def rtstruct(regions: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> FileDataset:
    """A structure set of regions by name, each with lines of (points, 3) mm."""
    made = _dataset(RTSTRUCT, generate_uid())
    made.Modality, made.SeriesInstanceUID, made.StructureSetLabel = "RTSTRUCT", "1.2.3.7", "LV"
    rois, drawn = [], []
    for number, (name, lines) in enumerate(regions.items(), 1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, "1.2.3.5"
        rois.append(roi)
        item.ReferencedROINumber, contours = number, []
        for points in lines:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{v:.4f}" for v in points.ravel()]
            contours.append(contour)
        item.ContourSequence = Sequence(contours)
        drawn.append(item)
    made.StructureSetROISequence, made.ROIContourSequence = Sequence(rois), Sequence(drawn)
    return made


def heart_lines(ellipses=EPI) -> list[np.ndarray]:
    return [world(line(k, ellipses), k) for k in range(SHAPE[0])]


# DICOM SEG

def segmentation(segments: dict[str, np.ndarray], images: list[FileDataset] | None = None):
    """A binary SEG of masks by name, made by highdicom from the images that it refers to."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    described = [hd.seg.SegmentDescription(
        segment_number=number, segment_label=name, segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Heart,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for number, name in enumerate(segments, 1)]
    return hd.seg.Segmentation(
        source_images=images or dicom_images(),
        pixel_array=np.stack([m.astype(np.uint8) for m in segments.values()], axis=-1),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY, segment_descriptions=described,
        series_instance_uid=generate_uid(), series_number=9, sop_instance_uid=generate_uid(),
        instance_number=1, manufacturer="tests", manufacturer_model_name="tests",
        software_versions="1", device_serial_number="1")
