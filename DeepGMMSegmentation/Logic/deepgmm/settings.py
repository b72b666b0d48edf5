"""Every choice a user can make, said once for panel, command line and provenance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Method(str, Enum):
    AUTO = "auto"
    GMM = "gmm"
    SVGMM = "svgmm"
    MAP = "map"
    DEEPG = "deepg"
    DEEPSVG = "deepsvg"


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
    """Settings of one segmentation. Field types are those Slicer's `parameterPack` takes.

    Attributes
    ----------
    method, preset, device, covariance : see the enumerations.
    seed : of every random number; the same seed repeats a run on the same machine.
    tissues : names of the tissues sought; empty means those the sequences can tell apart.
    priors : path of the user's own contrast priors; empty means the shipped ones.
    mean_weight : weight of ||mu - mu_data||^2 in the deep fits (deepgmm-paper, 4.2).
    total_variation : weight of the total variation of w in the deep fits, a mean over mask
        pixels (gmm-loss-brain-paper, 3.4); 0 for none.
    restarts : starts of a randomly started fit, of which the best NLL is kept.
    degrees : degrees of freedom of Student-t tissues in gmm and svgmm; 0 for Gaussians.
    outlier : share of an outlier class in gmm and svgmm; 0 for none.
    papillary : count papillary muscle as pool (blood) or as wall (myocardium); `map` only.
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
    restarts: int = 5
    degrees: float = 0.0
    outlier: float = 0.0
    papillary: Papillary = Papillary.POOL
    keep_mvo: bool = False
    bias_degree: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {name: value.value if isinstance(value, Enum) else value
                for name, value in asdict(self).items()}
