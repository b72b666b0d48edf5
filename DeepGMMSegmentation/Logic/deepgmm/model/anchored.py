"""Anchored, spatially aware EM: tissues held by contrast priors, places by the ventricle.

One objective for a study, lowered by turns. With w(x) the probability of wall, q(z) of the
sectors' states, f_k the density of tissue k and t_zk what a state holds at a pixel's depth:

    F =   - sum_x w(x) sum_z q(z) log sum_k t_zk(x) f_k(x)      wall    (`sectors`)
          - sum_x (1 - w(x)) log p_pool(x)                      pool    (`pool`)
          + KL(q(T) || p(T)) / share + ties between slices      contour (`endocardium`)
          + KL(q(z) || p(z)) / share + ties between slices      sectors (`sectors`)
          + gain of each slice                                  (`gain`)
          + |Omega| penalty(mu, Sigma)                          (`priors`)

reported per mask pixel. Each E-step update is exact. What neighbours say (`field`) comes last, on
the tissues found: inside the fit it would count again as evidence and lose thin edema.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from deepgmm.model.batch import PixelBatch
from deepgmm.model.endocardium import Endocardium, WallPrior
from deepgmm.model.field import smoothed
from deepgmm.model.fit import Fit
from deepgmm.model.gain import gain_energy, slice_gain, without_gain
from deepgmm.model.levels import LevelPrior, SliceLevels, about_levels
from deepgmm.model.mixture import Mixture, Moments, log_density, negative_log_likelihood
from deepgmm.model.place import places
from deepgmm.model.pool import blend_density, log_box, pool_density
from deepgmm.model.priors import ConjugatePrior
from deepgmm.model.rim import Borders, RimPrior
from deepgmm.model.sectors import SectorPrior, SectorStates
from deepgmm.model.ventricle import Ventricle
from deepgmm.progress import Progress, silent

#: A study whose posterior changes less than this a round, or that has run so many rounds, keeps
#: its geometry (relative depth, what lies beside the pool); from there F never rises.
SETTLING_CHANGE, SETTLING_ROUNDS = 0.01, 15


@dataclass
class AnchoredOptions:
    """The terms of the anchored fit. Component 0 is the pool's blood, 1 the healthy wall.

    Attributes
    ----------
    wall : prior on the wall's thickness.
    sectors : states of the wall; None for a wall of one tissue, or to switch the term off.
    compatibility : (K, K) what neighbouring wall pixels prefer; None switches the field off.
    papillary : share of the pool that is not pure blood: papillary muscle, trabeculae and
        their partial volume with blood, from all muscle to three quarters blood in four steps.
        At 0.8 all five compositions of the pool are equally likely; the default leans a little
        to trabeculae, which real pools are lined with.
    papillary_in_wall : label papillary muscle as healthy wall instead of pool.
    outlier : share of every tissue that lies anywhere in the mask's intensity box, so that
        one pixel's evidence for a tissue is bounded.
    gaps : (K, M) how many standard deviations of healthy wall a tissue's mean must stand above
        the healthy mean; -inf for no demand. Without it a disease that is absent takes over
        part of the healthy wall.
    reach : (K, M) of the way from healthy wall to blood that a tissue's mean must go at least;
        -inf for no demand, None to switch it off.
    gain : (M,) standard deviation of a slice's log gain; 0 for the same gain everywhere.
    levels : how far pool and wall of a slice may lie from their study's; None switches it off.
    outer, inner : how sure epicardium and endocardium are; None for one true to the pixel. The
        endocardium only where the wall is given: otherwise the pool holds the blends.
    dark : where zero intensity is taken to lie, normalised units; the gain acts about it. The
        darkest percentiles of a mask are near zero on every sequence, and told from them, not
        from the file's zero, the fit is the same for a I + b.
    iterations, tolerance : EM rounds at most, and the posterior's mean change when settled.
    """

    wall: WallPrior = field(default_factory=WallPrior)
    sectors: SectorPrior | None = None
    compatibility: Tensor | None = None
    papillary: float = 0.85
    papillary_in_wall: bool = False
    outlier: float = 0.02
    gaps: Tensor | None = None
    reach: Tensor | None = None
    gain: Tensor | None = None
    levels: LevelPrior | None = None
    outer: RimPrior | None = None
    inner: RimPrior | None = None
    dark: float = -1.15
    iterations: int = 40
    tolerance: float = 1e-3


@dataclass
class _Evidence:
    """What a mixture says of every pixel.

    Attributes
    ----------
    inlier : (S, P, K) that a tissue's Gaussian, not the outlier density, drew the pixel.
    tissue : (S, P, Z, K - 1) log t_zk(x) f_k(x); `state` : (S, P, Z) its sum over tissues.
    pool : (S, P) log density as pool; `parts` : (S, P, 2) of it, pure blood and pure muscle.
    """

    inlier: Tensor
    tissue: Tensor
    state: Tensor
    pool: Tensor
    parts: Tensor


def fit_anchored(batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                 options: AnchoredOptions, *, progress: Progress = silent) -> Fit:
    """Fit one or more studies: the slices of a study share means and covariances.

    Parameters
    ----------
    prior : its means may be (K, M), or (N, K, M) with those of each study.

    Returns
    -------
    Fit
        `posterior` labels the pixels: blood is the pool, papillary muscles included. A study's
        fit does not depend on the studies beside it.
    """
    running = _AnchoredFit(batch, ventricle, prior, options)
    place = torch.arange(batch.slices, device=batch.values.device)
    done: list[tuple[Tensor, Fit]] = []
    for round_ in range(1, options.iterations + 1):
        settled = running.round()
        progress(round_ / options.iterations, "anchored EM")
        ends = settled | (round_ == options.iterations)
        if ends.any():
            leaving = ends[running.ventricle.study]
            done.append((place[leaving], running.fit(settled).select(leaving.nonzero()[:, 0])))
            if bool(ends.all()):
                break
            place = place[~leaving]
            running = running.select((~leaving).nonzero()[:, 0])
    order = torch.cat([index for index, _ in done]).argsort()
    return Fit.joined([fit for _, fit in done], batch.values.device).select(order)


class _AnchoredFit:
    """A fit under way: what is believed of every study still running."""

    def __init__(self, batch: PixelBatch, ventricle: Ventricle, prior: ConjugatePrior,
                 options: AnchoredOptions) -> None:
        self.given, self.batch, self.ventricle = batch, batch, ventricle
        self.prior, self.options = prior, options
        self.counts = ventricle.by_study(batch.counts)
        self.gain = batch.values.new_ones((batch.slices, batch.sequences))
        self.frozen = torch.zeros(ventricle.studies, dtype=torch.bool, device=self.gain.device)
        self.traces: list[list[float]] = [[] for _ in range(ventricle.studies)]
        self.wall = Endocardium(ventricle, batch.valid, options.wall)
        self.sectors = (None if options.sectors is None
                        else SectorStates(ventricle, options.sectors, batch.values))
        self.levels = None if options.levels is None else SliceLevels(ventricle, options.levels)
        self.borders = Borders(ventricle, options.outer, options.inner, options.dark)
        self.mixture = prior.mixture(ventricle.studies)
        self.posterior: Tensor | None = None
        self.tables: Tensor | None = None
        self.beside: Tensor | None = None
        self.evidence: _Evidence | None = None
        self._geometric_start()

    @property
    def in_wall(self) -> Tensor:
        """(S, P) w(x)."""
        given = self.ventricle.wall
        return self.wall.in_wall if given is None else given * self.batch.valid

    def _geometric_start(self) -> None:
        """Wall and pool from thickness alone; tissues in the wall from the contrast prior."""
        density = self._density(self.mixture)
        self.tissue = torch.softmax(density[..., 1:] + self._log_weights(self.mixture)[:, None], 2)
        self.inlier = torch.ones_like(density)
        self.parts = torch.stack([self.batch.valid, torch.zeros_like(self.batch.valid)], 2)

    def _density(self, mixture: Mixture) -> Tensor:
        return log_density(self.batch, self._means(mixture),
                           mixture.covariances[self.ventricle.study])

    def _means(self, mixture: Mixture) -> Tensor:
        """(S, K, M) every slice's means, its levels and all."""
        means = mixture.means[self.ventricle.study]
        return means if self.levels is None else means + self.levels.of_tissues(means.shape[1])

    def _log_weights(self, mixture: Mixture) -> Tensor:
        """(S, K - 1) log mixing weights within the wall."""
        return torch.log_softmax(mixture.log_weights[:, 1:], dim=1)[self.ventricle.study]

    def round(self) -> Tensor:
        """One M-step and one E-step; (N,) whether each study has settled."""
        self._refresh_geometry()
        evidence = self.evidence = self._m_step()
        first = self.posterior is None
        if self.sectors is not None:
            self.sectors.update(evidence.state, self.in_wall, tied=not first)
        log_wall = (self._states() * evidence.state).sum(2)
        if self.ventricle.wall is None:
            self.wall.update(log_wall, evidence.pool)
        self.inlier, self.parts = evidence.inlier, evidence.parts
        self.tissue = torch.einsum("spz,spzk->spk", self._states(),
                                   torch.softmax(evidence.tissue, 3))
        for trace, value in zip(self.traces, self._energy(evidence, self.mixture).tolist()):
            trace.append(value)
        before, self.posterior = self.posterior, self._posterior(self.tissue)
        if before is None:
            return torch.zeros_like(self.frozen)
        change = self.ventricle.by_study((self.posterior - before).abs().sum((1, 2))) / self.counts
        settled = self.frozen & (change < self.options.tolerance)
        self.frozen = (self.frozen | (change < SETTLING_CHANGE)
                       | (len(self.traces[0]) >= SETTLING_ROUNDS))
        return settled

    def _states(self) -> Tensor:
        """(S, P, Z) q(z) of each pixel's sector."""
        if self.sectors is None:
            return torch.ones_like(self.batch.valid)[..., None]
        return self.ventricle.from_sector(self.sectors.q)

    def _refresh_geometry(self) -> None:
        """Relative depth by the thickness of now, and what wall lies beside the pool; kept for
        studies that have settled."""
        if self.sectors is None:
            return
        depth = self.ventricle.relative
        if depth is None:
            thickness = self.ventricle.from_sector(self.wall.thickness.clamp_min(1.0)[..., None])
            depth = self.ventricle.depth / thickness[..., 0]
        tables = self.sectors.prior.tissue_tables(depth).clamp_min(1e-12)
        beside = torch.einsum("spz,spzk->spk", self._states(), tables).log()
        if self.tables is not None and self.beside is not None:
            kept = self.frozen[self.ventricle.study][:, None, None]
            tables = torch.where(kept[..., None], self.tables, tables)
            beside = torch.where(kept, self.beside, beside)
        self.tables, self.beside = tables, beside

    def _m_step(self) -> _Evidence:
        """Means, covariances and gains of every study; the evidence under them.

        The conjugate mode is exact but for the pool's blends, the gaps and the gain, so once the
        geometry is settled a step that would raise F is halved, and at last not taken.
        """
        before = self._parameters()
        guarded = self.frozen if self.posterior is not None else torch.zeros_like(self.frozen)
        if self.evidence is None or not guarded.all():  # tables of settled studies stay
            self.evidence = self._evidence(self.mixture) if guarded.any() else None
        energy = None if self.evidence is None else self._energy(self.evidence, self.mixture)
        w = self._responsibilities()
        moments = Moments.of(self.batch, w)
        if self.levels is not None:
            moments = about_levels(moments, self.levels.of_tissues(w.shape[2]))
        total = Moments(*(self.ventricle.by_study(m) for m in
                          (moments.mass, moments.first, moments.second)))
        mixture = self._apart(self.prior.mode(total, self.counts))
        gain = self.gain
        if self.options.gain is not None:
            gain = slice_gain(self.given, w, mixture, self.ventricle, gain, self.options.gain,
                              self.options.dark)
        self._adopt(mixture, gain)
        if self.levels is not None:
            self.levels.value = self.levels.fitted(self.batch, w, mixture)
        evidence = self._evidence(self.mixture)
        if energy is None:
            return evidence
        for share in (0.5, 0.5, 0.0):
            worse = self._worse(guarded, self._energy(evidence, self.mixture), energy)
            if not worse.any():
                break
            self._step_back(before, worse, share)
            evidence = self._evidence(self.mixture)
        return evidence

    @staticmethod
    def _worse(guarded: Tensor, found: Tensor, energy: Tensor) -> Tensor:
        """(N,) the studies whose step is to be taken back."""
        return guarded & (found > energy)

    def _parameters(self) -> tuple[Mixture, Tensor, Tensor | None]:
        return self.mixture, self.gain, None if self.levels is None else self.levels.value

    def _step_back(self, old: tuple[Mixture, Tensor, Tensor | None], rows: Tensor,
                   share: float) -> None:
        """`share` of the way from old to now for some studies, all the way for the others."""
        def mean(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
            where = where.reshape(-1, *(1,) * (a.ndim - 1))
            return torch.where(where, a + share * (b - a), b)
        slices = rows[self.ventricle.study]
        if self.levels is not None and old[2] is not None:
            self.levels.value = mean(old[2], self.levels.value, slices)
        self._adopt(Mixture(*(mean(getattr(old[0], name), getattr(self.mixture, name), rows)
                              for name in ("log_weights", "means", "covariances"))),
                    mean(old[1], self.gain, slices))

    def _adopt(self, mixture: Mixture, gain: Tensor) -> None:
        if gain is not self.gain:
            self.batch = without_gain(self.given, gain, self.options.dark)
        self.mixture, self.gain = mixture, gain

    def _apart(self, mixture: Mixture) -> Mixture:
        """Diseases at least their gap above healthy wall."""
        if self.options.gaps is None:
            return mixture
        mean, spread = mixture.means[:, 1:2], mixture.covariances[:, 1:2].sqrt()
        least = mean + self.options.gaps * spread
        if self.options.reach is not None:
            contrast = (mixture.means[:, :1] - mean).clamp_min(1e-9)  # never 0 times infinity
            least = torch.maximum(least, mean + self.options.reach * contrast)
        return replace(mixture, means=torch.maximum(mixture.means, least))

    def _responsibilities(self) -> Tensor:
        """(S, P, K) which Gaussian drew each pixel; blends and outliers count for none."""
        pool = self.batch.valid - self.in_wall
        wall = self.in_wall[..., None] * self.tissue
        blood, muscle = (pool[..., None] * self.parts).split(1, dim=2)
        return torch.cat([blood, wall[..., :1] + muscle, wall[..., 1:]], dim=2) * self.inlier

    def _evidence(self, mixture: Mixture) -> _Evidence:
        density = self._density(mixture)
        anywhere = torch.full_like(density[..., :1], log_box(self.batch, self.options.outlier))
        inlier = torch.sigmoid(density - anywhere)
        density = torch.logaddexp(density, anywhere)
        inlier, density = self.borders.blended(self.batch, self._means(mixture),
                                               mixture.covariances[self.ventricle.study],
                                               self.gain, inlier, density)
        if self.tables is None or self.beside is None:
            beside = self._log_weights(mixture)[:, None].expand(-1, density.shape[1], -1)
            log_tables = beside[:, :, None]
        else:
            beside, log_tables = self.beside, self.tables.log()
        tissue = density[:, :, None, 1:] + log_tables
        blends = blend_density(self.batch, self._means(mixture),
                               mixture.covariances[self.ventricle.study], beside)
        pool, parts = pool_density(density, torch.logaddexp(blends, anywhere),
                                   self.options.papillary)
        return _Evidence(inlier, tissue, torch.logsumexp(tissue, 3), pool, parts)

    def _energy(self, evidence: _Evidence, mixture: Mixture) -> Tensor:
        """(N,) F of every study a mask pixel."""
        wall = self.in_wall * (self._states() * evidence.state).sum(2)
        pool = (self.batch.valid - self.in_wall) * evidence.pool
        energy = -(wall + pool).sum(1)
        if self.ventricle.wall is None:
            energy = energy + self.wall.energy()
        prior = self.prior
        if self.sectors is not None:
            energy = energy + self.sectors.energy()
            prior = replace(prior, weight_strength=0.0)  # the states stand in for the weights
        if self.options.gain is not None:
            energy = energy + gain_energy(self.batch, self.gain, self.options.gain)
        if self.levels is not None:
            energy = energy + self.levels.energy()
        return self.ventricle.by_study(energy) / self.counts + prior.penalty(mixture)

    def _posterior(self, tissue: Tensor) -> Tensor:
        """(S, P, K) of the pool and of each tissue of the wall."""
        pool = (self.batch.valid - self.in_wall)[..., None]
        wall = self.in_wall[..., None] * tissue
        if self.options.papillary_in_wall:
            muscle = pool * self.parts[..., 1:]
            pool = pool - muscle
            wall = torch.cat([wall[..., :1] + muscle, wall[..., 1:]], dim=2)
        return torch.cat([pool, wall], dim=2)

    def fit(self, settled: Tensor) -> Fit:
        """Every slice's mixture as it lies in the intensities given, gain and all."""
        tissue = self.tissue
        if self.options.compatibility is not None:
            tissue = smoothed(self.ventricle, tissue, self.options.compatibility, self.in_wall)
        w, dark, study = self._posterior(tissue), self.options.dark, self.ventricle.study
        mass = w.sum(1)
        own = Mixture((mass / mass.sum(1, keepdim=True)).clamp_min(1e-12).log(),
                      (self._means(self.mixture) - dark) * self.gain[:, None] + dark,
                      self.mixture.covariances[study] * self.gain[:, None].square())
        traces = [list(self.traces[n]) for n in study.tolist()]
        rounds = torch.full((len(study),), len(self.traces[0]), device=w.device)
        place = places(self.batch, self.in_wall, self.beside, self._log_weights(self.mixture))
        nll = negative_log_likelihood(self.given, own)
        return Fit(own, w, nll, traces, rounds, settled[study], place=place)

    def select(self, index: Tensor) -> _AnchoredFit:
        """The fit of some slices, all of each study that stays."""
        study = self.ventricle.study[index].unique()
        part = _AnchoredFit.__new__(_AnchoredFit)
        part.given, part.ventricle = self.given.select(index), self.ventricle.select(index)
        part.batch = self.batch.select(index)
        part.prior, part.options = self.prior.select(study), self.options
        part.counts, part.frozen = self.counts[study], self.frozen[study]
        part.traces = [self.traces[n] for n in study.tolist()]
        part.mixture = self.mixture.select(study)
        for name in ("gain", "tissue", "inlier", "parts", "posterior"):
            setattr(part, name, getattr(self, name)[index])
        part.wall = self.wall.select(index, part.ventricle, part.batch.valid)
        part.borders = replace(self.borders, ventricle=part.ventricle)
        part.levels = None if self.levels is None else self.levels.select(index, part.ventricle)
        part.sectors = part.tables = part.beside = part.evidence = None
        if self.sectors is not None and self.tables is not None and self.beside is not None:
            part.sectors = self.sectors.select(index, part.ventricle)
            part.tables, part.beside = self.tables[index], self.beside[index]
        return part
