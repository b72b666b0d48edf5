"""The `.seg.nrrd` of 3D Slicer: its fields, and how it is written.

Such a file is an NRRD label image whose header says, in `SegmentN_...` fields, which label
value is which segment, with its name, colour and terminology, and, in `Segmentation_...`
fields, on which grid the segmentation was made. The fields are those that Slicer's own
vtkMRMLSegmentationStorageNode writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepgmm.reading.conventions.names import Meaning, meaning_of_codes
from deepgmm.reading.images.grids import image_of
from deepgmm.study.study import Geometry
from deepgmm.study.words import COLOURS, Tissue

if TYPE_CHECKING:
    import SimpleITK

#: Terminology contexts: the one that every Slicer has, and the one in `data/terminology`.
DICOM_CONTEXT = "Segmentation category and type - DICOM master list"
OWN_CONTEXT = "Segmentation category and type - DeepGMM left ventricle"
REGION_CONTEXT = "Anatomic codes - DICOM master list"

_TISSUE = "SCT^85756007^Tissue"
_ALTERED = "SCT^49755003^Morphologically Altered Structure"

#: Context, category and type of every tissue. Myocardium is in none of Slicer's own lists, and
#: microvascular obstruction has no code in DICOM: its scheme is a private one ("99...").
TERMS: dict[Tissue, tuple[str, str, str]] = {
    Tissue.BLOOD: (DICOM_CONTEXT, _TISSUE, "SCT^87612001^Blood"),
    Tissue.MYOCARDIUM: (OWN_CONTEXT, _TISSUE, "SCT^74281007^Myocardium"),
    Tissue.EDEMA: (DICOM_CONTEXT, _ALTERED, "SCT^79654002^Edema"),
    Tissue.SCAR: (DICOM_CONTEXT, _TISSUE, "SCT^12402003^Scar tissue"),
    Tissue.MVO: (OWN_CONTEXT, _ALTERED, "99DEEPGMM^MVO^Microvascular obstruction"),
}
_REGION = "SCT^87878005^Left Ventricle"

#: Slicer's text form for the LV mask: the left ventricle as a whole, as a type and so without a
#: region. Slicer's own lists have it too; under our context it stands beside its tissues.
MASK_TERMINOLOGY = "~".join([OWN_CONTEXT, "SCT^123037004^Anatomical Structure", _REGION, "^^",
                             REGION_CONTEXT, "^^", "^^"])

#: What an export to DICOM SEG asks of a segment, as tags; without them it counts as drawn by hand.
ALGORITHM = {"DICOM.SegmentAlgorithmType": "SEMIAUTOMATIC",
             "DICOM.SegmentAlgorithmName": "DeepGMM"}

#: Tag of a segment that was proposed, and its value: a note in JSON. It stands on the segment, so
#: that it goes and comes with the voxels by the editor's undo, and is saved with them.
PROPOSAL = "DeepGMM.MaskProposal"


@dataclass(frozen=True)
class Segment:
    """One segment of a file's header.

    Attributes
    ----------
    name, terminology : as the file gives them; either may be empty.
    value : its label in its layer.
    layer : which of the image's components holds it; overlapping segments need several.
    proposal : what is noted of a segment that was proposed, see `proposal_note`; empty for others.
    """

    name: str
    value: int
    layer: int
    terminology: str
    proposal: str = ""

    @property
    def meaning(self) -> Meaning | None:
        """What the terminology's codes or else the name say; None where they say nothing."""
        fields = [_code(field) for field in self.terminology.split("~")]
        if len(fields) > 2 and fields[2] == _code(TERMS[Tissue.MVO][2]):
            return Meaning.MVO
        codes = [field[1] if len(field) > 1 else "" for field in fields]
        return meaning_of_codes(codes[2] if len(codes) > 2 else "", codes[5:6], self.name,
                                [*codes[3:4], *codes[6:7]])

    @property
    def tissue(self) -> Tissue | None:
        """The tissue that the terminology's codes or else the name say."""
        return self.meaning.tissue if self.meaning else None


def terminology_entry(tissue: Tissue) -> str:
    """Slicer's text form: context~category~type~modifier~region context~region~modifier."""
    return "~".join([*TERMS[tissue], "^^", REGION_CONTEXT, _REGION, "^^"])


def tags_of(tissue: Tissue) -> dict[str, str]:
    """What Slicer keeps with a segment of a tissue."""
    return {"TerminologyEntry": terminology_entry(tissue), **ALGORITHM}


def seg_nrrd_image(
    labels: npt.NDArray[np.uint8], geometry: Geometry, tissues: tuple[Tissue, ...]
) -> SimpleITK.Image:
    """A label image whose header makes it a Slicer segmentation once written as NRRD.

    Parameters
    ----------
    labels : (slices, rows, columns), values of `Tissue`.
    tissues : each becomes a segment, also where no voxel has it.
    """
    return _segmentation(labels, geometry, [
        (t.name.lower(), t.title, COLOURS[t], int(t), tags_of(t)) for t in tissues])


def mask_seg_nrrd_image(mask: npt.NDArray[np.bool_], geometry: Geometry, note: Mapping[str, Any]
                        ) -> SimpleITK.Image:
    """The same of a proposed LV mask, one segment, with the note that it was proposed.

    Parameters
    ----------
    mask : (slices, rows, columns).
    note : as `proposal_note` reads it.
    """
    return _segmentation(mask.astype(np.uint8), geometry, [
        ("LV", "LV", (255, 255, 255), 1, {"TerminologyEntry": MASK_TERMINOLOGY,
                                          PROPOSAL: json.dumps(note), **ALGORITHM})])


def proposal_note(text: str) -> dict[str, Any]:
    """What is noted of a proposed segment: "looked_at" (a person looked at every slice),
    "warnings" and "provenance", and "slices", a digest of each that held something by its index; of
    another version, or edited, at least that it was proposed."""
    try:
        note = json.loads(text)
    except ValueError:
        note = None
    known = note if isinstance(note, dict) else {}
    warnings, provenance = known.get("warnings"), known.get("provenance")
    slices = known.get("slices")
    return {"note": "LV mask proposed", "looked_at": known.get("looked_at") is True,
            "warnings": [str(w) for w in warnings] if isinstance(warnings, list) else [],
            "provenance": provenance if isinstance(provenance, dict) and provenance
            else {"proposed": True},
            "slices": {i: str(one) for i, one in slices.items()} if isinstance(slices, dict)
            else {}}


def digest_of(mask: npt.NDArray[np.bool_]) -> str:
    """What tells the mask of one slice, (rows, columns), from another."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]


def changed_slices(mask: npt.NDArray[np.bool_], note: Mapping[str, Any]) -> set[int]:
    """The slices of a proposal that were drawn, or emptied, since its note was written.

    Parameters
    ----------
    mask : (slices, rows, columns) what is there now.
    note : as of `proposal_note`. Where nothing is as it says, as on another grid, it tells nothing.
    """
    was = note.get("slices", {})
    now = {str(i): digest_of(one) for i, one in enumerate(mask) if one.any()}
    if not was.items() & now.items():
        return set()
    return {i for i in range(len(mask)) if was.get(str(i)) != now.get(str(i))}


#: Name, title, colour, label and tags of a segment.
_Described = tuple[str, str, tuple[int, int, int], int, dict[str, str]]


def _segmentation(labels: npt.NDArray[np.uint8], geometry: Geometry, segments: list[_Described]
                  ) -> SimpleITK.Image:
    image = image_of(labels.astype(np.uint8), geometry)
    for key, value in _header(labels, geometry, segments).items():
        image.SetMetaData(key, value)
    return image


def _header(labels: npt.NDArray[np.uint8], geometry: Geometry,
            segments: list[_Described]) -> dict[str, str]:
    header = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": _conversion_parameters(labels.shape, geometry),
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        # Slicer renamed the former to the latter; readers of either age find theirs.
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_SourceRepresentation": "Binary labelmap",
    }
    extent = _extent(labels)
    for number, (name, title, colour, label, tags) in enumerate(segments):
        header |= {f"Segment{number}_{key}": value for key, value in {
            "ID": name,
            "Name": title,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{channel / 255:.6g}" for channel in colour),
            "ColorAutoGenerated": "0",
            "Extent": extent,
            "LabelValue": str(label),
            "Layer": "0",
            "Tags": "".join(f"{tag}:{value}|" for tag, value in sorted(tags.items())),
        }.items()}
    return header


def _extent(labels: npt.NDArray[np.uint8]) -> str:
    """First and last column, row and slice with any label: one extent for all segments that
    share an image, as Slicer writes it; nothing at all is the extent that Slicer calls empty."""
    if not labels.any():
        return "0 -1 0 -1 0 -1"
    ends = []
    for axis in (2, 1, 0):
        found = np.flatnonzero(labels.any(axis=tuple(a for a in range(3) if a != axis)))
        ends += [int(found[0]), int(found[-1])]
    return " ".join(map(str, ends))


def _conversion_parameters(shape: tuple[int, ...], geometry: Geometry) -> str:
    """The grid in Slicer's words: IJK to RAS row by row, then the extent.

    Only this parameter is given: Slicer has its own defaults for the others.
    """
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.index_to_world()
    numbers = [repr(float(v)) if v else "0" for v in to_ras.ravel()]
    slices, rows, columns = shape
    numbers += [str(n) for n in (0, columns - 1, 0, rows - 1, 0, slices - 1)]
    return ("Reference image geometry|" + ";".join(numbers)
            + ";|Grid of the image that the segmentation was made on&")


def tag_of(tags: str, name: str) -> str:
    """The value of one of a segment's tags; empty where it has none of that name."""
    for tag in tags.split("|"):
        key, _, value = tag.partition(":")
        if key == name:
            return value
    return ""


def _code(term: str) -> tuple[str, ...]:
    """Scheme and code of scheme^code^meaning: meanings are spelt in many ways."""
    return tuple(term.split("^")[:2])
