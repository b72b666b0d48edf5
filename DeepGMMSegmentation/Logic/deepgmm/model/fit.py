"""What every method of the house returns, and the one interface behind which they stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from deepgmm.model.mixture import Mixture


@dataclass
class Fit:
    """Fitted mixtures of a batch.

    Attributes
    ----------
    mixture : the parameters, normalised units.
    posterior : (S, P, K) probabilities that label the pixels, 0 in the padding.
    nll : (S,) mean negative log-likelihood of the mixture, normalised units.
    traces : per slice the objective after each iteration.
    iterations : (S,) and converged : (S,) as they say.
    responsibilities : (S, P, K) w of the network, where there is one.
    warnings : what the user must see; `of_study` : what concerns one study of the batch alone.
    agreement : (S,) share of the pixels that the other starts label as the one kept does, where
        there was more than one.
    place : (S, P, K) where in the ventricle each tissue is to be expected, of a fit that knows it.
    """

    mixture: Mixture
    posterior: Tensor
    nll: Tensor
    traces: list[list[float]]
    iterations: Tensor
    converged: Tensor
    responsibilities: Tensor | None = None
    warnings: list[str] = field(default_factory=list)
    of_study: dict[int, list[str]] = field(default_factory=dict)
    agreement: Tensor | None = None
    network: dict[str, Any] = field(default_factory=dict)
    place: Tensor | None = None

    @classmethod
    def joined(cls, fits: list[Fit], device: torch.device | str = "cpu") -> Fit:
        """Fits of some slices each as one of all; all padded to the same number of pixels."""
        def together(name: str, *, mixture: bool = False) -> Tensor:
            return torch.cat([getattr(f.mixture if mixture else f, name).to(device)
                              for f in fits])
        w, place = [f.responsibilities for f in fits], [f.place for f in fits]
        return cls(
            Mixture(*(together(name, mixture=True)
                      for name in ("log_weights", "means", "covariances"))),
            together("posterior"), together("nll"), [t for f in fits for t in f.traces],
            together("iterations"), together("converged"),
            None if w[0] is None else together("responsibilities"),
            [warning for f in fits for warning in f.warnings],
            place=None if any(p is None for p in place) else together("place"))

    def best_of(self, starts: int) -> Fit:
        """Keep the best of several starts; start r of slice s stands at r * slices + s."""
        slices = self.nll.shape[0] // starts
        score = torch.nan_to_num(self.nll, nan=float("inf")).reshape(starts, slices)
        row = score.argmin(0) * slices + torch.arange(slices, device=score.device)
        return self.select(row)

    def select(self, index: Tensor) -> Fit:
        w = self.responsibilities
        return Fit(
            self.mixture.select(index), self.posterior[index], self.nll[index],
            [self.traces[i] for i in index.tolist()], self.iterations[index],
            self.converged[index], None if w is None else w[index], self.warnings,
            agreement=None if self.agreement is None else self.agreement[index],
            network=self.network, place=None if self.place is None else self.place[index])

    def permute(self, order: Tensor) -> Fit:
        """Reorder the components of every slice by `order` (S, K)."""
        pixels = self.posterior.shape[1]
        column = order[:, None].expand(-1, pixels, -1)
        w = self.responsibilities
        return Fit(
            self.mixture.permute(order), self.posterior.gather(2, column), self.nll,
            self.traces, self.iterations, self.converged,
            None if w is None else w.gather(2, column), self.warnings,
        )
