"""Which tissue may lie where: the anatomy behind the anchored fit."""

from __future__ import annotations

import torch

from deepgmm.model.anchored import AnchoredOptions
from deepgmm.model.atlas import RadialAtlas
from deepgmm.model.endocardium import WallPrior
from deepgmm.model.levels import LevelPrior
from deepgmm.model.rim import RimPrior
from deepgmm.model.sectors import SectorPrior
from deepgmm.study.words import Role, Tissue

#: What a wall sector holds, by its state and the depth from epicardium to endocardium. Necrosis
#: spreads from the endocardium outwards, edema through the whole wall around it.
STATES: dict[str, tuple[dict[Tissue, float], dict[Tissue, float]]] = {
    "healthy": ({Tissue.MYOCARDIUM: 0.96, Tissue.EDEMA: 0.02, Tissue.SCAR: 0.02},
                {Tissue.MYOCARDIUM: 0.96, Tissue.EDEMA: 0.02, Tissue.SCAR: 0.02}),
    "edema": ({Tissue.MYOCARDIUM: 0.25, Tissue.EDEMA: 0.70, Tissue.SCAR: 0.05},
              {Tissue.MYOCARDIUM: 0.25, Tissue.EDEMA: 0.70, Tissue.SCAR: 0.05}),
    "infarct": ({Tissue.MYOCARDIUM: 0.30, Tissue.EDEMA: 0.50, Tissue.SCAR: 0.20},
                {Tissue.MYOCARDIUM: 0.20, Tissue.EDEMA: 0.30, Tissue.SCAR: 0.50}),
}

#: What a tissue of the wall gains from a neighbour of the same tissue, and loses by another:
#: scar borders on edema rather than on healthy wall.
LIKE = {
    (Tissue.MYOCARDIUM, Tissue.MYOCARDIUM): 0.8, (Tissue.EDEMA, Tissue.EDEMA): 0.8,
    (Tissue.SCAR, Tissue.SCAR): 0.8, (Tissue.EDEMA, Tissue.SCAR): 0.25,
    (Tissue.MYOCARDIUM, Tissue.EDEMA): 0.1, (Tissue.MYOCARDIUM, Tissue.SCAR): -0.15,
}

#: How far above healthy wall a disease must stand, in standard deviations of healthy wall: scar
#: on LGE (thresholds in use run from 2 to 6) and edema on T2 (2 in use, less for a noisy mean).
GAPS = {(Tissue.SCAR, Role.LGE): 2.5, (Tissue.EDEMA, Role.T2): 1.25}

#: How far, of the way from healthy wall to blood, a disease's mean lies at least. Scar on real LGE
#: is .67 to 1.6 of it (10 to 90 % of patients); less is shading.
REACH = {(Tissue.SCAR, Role.LGE): 0.6}

#: How much brighter one slice may be than another (standard deviation of the log gain). Blood and
#: wall of bSSFP pin the gain down; on LGE and T2 a slice of edema looks like a gain.
GAINS = {Role.BSSFP: 0.3, Role.LGE: 0.0, Role.T2: 0.0}

#: How far pool and wall of a slice lie from their study's (standard deviations, normalised units).
#: On real LGE both drift from apex to base by a fifth of their contrast.
LEVELS = {Role.BSSFP: (0.0, 0.0), Role.LGE: (0.20, 0.18), Role.T2: (0.0, 0.0)}

#: Experts' contours are half to one and a half pixels off.
OUTER = RimPrior()
INNER = RimPrior()


def anchored_options(tissues: tuple[Tissue, ...], roles: tuple[Role, ...], device: torch.device,
                     dtype: torch.dtype) -> AnchoredOptions:
    """The terms of the anchored fit for the tissues sought, blood and myocardium among them."""
    wall = tissues[1:]
    gain = torch.tensor([GAINS[role] for role in roles]).to(device, dtype)
    spread = torch.tensor([LEVELS[role] for role in roles]).to(device, dtype)
    levels = LevelPrior(*spread.unbind(1)) if spread.any() else None
    if len(wall) == 1:
        return AnchoredOptions(gain=gain, levels=levels, outer=OUTER, inner=INNER)
    tables = []
    for name, (outer, inner) in STATES.items():
        if name == "edema" and Tissue.EDEMA not in wall:
            continue
        if name == "infarct" and Tissue.SCAR not in wall:
            continue
        rows = torch.tensor([[profile[t] for t in wall] for profile in (outer, inner)])
        tables.append(rows / rows.sum(1, keepdim=True))
    like = torch.tensor([[LIKE[min(a, b), max(a, b)] for b in wall] for a in wall])
    gaps = torch.tensor([[GAPS.get((t, role), -torch.inf) for role in roles] for t in tissues])
    reach = torch.tensor([[REACH.get((t, role), -torch.inf) for role in roles] for t in tissues])
    return AnchoredOptions(
        sectors=SectorPrior(torch.stack(tables).to(device, dtype)),
        compatibility=like.to(device, dtype), gaps=gaps.to(device, dtype),
        reach=reach.to(device, dtype),
        gain=gain, levels=levels, outer=OUTER,
        inner=INNER)


def radial_atlas() -> RadialAtlas:
    """What the anchored fit expects of the wall, its sectors' states averaged by their share."""
    wall, burden = WallPrior(), SectorPrior(torch.empty(0)).burden
    share = {name: burden / (len(STATES) - 1) for name in STATES} | {"healthy": 1 - burden}

    def shares(side: int) -> tuple[float, float, float]:
        muscle, edema, scar = (
            sum(share[name] * profiles[side][t] for name, profiles in STATES.items())
            for t in (Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR))
        return muscle, edema, scar
    return RadialAtlas(wall.thickness, wall.spread, shares(0), shares(1))
