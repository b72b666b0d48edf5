"""DeepGMM: label-free segmentation of the left ventricle in multi-sequence cardiac MRI.

Research software, not for diagnosis. The names below are loaded at first use, so that
``import deepgmm`` costs nothing and never imports torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "DeepGMMError": "errors",
    "InputError": "errors",
    "ComputationError": "errors",
    "Settings": "settings",
    "Method": "settings",
    "Preset": "settings",
    "Covariance": "settings",
    "Papillary": "settings",
    "Result": "result",
    "segment": "segment",
    "refine": "refine",
    "Corrections": "given",
    "segment_many": "segment",
    "Study": "study.study",
    "Sequence": "study.study",
    "Geometry": "study.study",
    "Role": "study.words",
    "Kind": "study.words",
    "Tissue": "study.words",
    "read_study": "reading.studies.from_files",
    "read_images": "reading.studies.from_files",
    "propose_mask": "propose.proposal",
    "with_proposal": "propose.proposed",
    "MaskProposal": "propose.proposed",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from deepgmm.errors import ComputationError, DeepGMMError, InputError
    from deepgmm.given import Corrections
    from deepgmm.propose.proposal import propose_mask
    from deepgmm.propose.proposed import MaskProposal, with_proposal
    from deepgmm.reading.studies.from_files import read_images, read_study
    from deepgmm.refine import refine
    from deepgmm.result import Result
    from deepgmm.segment import segment, segment_many
    from deepgmm.settings import Covariance, Method, Papillary, Preset, Settings
    from deepgmm.study.study import Geometry, Sequence, Study
    from deepgmm.study.words import Kind, Role, Tissue


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepgmm' has no attribute {name!r}")
    home = importlib.import_module(f"deepgmm.{_HOMES[name]}")
    value = getattr(home, name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """This package, in which the functions `segment` and `refine` stand where their modules
    would."""

    def __setattr__(self, name: str, value: Any) -> None:
        # importing a submodule, by whomever, sets it here
        if name in ("segment", "refine") and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
