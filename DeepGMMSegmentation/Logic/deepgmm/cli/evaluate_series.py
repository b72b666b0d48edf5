"""What `deepgmm evaluate` says beyond scores: methods tested, readers, segments, tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgmm.cli.common import hushed, table
from deepgmm.errors import InputError

if TYPE_CHECKING:
    from deepgmm.review.comparison import Compared, SegmentScore
    from deepgmm.review.metrics import Scores
    from deepgmm.study.words import Tissue

#: What the columns of that name count.
IN_NEITHER = ("in neither: cases where neither prediction nor truth has the tissue, so that there "
              "is no Dice; not averaged in")

Pairs = dict[str, tuple[Path, Path]]


class Series:
    """Cases with a reference, compared with one method and more."""

    def __init__(self, prediction: Path, truth: Path, pairs: Pairs, scores: dict[str, Scores],
                 wanted: tuple[Tissue, ...] | None, by_segment: bool,
                 points: Path | None, labels: str | None = None,
                 prediction_labels: str | None = None) -> None:
        self.truth, self.pairs, self.wanted = truth, pairs, wanted
        self.labels, self.prediction_labels = labels, prediction_labels
        self.by_segment, self.points = by_segment, points
        self.warnings: list[str] = []
        self.first = _short(prediction)
        self.methods: dict[str, dict[str, Compared]] = {
            self.first: self._compared(pairs, scores)}

    def add_methods(self, others: list[Path]) -> None:
        """Compare further methods with the reference.

        Raises
        ------
        InputError
            Two of one name, or predictions that do not belong to the cases.
        """
        from deepgmm.review.label_files import pairs_of, score_of

        for number, other in enumerate(others, start=2):
            pairs, warnings = pairs_of(other, self.truth)
            self.warnings += warnings
            name = _short(other)
            if name in self.methods:
                name = f"{name} ({number})"
            found = {case: score_of(case, *files, self.wanted, self.labels,
                                    self.prediction_labels) for case, files in pairs.items()}
            scores = {case: one[0] for case, one in found.items()}
            partly = sum(bool(one[1]) for one in found.values())
            if partly:
                self.warnings.append(f"{name} leaves slices out in {partly} of {len(found)} cases, "
                                     "which were not compared: see that the methods' cases are "
                                     "alike")
            self.methods[name] = self._compared(pairs, scores)

    def said(self, reader: Path | None) -> dict[str, Any]:
        """Tests, readers and segments as JSON values."""
        from deepgmm.review.comparison import segment_means, tests_of

        said: dict[str, Any] = {}
        if len(self.methods) > 1:
            said["methods"] = list(self.methods)
            said["tests"] = tests_of(self.methods)
        if reader is not None:
            said["readers"] = self._readers(reader)
        if self.by_segment:
            said["segments"] = {name: segment_means(cases)
                                for name, cases in self.methods.items()}
        return said

    def write(self, csv: Path | None, latex: Path | None, plot: Path | None) -> None:
        """The files that were asked for, together."""
        from deepgmm.cli.measuring import all_or_none, text_writer
        from deepgmm.review.comparison import latex_table, scores_csv, tests_of

        all_or_none({
                "scores' table": (csv, text_writer(lambda: scores_csv(self.methods))),
                "LaTeX table": (latex, text_writer(
                    lambda: latex_table(self.methods, tests_of(self.methods)))),
                "agreement's picture": (plot, self._plot)})

    def words(self, said: dict[str, Any]) -> str:
        """The same as text."""
        parts = []
        rows: list[tuple[str, ...]]
        if "tests" in said:
            rows = [("Dice, Wilcoxon's test", "cases", "difference", "p", "p (Holm)")]
            rows += [(key, str(t["cases"]), _number(t["mean_difference"], 3), _number(t["p"], 4),
                      _number(t["p_holm"], 4)) for key, t in said["tests"].items()]
            parts.append(table(rows))
        if "readers" in said:
            found = said["readers"]
            rows = [("two readers", "kappa", "ICC", "bias ml", "limits ml")]
            rows.append((f"all tissues, {found['cases']} cases", _number(found["kappa"], 3),
                         "", "", ""))
            for title, t in found["tissues"].items():
                low, high = t["limits_ml"]
                rows.append((title, _number(t["kappa"], 3), _number(t["icc"], 3),
                             _number(t["bias_ml"], 1), "-" if low is None
                             else f"{low:.1f} to {high:.1f}"))
            if "grade_kappa" in found:
                rows.append((f"grade of infarct, {found['graded_segments']} segments",
                             _number(found["grade_kappa"], 3), "", "", ""))
            parts.append(table(rows))
        for name, tissues in said.get("segments", {}).items():
            wide = [(f"by segment, {name}", "Dice", "cases", "in neither", "share off, points",
                     "HD95, mm")]
            wide += [(f"{title} {segment}", _number(s["dice"], 2), str(s["defined"]),
                      str(s["undefined"]), _number(s["percent_difference"], 1),
                      _number(s["hausdorff95"], 1))
                     for title, segments in tissues.items() for segment, s in segments.items()]
            parts.append(table(wide))
        if "segments" in said:
            parts.append("share off: by how many percentage points the share of the segment's wall "
                         f"is larger than in the truth; {IN_NEITHER}")
        return "\n" + "\n\n".join(parts) if parts else ""

    def _compared(self, pairs: Pairs, scores: dict[str, Scores]) -> dict[str, Compared]:
        from deepgmm.review.comparison import Compared

        return {case: Compared(scores[case], self._segments(case, *files, scores[case])
                               if self.by_segment else [])
                for case, files in pairs.items()}

    def _segments(self, case: str, prediction: Path, truth: Path,
                  scores: Scores) -> list[SegmentScore]:
        from deepgmm.reading.contours.markups import read_points
        from deepgmm.review.comparison import by_segment
        from deepgmm.review.label_files import left_out, read_both
        from deepgmm.study.insertion_points import estimated_points, given_points

        with hushed():
            true, other, _ = read_both(prediction, truth, self.labels, self.prediction_labels)
            found = other.on(true.geometry, true.values.shape)
        mask = true.values > 0
        path = self._points_of(case)
        named = f"case {case}: " if case else ""
        try:
            if path is None:
                points = estimated_points(mask, true.geometry)
                self.warnings.append("RV insertion points are estimated from how the patients "
                                     "lie: segments may be turned by some 20 degrees")
            else:
                points, said = given_points(read_points(path, "RV insertion points"),
                                            true.geometry, mask)
                self.warnings += [named + text for text in said]
        except InputError as refused:
            if path is not None:
                raise InputError(f"{named}{refused}") from refused
            self.warnings.append(f"{named}no AHA segments: {refused}")
            return []
        values = true.values.copy()
        values[left_out(found, values)] = 0
        segments = by_segment(found, values, true.geometry, points, tuple(scores.tissues))
        if not segments:
            self.warnings.append(f"{named}no AHA segments: base and apex cannot be told")
        return segments

    def _points_of(self, case: str) -> Path | None:
        if self.points is None:
            return None
        if not self.points.is_dir():
            if len(self.pairs) > 1:
                raise InputError("--rv-points is one file and there are several cases: give a "
                                 "folder with CASE.mrk.json")
            return self.points
        path = self.points / f"{case}.mrk.json"
        if not path.is_file():
            raise InputError(f"case {case}: the folder of RV insertion points has no file of its "
                             "name (.mrk.json)")
        return path

    def _readers(self, reader: Path) -> dict[str, Any]:
        from deepgmm.review.comparison import agreement_of
        from deepgmm.review.label_files import pairs_of, read_both
        from deepgmm.study.words import FOUR_TISSUES

        pairs, warnings = pairs_of(reader, self.truth)
        self.warnings += [w.replace("predictions", "cases of the second reader")
                          for w in warnings]
        second, first, geometries, segments = {}, {}, {}, []
        for case, (other, truth) in pairs.items():
            with hushed():
                try:
                    # two readers draw by one convention
                    true, drawn, _ = read_both(other, truth, self.labels, self.labels)
                    second[case] = drawn.on(true.geometry, true.values.shape)
                except InputError as error:
                    raise InputError(f"case {case}: {error}" if case else str(error)) from error
            first[case], geometries[case] = true.values, true.geometry
        held = {int(v) for labels in (*first.values(), *second.values())
                for v in set(labels.ravel().tolist())}
        tissues = self.wanted or tuple(t for t in FOUR_TISSUES if t in held)
        if self.by_segment:
            from deepgmm.review.metrics import Scores

            for case, files in pairs.items():
                segments += self._segments(case, *files, Scores(dict.fromkeys(tissues)))  # type: ignore[arg-type]
        return agreement_of(second, first, geometries, tissues, segments)

    def _plot(self, path: Path) -> None:
        from deepgmm.review.figures import agreement, png
        from deepgmm.study.words import Tissue

        cases = [c.scores.tissues for c in self.methods[self.first].values()]
        tissue = next((t for t in (Tissue.SCAR, Tissue.EDEMA, Tissue.MYOCARDIUM, Tissue.BLOOD)
                       if any(t in c for c in cases)), None)
        assert tissue is not None
        pairs = [(c[tissue].volume, c[tissue].true_volume) for c in cases if tissue in c]
        path.write_bytes(png(agreement(pairs, (self.first, "truth"), "ml",
                                       f"{tissue.title}, volume")))


def _short(path: Path) -> str:
    """What a method is called: its folder, or its file without its ending."""
    return path.name.split(".")[0] or "prediction"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
