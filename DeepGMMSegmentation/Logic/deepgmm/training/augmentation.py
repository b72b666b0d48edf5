"""Slices varied as scanners, hearts and breaths vary them, each by a seed of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepgmm.model.learning import Examples
from deepgmm.study.words import GRID_ORDER, TISSUES_BY_ROLES, Role
from deepgmm.training.moving import Motion, box, lattice, moved
from deepgmm.training.trabeculae import grain, trabeculated

#: Standard deviation in pixels of the bumps that a bending is made of: so smooth is it.
SMOOTHNESS = 8.0
#: A bending by more than this would fold the anatomy over.
MOST_ELASTIC = SMOOTHNESS / 2
#: The scanner's zero lies between these on the normalised scale, whose range of tissues is -1 to
#: 1: close below nulled myocardium, further below that of bSSFP. Magnitudes, shading and gamma
#: are about it.
SCANNER_ZERO = (-1.7, -1.0)
#: Products of Legendre polynomials in a shading: all of total degree 1 and 2.
SHADES = 5

Drawn = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Augmentation:
    """The most by which slices are varied; 0 leaves a way out, and all at 0 changes nothing.

    Lengths are pixels, intensities those of `Examples`, where -1 to 1 is the range of a study.
    Every amount is drawn evenly up to its strength, in either direction, for each slice anew, and
    for each sequence what is said of sequences.

    Attributes
    ----------
    flip : probability that rows, that columns, and that the order of slices is mirrored.
    rotation : degrees.
    zoom : a heart's size changes by a factor between 1 / (1 + zoom) and 1 + zoom, its depth with
        it; never beyond the canvas.
    shift : how far a heart lies from the top left of its canvas, as far as it fits.
    elastic : the largest displacement of a smooth bending, along rows or columns.
    misalignment : how far a sequence is shifted off the anatomy; LGE, else bSSFP, stays.
    twist : degrees by which it is turned besides.
    gain, gamma : factors between 1 / (1 + strength) and 1 + strength; gamma is an exponent.
    offset : added.
    bias : a smooth shading by a factor between 1 / (1 + bias) and 1 + bias.
    noise : standard deviation.
    rician : probability that a sequence's noise is that of a magnitude image.
    trabeculae : share of muscle in the pool beside the wall, from 0.6 of it up.
    lined : probability that a pool has trabeculae at all.
    missing : probability that a sequence is left out; one always stays.
    """

    flip: float = 0.5
    rotation: float = 180.0
    zoom: float = 0.25
    shift: float = 4.0
    elastic: float = 3.0
    misalignment: float = 1.5
    twist: float = 3.0
    gain: float = 0.1
    gamma: float = 0.15
    offset: float = 0.1
    bias: float = 0.15
    noise: float = 0.15
    rician: float = 0.5
    trabeculae: float = 0.0
    lined: float = 0.35
    missing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not a strength.

        Raises
        ------
        ValueError : naming the strength and what it may be.
        """
        most = {"flip": 1.0, "rician": 1.0, "missing": 1.0, "trabeculae": 1.0, "lined": 1.0,
                "elastic": MOST_ELASTIC}
        for strength in fields(self):
            value, top = getattr(self, strength.name), most.get(strength.name, math.inf)
            if not (0 <= value <= top and math.isfinite(value)):
                wanted = "from 0" if top == math.inf else f"from 0 to {top:g}"
                raise ValueError(f"{strength.name} is {value!r}: give a number {wanted}")

    def augmented(self, examples: Examples, seeds: Sequence[int]) -> Examples:
        """The slices varied, each by its seed, whatever other slices are beside it.

        Contrast priors stay as they are. Labels and the teacher move with the anatomy. A slice
        whose mask would be lost is given back unchanged.

        Parameters
        ----------
        seeds : one a slice, not negative. The same seed varies the same slice on the same canvas
            in the same way.

        Raises
        ------
        ValueError : where slices and seeds are not equally many.
        """
        if len(seeds) != len(examples):
            raise ValueError(f"{len(examples)} slices and {len(seeds)} seeds: give one a slice")
        if not any(getattr(self, strength.name) for strength in fields(self)):
            return examples
        rows = [self._drawn(np.random.default_rng(seed), examples.canvas) for seed in seeds]
        like = examples.values
        drawn = {name: torch.as_tensor(np.stack([row[name] for row in rows])).to(like.dtype)
                 .to(like.device) for name in rows[0]}
        varied, lost = self._with_fewer_sequences(examples, drawn["missing"]), None
        if self._moves:
            varied, lost = moved(varied, self._motion(varied, drawn))
        if self.trabeculae > 0:
            varied = trabeculated(varied, *(drawn[name] for name in ("most", "width", "grain")))
        varied = replace(varied, **self._in_other_light(varied, drawn))
        return varied if lost is None else _where(lost, examples, varied)

    @property
    def _moves(self) -> bool:
        return any((self.flip, self.rotation, self.zoom, self.shift, self.elastic,
                    self.misalignment, self.twist))

    def _drawn(self, rng: np.random.Generator, canvas: tuple[int, int]) -> Drawn:
        """All random numbers of one slice, so that a strength at 0 moves no other's."""
        def between(strength: float, *shape: int) -> npt.NDArray[np.float64]:
            return strength * rng.uniform(-1, 1, shape)

        def factor(strength: float, *shape: int) -> npt.NDArray[np.float64]:
            return np.exp(between(math.log1p(strength), *shape))

        sequences = len(Role)
        drawn = {
            "flips": np.where(rng.random(2) < self.flip, -1.0, 1.0),
            "turn": between(math.radians(self.rotation)),
            "zoom": factor(self.zoom),
            "shift": self.shift * rng.random(2),
            "bend": _bending(rng, canvas, self.elastic),
            "stray": _directions(rng, sequences) * between(self.misalignment, sequences, 1),
            "twist": between(math.radians(self.twist), sequences),
            "gain": factor(self.gain, sequences),
            "gamma": factor(self.gamma, sequences),
            "offset": between(self.offset, sequences),
            "zero": rng.uniform(*SCANNER_ZERO, sequences),
            "shades": _shading(rng, sequences) * between(math.log1p(self.bias), sequences, 1),
            "sigma": np.abs(between(self.noise, sequences)),
            "rician": (rng.random(sequences) < self.rician).astype(float),
            "missing": rng.random(sequences),
        }
        if self.trabeculae > 0:
            drawn |= {"most": self.trabeculae * rng.uniform(0.6, 1.0, ()),
                      "width": rng.uniform(1.5, 5.0, ()), "grain": grain(rng, canvas)}
        if self.noise > 0:
            drawn["noise"] = rng.standard_normal((2, sequences, *canvas), dtype=np.float32)
        if self.trabeculae > 0 and rng.random() >= self.lined:
            drawn["most"] = np.zeros(())
        # last, so that it moves no other's numbers
        drawn["swapped"] = np.asarray(float(rng.random() < self.flip))
        return drawn

    def _with_fewer_sequences(self, examples: Examples, draw: Tensor) -> Examples:
        """Without the sequences whose draw (S, M) is below `missing`, and what they alone told."""
        present = examples.present * (draw >= self.missing)
        last = torch.nn.functional.one_hot((draw * examples.present).argmax(1), draw.shape[1])
        present = torch.where(present.any(1, keepdim=True), present, last * examples.present)
        return with_sequences(examples, present)

    def _motion(self, examples: Examples, drawn: dict[str, Tensor]) -> Motion:
        order = [list(Role).index(role) for role in GRID_ORDER]
        first = torch.tensor(order, device=drawn["turn"].device)[
            examples.present[:, order].argmax(1)]
        strays = 1 - torch.nn.functional.one_hot(first, len(order)).to(drawn["twist"])
        furthest = self.misalignment + math.radians(self.twist) * max(examples.canvas) / 2
        return Motion(
            stray=drawn["stray"] * strays[:, :, None], twist=drawn["twist"] * strays,
            rim=math.ceil(furthest),
            **{name: drawn[name] for name in ("flips", "turn", "zoom", "bend", "shift")})

    def _in_other_light(self, examples: Examples, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """`values`, and `around` where there is one, in another light; the slices beside in the
        same, and in either order."""
        around, there = examples.around, examples.present[:, :, None, None]
        if around is None:
            seen = self._lit(examples.values, examples.inside, drawn)
            return {"values": seen * examples.inside * there}
        own, after, before = around.chunk(3, 1)
        own, after, before = (self._lit(one, examples.inside, drawn, noisy=one is own) * there
                              * (one != 0).any(3, keepdim=True).any(2, keepdim=True)
                              for one in (own, after, before))
        swapped = drawn["swapped"][:, None, None, None] > 0
        beside = torch.where(swapped, before, after), torch.where(swapped, after, before)
        return {"values": own * examples.inside, "around": torch.cat([own, *beside], 1)}

    def _lit(self, values: Tensor, inside: Tensor, drawn: dict[str, Tensor], *,
             noisy: bool = True) -> Tensor:
        """(S, M, H, W) values through another coil, another noise and another contrast.

        Noise as a magnitude image has it, sqrt((x + n)^2 + n'^2): Gudbjartsson and Patz, The
        Rician distribution of noisy MRI data, Magn Reson Med 34:910, 1995.
        """
        zero, sigma, rician, gamma, gain, offset = (
            drawn[name][:, :, None, None]
            for name in ("zero", "sigma", "rician", "gamma", "gain", "offset"))
        signal = values - zero
        if self.bias > 0:
            signal = signal * _shades(inside, drawn["shades"]).exp()
        if self.noise > 0 and noisy:
            real, imaginary = (sigma * part for part in drawn["noise"].unbind(1))
            noisy = signal + real
            # what lies below the scanner's zero is no magnitude
            magnitude = (rician > 0) & (signal > 0)
            signal = torch.where(magnitude, torch.hypot(noisy, imaginary), noisy)
        if self.gamma > 0:
            top = 1 - zero
            signal = torch.where(signal > 0, top * (signal.clamp_min(0) / top) ** gamma, signal)
        if self.bias > 0 or self.noise > 0 or self.gamma > 0:
            values = signal + zero
        return values * gain + offset


def with_sequences(examples: Examples, present: Tensor) -> Examples:
    """The slices as if they had these sequences alone, (S, M), and what these can tell."""
    present = present * examples.present
    fewer = (present != examples.present).any(1, keepdim=True)
    bits = 2 ** torch.arange(present.shape[1], device=present.device)
    told = _told().to(examples.sought)[(present * bits).sum(1).long()]
    return replace(
        examples, present=present, values=examples.values * present[:, :, None, None],
        around=(None if examples.around is None
                else examples.around * present.repeat(1, 3)[:, :, None, None]),
        sought=torch.where(fewer, examples.sought * told, examples.sought))


def _where(chosen: Tensor, these: Examples, others: Examples) -> Examples:
    """These where chosen, else the others."""
    def pick(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        if one is None or one is other:
            return one
        return torch.where(chosen.reshape(-1, *[1] * (one.dim() - 1)), one, other)

    return replace(others, **{f.name: pick(getattr(these, f.name), getattr(others, f.name))
                              for f in fields(others)})


def _directions(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """(count, 2) directions."""
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.sin(angle), np.cos(angle)], 1)


def _bending(rng: np.random.Generator, canvas: tuple[int, int],
             strength: float) -> npt.NDArray[np.float64]:
    """(2, H, W) displacements: Gaussian bumps of random heights on knots one width apart."""
    down, across = (_bumps(side) for side in canvas)
    field = down @ rng.standard_normal((2, down.shape[1], across.shape[1])) @ across.T
    return strength * rng.random() * field / np.abs(field).max()


@cache
def _bumps(side: int) -> npt.NDArray[np.float64]:
    """(side, knots) what each knot adds at each place; knots lie beyond the ends too."""
    knots = np.arange(-2, side / SMOOTHNESS + 2) * SMOOTHNESS
    return np.exp(-0.5 * ((np.arange(side)[:, None] - knots) / SMOOTHNESS) ** 2)


def _shading(rng: np.random.Generator, sequences: int) -> npt.NDArray[np.float64]:
    """(sequences, SHADES) weights of a shading that is nowhere beyond -1 and 1."""
    weights = rng.standard_normal((sequences, SHADES))
    return weights / np.abs(weights).sum(1, keepdims=True)


def _shades(inside: Tensor, weights: Tensor) -> Tensor:
    """(S, M, H, W) sums of Legendre polynomials over the box of each mask (S, 1, H, W).

    Parameters
    ----------
    weights : (S, M, SHADES).
    """
    first, last = (corner[:, :, None, None] for corner in box(inside))
    half = ((last - first) / 2).clamp_min(0.5)
    y, x = (((lattice(inside) - first) / half - 1).clamp(-1, 1)).split(1, 1)
    polynomials = (y, x, x * y, (3 * y * y - 1) / 2, (3 * x * x - 1) / 2)
    shaded = torch.zeros_like(weights[:, :, :1, None])
    for weight, polynomial in zip(weights.unbind(2), polynomials, strict=True):
        shaded = shaded + weight[:, :, None, None] * polynomial
    return shaded


@cache
def _told() -> Tensor:
    """(8, K) the tissues that sequences tell apart; bit m of a row's number is sequence m."""
    told = torch.ones((2 ** len(Role), 4))
    for roles, tissues in TISSUES_BY_ROLES.items():
        row = sum(1 << m for m, role in enumerate(Role) if role in roles)
        told[row] = torch.tensor([float(tissue + 1 in tissues) for tissue in range(4)])
    return told
