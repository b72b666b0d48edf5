"""The last fit and all corrections, kept with a segmentation so that a loaded scene goes on.

They lie in a text node, which is saved as everything else of the scene: numbers in a safetensors
file as base64, nothing in it can run. Of the images only what a fit had to mend is held, and the
digests by which it is told whether they are still the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgmm.review.encoding import decode_result, encode_result, encode_study
from deepgmm.review.report import scrubbed_settings
from deepgmm.scene.undo import PREFIX, remove

if TYPE_CHECKING:
    import slicer

    from deepgmm.result import Result
    from deepgmm.study.study import Study

_ROLE, _TITLE = PREFIX + "Fit", "LV fit and corrections"
_FORMAT, _VERSION = "deepgmm fit", 1
#: Bytes, unpacked, above which a text is none of ours.
_MOST = 1 << 29


def keep_fit(segmentation: slicer.vtkMRMLSegmentationNode, result: Result, sent: Study,
             more: Mapping[str, Any]) -> None:
    """Keep a result with the segmentation that it was written into, in place of an earlier one.

    Contrast priors of one's own are named by their hash alone.

    Parameters
    ----------
    sent : the study as the scene's nodes give it.
    more : JSON values that are wanted beside it.
    """
    scene = segmentation.GetScene()
    node = segmentation.GetNodeReference(_ROLE)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(_TITLE))
        segmentation.SetNodeReferenceID(_ROLE, node.GetID())
    node.SetText(_packed(result, sent, more))


def kept_fit(segmentation: slicer.vtkMRMLSegmentationNode, study: Study
             ) -> tuple[Result, dict[str, Any]] | None:
    """What `keep_fit` kept; None where there is nothing, nothing of ours, or the images, the LV
    mask or the slices left out are no longer those that were fitted.

    Parameters
    ----------
    study : as the scene's nodes give it now.
    """
    node = segmentation.GetNodeReference(_ROLE)
    if node is None or not node.IsA("vtkMRMLTextNode"):
        return None
    try:
        return _unpacked(node.GetText() or "", study)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error, binascii.Error):
        return None  # of another version, or not as we wrote it


def has_kept_fit(segmentation: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether anything is kept; what is in it is not looked at."""
    return segmentation.GetNodeReference(_ROLE) is not None


def forget_fit(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Keep nothing any longer."""
    node = segmentation.GetNodeReference(_ROLE)
    if node is not None:
        segmentation.RemoveNodeReferenceIDs(_ROLE)
        remove(node)


def _packed(result: Result, sent: Study, more: Mapping[str, Any]) -> str:
    from safetensors.numpy import save

    header, arrays = encode_result(result, sent)
    settings = scrubbed_settings(result.provenance.get("settings")) or {}
    header = header | {"provenance": header["provenance"] | {"settings": settings}}
    said = {"format": _FORMAT, "version": _VERSION, "result": header, "more": dict(more),
            "images": _digests(sent)}
    content = save({name: np.ascontiguousarray(values) for name, values in arrays.items()},
                   {"fit": json.dumps(said)})
    return base64.b64encode(zlib.compress(content, 1)).decode("ascii")


def _unpacked(text: str, study: Study) -> tuple[Result, dict[str, Any]] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text, validate=True), _MOST)
    if unpacker.unconsumed_tail:
        return None
    try:
        arrays = {name: values.copy() for name, values in load(content).items()}
    except SafetensorError as error:
        raise ValueError("no fit") from error
    length = int.from_bytes(content[:8], "little")
    said = json.loads(json.loads(content[8:8 + length])["__metadata__"]["fit"])
    if said["format"] != _FORMAT or said["version"] != _VERSION \
            or said["images"] != _digests(study):
        return None
    return decode_result(said["result"], arrays, study), said["more"]


def _digests(study: Study) -> dict[str, str]:
    """Of every array of a study, of its grid, and of the slices left out."""
    header, arrays = encode_study(study)
    found = {name: hashlib.sha256(f"{values.dtype} {values.shape}".encode()
                                  + np.ascontiguousarray(values).tobytes()).hexdigest()
             for name, values in arrays.items()}
    place = {name: np.round(values, 4).tolist() for name, values in header["geometry"].items()}
    return found | {"place": json.dumps([place, sorted(i for i, _ in header["excluded"])])}
