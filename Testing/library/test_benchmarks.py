"""The benchmarks: each runs on a small setting and prints its tables; their scores by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "Benchmarks"
SUNNYBROOK = ROOT.parent / "shared" / "data" / "sunnybrook"

sys.path.insert(0, str(BENCHMARKS))

import common  # noqa: E402
import run_all  # noqa: E402


def run(name: str, *words: str) -> str:
    """What a benchmark prints; the paths of the library are its own affair."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, str(BENCHMARKS / f"{name}.py"), *words],
                          env=environment, capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_tables_are_whole(text: str) -> None:
    """Every row of every Markdown table has as many cells as its heading."""
    width, rows = 0, 0
    for line in text.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or line.count("|")
        assert line.count("|") == width, line
        rows += 1
    assert rows > 2 and "Machine: " in text


def verdicts(text: str) -> dict[str, str]:
    return {row[0]: row[3] for row in run_all.bars_in(text)}


def test_the_whole_command_is_timed() -> None:
    said = run("segment_command", "--runs", "1", "--slices", "1")
    assert_tables_are_whole(said)
    assert verdicts(said)["all outputs written"] == "PASS"
    assert len(verdicts(said)) == 6
    assert "each later study in that process" in said


def test_memory_and_time_of_more_slices_are_measured() -> None:
    said = run("scaling", "--slices", "5", "10", "--repeats", "1")
    assert_tables_are_whole(said)
    assert list(verdicts(said)) == ["memory, 5 slices"] and "| 10 | " in said


def test_accuracy_on_the_phantom_is_printed() -> None:
    said = run("phantom_accuracy", "--patients", "1", "--first-seed", "100")
    assert_tables_are_whole(said)
    assert said.count("| default (`auto`) | no |") == 3
    assert said.count("| orders components | none |") == 6
    assert set(verdicts(said).values()) <= {"PASS", "MISS"} and len(verdicts(said)) == 2


@pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason="no Sunnybrook data beside the project")
def test_real_patients_score_as_published_without_us() -> None:
    """The rows that none of our code makes, on all three patients."""
    import sunnybrook

    from deepgmm.reading.studies.from_files import read_study
    from deepgmm.review.metrics import dice

    means = []
    for file in sorted(SUNNYBROOK.glob("*_ED.nii.gz")):
        labels = file.with_name(file.name.replace("_ED", "_ED_lv"))
        study, truth = read_study(bssfp=file, mask=labels), sunnybrook.read_labels(labels)
        rows = (sunnybrook.brighter_is_blood(study), sunnybrook.eroded(study.mask))
        means.append([[np.mean([dice(f == k, t == k) for f, t in zip(found, truth) if 2 in t])
                       for k in (1, 2)] for found in rows])
    np.testing.assert_allclose(np.mean(means, axis=0), [[0.84, 0.79], [0.917, 0.871]], atol=0.005)


def test_real_patients_are_missed_without_their_data(tmp_path: Path) -> None:
    said = run("sunnybrook", "--data", str(tmp_path))
    assert "Not measured" in said
    assert set(verdicts(said).values()) == {"MISS"} and len(verdicts(said)) == 2


@pytest.fixture(scope="module")
def a_document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of all benchmarks writes, of one of them alone."""
    target = tmp_path_factory.mktemp("all") / "measurements.md"
    run("run_all", "--quick", "--only", "em_speed", "--output", str(target))
    return target


def test_em_is_held_against_scikit_learn(a_document: Path) -> None:
    said = a_document.read_text(encoding="utf-8").partition("## EM against scikit-learn")[2]
    assert_tables_are_whole(said)
    assert list(verdicts(said).values()) == ["PASS"]


def test_responsibilities_are_judged_by_their_own_m_step() -> None:
    """One class: the NLL of its own normal distribution; a hard split of two: by hand."""
    import deep_presets

    pixels = np.random.default_rng(1).normal(40.0, 3.0, (500, 2))
    nll, posterior = deep_presets.judged(pixels, np.ones((500, 1)), spatial=True)
    closed = 0.5 * (np.log(2 * np.pi * pixels.var(axis=0)) + 1).sum()
    assert nll == pytest.approx(closed, abs=1e-9) and (posterior == 1).all()

    pixels[250:] += 1000.0
    hard = np.repeat(np.eye(3)[:2], 250, axis=0)  # the third class has no pixel
    apart, posterior = deep_presets.judged(pixels, hard, spatial=True)
    halves = [0.5 * (np.log(2 * np.pi * p.var(axis=0)) + 1).sum()
              for p in (pixels[:250], pixels[250:])]
    assert apart == pytest.approx(np.mean(halves), abs=1e-9)
    np.testing.assert_array_equal(posterior, hard)
    shared, _ = deep_presets.judged(pixels, hard, spatial=False)
    assert shared == pytest.approx(apart + np.log(2), abs=1e-9), "each weighs one half"


def test_bars_are_found_among_the_tables() -> None:
    text = common.table(("a", "b"), [("1", "2")]) + "\n" + common.bars(
        [("speed", "under 1 s", "2 s", False), ("size", "any", "3", True),
         ("unknown", "1", "no data", None)])
    assert run_all.bars_in(text) == [["speed", "under 1 s", "2 s", "MISS"],
                                     ["size", "any", "3", "PASS"],
                                     ["unknown", "1", "no data", "MISS"]]


def test_a_run_of_all_writes_one_document(a_document: Path) -> None:
    text = a_document.read_text(encoding="utf-8")
    assert "no figure to quote" in text and "## EM against scikit-learn" in text
    assert text.count("| EM equals scikit-learn's, 2 slices |") == 2, "in summary and section"
    assert not list(a_document.parent.glob("*.part"))


def test_the_simulated_reader_says_nothing_but_the_truth() -> None:
    """One slice or 200 voxels, and the error elsewhere by hand."""
    sys.path.insert(0, str(Path(__file__).parent))
    import refine as reader
    from small_results import a_result_of

    result = a_result_of()
    truth = result.labels.copy()
    truth[truth == 3] = 2
    one = reader.finished(result, truth, 1)
    assert one.done == (1,) and not one.fixed[[0, 2]].any()
    np.testing.assert_array_equal(one.tissue[1], truth[1])
    few = reader.strokes(result, truth, 1)
    wrong = int((truth[1] != result.labels[1]).sum())
    assert few.fixed.sum() == min(wrong, reader.VOXELS) and not few.fixed[[0, 2]].any()
    assert (few.tissue[few.fixed] == truth[few.fixed]).all()
    slices = [0, 2]
    muscle, true = result.labels[slices] == 2, truth[slices] == 2
    share = 2 * (muscle & true).sum() / (muscle.sum() + true.sum())
    found = reader.error(result.labels, result.labels, truth, slices, result.tissues)
    assert found == pytest.approx((0 + (1 - share) + 1 + 0) / 4), "edema that is none counts as 1"
    assert reader.error(truth, result.labels, truth, slices, result.tissues) == 0
    another = reader.of_another(result, np.roll(truth, 3, 1), 1)
    assert another.fixed[1].sum() == result.study.mask[1].sum()
    heart = reader.Heart({"worst 1": 0.2}, {"worst 1": 0.15})
    assert reader.share([heart, reader.Heart({"worst 1": 0.2}, {"worst 1": 0.25})],
                        "worst 1") == pytest.approx(0)
    assert reader.worse([heart], "worst 1") == (0, 1)


def test_a_stroke_over_false_scar_is_told_by_make() -> None:
    import refine as reader

    gone, stays = reader.Heart(false=(4.0, 0.4)), reader.Heart(false=(4.0, 0.5))
    dear = reader.Heart(false=(4.0, 0.0), cost=0.02)
    groups = reader.by_make(["own", "own", "third", "EMIDEC", "EMIDEC"],
                            [gone, stays, reader.Heart(), gone, dear])
    told = reader.strokes_of("map", groups)
    free = {what.split(":")[0]: rest for what, *rest in told if "without infarct" in what}
    ill = {what.split(":")[0]: rest for what, *rest in told if "with infarct" in what}
    assert {make: rest[1:] for make, rest in free.items()} == {
        "map": ["2 of 3", False], "map, own make": ["1 of 2", False],
        "map, EMIDEC": ["1 of 1", True]}, "no bar where no heart needs a stroke"
    assert {make: rest[1:] for make, rest in ill.items()} == {
        make: ["0.020 at most, 1 hearts", False] for make in ("map", "map, EMIDEC")}
    assert reader.struck(groups) == "own make 2 and 0, third make 0 and 0, EMIDEC 1 and 1"
    alone = reader.strokes_of("map", reader.by_make(["own", "own"], [gone, stays]))
    assert [what.split(":")[0] for what, *_ in alone] == ["map", "map"]


def test_centre_and_ends_of_a_proposal_by_hand() -> None:
    from mask_proposal import placed

    truth = np.zeros((8, 20, 20), bool)
    truth[2:7, 5:15, 5:15] = True

    def moved(first: int, last: int, by: int = 0) -> np.ndarray:
        mask = np.zeros_like(truth)
        mask[first:last, 5:15, 5 + by:15 + by] = True
        return mask
    assert placed(truth, truth) == (True, True)
    assert placed(moved(1, 8), truth) == placed(moved(3, 6), truth) == (True, True)
    assert placed(moved(0, 7), truth) == placed(moved(2, 5), truth) == (True, False)
    assert placed(moved(2, 7, 5), truth) == (True, True)  # its middle lies on the last column
    assert placed(moved(2, 7, -5), truth) == (False, True)
    assert placed(np.zeros_like(truth), truth) == (False, False)


def test_a_folder_in_the_layout_of_acdc_is_read_at_end_diastole(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import SimpleITK as sitk
    from outline_patients import acdc

    codes = np.zeros((2, 5, 6), np.uint8)
    codes[:, 2, 1:4] = 1, 2, 3  # right ventricle, wall, pool
    for name, frame in (("patient001", 4), ("patient002", 1), ("patient003", 2)):
        folder = tmp_path / "training" / name
        folder.mkdir(parents=True)
        (folder / "Info.cfg").write_text(f"ED: {frame}\nES: 12\nGroup: NOR\nHeight: 171.0\n")
        for number in () if name == "patient003" else (frame, 12):
            for end, values in (("", np.full(codes.shape, number, np.int16)), ("_gt", codes)):
                image = sitk.GetImageFromArray(values)
                image.SetSpacing((1.5, 1.4, 10.0))
                sitk.WriteImage(image, str(folder / f"{name}_frame{number:02d}{end}.nii.gz"))
    read = list(acdc(tmp_path))
    assert [float(study.sequences["bssfp"].values.max()) for study, _, _ in read] == [4, 1]
    for study, truth, pool in read:
        np.testing.assert_array_equal(truth, np.select([codes == 3, codes == 2], [1, 2], 0))
        np.testing.assert_array_equal(pool, codes == 3)
        assert study.geometry.spacing == pytest.approx((1.5, 1.4, 10.0))
    assert "without its frame of end diastole" in capsys.readouterr().err


def test_what_the_next_slice_brings_by_hand() -> None:
    from where_next import Read, gone, left

    hearts = [Read({"order": [(0.2, 0.1), (0.1, 0.1)]}, {"order": [0.5, 0.4]}),
              Read({"order": [(0.2, 0.2)]}, {"order": [0.9]})]
    assert gone(hearts, "order", 1) == pytest.approx(0.25) and gone(hearts, "order", 2) == 0
    assert left(hearts, "order", 1) == [0.5, 0.9] and left(hearts, "order", 2) == [0.4]


def test_the_way_without_learning_finds_a_ring_in_noise() -> None:
    from outline_without_learning import outlined

    from deepgmm.review.metrics import dice
    from deepgmm.study.study import Geometry, Sequence, Study
    from deepgmm.study.words import Role

    y, x = np.mgrid[:90, :90] * 2.0
    away = np.stack([np.hypot(y - 84 - k, x - 99) for k in range(3)])
    values = np.where(away < 21, 1.0, np.where(away < 30, 0.25, 0.6))
    values = (values + np.random.default_rng(0).normal(0, 0.06, away.shape)).astype(np.float32)
    study = Study({Role.BSSFP: Sequence(Role.BSSFP, values)}, np.zeros(away.shape, bool),
                  Geometry((2.0, 2.0, 10.0)))
    assert dice(outlined(study), away < 30) > 0.9


def test_outlines_go_where_a_variation_puts_the_image() -> None:
    """An image that is its own truth, a ring's disc off the middle, still is after each."""
    import outline_sweeps as sweeps
    from outline_variations import Case, contracted, cut, in_slices

    from deepgmm.review.metrics import dice
    from deepgmm.study.words import Role

    y, x = np.mgrid[:110, :100] * 1.4
    radii = (18.0, 26.0, 32.0, 33.0)
    away = np.stack([np.hypot(y - 80 - k, x - 62) for k in range(4)])
    truth = away < np.array(radii)[:, None, None]
    case = Case({Role.BSSFP: 100 * truth.astype(np.float32)}, (truth, truth), (1.4, 1.4, 9.0))
    for row in sweeps.rows():
        if row.group in ("brightness", "noise", "shading", "slices"):
            continue
        other = row.way(case, np.random.default_rng(0))
        values = other.images[Role.BSSFP]
        assert other.masks[0].shape == values.shape and other.masks[0].any(), row.name
        assert dice(values > 0.5 * values.max(), other.masks[0]) > 0.97, row.name
        assert other.study.geometry.spacing == other.spacing
        area = other.masks[0].sum((1, 2)).max() * other.spacing[0] * other.spacing[1]
        if row.group in ("turned", "pixels"):
            assert area == pytest.approx(np.pi * 33.0 ** 2, rel=0.02), row.name
    # what leaves the pool leaves the whole: its wall of 9 mm keeps its area
    half = contracted(0.5)(case, None).masks[0][-1].sum() * 1.4 ** 2
    assert half == pytest.approx(np.pi * (33.0 ** 2 - 0.5 * 24.0 ** 2), rel=0.03)
    near = cut(least=4, most=4)(case, np.random.default_rng(0)).masks[0].any(0)
    assert not near[:4].any() and near[4].any() and not near[:, -4:].any() and near[:, -5].any()
    more = in_slices(7)(case, None)
    assert more.spacing[2] == 4.5 and (more.masks[0][::2] == truth).all()
    between = np.sqrt(more.masks[0].sum((1, 2)) * 1.4 ** 2 / np.pi)
    assert between[1] == pytest.approx(22.0, abs=0.8)
