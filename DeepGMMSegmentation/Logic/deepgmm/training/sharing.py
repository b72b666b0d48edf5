"""Who is learned from and who is not: patients in two groups, labels in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from deepgmm.errors import InputError
from deepgmm.model.learning import Examples
from deepgmm.reading.studies.labelled import LabelledCase
from deepgmm.training.settings import LabelledBy, TrainingSettings


def split(cases: Sequence[LabelledCase], share: float,
          seed: int) -> tuple[list[LabelledCase], list[LabelledCase]]:
    """Cases to learn from, and `share` of them to validate by, labelled and unlabelled alike.

    They are drawn by their keys, so that names and order do not matter. Of two cases or more at
    least one validates, where the share is not 0, and at least one is learned from.
    """
    rng = np.random.default_rng([seed, 1])
    groups = [sorted((c for c in cases if c.labelled is labelled), key=lambda case: case.key)
              for labelled in (True, False)]
    drawn = [[group[i] for i in rng.permutation(len(group))] for group in groups]
    apart = {case.key for group in drawn for case in group[:round(share * len(group))]}
    if share > 0 and not apart and len(cases) > 1:
        apart = {max(drawn, key=len)[0].key}
    if len(apart) == len(cases):
        apart.pop()
    return ([case for case in cases if case.key not in apart],
            [case for case in cases if case.key in apart])


def check_apart(training: Sequence[LabelledCase], validation: Sequence[LabelledCase]) -> None:
    """See that nobody validates who is learned from.

    Raises
    ------
    InputError : naming the cases.
    """
    known = {case.key for case in training}
    both = [case.name for case in validation if case.key in known]
    if both:
        error = InputError(f"the validation cases {', '.join(both)} have the same images as cases "
                           "to learn from: take them out of one of the two folders")
        error.private = tuple(both)
        raise error


def with_fewer_labels(examples: Examples, owner: torch.Tensor,
                      settings: TrainingSettings) -> Examples:
    """Without the labels that `settings.labelled` leaves out.

    Drawn by the settings' seed; what a smaller share keeps, a larger one keeps too.

    Parameters
    ----------
    owner : (S,) which case each slice is of.
    """
    if examples.labels is None or settings.labelled == 1:
        return examples
    rng = np.random.default_rng([settings.seed, 2])
    known = examples.labels >= 0
    if settings.labelled_by is LabelledBy.PIXELS:
        kept = torch.as_tensor(rng.random(tuple(known.shape)) < settings.labelled)
    else:
        units = owner if settings.labelled_by is LabelledBy.PATIENTS else torch.arange(len(owner))
        labelled = units[known.any(2).any(1)].unique()
        count = round(settings.labelled * len(labelled))
        chosen = labelled[torch.as_tensor(rng.permutation(len(labelled))[:count])]
        kept = torch.isin(units, chosen)[:, None, None]
    return replace(examples, labels=examples.labels.masked_fill(~kept, -1))
