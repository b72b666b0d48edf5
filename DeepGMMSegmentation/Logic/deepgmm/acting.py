"""Which settings act on which runs: the command line warns by it, the panel greys by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from deepgmm.settings import Method, Papillary, Preset, Settings
from deepgmm.study.words import Role, Tissue

_ANCHORED = (Method.AUTO, Method.MAP)
_MIXTURES = (Method.GMM, Method.SVGMM)
_NETWORKS = (Method.DEEPG, Method.DEEPSVG)

#: Rounds of anchored EM that `auto` adds to its network: more changed nothing on tuning patients.
AUTO_ROUNDS = 12

#: Settings that act on some methods only; all others act on every method.
ACTS_ON: dict[str, tuple[Method, ...]] = {
    "preset": (*_MIXTURES, *_NETWORKS),
    "seed": (*_MIXTURES, *_NETWORKS),
    "covariance": _MIXTURES,
    "restarts": _MIXTURES,
    "degrees": _MIXTURES,
    "outlier": _MIXTURES,
    "mean_weight": _NETWORKS,
    "total_variation": _NETWORKS,
    "model": (Method.AUTO, Method.PRETRAINED),
    "adapt": (Method.PRETRAINED,),
    "papillary": (*_ANCHORED, *_NETWORKS),
    "keep_mvo": (*_ANCHORED, Method.PRETRAINED),
}

#: What the preset `paper` takes from them: one random start, and none from `map`.
NOT_IN_PAPER: dict[str, tuple[Method, ...]] = {"restarts": _MIXTURES, "papillary": _NETWORKS}

#: The tissues without which they do nothing.
NEEDS: dict[str, tuple[Tissue, Tissue]] = {
    "papillary": (Tissue.BLOOD, Tissue.MYOCARDIUM),
    "adapt": (Tissue.BLOOD, Tissue.MYOCARDIUM),
    "keep_mvo": (Tissue.MYOCARDIUM, Tissue.SCAR),
}


def method_run(settings: Settings, roles: Collection[Role] = (Role.LGE,)) -> Method:
    """What is run on a study with such sequences.

    `auto` is the network where there is LGE or bSSFP alone, which it reads better than `map` does
    on real patients, and where a network was named. It is `map` on T2 without LGE, where the
    network finds edema in more of the healthy hearts of phantoms, and where something
    is asked for that `map` alone heeds: contrast priors of one's own, papillary muscle counted as
    wall, tissues without blood or myocardium.
    """
    if settings.method is not Method.AUTO:
        return settings.method
    if settings.model:
        return Method.PRETRAINED
    sought = [Tissue.named(name) for name in settings.tissues] or list(Tissue)
    heeded = (not settings.priors and settings.papillary is Papillary.POOL
              and {Tissue.BLOOD, Tissue.MYOCARDIUM} <= set(sought))
    better = Role.LGE in roles or Role.T2 not in roles
    return Method.PRETRAINED if heeded and better else Method.MAP


def rounds_asked(settings: Settings) -> int:
    """Rounds of anchored EM after the network, at most: as asked, or those of `auto`; 0 where not
    both blood and myocardium are sought."""
    if settings.tissues and not set(NEEDS["adapt"]) <= {Tissue.named(t) for t in settings.tissues}:
        return 0
    chosen = settings.method is Method.AUTO and not settings.model
    return AUTO_ROUNDS if chosen else settings.adapt


def method_in_words(said: Mapping[str, Any]) -> str:
    """What was asked for and what ran, of a result's provenance or a report: "map", "auto:
    pretrained, up to 12 rounds of map"; "" where they do not say."""
    settings, rounds = said.get("settings"), said.get("map_rounds")
    asked = settings.get("method") if isinstance(settings, Mapping) else None
    ran = said.get("method") or asked or ""
    words = f"auto: {ran}" if asked == Method.AUTO.value != ran else str(ran)
    return f"{words}, up to {rounds} rounds of map" if rounds else words


def settings_read(settings: Settings) -> set[str]:
    """The settings of `ACTS_ON` that act on a run with these settings."""
    method = method_run(settings)
    asked = method if settings.model else settings.method
    read = {name for name, methods in ACTS_ON.items() if asked in methods}
    if asked is Method.AUTO:
        read.discard("model")  # none was named
    if settings.preset is Preset.PAPER:
        read -= {name for name, methods in NOT_IN_PAPER.items() if method in methods}
    sought = [Tissue.named(name) for name in settings.tissues] or list(Tissue)
    lacking = {name for name, needed in NEEDS.items() if not set(needed) <= set(sought)}
    if "papillary" in read & lacking:  # `map` is then a plain mixture, which has a covariance
        read.add("covariance")
    return read - lacking
