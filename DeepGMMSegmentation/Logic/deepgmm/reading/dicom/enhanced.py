"""The frames of an enhanced multi-frame file, each as if it had a header of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deepgmm.reading.dicom.frames import Component, Frame, component_of
from deepgmm.reading.dicom.values import PHILIPS_FRAME, Scale, philips_scale, scale_of

if TYPE_CHECKING:
    import pydicom


def enhanced_frames(header: pydicom.Dataset, whole: Frame) -> list[Frame]:
    """Split a file by its functional groups (DICOM PS3.3, C.7.6.16).

    Parameters
    ----------
    header : with the shared and per-frame functional groups.
    whole : what the file says of all its frames.
    """
    shared = _item(header, "SharedFunctionalGroupsSequence")
    if not whole.scanning:
        whole = replace(whole, scanning=_scanning(header), variant=_variant(header))
    encoded = str(header.get("PhaseContrast") or "") != "NO"
    return [_one(_Groups(own, shared), replace(whole, index=index, instance=index + 1), encoded)
            for index, own in enumerate(header.PerFrameFunctionalGroupsSequence)]


class _Groups:
    """A frame's groups: its own before those that it shares."""

    def __init__(self, own: Any, shared: Any) -> None:
        self.own, self.shared = own, shared

    def get(self, group: str, keyword: str) -> Any:
        for where in (self.own, self.shared):
            value = getattr(_item(where, group), keyword, None)
            if value is not None and value != "":
                return value
        return None

    def number(self, group: str, keyword: str) -> float | None:
        value = self.get(group, keyword)
        if hasattr(value, "__len__") and not isinstance(value, str):
            value = value[0] if len(value) else None
        return None if value is None else float(value)

    def numbers(self, group: str, keyword: str) -> tuple[float, ...] | None:
        value = self.get(group, keyword)
        return None if value is None else tuple(float(v) for v in value)

    def scale(self) -> Scale | None:
        """The frame's own scale; None where that of the file holds."""
        rescale = "PixelValueTransformationSequence"
        slope, intercept = (self.number(rescale, k) for k in ("RescaleSlope", "RescaleIntercept"))
        mapping = next((items for where in (self.own, self.shared) if (items := getattr(
            where, "RealWorldValueMappingSequence", None))), None)
        if slope is None and intercept is None and not mapping:
            return None
        return scale_of(slope, intercept, mapping)

    def philips(self) -> float | None:
        """Philips's private scale slope of the frame."""
        for where in (self.own, self.shared):
            if where is not None and PHILIPS_FRAME in where and where[PHILIPS_FRAME].value:
                return philips_scale(where[PHILIPS_FRAME].value[0])
        return None


def _one(groups: _Groups, frame: Frame, encoded: bool) -> Frame:
    image_type = tuple(str(w).upper() for w in
                       groups.get("MRImageFrameTypeSequence", "FrameType") or frame.image_type)
    said = str(groups.get("MRImageFrameTypeSequence", "ComplexImageComponent") or "")
    component = component_of(image_type, said)
    heart, echo = "CardiacSynchronizationSequence", groups.number("MREchoSequence",
                                                                  "EffectiveEchoTime")
    scale = groups.scale() or Scale(frame.slope, frame.intercept)
    return replace(
        frame,
        image_type=image_type,
        component=frame.component if component is Component.UNKNOWN else component,
        position=groups.numbers("PlanePositionSequence", "ImagePositionPatient"),
        orientation=groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient"),
        spacing=groups.numbers("PixelMeasuresSequence", "PixelSpacing"),
        thickness=groups.number("PixelMeasuresSequence", "SliceThickness"),
        trigger=groups.number(heart, "NominalCardiacTriggerDelayTime"),
        interval=groups.number(heart, "RRIntervalTimeNominal"),
        inversion=groups.number("MRModifierSequence", "InversionTimes"),
        echo=frame.echo if echo is None else echo,
        acquired=str(groups.get("FrameContentSequence", "FrameAcquisitionDateTime")
                     or frame.acquired),
        velocity=frame.velocity or encoded and (groups.number(
            "MRVelocityEncodingSequence", "VelocityEncodingMaximumValue") or 0) > 0,
        temporal=_whole(groups.number("FrameContentSequence", "TemporalPositionIndex")),
        diffusion=groups.number("MRDiffusionSequence", "DiffusionBValue"),
        philips=groups.philips() or frame.philips,
        slope=scale.slope, intercept=scale.intercept, doubt=scale.doubt or frame.doubt)


def _scanning(header: pydicom.Dataset) -> frozenset[str]:
    """ScanningSequence in classic words."""
    said = str(header.get("EchoPulseSequence") or "")
    planar = {"EP"} if header.get("EchoPlanarPulseSequence") == "YES" else set()
    return frozenset(planar.union({"GRADIENT": {"GR"}, "SPIN": {"SE"},
                                   "BOTH": {"GR", "SE"}}.get(said, ())))


def _variant(header: pydicom.Dataset) -> frozenset[str]:
    """SequenceVariant in classic words."""
    said = str(header.get("SteadyStatePulseSequence") or "")
    spoiled = said == "LONGITUDINAL" or str(header.get("Spoiling") or "NONE") in (
        "RF", "RF_AND_GRADIENT")
    steady = said in ("FREE_PRECESSION", "TRANSVERSE", "TIME_REVERSED")
    return frozenset((["SS"] if steady else []) + (["SP"] if spoiled else []))


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _item(where: Any, group: str) -> Any:
    """The one item of a sequence, or None."""
    items = getattr(where, group, None)
    return items[0] if items else None
