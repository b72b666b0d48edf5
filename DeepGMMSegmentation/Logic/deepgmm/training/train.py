"""From a folder's cases to a model folder: all that `deepgmm train` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deepgmm.errors import InputError
from deepgmm.files import read_json, sha256
from deepgmm.model.learning import Examples
from deepgmm.progress import Progress, share_of, silent
from deepgmm.reading.studies.case_folders import PHANTOM
from deepgmm.reading.studies.labelled import LabelledCase
from deepgmm.settings import Settings
from deepgmm.study.study import Study
from deepgmm.study.words import Role
from deepgmm.training import checkpoints
from deepgmm.training.augmentation import Augmentation
from deepgmm.training.checkpoints import Checkpoint
from deepgmm.training.examples import make_examples
from deepgmm.training.familiar import familiar_of
from deepgmm.training.loop import Trained, train_network
from deepgmm.training.machines import leading, require_extra
from deepgmm.training.settings import TrainingSettings
from deepgmm.training.sharing import check_apart, split, with_fewer_labels
from deepgmm.weights.card import Card, LabelledCases, Learning
from deepgmm.weights.folder import load_network, save_network
from deepgmm.weights.shelf import find

#: Labelled phantom patients behind the shipped contrast priors.
SHIPPED_CASES = 10
#: So many validation studies tell what is familiar; of fewer, the training studies do.
ENOUGH = 8
#: The share of the work that is reading and teaching.
_READING = 0.1


@dataclass
class Made:
    """A network trained on a folder's cases.

    Attributes
    ----------
    card : as it was saved.
    trained : how the training went.
    """

    card: Card
    trained: Trained


@dataclass(frozen=True)
class _Group:
    """Cases laid out as slices; `owner` (S,) says which case each slice is of."""

    cases: Sequence[LabelledCase]
    examples: Examples
    owner: Tensor

    @property
    def labelled(self) -> int:
        """How many cases have labels that are used."""
        assert self.examples.labels is not None
        return len(self.owner[(self.examples.labels >= 0).any(2).any(1)].unique())

    @property
    def whole(self) -> bool:
        """Whether every pixel of every mask is labelled."""
        assert self.examples.labels is not None
        return bool(((self.examples.labels >= 0) == (self.examples.inside[:, 0] > 0)).all())


def train(
    cases: Sequence[LabelledCase],
    settings: TrainingSettings,
    folder: Path,
    *,
    validation: Sequence[LabelledCase] | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda warning: None,
    resume: Checkpoint | None = None,
) -> Made | None:
    """Train a network on cases and save it with its card.

    Parameters
    ----------
    cases : to learn from, with labels or without.
    folder : of the model; must exist. Checkpoints lie in it until the network is saved.
    validation : cases to choose the best network by; by default `settings.validation` of `cases`,
        drawn by patient.
    say : takes what the user must know of the cases.
    resume : see `train_network`.

    Returns
    -------
    made : None in all processes but the first, where torchrun started several.

    Raises
    ------
    InputError
        Packages that are missing, a network to begin with that cannot be read or is of another
        architecture, cases that cannot be fitted, labels asked for and none there, a case on both
        sides, and as `train_network` and `save_network`.
    ComputationError, Cancelled : as `train_network`.
    """
    require_extra()
    held: list[str] = []  # until it is known that the training can begin: a refusal is one line

    def begun(fraction: float, stage: str) -> None:
        while held:
            say(held.pop(0))
        share_of(progress, _READING, 1 - _READING)(fraction, stage)

    start, before = _beginning(settings)
    if validation is None:
        cases, validation = split(cases, settings.validation, settings.seed)
    else:
        check_apart(cases, validation)
    if before is not None and {case.key for case in validation} & before.learned_cases():
        held.append(f"cases that the network '{before.name}' learned from are among those that "
                    "choose the best network: they flatter it")
    learned, checked = _laid((cases, validation), settings, held.append,
                             share_of(progress, 0, _READING))
    if learned is None:
        raise InputError("no case is there to learn from: give a folder of cases")
    if not (settings.likelihood_weight or settings.teacher_weight or learned.labelled):
        raise InputError("no label is used and nothing else is to be learned from: label some "
                         "cases, or leave --likelihood-weight or --teacher-weight above 0")
    if checked is None:
        held.append("no case was left to validate with: the network of the last step is kept")
    if max(len(group.cases) for group in (learned, checked) if group) < ENOUGH:
        held.append(f"fewer than {ENOUGH} cases: with so few, the network's warning of studies "
                    "unlike those it was trained on cannot be relied on")
    augmentation = Augmentation(missing=settings.missing) if settings.augmentation else None
    trained = train_network(
        learned.examples, checked.examples if checked else None, settings, folder,
        progress=begun,
        augment=augmentation.augmented if augmentation else None, start=start, resume=resume)
    begun(1.0, "saving")  # where no step was left
    if not leading():
        return None
    if before is not None and trained.scores and trained.step == 0:
        say(f"no step was better in validation than the network '{before.name}' that the training "
            "began with, which is kept: try a lower --learning-rate")
    card = save_network(folder, trained.network, _card(
        folder, settings, trained, learned, checked, augmentation, before))
    checkpoints.remove(folder)
    return Made(card, trained)


def _beginning(settings: TrainingSettings) -> tuple[nn.Module | None, Card | None]:
    """The network that the training begins with, and its card; none where weights are drawn."""
    if not settings.start:
        return None, None
    network, card = load_network(find(settings.start))
    if card.architecture != settings.architecture:
        a = card.architecture
        sizes = (f"network {a.name}, filters {a.filters}, levels {a.levels}, "
                 f"convolutions {a.convolutions}, "
                 f"{'with' if a.sees_around else 'without'} around")
        raise InputError(f"the network '{card.name}' to begin with is of another architecture: "
                         f"it has {sizes}; leave network, filters, levels, convolutions and around "
                         "out")
    return network, card


def _laid(groups: Sequence[Sequence[LabelledCase]], settings: TrainingSettings,
          say: Callable[[str], None], progress: Progress) -> list[_Group | None]:
    """Every group of cases as slices; None for an empty one. Warnings are said once."""
    warnings: dict[str, int] = {}
    total, done = sum(map(len, groups)), 0

    def read(cases: Sequence[LabelledCase]) -> Iterator[tuple[Study, Any]]:
        nonlocal done
        for case in cases:
            progress(done / total, f"reading case {done + 1} of {total}")
            done += 1
            study, labels = case.read()
            for warning in study.warnings:
                warnings[warning] = warnings.get(warning, 0) + 1
            yield study, labels

    laid: list[_Group | None] = []
    for cases in groups:
        if not cases:
            laid.append(None)
            continue
        examples, owner = make_examples(read(cases), Settings(priors=settings.priors),
                                        teach=settings.teacher_weight > 0,
                                        inputs=settings.architecture.inputs)
        laid.append(_Group(cases, with_fewer_labels(examples, owner, settings), owner))
    for warning, count in warnings.items():
        say(f"in {count} of {total} cases: {warning}")
    return laid


def _card(folder: Path, settings: TrainingSettings, trained: Trained, learned: _Group,
          checked: _Group | None, augmentation: Augmentation | None, before: Card | None) -> Card:
    labels = settings.label_weight > 0
    used = LabelledCases(priors=_cases_in(settings.priors), loss=learned.labelled if labels else 0,
                         tuning=checked.labelled if labels and checked else 0)
    learning = _learning(learned, used)
    own_priors = f"sha256:{sha256(settings.priors)}" if settings.priors else "shipped"
    began: dict[str, Any] = {}
    if before is not None:
        used = _together(used, before, same_priors=before.priors == own_priors)
        learning = max(learning, before.learning, key=list(Learning).index)
        began = {"began_with": {
            "name": before.name, "sha256": before.sha256, "learning": before.learning.value,
            "labelled_cases": asdict(before.labelled_cases),
            "cases": sorted(before.learned_cases())}}
    known = checked if checked and len(checked.cases) >= ENOUGH else learned
    roles = {role for case in learned.cases for role in case.roles}
    return Card(
        name=_name(folder), learning=learning, labelled_cases=used,
        title=f"{settings.network} of {len(learned.cases)} "
              f"{'study' if len(learned.cases) == 1 else 'studies'}"
              f"{f', begun from {before.name}' if before else ''}: {learning.value}",
        architecture=settings.architecture,
        sequences=tuple(role for role in Role if role in roles), temperature=settings.temperature,
        priors=own_priors, licence="not stated",
        training={
            "cases": sorted(case.key for case in learned.cases), "slices": len(learned.owner),
            "validation_cases": sorted(case.key for case in checked.cases) if checked else [],
            "settings": settings.as_dict() | {
                "priors": own_priors, "start": before.name if before else ""},
            "augmentation": asdict(augmentation) if augmentation else None,
            "step": trained.step, "seconds": round(trained.seconds, 1)} | began,
        scores={"validation": trained.scores} if trained.scores else {},
        familiar=familiar_of(trained.network, known.examples, known.owner,
                             temperature=settings.temperature,
                             fewer=augmentation is not None and settings.missing > 0))


def _together(own: LabelledCases, before: Card, *, same_priors: bool) -> LabelledCases:
    """Labelled cases of this training and of the network that it began with."""
    then = before.labelled_cases
    return LabelledCases(
        priors=own.priors if same_priors else own.priors + then.priors,
        atlas=own.atlas + then.atlas, loss=own.loss + then.loss, tuning=own.tuning + then.tuning)


def _learning(learned: _Group, used: LabelledCases) -> Learning:
    """What the training is to be called."""
    if not used.loss:
        return Learning.PRIORS
    if all(case.folder and (case.folder / PHANTOM).is_file() for case in learned.cases):
        return Learning.SYNTHETIC
    return Learning.SUPERVISED if learned.whole else Learning.PARTLY


def _cases_in(priors: str) -> int:
    """How many labelled cases stand behind contrast priors, as far as their file says it."""
    if not priors:
        return SHIPPED_CASES
    content = read_json(priors)
    return len(content.get("cases", ()))


def _name(folder: Path) -> str:
    """The folder's name as far as a network may have it."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).lstrip("-._")[:64]
    return name or "network"
