"""In which order the frames of a slice follow each other, by what their headers say of it."""

from __future__ import annotations

from collections.abc import Callable

from deepgmm.reading.dicom.frames import Frame, Variation

_Key = Callable[[Frame], object]

#: What may say the order, the surest first. Instance numbers of an enhanced file are its own count.
_KEYS: tuple[_Key, ...] = (
    lambda f: f.trigger, lambda f: f.temporal, lambda f: f.acquired or None,
    lambda f: f.content or None, lambda f: f.instance or None, lambda f: f.index or None)


def in_order(slices: list[list[Frame]], variation: Variation
             ) -> tuple[list[list[Frame]], list[str]]:
    """The frames of each slice in the order of the heartbeat, and what a user must know of it.

    Trigger time, temporal position, acquisition time, content time and instance number are asked
    in this order, and the first that tells all frames of all slices apart is used, so that frame
    n is the same in every slice. Where none does, each slice goes by the first that orders it;
    what is not told apart keeps the order of its files, which is said.
    """
    keys = _KEYS if variation in (Variation.PHASE, Variation.ORDER) else (
        *_KEYS[2:4], *_KEYS[:2], *_KEYS[4:])
    if max(map(len, slices)) == 1:
        return slices, []
    whole = [key for key in keys if all(_orders(key, one) for one in slices)]
    known = whole[0] if whole else None
    if known is not None and known is not keys[0] and not all(
            _agrees(known, keys[0], one) for one in slices):
        known = None
    notes = [] if known is not None else _unsure(slices, keys)
    return [_sorted(one, known or next((k for k in keys if _orders(k, one)), None), keys)
            for one in slices], notes


def _orders(key: _Key, frames: list[Frame]) -> bool:
    """Whether a key tells all frames of a slice apart."""
    values = [key(f) for f in frames]
    missing = sum(v is None for v in values)
    # A count may begin with 0, which headers also use for what they do not know.
    if missing and not (missing == 1 and len(values) > 1 and key in _KEYS[4:]):
        return False
    return len(set(values)) == len(values)


def _agrees(key: _Key, surest: _Key, frames: list[Frame]) -> bool:
    """Whether an order contradicts nothing that the surest one says of some frames."""
    said = [surest(f) for f in _sorted(frames, key, ())]
    known = [value for value in said if value is not None]
    return len(set(known)) < 3 or known == sorted(known)  # type: ignore[type-var]


def _sorted(frames: list[Frame], key: _Key | None, keys: tuple[_Key, ...]) -> list[Frame]:
    if key is None:
        # As far as all say something; the rest stays as it came.
        usable = [k for k in keys if all(k(f) is not None for f in frames)]
        return sorted(frames, key=lambda f: tuple(k(f) for k in usable))  # type: ignore[type-var,return-value]
    return sorted(frames, key=lambda f: (key(f) is not None, key(f)))  # type: ignore[return-value]


def _unsure(slices: list[list[Frame]], keys: tuple[_Key, ...]) -> list[str]:
    lost = sum(not any(_orders(key, one) for key in keys) for one in slices)
    if lost:
        return [f"nothing in the headers of {lost} slice{'s' if lost > 1 else ''} says in which "
                "order all frames follow each other; the order of the files fills in, so a frame "
                "may show another moment of the heartbeat on each slice"]
    return ["the order of the frames is said by different header elements on different slices; "
            "a frame may show another moment of the heartbeat on each slice"]
