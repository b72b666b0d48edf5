"""Which options act on which methods, so that one that does nothing is said to."""

from __future__ import annotations

from dataclasses import fields

from deepgmm.settings import Method, Settings

_ANCHORED = (Method.AUTO, Method.MAP)
_MIXTURES = (Method.GMM, Method.SVGMM)
_PRETRAINED = (Method.PRETRAINED, Method.AUTO)
_NETWORKS = (Method.DEEPG, Method.DEEPSVG)

#: Settings that act on some methods only.
ACTS_ON: dict[str, tuple[Method, ...]] = {
    "preset": _NETWORKS + _MIXTURES,
    "covariance": _MIXTURES,
    "restarts": _MIXTURES,
    "degrees": _MIXTURES,
    "outlier": _MIXTURES,
    "mean_weight": _NETWORKS,
    "total_variation": _NETWORKS,
    "model": _PRETRAINED,
    "adapt": (Method.PRETRAINED,),
    "papillary": _ANCHORED,
    "keep_mvo": (*_ANCHORED, Method.PRETRAINED),
}

_OPTIONS = {"keep_mvo": "--mvo"}


def idle_options(settings: Settings) -> list[str]:
    """A warning for each setting that was changed and does not act on the method chosen."""
    default = Settings()
    idle = [f.name for f in fields(settings)
            if getattr(settings, f.name) != getattr(default, f.name)
            and _method(settings) not in ACTS_ON.get(f.name, tuple(Method))]
    if settings.method in _ANCHORED and settings.tissues and "covariance" in idle:
        idle.remove("covariance")  # without blood or wall, map is a plain mixture, which it shapes
    return [f"{_option(name)} does nothing with --method {_method(settings).value}: it acts on "
            + ", ".join(method.value for method in ACTS_ON[name]) for name in idle]


def _method(settings: Settings) -> Method:
    """What is run: a network that was named makes `auto` use it."""
    named = settings.method is Method.AUTO and settings.model
    return Method.PRETRAINED if named else settings.method


def _option(name: str) -> str:
    return _OPTIONS.get(name, "--" + name.replace("_", "-"))
