"""Words on a picture, set by Pillow in the type that comes with matplotlib.

Loading matplotlib to set them would take longer than drawing all the rest.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont


@dataclass(frozen=True)
class Words:
    """Words at a place of a picture.

    Attributes
    ----------
    x, y : pixels from the left, and from the top to the middle of the line.
    size : pixels.
    colour : as in HTML.
    anchor : what lies at x: "l" the left end, "m" the middle, "r" the right end.
    outlined : with a dark edge, to be read on an image.
    """

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    anchor: str = "l"
    outlined: bool = False


def lettered(picture: npt.NDArray[np.uint8], words: Iterable[Words]) -> Image:
    """A picture of (rows, columns, 3) with words on it."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for w in words:
        draw.text((w.x, w.y), w.text, w.colour, _type(w.size, w.bold), anchor=f"{w.anchor}m",
                  align="center", stroke_width=2 if w.outlined else 0, stroke_fill="#000000")
    return image


def length(text: str, size: float, bold: bool = False) -> float:
    """How long words of one line are, in pixels."""
    return _type(size, bold).getlength(text)


@lru_cache(maxsize=16)
def _type(size: float, bold: bool) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(_file("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size,
                              layout_engine=ImageFont.Layout.BASIC)


def _file(name: str) -> str:
    found = importlib.util.find_spec("matplotlib")
    beside = Path(found.origin if found and found.origin else "").parent / "mpl-data"
    if not beside.is_dir():  # some systems keep it elsewhere, and only matplotlib knows where
        import matplotlib

        beside = Path(matplotlib.get_data_path())
    return str(beside / "fonts" / "ttf" / name)
