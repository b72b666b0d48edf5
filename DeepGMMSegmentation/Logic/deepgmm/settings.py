"""Every choice a user can make, said once for panel, command line and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from numbers import Integral
from typing import Any, TypeVar

from deepgmm.errors import InputError

AnyEnum = TypeVar("AnyEnum", bound=Enum)


class Method(str, Enum):
    AUTO = "auto"
    GMM = "gmm"
    SVGMM = "svgmm"
    MAP = "map"
    DEEPG = "deepg"
    DEEPSVG = "deepsvg"
    PRETRAINED = "pretrained"


class Preset(str, Enum):
    FAST = "fast"
    ACCURATE = "accurate"
    PAPER = "paper"


class Device(str, Enum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Covariance(str, Enum):
    DIAGONAL = "diagonal"
    FULL = "full"


class Papillary(str, Enum):
    """Where papillary muscles and trabeculae in the pool are counted."""

    POOL = "pool"
    WALL = "wall"


@dataclass
class Settings:
    """Settings of one segmentation. Field types are those Slicer's `parameterPack` takes. Which
    of them act on which method and preset: `deepgmm.acting`.

    Attributes
    ----------
    method, preset, device, covariance : see the enumerations.
    seed : of every random number; the same seed repeats a run on the same machine.
    tissues : names of the tissues sought; empty means those the sequences can tell apart.
    priors : path of the user's own contrast priors; empty means the shipped ones.
    mean_weight : weight of ||mu - mu_data||^2 in the deep fits (deepgmm-paper, 4.2).
    total_variation : weight of the total variation of w in the deep fits, a mean over mask
        pixels (gmm-loss-brain-paper, 3.4); 0 for none.
    model : name or folder of the network of `pretrained`, which `auto` then is; empty means the
        shipped one.
    adapt : rounds of anchored EM, at most, from the answer of `pretrained`; 0 for none.
    restarts : starts of a randomly started fit, of which the best NLL is kept.
    degrees : degrees of freedom of Student-t tissues in gmm and svgmm; 0 for Gaussians.
    outlier : share of an outlier class in gmm and svgmm; 0 for none.
    papillary : count papillary muscle as pool (blood) or as wall (myocardium).
    keep_mvo : report microvascular obstruction as label 5 instead of counting it as scar.
    bias_degree : degree of the polynomials of a coil's shading, taken out before the fit; 0 for
        no such correction.
    """

    method: Method = Method.AUTO
    preset: Preset = Preset.FAST
    device: Device = Device.AUTO
    covariance: Covariance = Covariance.DIAGONAL
    seed: int = 0
    tissues: list[str] = field(default_factory=list)
    priors: str = ""
    mean_weight: float = 0.0
    total_variation: float = 0.0
    model: str = ""
    adapt: int = 0
    restarts: int = 5
    degrees: float = 0.0
    outlier: float = 0.0
    papillary: Papillary = Papillary.POOL
    keep_mvo: bool = False
    bias_degree: int = 0

    def __post_init__(self) -> None:
        """Words for enumerations become them; what no fit could take is refused at once.

        Raises
        ------
        InputError : naming the setting and what it may be.
        """
        for name, kind in _ENUMERATIONS.items():
            setattr(self, name, chosen(name, getattr(self, name), kind))
        for name in ("seed", "restarts", "bias_degree", "adapt"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise InputError(f"{name} is {getattr(self, name)!r}: give a whole number from 0")
        for name in ("mean_weight", "degrees", "outlier", "total_variation"):
            if not isinstance(getattr(self, name), (int, float)):
                raise InputError(f"{name} is {getattr(self, name)!r}: give a number")
        if isinstance(self.tissues, str):
            raise InputError(f"tissues is {self.tissues!r}: give a list of names")
        self.tissues = list(self.tissues)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return plain(asdict(self))


def chosen(name: str, value: Any, choices: type[AnyEnum]) -> AnyEnum:
    """A setting's word as what it stands for.

    Raises
    ------
    InputError : naming the setting and what it may be.
    """
    try:
        return choices(value.lower() if type(value) is str else value)
    except ValueError:
        known = ", ".join(choice.value for choice in choices)
        raise InputError(f"{name} is {value!r}: choose from {known}") from None


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, enumerations as their words."""
    return {name: value.value if isinstance(value, Enum) else value
            for name, value in values.items()}


_ENUMERATIONS: dict[str, type[Enum]] = {
    "method": Method, "preset": Preset, "device": Device, "covariance": Covariance,
    "papillary": Papillary,
}
