"""Make the README's picture: `make_demo_picture.py demo-output/montage.png` after `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH = 900  # as wide as a web page shows it
#: Greys and colours of the palette that keeps the file small. They are chosen apart: most pixels
#: are grey, and a palette fitted to all of them would lose the colours of the tissues.
GREYS, COLOURS = 40, 200


def main(montage: str) -> None:
    """Write `demo.png` beside this file."""
    picture = Image.open(montage).convert("RGB")
    size = (WIDTH, round(picture.height * WIDTH / picture.width))
    pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    grey = np.ptp(pixels.astype(int), axis=2) < 12
    coloured = Image.fromarray(pixels[~grey][None]).quantize(
        COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    index = np.empty(grey.shape, np.uint8)
    index[grey] = np.rint(pixels[grey].mean(1) / 255 * (GREYS - 1))
    index[~grey] = np.asarray(coloured)[0] + GREYS
    levels = np.rint(np.linspace(0, 255, GREYS)).astype(np.uint8).repeat(3).tolist()
    small = Image.fromarray(index, mode="P")
    small.putpalette(levels + list(coloured.getpalette() or [])[:3 * COLOURS])
    small.save(Path(__file__).with_name("demo.png"), optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
