"""Results that a worker keeps between runs, so that of a correction only the changes travel."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepgmm.result import Result

if TYPE_CHECKING:
    from deepgmm.methods import Case

#: Results at once: the newest and those it was made from.
MOST = 4


@dataclass
class Kept:
    """A result, and its study as the last refit had it ready."""

    result: Result
    case: Case | None = None


_kept: OrderedDict[str, Kept] = OrderedDict()


def keep(result: Result, case: Case | None = None) -> str:
    """Keep a result; the key by which it is found again."""
    key = secrets.token_hex(8)
    _kept[key] = Kept(result, case)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return key


def find(key: str) -> Kept | None:
    """The result of a key; None where it is no longer kept, or was by another process."""
    if key in _kept:
        _kept.move_to_end(key)
    return _kept.get(key)


def rest() -> None:
    """Give back what lies ready of the studies, which may be on a GPU; the results stay."""
    for one in _kept.values():
        one.case = None
