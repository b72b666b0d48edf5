"""What the commands that train share: cohorts as examples and networks, both kept on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import in_processes

from deepgmm.model.architecture import INPUTS

if TYPE_CHECKING:
    from other_phantom import OtherPatient
    from third_phantom import ThirdPatient
    from torch import Tensor

    from deepgmm.model.learning import Examples
    from deepgmm.phantom import PhantomPatient
    from deepgmm.training.augmentation import Augmentation
    from deepgmm.training.settings import TrainingSettings
    from deepgmm.weights.card import Card

    Patient = PhantomPatient | OtherPatient | ThirdPatient

#: Seeds of the cohorts that networks of the tables are trained on, away from those of
#: `wide_phantoms`; 2 in 5 patients are typical, 2 atypical and 1 healthy.
COHORT_SEED = 30_000
COHORT_SETS = ("typical", "atypical", "typical", "atypical", "healthy")


def cohort_patient(seed: int) -> PhantomPatient:
    """A calibrated patient of the cohort."""
    from deepgmm.phantom import make_patient

    return make_patient(seed, patient_set=COHORT_SETS[seed % len(COHORT_SETS)])


def other_patient(seed: int) -> OtherPatient:
    """One of the second make, for the network that is trained on it."""
    from other_phantom import make_other_patient

    return make_other_patient(seed, patient_set=COHORT_SETS[seed % len(COHORT_SETS)])


def third_patient(seed: int) -> ThirdPatient:
    """One of the third make, likewise."""
    from third_phantom import make_third_patient

    return make_third_patient(seed, patient_set=COHORT_SETS[seed % len(COHORT_SETS)])


def prior_patient(seed: int) -> PhantomPatient:
    """One of the labelled patients behind the shipped contrast priors."""
    from deepgmm.phantom import make_patient

    return make_patient(seed)


def _examples_of(task: tuple[Callable[[int], Patient], int, bool, int]) -> dict[str, Any]:
    from deepgmm.training.examples import make_examples

    maker, seed, teach, inputs = task
    patient = maker(seed)
    return vars(make_examples([(patient.study, patient.truth)], teach=teach, inputs=inputs)[0])


def examples_at(path: Path, maker: Callable[[int], Patient], seeds: range, *,
                teach: bool = True, inputs: int = INPUTS,
                processes: int = 2) -> tuple[Examples, Tensor]:
    """Patients as slices, and (S,) which patient each is of; from `path` where it is there.

    Labels are the phantom's truth, the teacher is `map`; an objective says what is used.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from deepgmm.model.learning import Examples

    if not path.exists():
        found = in_processes(_examples_of, [(maker, seed, teach, inputs) for seed in seeds],
                             processes)
        parts = [Examples(**part) for part in found]
        whole = Examples.joined(parts)
        counts = torch.tensor([len(part) for part in parts])
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in vars(whole).items()
                   if value is not None} | {"counts": counts}, path)
    content = load_file(path)
    counts = content.pop("counts")
    return Examples(**content), torch.repeat_interleave(torch.arange(len(counts)), counts)


def trained_at(folder: Path, learned: Examples, settings: TrainingSettings,
               augmentation: Augmentation, card: Card) -> float:
    """Train a network into a folder, unless it lies there; minutes of training.

    Parameters
    ----------
    card : its training, scores and hash are filled in.
    """
    from deepgmm.training import checkpoints
    from deepgmm.training.loop import train_network
    from deepgmm.weights.card import read_card
    from deepgmm.weights.folder import save_network

    if (folder / "card.json").exists():
        return float(read_card(folder / "card.json").training["minutes"])
    folder.mkdir(parents=True, exist_ok=True)
    trained = train_network(learned, None, settings, folder, augment=augmentation.augmented,
                            resume=checkpoints.newest(folder, print))
    minutes = round(trained.seconds / 60, 2)
    save_network(folder, trained.network, dataclasses.replace(card, training=card.training | {
        "settings": settings.as_dict(), "augmentation": dataclasses.asdict(augmentation),
        "step": trained.step, "minutes": minutes}))
    checkpoints.remove(folder)
    return minutes


def labelled_patients(examples: Examples, owner: Tensor, patients: Sequence[int]) -> Examples:
    """The examples with the labels of some patients only."""
    import torch

    kept = torch.isin(owner, torch.tensor(list(patients)))
    assert examples.labels is not None
    labels = torch.where(kept[:, None, None], examples.labels, -1)
    return dataclasses.replace(examples, labels=labels)
