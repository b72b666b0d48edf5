"""A coil's shading taken out of a study before it is fitted, where the settings ask for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from deepgmm.errors import InputError
from deepgmm.methods.problem import Case, Problem
from deepgmm.model.batch import PixelBatch
from deepgmm.model.bias_field import FieldFit, FieldOptions, fit_bias_field
from deepgmm.model.devices import few_threads
from deepgmm.settings import Device
from deepgmm.study.normalisation import normalise
from deepgmm.study.study import Sequence
from deepgmm.study.words import Kind

#: A field of a higher degree follows the tissues themselves.
HIGHEST_DEGREE = 4
#: A field that strays further from 1 than this, in percent, is warned of.
STRONG = 30.0


@dataclass(frozen=True)
class Unshaded:
    """A case without the field that was found, and what is to be told of it.

    Attributes
    ----------
    case : the very same where nothing was to be done.
    notes : for the provenance: the degree, and per sequence the largest deviation from 1 in
        percent, or why it was left as it is. Empty with the option off.
    warnings : what the user must see.
    """

    case: Case
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def without_shading(case: Case) -> Unshaded:
    """Divide every sequence by its field, slice by slice and inside the mask only.

    The field is fitted together with a mixture held at the contrast prior
    (`fit_bias_field`), whatever method follows. The study of the given case stays as it is.

    Raises
    ------
    InputError : for a degree that no field can have.
    """
    degree = case.settings.bias_degree
    if not 0 <= degree <= HIGHEST_DEGREE:
        raise InputError(f"the bias field's degree is {degree}: give 1 to {HIGHEST_DEGREE}, "
                         "or 0 for none")
    if degree == 0:
        return Unshaded(case)
    inside = case.mask
    unfit = {role: _why_not(s, inside, case.slices)
             for role, s in case.study.sequences.items()}
    notes: dict[str, Any] = {"degree": degree, "largest_percent": {},
                             "left_as_it_is": {r.value: why for r, why in unfit.items() if why}}
    warnings = [f"{role.title} was not corrected for a bias field: {why}"
                for role, why in unfit.items() if why]
    if all(unfit.values()):
        return Unshaded(case, notes, warnings)
    batch, fit = _fit(case, degree, torch.tensor([bool(why) for why in unfit.values()]))
    sequences = dict(case.study.sequences)
    for m, role in enumerate(case.study.roles):
        if unfit[role]:
            continue
        shading = np.ones(case.study.mask.shape)
        found = np.ones(inside.shape)
        batch.paint(fit.field[..., m].numpy(), found)
        shading[list(case.slices)] = found
        sequences[role] = replace(sequences[role], values=sequences[role].values / shading)
        strength = 100 * float(np.abs(found - 1).max())
        notes["largest_percent"][role.value] = round(strength, 1)
        if strength > STRONG:
            warnings.append(f"the bias field taken out of {role.title} reaches {strength:.0f} %: "
                            "so strong a one may hold part of the tissues' own contrast; compare "
                            "with the result without correction")
    corrected = replace(case.study, sequences=sequences)
    return Unshaded(replace(case, study=corrected), notes, warnings)


def _why_not(sequence: Sequence, inside: np.ndarray, slices: tuple[int, ...]) -> str:
    """Why a sequence has no multiplicative field that could be found; empty where it has."""
    if sequence.kind is Kind.T2_MAP:
        return "a map in ms is not shaded by the coil"
    if sequence.kind is Kind.LGE_PSIR:
        return "a signed (PSIR) image may be negative, and a field can only scale"
    if (sequence.values[list(slices)][inside] < 0).any():
        return "it has negative values inside the LV mask, and a field can only scale"
    return ""


def _fit(case: Case, degree: int, even: torch.Tensor) -> tuple[PixelBatch, FieldFit]:
    """The field's batch, on the CPU, and its fit; intensities scaled, their zero kept."""
    images, scale = normalise(case.study, case.slices)
    zero = scale.centre / scale.width
    batch = PixelBatch.from_images(images + zero[:, None, None], case.mask)
    on_cpu = replace(case, settings=replace(case.settings, device=Device.CPU))
    prior = Problem((on_cpu,)).prior()
    prior = replace(prior, means=prior.means + torch.as_tensor(zero))
    with few_threads(batch.valid.numel()):
        return batch, fit_bias_field(batch, prior.mixture(batch.slices),
                                     FieldOptions(degree=degree), prior=prior, even=even)
