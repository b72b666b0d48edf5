"""The command line, used as people use it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import get_type_hints

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, TRUTH, options, save, save_all

from deepgmm import __version__
from deepgmm.cli.demo_command import demo
from deepgmm.cli.evaluate_command import evaluate
from deepgmm.cli.idle import idle_options
from deepgmm.cli.import_command import import_folder
from deepgmm.cli.log import _FLAGS, _WORDS
from deepgmm.cli.main import _command, main
from deepgmm.cli.phantom_command import phantom
from deepgmm.cli.segment_command import segment
from deepgmm.errors import InputError
from deepgmm.phantom import make_patient, write_patient
from deepgmm.reading.masks.labelmap import read_labels
from deepgmm.settings import Settings
from deepgmm.study.words import Tissue

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

COMMANDS = ("segment", "demo", "phantom", "evaluate", "import", "train", "priors", "models",
            "myops", "quantify", "report", "refine", "versions", "brain")


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """bSSFP, LGE, T2 and LV mask, as options."""
    return options(save_all(tmp_path / "in"))


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


# Help

def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "SimpleITK", "monai")
    code = ("import sys; from deepgmm.cli.main import main; "
            "assert main(['--help']) == main(['segment', '--help']) == 0; "
            f"print([m for m in {heavy} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str, capsys) -> None:
    assert run(command, "--help") == 0
    help_text = capsys.readouterr().out
    assert f"deepgmm {command}" in help_text.split("Example:")[1]
    assert run("--help") == 0
    assert f"\n  {command} " in capsys.readouterr().out


def test_the_contracts_options_are_there(capsys) -> None:
    run("segment", "--help")
    text = capsys.readouterr().out
    for option in ("--bssfp", "--lge", "--t2", "--mask", "-o,", "--wall", "--lge-kind",
                   "--t2-kind", "--slices", "--labelmap", "--probabilities", "--montage",
                   "--method", "--preset", "--device", "--seed", "--report", "--quiet", "--json",
                   "--tissues", "--priors", "--resample"):
        assert option in text
    for choice in ("auto|gmm|svgmm|map|deepg|deepsvg", "fast|accurate|paper",
                   "auto|cpu|cuda|mps"):
        assert choice in "".join(text.split())


def test_no_argument_at_all_shows_the_help(capsys) -> None:
    assert run() == 0
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"deepgmm {__version__}\n"


def test_without_typer_the_extra_is_named() -> None:
    code = ("import sys; sys.modules['typer'] = None; from deepgmm.cli.main import main; "
            "sys.exit(main(['--help']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert f"{Path(sys.executable).name} -m pip install 'typer>=0.12' 'rich>=13'" in done.stderr
    assert "Traceback" not in done.stderr


def test_python_m_deepgmm_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "deepgmm", "--version"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"deepgmm {__version__}\n")


# Segment

def test_segment_writes_all_that_is_asked_for(inputs, out: Path, capsys) -> None:
    """Other readers find the tissues where the patient has them."""
    assert run("segment", *inputs, "-o", out / "o.seg.nrrd", "--labelmap", out / "o.nii.gz",
               "--probabilities", out / "p.nii.gz", "--montage", out / "o.png",
               "--report", out / "o.json", "--method", "map") == 0
    assert {p.name for p in out.iterdir()} == {"o.seg.nrrd", "o.nii.gz", "p.nii.gz", "o.png",
                                               "o.json"}
    labels = nibabel.load(out / "o.nii.gz")
    found = np.asarray(labels.dataobj).T
    for tissue in (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR):
        a, b = found == tissue, TRUTH == tissue
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8, tissue
    assert not found[~MASK].any()
    mask = nibabel.load(inputs[inputs.index("--mask") + 1])
    # The last digit of NIfTI's single precision.
    np.testing.assert_allclose(labels.affine, mask.affine, rtol=2.4e-7, atol=1e-6)
    np.testing.assert_array_equal(read_labels(out / "o.seg.nrrd").values, found)
    sums = np.asarray(nibabel.load(out / "p.nii.gz").dataobj).sum(axis=-1).T
    np.testing.assert_allclose(sums[MASK], 1, atol=1e-4)
    captured = capsys.readouterr()
    assert "Scar" in captured.out and str(out / "o.png") in captured.out
    assert captured.err == ""


def test_the_report_names_no_file(inputs, out: Path, tmp_path: Path) -> None:
    run("segment", *inputs, "--report", out / "o.json", "--quiet")
    text = (out / "o.json").read_text()
    assert str(tmp_path) not in text and ".nii" not in text
    report = json.loads(text)
    assert set(report["input_hashes"]) == {"bssfp", "lge", "t2", "mask"}


def test_the_report_says_how_long_each_stage_took(inputs, out: Path) -> None:
    began = time.perf_counter()
    run("segment", *inputs, "--montage", out / "o.png", "--report", out / "o.json", "--quiet")
    whole = time.perf_counter() - began
    times = json.loads((out / "o.json").read_text())["times_s"]
    total = times.pop("total")
    assert set(times) == {"read", "load", "segment", "write"}
    assert min(times[stage] for stage in ("read", "segment", "write")) > 0
    assert total == pytest.approx(sum(times.values()), abs=0.01) and total < whole


def test_every_setting_has_an_option(capsys) -> None:
    """What Python can choose, the command line can."""
    run("segment", "--help")
    text = capsys.readouterr().out
    names = {"keep_mvo": "mvo"}
    for field in dataclasses.fields(Settings):
        assert f"--{names.get(field.name, field.name).replace('_', '-')} " in text, field.name


def test_json_on_stdout_is_the_report(inputs, out: Path, capsys) -> None:
    assert run("segment", *inputs, "--method", "map", "--json", "--report", out / "o.json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "o.json").read_text())
    assert printed["volumes_ml"]["Scar"] == pytest.approx((TRUTH == 4).sum() * 0.032, rel=0.2)


def test_quiet_says_nothing(inputs, out: Path, capsys) -> None:
    assert run("segment", *inputs, "--method", "map", "-o", out / "o.seg.nrrd", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_warnings_are_said_even_when_quiet(tmp_path: Path, out: Path, capsys) -> None:
    paths = save_all(tmp_path / "in")
    border = np.roll(MASK, 7, axis=1).astype(np.uint8)
    paths["mask"] = save(border, tmp_path / "in" / "border.nii.gz")
    assert run("segment", *options(paths), "--labelmap", out / "o.nii.gz", "-q") == 0
    errors = capsys.readouterr().err.splitlines()
    assert "warning: the LV mask touches the image's border: see whether the heart is cut off" \
        in errors
    assert all(line.startswith("warning: ") for line in errors)
    assert len(errors) == len(set(errors))


def test_options_come_in_any_order(inputs, out: Path) -> None:
    pairs = [inputs[i : i + 2] for i in range(0, len(inputs), 2)]
    for name, order in (("a", pairs), ("b", pairs[::-1])):
        run("segment", *[w for p in order for w in p], "--labelmap", out / f"{name}.nrrd", "-q")
    same = [sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"{n}.nrrd"))) for n in "ab"]
    np.testing.assert_array_equal(*same)


def test_choices_reach_the_fit(inputs, out: Path, monkeypatch) -> None:
    """A stand-in takes the place of the fit and says what it was given."""
    asked = {}

    class Seen(Exception):
        pass

    def fit(study, settings, *, progress):
        asked.update(settings.as_dict(), slices=study.slices,
                     kinds=[s.kind.value for s in study.sequences.values()])
        progress(0.5, "fitting")
        raise Seen

    monkeypatch.setattr(importlib.import_module("deepgmm.segment"), "segment", fit)
    assert run("segment", *inputs, "-o", out / "o.seg.nrrd", "--method", "deepsvg",
               "--preset", "paper", "--device", "cpu", "--seed", 7, "--tissues",
               "blood, scar", "--slices", "0,2", "--lge-kind", "dark-blood",
               "--t2-kind", "unknown", "--covariance", "full", "--restarts", 3,
               "--mean-weight", 0.5, "--total-variation", 0.25, "--bias-degree", 2) == 3
    assert asked.items() >= {
        "restarts": 3, "mean_weight": 0.5, "total_variation": 0.25, "bias_degree": 2,
        "method": "deepsvg", "preset": "paper", "device": "cpu", "seed": 7,
        "tissues": ["blood", "scar"], "slices": (0, 2), "covariance": "full",
        "kinds": ["bssfp", "lge-dark-blood", "t2-unknown"[3:]]}.items()


def test_wall_and_resample_reach_the_reading(tmp_path: Path, out: Path) -> None:
    paths = save_all(tmp_path / "in", ("bssfp", "lge", "t2", "mask", "wall"))
    half = MASK[:, ::2, ::2].astype(np.uint8)
    paths["mask"] = save(half, tmp_path / "half.nrrd", spacing=(4.0, 4.0, 8.0))
    arguments = ["segment", *options(paths), "--report", out / "o.json", "-q"]
    assert run(*arguments) == 2
    assert run(*arguments, "--resample") == 0
    report = json.loads((out / "o.json").read_text())
    assert "wall" in report["input_hashes"]
    assert any("resampled" in w for w in report["warnings"])


def test_ones_own_priors_enter_by_their_hash(inputs, out: Path, tmp_path: Path) -> None:
    priors = tmp_path / "priors of Jane.json"
    priors.write_text('{"lge-psir": {}}')  # of a kind that this study has not
    assert run("segment", *inputs, "--priors", priors, "--report", out / "o.json", "-q") == 0
    text = (out / "o.json").read_text()
    assert "Jane" not in text
    wanted = hashlib.sha256(priors.read_bytes()).hexdigest()
    assert json.loads(text)["settings"]["priors"] == f"sha256:{wanted}"


def test_what_replaces_an_older_file_is_said(inputs, out: Path, capsys) -> None:
    (out / "o.json").write_text("older")
    assert run("segment", *inputs, "--report", out / "o.json", "--labelmap", out / "o.nrrd") == 0
    said = capsys.readouterr().out.splitlines()
    assert f"report: {out / 'o.json'} (replaced)" in said and f"labelmap: {out / 'o.nrrd'}" in said


# Options that do nothing

@pytest.mark.parametrize(("words", "said"), [
    (["--covariance", "full"], "--covariance does nothing with --method auto: it acts on "
                               "gmm, svgmm"),
    (["--method", "map", "--mean-weight", 0.5], "--mean-weight does nothing with --method map: "
                                                "it acts on deepg, deepsvg"),
    (["--method", "gmm", "--papillary", "wall"], "--papillary does nothing with --method gmm: "
                                                 "it acts on auto, map, deepg, deepsvg"),
    (["--seed", 7], "--seed does nothing with --method auto: "
                    "it acts on gmm, svgmm, deepg, deepsvg"),
    (["--method", "gmm", "--preset", "paper", "--restarts", 2],
     "--restarts does nothing with --preset paper and --method gmm"),
    (["--tissues", "myocardium,scar", "--papillary", "wall"],
     "--papillary does nothing with these --tissues: it needs blood and myocardium"),
    (["--tissues", "myocardium,scar", "--covariance", "full"], ""),
    (["--method", "gmm", "--covariance", "full", "--restarts", 2], ""),
    (["--method", "map", "--restarts", 5], ""),
])
def test_an_option_that_does_nothing_is_said_to(inputs, out, capsys, words, said) -> None:
    assert run("segment", *inputs, "--report", out / "o.json", *words) == 0
    idle = [w for w in capsys.readouterr().err.splitlines() if "does nothing" in w]
    assert idle == ([f"warning: {said}"] if said else [])


def test_an_option_that_acts_is_not_said_to_do_nothing() -> None:
    assert idle_options(Settings(method="deepsvg", papillary="wall", seed=3)) == []
    assert idle_options(Settings(model="ours", adapt=2)) == []


# Alignment

def a_shifted_patient(folder: Path) -> dict[str, Path]:
    """A phantom whose T2 lies 5 mm further along the rows."""
    patient = make_patient(1000, slices=2)
    paths = write_patient(patient, folder)
    image = sitk.ReadImage(str(paths["t2"]))
    pixels = round(5 / image.GetSpacing()[0])
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image), pixels, axis=2))
    moved.CopyInformation(image)
    sitk.WriteImage(moved, str(paths["t2"]))
    return {role: paths[role] for role in ("bssfp", "lge", "t2", "mask")}


def test_a_shifted_t2_is_moved_and_shown(tmp_path: Path, out: Path, capsys) -> None:
    from PIL import Image

    inputs = options(a_shifted_patient(tmp_path / "in"))
    assert run("segment", *inputs, "--report", out / "o.json", "--align", "shift",
               "--align-picture", out / "x.gif") == 0
    printed = capsys.readouterr()
    assert "aligned on LGE" in printed.out and f"alignment picture: {out / 'x.gif'}" in printed.out
    report = json.loads((out / "o.json").read_text())["alignment"]
    assert report["applied"]
    lengths = [np.hypot(m["dx"], m["dy"]) for m in report["moves"] if m["sequence"] == "t2"]
    assert lengths and min(lengths) > 3
    assert "T2 was moved by up to" in printed.err
    with Image.open(out / "x.gif") as picture:
        assert picture.n_frames == 2


def test_the_default_warns_of_a_shift_and_moves_nothing(tmp_path: Path, out: Path, capsys) -> None:
    inputs = options(a_shifted_patient(tmp_path / "in"))
    assert run("segment", *inputs, "--report", out / "o.json") == 0
    printed = capsys.readouterr()
    assert "aligned on" not in printed.out
    assert "T2 lies up to" in printed.err and "--align shift" in printed.err
    report = json.loads((out / "o.json").read_text())
    assert report["alignment"]["applied"] is False
    assert report["warnings"][0].startswith("T2 lies up to")
    assert run("segment", *inputs, "--report", out / "o.json", "--align", "off") == 0
    assert "T2 lies" not in capsys.readouterr().err
    assert "alignment" not in json.loads((out / "o.json").read_text())


def test_the_picture_appears_with_the_other_files_or_not_at_all(inputs, out, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise InputError("the montage cannot be written")

    monkeypatch.setattr("deepgmm.review.outputs.write_outputs", fails)
    assert run("segment", *inputs, "--align-picture", out / "x.png", "-o", out / "o.seg.nrrd") == 2
    assert list(out.iterdir()) == []


def test_lge_alone_has_nothing_to_align(tmp_path: Path, out: Path, capsys) -> None:
    paths = save_all(tmp_path / "in", ("lge", "mask"))
    assert run("segment", *options(paths), "--labelmap", out / "o.nrrd", "--align", "shift",
               "--align-picture", out / "x.png") == 0
    printed = capsys.readouterr()
    assert "nothing to align: LGE is the only sequence" in printed.err
    assert "aligned on" not in printed.out and "alignment picture" not in printed.out
    assert [p.name for p in out.iterdir()] == ["o.nrrd"]


# Log

@pytest.mark.parametrize("words", [
    ["import", "nowhere", "-o", "Mueller_Hans_study"], ["import", "nowhere", "-oMueller_Hans"],
    ["import", "nowhere", "-qoMueller_Hans"], ["import", "nowhere", "--output=Mueller_Hans"],
    ["import", "Mueller_Hans"], ["import", "--identified", "Mueller_Hans"],
    ["import", "--", "-Mueller_Hans"], ["evaluate", "Mueller_Hans", "Mueller_Hans_too"],
    ["segment", "--labelmap", "Mueller_Hans"], ["segment", "--lge", "Mueller_Hans", "--json"],
    ["segment", "--study", "Mueller_Hans", "--json"], ["segment", "--mistyped", "Mueller_Hans"],
    ["segment", "-o", "-Mueller_Hans"], ["Mueller_Hans"],
])
def test_no_path_is_logged_whatever_it_looks_like(words, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepgmm.cli.log.default_log", lambda: tmp_path / "deepgmm.log")
    assert run(*words) == 2
    log = (tmp_path / "deepgmm.log").read_text()
    assert "Mueller" not in log and "Hans" not in log, log


def test_words_stay_in_the_log_and_none_but_the_user_reads_it(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.touch(mode=0o644)
    for _ in range(2):
        assert run("segment", "--method", "gmm", "--seed", 7, "--log", log, "--json") == 2
    assert log.read_text().count("deepgmm segment --method gmm --seed 7 --log <log> --json\n") == 2
    if sys.platform != "win32":
        assert log.stat().st_mode & 0o777 == 0o600


def test_the_log_knows_which_options_take_what() -> None:
    """A flag taken for an option would let a path pass for a word."""
    seen = set()
    commands = dict(_command().commands)
    for name, group in list(commands.items()):
        commands |= {f"{name} {part}": c for part, c in getattr(group, "commands", {}).items()}
    for name, command in commands.items():
        for option in (p for p in command.params if p.param_type_name == "option"):
            for spelling in option.opts:
                assert option.is_flag == (spelling in _FLAGS), (name, spelling)
                seen.add(spelling.lstrip("-"))
    assert seen >= _WORDS
    hints = [h for c in (segment, demo, phantom, evaluate, import_folder)
             for h in get_type_hints(c).items()]
    paths = {name.replace("_", "-") for name, hint in hints if "Path" in str(hint)}
    assert {"output", "lge", "study", "log"} <= paths and not paths & _WORDS
