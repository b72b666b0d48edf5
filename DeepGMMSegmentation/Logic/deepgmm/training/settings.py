"""Every choice of a training, said once for the command line, checkpoints and model cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from deepgmm.errors import InputError
from deepgmm.settings import Device, chosen, plain

if TYPE_CHECKING:
    from deepgmm.model.architecture import Architecture
    from deepgmm.model.learning import Objective


class Precision(str, Enum):
    """Numbers in which a network computes; objective and M-step have at least float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT64 = "float64"


class LabelledBy(str, Enum):
    """What a labelled fraction is a fraction of."""

    PATIENTS = "patients"
    SLICES = "slices"
    PIXELS = "pixels"


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of one training.

    Attributes
    ----------
    network, filters, levels, convolutions : see `Architecture`.
    around : whether the network sees what lies around the mask, and the slices beside.
    likelihood_weight, label_weight, teacher_weight, mean_weight, variation_weight,
        atlas_weight, overlap_weight, bare, temperature : see `Objective`.
    steps : gradient steps.
    batch : slices a step, of all processes together.
    learning_rate : of AdamW at its peak; it rises over the first `warm_up` of the steps and
        falls to 0 along half a cosine.
    weight_decay : of AdamW.
    clip : largest norm of the gradient; what is longer is shortened to it.
    validation : share of the patients that the network does not learn from.
    validate_every : steps between two validations.
    patience : validations without gain after which training ends; 0 for all steps in any case.
    checkpoint_every : steps between two checkpoints; 0 for none.
    labelled : share of the labels that are used; `labelled_by` says of what.
    augmentation : whether slices are varied; `missing` is the probability that a sequence is left
        out of a slice then, so that the network can do without it.
    priors : path of the user's own contrast priors; empty means the shipped ones.
    start : name on the shelf, or folder, of the network whose weights the training begins with;
        empty means weights drawn from the seed. The architecture must be that network's.
    seed : of all random numbers; the same seed repeats a training on the same machine.
    device, precision : where and in which numbers the network computes.
    """

    network: str = "unet"
    filters: int = 16
    levels: int = 3
    convolutions: int = 2
    around: bool = False
    likelihood_weight: float = 0.1
    label_weight: float = 1.0
    teacher_weight: float = 1.0
    mean_weight: float = 0.0
    variation_weight: float = 0.0
    atlas_weight: float = 0.0
    overlap_weight: float = 0.0
    bare: float = 0.0
    temperature: float = 2.0
    steps: int = 1500
    batch: int = 12
    learning_rate: float = 3e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-2
    clip: float = 1.0
    validation: float = 0.2
    validate_every: int = 100
    patience: int = 0
    checkpoint_every: int = 100
    labelled: float = 1.0
    labelled_by: LabelledBy = LabelledBy.PATIENTS
    augmentation: bool = True
    missing: float = 0.1
    priors: str = ""
    start: str = ""
    seed: int = 0
    device: Device = Device.AUTO
    precision: Precision = Precision.FLOAT32

    def __post_init__(self) -> None:
        """Words for enumerations become them; what no training could take is refused at once.

        Raises
        ------
        InputError : naming the setting and what it may be.
        """
        for name, kind in _ENUMERATIONS.items():
            object.__setattr__(self, name, chosen(name, getattr(self, name), kind))
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} is {value!r}: give a whole number from {least}")
        for name in ("around", "augmentation"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}: give true or false")
        for name in ("network", "priors", "start"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} is {getattr(self, name)!r}: give a name")
        for names, wanted, fits in _NUMBERS:
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, (int, float)) or not fits(value):
                    raise InputError(f"{name} is {value!r}: give a number {wanted}")
        if not any(getattr(self, name) for name in _TERMS):
            raise InputError("all weights of the objective are 0, so that there is nothing to "
                             "learn: give " + ", ".join(_TERMS) + " or several")
        _ = self.architecture  # which refuses names and sizes of its own

    @property
    def architecture(self) -> Architecture:
        from deepgmm.model.architecture import INPUTS, INPUTS_AROUND, Architecture

        return Architecture(name=self.network, filters=self.filters, levels=self.levels,
                            convolutions=self.convolutions,
                            inputs=INPUTS_AROUND if self.around else INPUTS)

    @property
    def objective(self) -> Objective:
        from deepgmm.identify.anatomy import radial_atlas
        from deepgmm.model.learning import Objective

        return Objective(
            self.likelihood_weight, self.label_weight, self.teacher_weight, self.mean_weight,
            self.variation_weight, self.atlas_weight, self.bare, self.temperature,
            radial_atlas() if self.atlas_weight else None, self.overlap_weight)

    def go_on_from(self, then: TrainingSettings) -> None:
        """See that a training that began with other settings may go on with these.

        Raises
        ------
        InputError : naming the settings that must not change.
        """
        other = [f.name for f in fields(self) if f.name not in _FREE
                 and getattr(self, f.name) != getattr(then, f.name)]
        if other:
            options = ", ".join("--" + name.replace("_", "-") for name in other)
            raise InputError(f"the training to be resumed had another {options}: leave that out, "
                             "or begin anew with --force or in another folder")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """What `as_dict` gave.

        Raises
        ------
        InputError : a setting that is not known, or a value that it may not have.
        """
        strange = set(values) - {f.name for f in fields(cls)}
        if strange:
            raise InputError(f"no setting of a training is called {', '.join(sorted(strange))}")
        return cls(**values)


#: What may change when a training is resumed.
_FREE = ("device", "checkpoint_every")
_TERMS = ("likelihood_weight", "label_weight", "teacher_weight")
_ENUMERATIONS: dict[str, type[Enum]] = {
    "device": Device, "precision": Precision, "labelled_by": LabelledBy}
_WHOLE = {
    "filters": 1, "levels": 1, "convolutions": 1, "steps": 1, "batch": 1, "validate_every": 1,
    "patience": 0, "checkpoint_every": 0, "seed": 0}
_NUMBERS: tuple[tuple[tuple[str, ...], str, Callable[[float], bool]], ...] = (
    ((*_TERMS, "mean_weight", "variation_weight", "atlas_weight", "overlap_weight",
      "weight_decay"), "from 0",
     lambda number: 0 <= number < float("inf")),
    (("temperature", "learning_rate", "clip"), "above 0",
     lambda number: 0 < number < float("inf")),
    (("bare", "warm_up", "labelled", "missing"), "from 0 to 1", lambda number: 0 <= number <= 1),
    (("validation",), "from 0 to 0.9", lambda number: 0 <= number <= 0.9))
