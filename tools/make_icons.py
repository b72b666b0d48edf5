"""Draw the icons: a short-axis heart whose left ventricle is split into the four tissues.

    python tools/make_icons.py

The module finds its icon by name; the Extensions Manager takes the other by its address.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "DeepGMMSegmentation/Logic"))

from deepgmm.study.words import COLOURS, Tissue  # noqa: E402

SIZE = 128
#: Drawn this much larger and averaged, for smooth edges.
_FACTOR = 8
ICONS = (ROOT / "DeepGMM.png",
         ROOT / "DeepGMMSegmentation/Resources/Icons/DeepGMMSegmentation.png")

_CENTRE = (74.0, 64.0)
_OUTER, _MIDDLE, _INNER = 50.0, 40.0, 28.0
#: Of lesions within the wall, degrees clockwise from the right.
_EDEMA, _SCAR = (-75, 40), (-55, 20)
_RIGHT_HEART = (110, 118, 130)


def icon() -> Image.Image:
    """The picture, `SIZE` pixels each way, on nothing."""
    size = SIZE * _FACTOR
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    right = [4.0, 26.0, 80.0, 102.0]
    draw.ellipse([v * _FACTOR for v in right], fill=_RIGHT_HEART)
    # A gap between the ventricles, so that they are told apart at 16 pixels too.
    draw.ellipse(_box(_OUTER + 4), fill=(0, 0, 0, 0))
    draw.ellipse(_box(_OUTER), fill=COLOURS[Tissue.MYOCARDIUM])
    draw.pieslice(_box(_OUTER), *_EDEMA, fill=COLOURS[Tissue.EDEMA])
    draw.pieslice(_box(_MIDDLE), *_SCAR, fill=COLOURS[Tissue.SCAR])
    draw.ellipse(_box(_INNER), fill=COLOURS[Tissue.BLOOD])
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def _box(radius: float) -> list[float]:
    x, y = _CENTRE
    return [v * _FACTOR for v in (x - radius, y - radius, x + radius, y + radius)]


def main() -> None:
    for path in ICONS:
        path.parent.mkdir(parents=True, exist_ok=True)
        icon().save(path, optimize=True)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
