"""Options that do nothing are said to."""

from __future__ import annotations

from dataclasses import fields

from deepgmm.acting import ACTS_ON, NEEDS, NOT_IN_PAPER, method_run, settings_read
from deepgmm.settings import Preset, Settings

_OPTIONS = {"keep_mvo": "--mvo"}


def idle_options(settings: Settings) -> list[str]:
    """A warning for each setting that was changed and does not act on this run."""
    default, read = Settings(), settings_read(settings)
    idle = [f.name for f in fields(settings)
            if f.name in ACTS_ON and f.name not in read
            and getattr(settings, f.name) != getattr(default, f.name)]
    return [f"{_option(name)} does nothing with {_why(name, settings)}" for name in idle]


def _why(name: str, settings: Settings) -> str:
    method = method_run(settings)
    if method not in ACTS_ON[name]:
        acts_on = ", ".join(one.value for one in ACTS_ON[name])
        asked = method if settings.model else settings.method  # a network was named, or not
        return f"--method {asked.value}: it acts on {acts_on}"
    if settings.preset is Preset.PAPER and method in NOT_IN_PAPER.get(name, ()):
        return f"--preset paper and --method {method.value}"
    return "these --tissues: it needs " + " and ".join(t.title.lower() for t in NEEDS[name])


def _option(name: str) -> str:
    return _OPTIONS.get(name, "--" + name.replace("_", "-"))
