"""`deepgmm report`: a page that stands alone, tells no names, and holds every number it shows."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepgmm.cli.main import main
from deepgmm.phantom import make_patient, write_patient
from deepgmm.review import figures
from deepgmm.review.numbers import study_numbers
from deepgmm.review.page import html_page, pdf_pages, pictures, tables
from deepgmm.study.words import Kind, Role

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")


@pytest.fixture(scope="module")
def patient():
    return make_patient(1003, slices=4, kinds={Role.LGE: Kind.LGE_PSIR, Role.T2: Kind.T2_MAP})


@pytest.fixture(scope="module")
def made(patient):
    return study_numbers(patient.study, patient.truth, model=17)


@pytest.fixture(scope="module")
def shown(made) -> list:
    """Its pictures, with an uncertainty that is the same everywhere."""
    return pictures(made, np.full(made.labels.shape, 0.3))


class Balanced(HTMLParser):
    """Sees that tags close in order, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_holds_what_it_says(made, shown) -> None:
    made.warnings = ["a <b>warning</b> & $more"]
    page = html_page(made, shown)
    seen = Balanced()
    seen.feed(page)
    assert not seen.open and not seen.loads
    assert "&lt;b&gt;warning" in page and "not for diagnosis" in page
    assert f"{made.get('infarct_volume').value:.1f}" in page
    assert f"{made.get('infarct_border').value:.0f} mm" in page
    images = re.findall(r"base64,([^\"]+)\"", page)
    assert len(images) == len(shown) == 6
    for data in images:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert np.asarray(image.convert("L")).std() > 10  # something is drawn
    assert page.index("Provenance") > page.index("Reference methods")


def test_the_pdf_is_one(made, shown) -> None:
    data = pdf_pages(made, shown[:1])
    assert data.startswith(b"%PDF") and data.rstrip().endswith(b"%%EOF")
    assert 2 <= data.count(b"/Type /Page ") <= 8


def test_a_missing_number_points_at_its_reason(made) -> None:
    parts = {title: rows for title, _, rows in tables(made)}
    reasons = dict(parts["Why a number or an interval is missing"])
    apex = next(row for row in parts["AHA segments"] if row[0].startswith("17"))
    assert reasons[apex[1].removeprefix("- ")] == "no slice with wall lies beyond the pool"


def test_figures_are_read_in_grey(made) -> None:
    """Nothing is told by hue alone: but for the little that fonts' smoothing does, all is grey."""
    for figure in (figures.bullseyes(made), figures.methods(made), figures.histogram(made)):
        pixels = np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("RGB")).astype(int)
        assert (np.ptp(pixels, axis=2) > 8).mean() < 0.001


def test_labels_of_near_thresholds_do_not_overlap(made) -> None:
    lge = [r for r in made.references if r.role is Role.LGE and r.levels]
    middle = float(np.median([list(lge[-1].levels.values())]))
    near = [replace(r, levels={1: middle + 2.0 * k}) for k, r in enumerate(lge)]
    for references in (lge, near):
        figure = figures.histogram(replace(made, references=references))
        figure.canvas.draw()
        axes, = figure.axes
        legend = figure.legends[0].get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 3 and boxes[0].y0 >= axes.get_window_extent().y1
        assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
        assert all(b.y1 <= figure.bbox.y1 for b in boxes)
        assert legend.y1 < axes.xaxis.label.get_window_extent().y0 and legend.y0 > 0
        assert legend.x0 > 0 and legend.x1 < figure.bbox.x1


def test_numbers_of_the_bullseye_are_read_on_every_shade() -> None:
    """The contrast of 4.5 that small print needs, on every shade."""
    from matplotlib.patches import Patch

    def light(colour) -> float:
        c = np.asarray(colour[:3])
        return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
                     @ (0.2126, 0.7152, 0.0722)) + 0.05
    assert figures.ink((1, 1, 1)) == "black" and figures.ink((0, 0, 0, 1)) == "white"
    for share in np.linspace(0, 1, 21):
        figure = figures.blank(4, 4)
        axes = figure.add_subplot()
        figures.bullseye(axes, dict.fromkeys(range(1, 18), 100.0 * share), 17, 100.0)
        ground = light(next(p for p in axes.patches if isinstance(p, Patch)).get_facecolor())
        inks = {text.get_color() for text in axes.texts[:34]}
        assert inks <= {"black", "white"} and len(inks) == 1
        assert (ground / 0.05 if inks == {"black"} else 1.05 / ground) >= 4.5


def test_the_bullseye_draws_every_segment_where_it_belongs() -> None:
    """Each segment dark by itself, and then where the darkness is."""
    where = {}
    for number in range(1, 18):
        figure = figures.blank(4, 4)
        axes = figure.add_axes((0, 0, 1, 1))
        figures.bullseye(axes, {n: 100.0 * (n == number) for n in range(1, 18)}, 17, 100.0)
        grey = np.asarray(Image.open(io.BytesIO(figures.png(figure, 60))).convert("L"))
        rows, columns = np.nonzero((grey > 60) & (grey < 130))
        side = grey.shape[0] / 2
        where[number] = (np.median(columns) - side, side - np.median(rows))
    up, right = (lambda n: where[n][1]), (lambda n: where[n][0])
    for top, bottom in ((1, 4), (7, 10), (13, 15)):
        assert up(top) > 15 and up(bottom) < -15 and abs(right(top)) < 12
    for septal, lateral in ((2, 6), (3, 5), (8, 12), (9, 11), (14, 16)):
        assert right(septal) < -15 and right(lateral) > 15
    assert up(2) > 10 > -10 > up(3) and up(6) > 10 > -10 > up(5)
    assert np.hypot(*where[17]) < 12


def test_the_command_tells_names_only_when_asked(patient, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "Mustermann"
    write_patient(patient, folder)
    named = folder / "Mustermann_scar.nii.gz"
    (folder / "truth.nii.gz").rename(named)
    outs = {flag: tmp_path / name for flag, name in (
        ("-o", "r.html"), ("--pdf", "r.pdf"), ("--csv", "r.csv"), ("--numbers", "r.json"))}
    words = [str(w) for pair in outs.items() for w in pair]
    command = ["report", str(named), "--lge", str(folder / "lge.nii.gz")]
    assert main([*command, *words]) == 0
    for out in outs.values():
        assert b"Mustermann" not in out.read_bytes()
    assert b"Mustermann" not in capsys.readouterr().err.encode()
    assert main([*command, "-o", str(outs["-o"]), "--identified"]) == 0
    assert "Mustermann_scar" in outs["-o"].read_text(encoding="utf-8")


def test_without_an_output_or_with_a_wrong_one_nothing_is_done(tmp_path: Path, capsys) -> None:
    assert main(["report", str(tmp_path / "no.nii.gz")]) == 2
    assert "no output asked for" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "no.nii.gz"), "-o", str(tmp_path / "o.html")]) == 2
    assert "does not exist" in capsys.readouterr().err and not list(tmp_path.iterdir())


