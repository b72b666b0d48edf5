"""Examination folders as scanners write them, made from phantom patients with pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from deepgmm.cli.main import main
from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.reading.dicom.examination import read_examination
from deepgmm.study.study import Geometry
from deepgmm.study.words import Kind, Role

CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"

#: Header values of the usual sequences at one vendor.
CINE = {"ScanningSequence": "GR", "SequenceVariant": ["SK", "SS"], "EchoTime": 1.3,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "RETRO"], "NominalInterval": 900}
LGE = {"ScanningSequence": ["IR", "GR"], "SequenceVariant": ["SK", "SP", "MP"], "EchoTime": 3.2,
       "InversionTime": 320, "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
       "TriggerTime": 620}
PSIR = LGE | {"ImageType": ["ORIGINAL", "PRIMARY", "PSIR", "NORM"]}
STIR = {"ScanningSequence": ["SE", "IR"], "SequenceVariant": "SK", "EchoTime": 61,
        "InversionTime": 170, "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
        "TriggerTime": 640}
TIMES = [20.0 + 75 * p for p in range(12)]
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass
class Examination:
    """A folder that series are added to, all of one patient and visit.

    `clutter` is how many private elements each header has, `bulk` the bytes of a further one.
    """

    folder: Path
    patient: str = "Doe^Jane"
    patient_id: str = "MRN-12345"
    date: str = "20260314"
    study: str = field(default_factory=generate_uid)
    reference: str = field(default_factory=generate_uid)
    clock: int = 0
    written: int = 0
    clutter: int = 3
    bulk: int = 400

    def header(self, *, number: int, description: str, enhanced: bool = False) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = ENHANCED if enhanced else CLASSIC
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID = meta.MediaStorageSOPClassUID
        image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        image.Modality, image.Manufacturer = "MR", "SIEMENS"
        image.PatientName, image.PatientID = self.patient, self.patient_id
        image.PatientBirthDate, image.InstitutionName = "19600102", "General Hospital"
        image.StudyInstanceUID, image.FrameOfReferenceUID = self.study, self.reference
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = self.date
        image.SeriesNumber, image.SeriesDescription = number, description
        # A private block, as scanners add them.
        block = image.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", b"SV10" + bytes(self.bulk))
        for n in range(self.clutter):
            block.add_new(0x20 + n, "LO", f"private {n}")
        return image

    def add(
        self, number: int, description: str, values: np.ndarray, geometry: Geometry, *,
        tags: dict[str, Any] | None = None, positions: Sequence[float] | None = None,
        times: Sequence[float] | None = None, one_series_a_slice: bool = False,
        slopes: Sequence[float] | None = None, intercept: float = 0.0, signed: bool = False,
        without: Sequence[str] = (), skip: Sequence[int] = (), seed: int = 0,
        in_plane: Sequence[tuple[float, float]] | None = None, counter: str = "",
        vary: dict[str, Sequence[Any]] | None = None, seconds_apart: float = 0.0,
    ) -> list[Path]:
        """Write (slices, rows, columns) or (phases, slices, rows, columns), files shuffled.

        Parameters
        ----------
        positions : of the slices along the normal, mm; evenly by default.
        times : trigger time of each phase.
        slopes : rescale slope of each slice.
        without : keywords that the header lacks; skip : slices that are not there.
        in_plane : (rows, columns) mm by which each slice lies off the first one's line.
        counter : what follows the description when each slice is a series ("_b{}").
        vary : keyword to its value for each phase.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        phases = values[None] if values.ndim == 3 else values
        axes = np.asarray(geometry.direction).reshape(3, 3)
        uids = [generate_uid() for _ in range(phases.shape[1])]
        self.clock += 60
        planes = [(p, s) for s in range(phases.shape[1]) for p in range(len(phases))
                  if s not in skip]
        paths = []
        for order in np.random.default_rng(seed).permutation(len(planes)):
            phase, layer = planes[order]
            name = description + counter.format(layer + 1)
            image = self.header(number=number + (layer if one_series_a_slice else 0),
                                description=name)
            image.SeriesInstanceUID = uids[layer if one_series_a_slice else 0]
            image.InstanceNumber = int(layer * len(phases) + phase + 1)
            along = geometry.spacing[2] * layer if positions is None else positions[layer]
            down, right = in_plane[layer] if in_plane is not None else (0.0, 0.0)
            image.ImagePositionPatient = [f"{v:.6f}" for v in np.asarray(geometry.origin)
                                          + axes @ (right, down, along)]
            image.ImageOrientationPatient = [f"{v:.9f}" for v in (*axes[:, 0], *axes[:, 1])]
            image.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
            image.SliceThickness = 8.0
            second = self.clock + seconds_apart * phase
            image.AcquisitionTime = (f"{9 + int(second) // 3600:02d}"
                                     f"{int(second) // 60 % 60:02d}{second % 60:09.6f}")
            for keyword, value in (tags or {}).items():
                setattr(image, keyword, value)
            for keyword, several in (vary or {}).items():
                setattr(image, keyword, several[phase])
            if times is not None:
                image.TriggerTime = times[phase]
            slope = slopes[layer] if slopes is not None else 1.0
            if slopes is not None or intercept:
                image.RescaleSlope, image.RescaleIntercept = slope, intercept
            stored = np.rint((phases[phase, layer] - intercept) / slope)
            _pixels(image, stored, signed)
            for keyword in without:
                delattr(image, keyword)
            self.written += 1
            path = self.folder / f"IM{self.written:06d}"  # no extension, as on a CD
            pydicom.dcmwrite(path, image)
            paths.append(path)
        return paths

    def add_enhanced(self, number: int, description: str, values: np.ndarray,
                     geometry: Geometry, *, tags: dict[str, Any] | None = None,
                     times: Sequence[float] | None = None, seed: int = 0,
                     slopes: Sequence[float] | None = None,
                     frame_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "M", "NONE"),
                     component: str = "MAGNITUDE") -> Path:
        """Write all frames into one enhanced multi-frame file, frames shuffled."""
        self.folder.mkdir(parents=True, exist_ok=True)
        phases = values[None] if values.ndim == 3 else values
        axes = np.asarray(geometry.direction).reshape(3, 3)
        image = self.header(number=number, description=description, enhanced=True)
        image.SeriesInstanceUID, image.InstanceNumber = generate_uid(), 1
        self.clock += 60
        image.AcquisitionDateTime = f"{self.date}09{self.clock // 60:02d}{self.clock % 60:02d}"
        for keyword, value in (tags or {}).items():
            setattr(image, keyword, value)
        shared = Dataset()
        measures, turned = Dataset(), Dataset()
        measures.PixelSpacing = [geometry.spacing[1], geometry.spacing[0]]
        measures.SliceThickness = 8.0
        turned.ImageOrientationPatient = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
        image.SharedFunctionalGroupsSequence = [shared]
        planes = [(p, s) for s in range(phases.shape[1]) for p in range(len(phases))]
        groups, stored = [], []
        for order in np.random.default_rng(seed).permutation(len(planes)):
            phase, layer = planes[order]
            slope = slopes[layer] if slopes is not None else 1.0
            groups.append(_frame_groups(geometry, axes, layer, slope, frame_type, component,
                                        None if times is None else times[phase]))
            stored.append(np.rint(phases[phase, layer] / slope))
        image.PerFrameFunctionalGroupsSequence = groups
        image.NumberOfFrames = len(groups)
        _pixels(image, np.stack(stored), component == "REAL")
        self.written += 1
        path = self.folder / f"EN{self.written:06d}.dcm"
        pydicom.dcmwrite(path, image)
        return path


def _frame_groups(geometry: Geometry, axes: np.ndarray, layer: int, slope: float,
                  frame_type: Sequence[str], component: str, time: float | None) -> Dataset:
    groups, place, kind, scale = Dataset(), Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = [float(v) for v in np.asarray(geometry.origin)
                                  + axes[:, 2] * geometry.spacing[2] * layer]
    kind.FrameType, kind.ComplexImageComponent = list(frame_type), component
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = slope, 0.0, "US"
    groups.PlanePositionSequence, groups.MRImageFrameTypeSequence = [place], [kind]
    groups.PixelValueTransformationSequence = [scale]
    if time is not None:
        heart = Dataset()
        heart.NominalCardiacTriggerDelayTime, heart.RRIntervalTimeNominal = float(time), 900.0
        groups.CardiacSynchronizationSequence = [heart]
    return groups


def _pixels(image: Dataset, stored: np.ndarray, signed: bool) -> None:
    image.Rows, image.Columns = stored.shape[-2:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = int(signed)
    image.PixelData = stored.astype(np.int16 if signed else np.uint16).tobytes()


def a_patient(seed: int = 100, slices: int = 5, **kinds: Kind) -> PhantomPatient:
    """A phantom patient of 96 x 96 pixels, and of the kinds given by role."""
    chosen = {Role.BSSFP: Kind.BSSFP, Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}
    chosen |= {Role(name): kind for name, kind in kinds.items()}
    return make_patient(seed, slices=slices, kinds=chosen, shape=(96, 96))


def whole(patient: PhantomPatient, role: Role, scale: float = 1.0) -> np.ndarray:
    """A sequence as a scanner stores it: whole numbers; negative only where signed."""
    values = patient.study.sequences[role].values * scale
    signed = patient.study.sequences[role].kind is Kind.LGE_PSIR
    return np.rint(values if signed else np.clip(values, 0, None)).astype(np.float32)


def a_cine(still: np.ndarray, mask: np.ndarray, phases: int = 12, at: int = 8,
           squeeze: float = 0.25) -> np.ndarray:
    """A beating heart: (phases, slices, rows, columns), the given image at phase `at`.

    The ventricle shrinks and widens about its middle, fading out away from it.
    """
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[: still.shape[1], : still.shape[2]].astype(float)
    frames = np.empty((phases, *still.shape), np.float32)
    for s in range(len(still)):
        centre = np.argwhere(mask[s]).mean(axis=0)
        radius = np.sqrt(mask[s].sum() / np.pi)
        far = np.hypot(rows - centre[0], columns - centre[1]) / radius
        fade = np.exp(-np.maximum(far - 1, 0) ** 2)
        for p in range(phases):
            beat = np.cos(2 * np.pi * p / phases) - np.cos(2 * np.pi * at / phases)
            factor = 1 + squeeze * beat / 2 * fade
            where = [centre[0] + (rows - centre[0]) / factor,
                     centre[1] + (columns - centre[1]) / factor]
            frames[p, s] = still[s] if p == at else map_coordinates(
                still[s], where, order=1, mode="nearest")
    return np.rint(frames)


def long_axis(geometry: Geometry) -> Geometry:
    """The same place, cut along the ventricle: rows run from base to apex."""
    axes = np.asarray(geometry.direction).reshape(3, 3)
    turned = np.stack([axes[:, 0], axes[:, 2], -axes[:, 1]], axis=1)
    return Geometry(geometry.spacing, geometry.origin, tuple(turned.ravel()))


def add_distractors(exam: Examination, geometry: Geometry, shape: tuple[int, int]) -> None:
    """What else an examination holds: nothing of it may become a sequence of the study."""
    noise = np.random.default_rng(5).integers(0, 900, (12, 4, *shape)).astype(np.float32)
    body = Geometry(geometry.spacing, geometry.origin, AXIAL)
    times = [20.0 + 70 * p for p in range(12)]
    exam.add(1, "localizer", noise[0, :3], body, tags=CINE)
    exam.add(2, "haste_tra", noise[0], body, tags=STIR)
    exam.add(3, "cine_retro_4ch", noise[:, :1], long_axis(geometry), tags=CINE, times=times)
    exam.add(4, "cine_retro_2ch", noise[:, :1], long_axis(geometry), tags=CINE, times=times)
    exam.add(50, "perf_stress_sax", noise[:, :3], geometry, seconds_apart=0.9,
             tags={"ScanningSequence": "GR", "SequenceVariant": "SP", "EchoTime": 1.0})
    exam.add(51, "TI_scout_sa", noise[:, :1], geometry, tags=CINE,
             vary={"InversionTime": [100 + 30 * p for p in range(12)]})
    exam.add(52, "T1map_MOLLI_sax_MOCO", noise[:8, :3], geometry, tags=LGE,
             vary={"InversionTime": [100 + 80 * p for p in range(8)]})
    exam.add(53, "T1map_MOLLI_sax_MOCO_T1", noise[0, :3], geometry,
             tags={"ImageType": ["DERIVED", "PRIMARY", "T1 MAP"], "ScanningSequence": "GR"})
    exam.add(54, "T2map_trufi_sax", noise[:3, :3], geometry, tags=CINE,
             vary={"EchoTime": [1.2, 25.0, 55.0]})
    exam.add(55, "flow_ao", noise[:, :1], body, tags=CINE | {
        "ImageType": ["ORIGINAL", "PRIMARY", "P"], "SequenceName": "*fl2d1_v150in"}, times=times)
    exam.add(56, "tagging_sax", noise[:, :3], geometry, tags=CINE, times=times)
    exam.add(57, "de_4ch_psir", noise[0, :1], long_axis(geometry), tags=PSIR)


def add_sequences(exam: Examination, patient: PhantomPatient, roles: str = "bssfp lge t2") -> None:
    geometry = patient.study.geometry
    if "bssfp" in roles:
        cine = a_cine(whole(patient, Role.BSSFP), patient.study.mask)
        exam.add(10, "cine_retro_sa", cine, geometry, tags=CINE, times=TIMES,
                 one_series_a_slice=True, counter="_b{}")
    if "lge" in roles:
        exam.add(31, "psir_sa_PSIR", whole(patient, Role.LGE), geometry, tags=PSIR, signed=True)
    if "t2" in roles:
        exam.add(40, "T2_STIR_sa", whole(patient, Role.T2), geometry, tags=STIR)


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def choice_of(exam: Examination, **said: str):
    return read_examination(exam.folder, series={Role(r): s for r, s in said.items()}).choice
