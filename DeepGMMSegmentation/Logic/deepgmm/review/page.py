"""The report of a study: one HTML file that stands alone, and a PDF of the same content."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepgmm.review import figures
from deepgmm.review.aha import NAMES
from deepgmm.review.quantities import Number, Numbers
from deepgmm.review.report import NOTICE, versions
from deepgmm.review.sheets import Sheets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepgmm.study.study import FloatArray

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]

#: Keys in words, and digits after the point.
WORDS: dict[str, tuple[str, int]] = {
    **{f"{group}_{what}": (f"{title}", 1)
       for group, title in (("blood", "Blood"), ("wall", "LV wall"),
                            ("myocardium", "Myocardium, healthy"), ("edema", "Edema"),
                            ("scar", "Scar"), ("infarct", "Infarct"),
                            ("obstruction", "Microvascular obstruction"),
                            ("area_at_risk", "Area at risk (exploratory)"))
       for what in ("volume", "mass", "percent")},
    "salvage_index": ("Myocardial salvage index (exploratory)", 0),
    **{f"{key}_{way}": (f"{title}, {name}", digits)
       for way, name in (("radial", "radial chords"), ("laplace", "Laplace"))
       for key, title, digits in (
           ("transmurality_mean", "Transmurality, mean of all sectors", 0),
           ("transmurality_p95", "Transmurality, 95th percentile", 0),
           ("chords_over_25", "Sectors over 25 %", 0), ("chords_over_50", "Sectors over 50 %", 0),
           ("chords_over_75", "Sectors over 75 %", 0), ("chords", "Sectors of 5 degrees", 0),
           ("thickness_mean", "Wall thickness, mean", 1))},
    "infarct_border": ("Border of infarct and other wall", 0),
    "infarct_perimeter": ("Outline of the infarct", 0),
    "endocardial_extent": ("Endocardial extent", 0),
    "islands": ("Islands of infarct", 0), "largest_island_volume": ("Largest island", 1),
    "lge_entropy_wall": ("Entropy of LGE, wall", 2),
    "lge_entropy_infarct": ("Entropy of LGE, infarct", 2),
    "dice_with_segmentation": ("Dice with the segmentation", 2),
}
_AMOUNTS = ("blood", "wall", "myocardium", "edema", "scar", "infarct", "obstruction",
            "area_at_risk")
_OF_SEGMENTS = (("wall_volume", "wall, ml"), ("infarct_percent", "infarct, %"),
                ("edema_percent", "edema, %"), ("obstruction_percent", "obstruction, %"),
                ("transmurality_mean_radial", "transm. mean, %"),
                ("transmurality_p95_radial", "transm. 95th, %"),
                ("transmurality_mean_laplace", "Laplace mean, %"), ("chords_radial", "sectors"),
                ("chords_over_25_radial", "over 25 %"), ("chords_over_50_radial", "over 50 %"),
                ("chords_over_75_radial", "over 75 %"))
_OF_SLICES = (("blood_volume", "blood, ml"), ("wall_volume", "wall, ml"),
              ("infarct_volume", "infarct, ml"), ("infarct_percent", "infarct, %"),
              ("edema_volume", "edema, ml"), ("edema_percent", "edema, %"),
              ("transmurality_mean_radial", "transm. mean, %"),
              ("infarct_border", "border, mm"), ("endocardial_extent", "endocardial, %"))


def tables(numbers: Numbers) -> list[Table]:
    """The tables of a report: title, heading and rows of text.

    A number that does not exist is a dash with the number of its reason in brackets; the reasons
    stand in the last table.
    """
    notes = _Notes()
    study = numbers.of("study").get("", {})
    amounts = [(WORDS[f"{group}_volume"][0],
                *(notes.cell(study.get(f"{group}_{what}"), 1) for what in
                  ("volume", "mass", "percent")), notes.interval(study.get(f"{group}_volume")))
               for group in _AMOUNTS]
    rest = [(WORDS[key][0], notes.cell(number, WORDS[key][1], unit=True))
            for key, number in study.items()
            if not key.endswith(("_volume", "_mass", "_percent")) or key.startswith("largest")]
    found: list[Table] = [
        ("Volumes and masses", ("", "ml", "g", "% of LV mass", "90 % interval, ml"), amounts),
        ("Shape of the infarct and texture", ("", ""), rest)]
    places = numbers.of("segment")
    if places:
        how = ("" if numbers.insertions == "given"
               else f" (RV insertion points {numbers.insertions})")
        found.append((f"AHA segments{how}", ("segment", *(t for _, t in _OF_SEGMENTS)), [
            (f"{where} {NAMES[int(where)]}", *(notes.cell(
                row.get(key, _without(row)), _digits(key)) for key, _ in _OF_SEGMENTS))
            for where, row in places.items()]))
        found.append((f"Coronary territories{how}",
                      ("territory", *(t for _, t in _OF_SEGMENTS)), [
                          (where, *(notes.cell(row.get(key, _without(row)), _digits(key))
                                    for key, _ in _OF_SEGMENTS))
                          for where, row in numbers.of("territory").items()]))
    of, base = numbers.numbering.of, numbers.numbering.towards_apex
    found.append(("Slices, counted from 1" + (", the base first" if base else ""),
                  ("slice", *(t for _, t in _OF_SLICES)), [
                      (str(of(int(where))), *(notes.cell(row.get(key), _digits(key))
                                              for key, _ in _OF_SLICES))
                      for where, row in sorted(numbers.of("slice").items(),
                                               key=lambda one: of(int(one[0])))]))
    ways = numbers.of("method")
    if ways:
        rules = {r.name: r.rule for r in numbers.references}
        found.append(("Reference methods inside the same wall",
                      ("method", "infarct, ml", "g", "% of the wall", "area at risk, % of the wall",
                       "Dice with segmentation", "how"), [
                          (name, *(notes.cell(row.get(key), _digits(key)) for key in (
                              "infarct_volume", "infarct_mass", "infarct_percent",
                              "area_at_risk_percent", "dice_with_segmentation")),
                           rules.get(name, "what the tables above are of"))
                          for name, row in ways.items()]))
    if notes.reasons:
        found.append(("Why a number or an interval is missing", ("", ""), [
            (f"[{i}]", numbers.numbering.in_words(why))
            for i, why in enumerate(notes.reasons, start=1)]))
    return found


@dataclass(frozen=True)
class Picture:
    """A figure drawn: its caption, the bytes of its PNG, and how high it is for its width."""

    caption: str
    png: bytes
    aspect: float


def pictures(numbers: Numbers, entropy: FloatArray | None = None) -> list[Picture]:
    """All figures of a report, drawn once for every file that shows them.

    Parameters
    ----------
    entropy : (slices, rows, columns) of the posterior, 0 to 1, where there is one.
    """
    found: list[tuple[str, Figure | None]] = []
    if figures.bullseyes_known(numbers):
        found.append(("Bull's-eye of the AHA segments. Hatched: no wall.",
                      figures.bullseyes(numbers)))
    found += [("Outlines of the segmentation on the image.", figures.contours(numbers)),
              ("The infarct by each reference method.", figures.methods(numbers)),
              ("The area at risk by each reference method.", figures.edema_methods(numbers)),
              ("LGE in the wall, two fitted Gaussians, and the methods' thresholds (median of the "
               "slices).", figures.histogram(numbers))]
    if entropy is not None:
        found.append(("Where the method is unsure.", figures.uncertainty(entropy, numbers)))
    return [Picture(caption, figures.png(figure),
                    figure.get_figheight() / figure.get_figwidth())
            for caption, figure in found if figure is not None]


def provenance_lines(numbers: Numbers) -> list[str]:
    """What was measured with what, a line each; no path, name or date unless asked for."""
    lines = [f"{name} {version}" for name, version in versions().items()]
    lines = ["software: " + ", ".join(lines)]
    lines += [f"{key}: {value}" for key, value in _flat(numbers.provenance)]
    size, spacing = numbers.labels.shape[::-1], numbers.geometry.spacing
    return [*lines, f"grid: {size[0]} x {size[1]} x {size[2]} voxels of "
            + " x ".join(f"{s:.4g}" for s in spacing) + " mm",
            f"RV insertion points: {numbers.insertions}",
            "definitions and sources of every number: Docs/numbers.md of DeepGMM"]


def html_page(numbers: Numbers, shown: Sequence[Picture], title: str = "") -> str:
    """The report as one HTML file; pictures are within it, nothing is loaded from elsewhere.

    Parameters
    ----------
    shown : from `pictures`.
    title : what to call the study; nothing, unless the user asked for names.
    """
    parts = [f"<h1>Left ventricle: numbers and pictures{_escaped(' - ' + title if title else '')}"
             f"</h1><p><b>{_escaped(NOTICE)}</b></p>"]
    if numbers.warnings:
        parts.append("<h2>Read first</h2><ul>" + "".join(
            f"<li>{_escaped(numbers.numbering.in_words(text))}</li>"
            for text in numbers.warnings) + "</ul>")
    made = tables(numbers)
    parts += [_html_table(t) for t in made[:2]]
    for number, picture in enumerate(shown, start=1):
        data = base64.b64encode(picture.png).decode("ascii")
        caption = _escaped(picture.caption)
        parts.append(f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
                     f"<figcaption>Figure {number}. {caption}</figcaption></figure>")
    parts += [_html_table(t) for t in made[2:]]
    parts.append("<h2>Provenance</h2><ul class=small>" + "".join(
        f"<li>{_escaped(line)}</li>" for line in provenance_lines(numbers)) + "</ul>")
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>DeepGMM report</title><style>{_STYLE}</style></head><body>\n"
            + "\n".join(parts) + "\n</body></html>\n")


def pdf_pages(numbers: Numbers, shown: Sequence[Picture], title: str = "") -> bytes:
    """The same as a PDF of A4 pages: words and tables, then the figures, then the rest."""
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = io.BytesIO()
    with PdfPages(buffer, metadata={"Title": "DeepGMM report", "CreationDate": None}) as pdf:
        sheets = Sheets(pdf)
        sheets.words("Left ventricle: numbers and pictures" + (f" - {title}" if title else ""), 15,
                     bold=True)
        sheets.words(NOTICE, 10, bold=True)
        if numbers.warnings:
            sheets.words("Read first", 12, bold=True)
            for text in numbers.warnings:
                sheets.words(f"- {numbers.numbering.in_words(text)}", 9)
        made = tables(numbers)
        for table in made[:2]:
            sheets.table(*table)
        for number, picture in enumerate(shown, start=1):
            sheets.picture(picture.png, picture.aspect, f"Figure {number}. {picture.caption}")
        for table in made[2:]:
            sheets.table(*table)
        sheets.words("Provenance", 12, bold=True)
        for line in provenance_lines(numbers):
            sheets.words(line, 8)
        sheets.end()
    return buffer.getvalue()


_STYLE = """
body{font:15px/1.4 Georgia,serif;color:#000;background:#fff;max-width:1000px;margin:1em auto;
padding:0 1em}h1{font-size:1.5em}h2{font-size:1.15em;border-bottom:1px solid #000;margin-top:1.6em}
table{border-collapse:collapse;margin:.6em 0;font-size:.87em}
th,td{border-bottom:1px solid #999;padding:.15em .6em;text-align:right;vertical-align:top}
th:first-child,td:first-child,td.l{text-align:left}thead th{border-bottom:2px solid #000}
figure{margin:1em 0;break-inside:avoid}img{max-width:100%}figcaption,.small{font-size:.85em}
@media print{body{max-width:none;font-size:11px}h2{break-after:avoid}tr{break-inside:avoid}}
""".replace("\n", "")


class _Notes:
    """Reasons of missing numbers, each said once."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cell(self, number: Number | None, digits: int, *, unit: bool = False) -> str:
        if number is None:
            return ""
        if number.value is None:
            return self._dash(number.why)
        return f"{number.value:.{digits}f}" + (f" {number.unit}" if unit and number.unit else "")

    def interval(self, number: Number | None) -> str:
        if number is None or number.value is None:
            return ""
        if number.low is None or number.high is None:
            return self._dash(number.why)
        return f"{number.low:.1f} to {number.high:.1f}"

    def _dash(self, why: str) -> str:
        if why not in self.reasons:
            self.reasons.append(why)
        return f"- [{self.reasons.index(why) + 1}]"


def _without(row: dict[str, Number]) -> Number | None:
    """Why a segment has no numbers at all."""
    found = row.get("wall_volume")
    return found if found is not None and found.value is None else None


def _digits(key: str) -> int:
    return WORDS[key][1]


def _html_table(table: Table) -> str:
    title, heading, rows = table
    head = "" if not any(heading) else "<thead><tr>" + "".join(
        f"<th>{_escaped(h)}</th>" for h in heading) + "</tr></thead>"
    body = "".join("<tr>" + "".join(
        f"<td{' class=l' if len(cell) > 24 else ''}>{_escaped(cell)}</td>" for cell in row)
        + "</tr>" for row in rows)
    return f"<h2>{_escaped(title)}</h2><table>{head}<tbody>{body}</tbody></table>"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)


def _flat(value: Any, before: str = "") -> Iterable[tuple[str, str]]:
    """Nested provenance as lines."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{before} {key}".strip())
    elif value is not None:
        yield before, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
