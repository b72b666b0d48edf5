"""Labels of other data sets where they are learned from and compared: infarct is no edema."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from study_files import MASK, POOL, TRUTH, an_image, arrays, save
from test_conventions import CODES, a_patient, written

from deepgmm.cli.main import main
from deepgmm.errors import InputError
from deepgmm.phantom.files import write_patient
from deepgmm.reading.conventions import CONVENTIONS, parts_of, whole_numbers
from deepgmm.reading.masks.labelmap import read_labels
from deepgmm.reading.studies.labelled import described, find_labelled, label_warnings
from deepgmm.study.words import Tissue

pytestmark = pytest.mark.usefixtures("a_log_of_our_own")

#: The disk of `study_files` in EMIDEC's codes: infarct 3, a core of no-reflow 4.
INFARCT = TRUTH == Tissue.SCAR
CORE = INFARCT & (np.arange(48) > 24)


def emidec(*, no_reflow: bool) -> np.ndarray:
    labels = (1 * POOL + 2 * (MASK & ~POOL)).astype(np.uint8)
    labels[INFARCT] = 3
    if no_reflow:
        labels[CORE] = 4
    return labels


def a_case(folder: Path, labels: np.ndarray, roles: tuple[str, ...] = ("bssfp", "lge", "t2"),
           seed: int = 0) -> Path:
    made = arrays(seed)
    for role in (*roles, "mask"):
        save(made[role], folder / f"p{seed}" / f"{role}.nii.gz")
    save(labels, folder / f"p{seed}" / "labels.nii.gz")
    return folder


def tissues_of_the_patient(convention: str) -> np.ndarray:
    """The truth as far as a data set tells its tissues apart."""
    patient, (_, _, _, edema, scar, mvo) = a_patient(), CODES[convention]
    wanted = patient.truth.copy()
    if edema is None:
        wanted[patient.truth == Tissue.EDEMA] = Tissue.MYOCARDIUM
    if scar is None:
        wanted[patient.truth == Tissue.SCAR] = Tissue.MYOCARDIUM
    if mvo is not None:
        wanted[patient.truth_mvo] = Tissue.MVO
    return wanted


@pytest.mark.parametrize("convention", CODES)
def test_a_named_convention_gives_our_tissues(tmp_path: Path, convention: str) -> None:
    path = save(written(a_patient(), convention), tmp_path / "labels.nii.gz")
    found = read_labels(path, convention=convention)
    np.testing.assert_array_equal(found.values, tissues_of_the_patient(convention))
    assert (found.convention, found.warnings) == (convention, [])


@pytest.mark.parametrize("convention", ["acdc", "mnms", "myops"])
def test_shapes_and_values_tell_some_and_are_said(tmp_path: Path, convention: str) -> None:
    path = save(written(a_patient(), convention), tmp_path / "labels.nii.gz")
    found = read_labels(path)
    np.testing.assert_array_equal(found.values, tissues_of_the_patient(convention))
    assert CONVENTIONS[convention].title in found.warnings[0] and "--labels" in found.warnings[0]


def test_infarct_that_could_be_edema_is_asked_about(tmp_path: Path) -> None:
    path = save(emidec(no_reflow=False), tmp_path / "labels.nii.gz")
    with pytest.raises(InputError, match="say --labels deepgmm or emidec"):
        read_labels(path)
    assert (read_labels(path, convention="emidec").values == Tissue.SCAR).sum() == INFARCT.sum()
    assert (read_labels(path, convention="deepgmm").values == Tissue.EDEMA).sum() == INFARCT.sum()
    with pytest.raises(InputError, match="no tissue in the labels of EMIDEC .5."):
        read_labels(save(TRUTH + 1, tmp_path / "b.nii.gz"), convention="emidec")
    with pytest.raises(InputError, match="plain says nothing of tissues"):
        read_labels(path, convention="plain")


@pytest.mark.parametrize("no_reflow", [False, True])
@pytest.mark.parametrize("roles", [("lge",), ("bssfp", "lge", "t2")])
def test_infarct_is_never_learned_as_edema(tmp_path: Path, capsys, roles, no_reflow: bool) -> None:
    """Refused without a name, whatever else is there; with it, scar is what lies there."""
    for seed in (0, 1):
        a_case(tmp_path / "cases", emidec(no_reflow=no_reflow), roles, seed)
    with pytest.raises(InputError, match="--labels"):
        find_labelled(tmp_path / "cases")
    words = ["priors", str(tmp_path / "cases"), "-o", str(tmp_path / "p.json")]
    assert main(words) == 2
    assert "--labels" in capsys.readouterr().err and not (tmp_path / "p.json").exists()
    if no_reflow and len(roles) == 1:  # the same door; it takes longer to open
        assert main(["train", str(tmp_path / "cases"), "-o", str(tmp_path / "network")]) == 2
        assert "--labels" in capsys.readouterr().err and not (tmp_path / "network").exists()
    case, _ = find_labelled(tmp_path / "cases", labels="emidec")
    _, labels = case.read()
    np.testing.assert_array_equal(labels == Tissue.SCAR, INFARCT)
    assert not (labels == Tissue.EDEMA).any()
    assert described([case]).endswith("1 labelled, as EMIDEC codes them")
    assert main([*words, "--labels", "emidec"]) == 0
    rows = json.loads((tmp_path / "p.json").read_text())["kinds"]["lge-magnitude"]["tissues"]
    assert rows["edema"]["pixels"] == 0


def test_phantoms_recoded_in_place_are_not_learned_either(tmp_path: Path) -> None:
    """Whatever lies beside them says that they are ours."""
    patient = a_patient()
    write_patient(patient, tmp_path / "one")
    (tmp_path / "one" / "phantom.json").write_text(json.dumps(
        {"kinds": {r.value: s.kind.value for r, s in patient.study.sequences.items()}}))
    case, = find_labelled(tmp_path)
    np.testing.assert_array_equal(case.read()[1], patient.truth)
    path = tmp_path / "one" / "truth.nii.gz"
    image = sitk.GetImageFromArray(written(patient, "emidec"))
    image.CopyInformation(sitk.ReadImage(str(path)))
    for note in ("", "DeepGMM labels"):
        image.SetMetaData("ITK_FileNotes", note)
        sitk.WriteImage(image, str(path))
        with pytest.raises(InputError, match="--labels"):
            find_labelled(tmp_path)


def test_edema_stays_edema(tmp_path: Path) -> None:
    """With and without scar: on LGE it is hardly brighter than the wall."""
    bright = arrays(1)["lge"]
    only = np.where(TRUTH == Tissue.SCAR, Tissue.EDEMA, TRUTH).astype(np.uint8)
    a_case(tmp_path, TRUTH)
    a_case(tmp_path, only, seed=1)
    level = np.median(bright[TRUTH == Tissue.EDEMA])
    save(np.where(TRUTH == Tissue.SCAR, level, bright).astype(np.float32),
         tmp_path / "p1" / "lge.nii.gz")
    first, second = find_labelled(tmp_path)
    np.testing.assert_array_equal(first.read()[1], TRUTH)
    np.testing.assert_array_equal(second.read()[1], only)
    assert label_warnings([first, second], None) == []


@pytest.mark.parametrize("convention", ["acdc", "mnms"])
def test_a_right_ventricle_is_not_learned(tmp_path: Path, convention: str) -> None:
    patient = a_patient()
    write_patient(patient, tmp_path / "one")
    path = tmp_path / "one" / "truth.nii.gz"
    image = sitk.GetImageFromArray(written(patient, convention))
    image.CopyInformation(sitk.ReadImage(str(path)))
    sitk.WriteImage(image, str(path))
    for said in (None, convention):
        case, = find_labelled(tmp_path, labels=said)
        np.testing.assert_array_equal(
            case.read()[1], np.where(patient.truth > 2, Tissue.MYOCARDIUM, patient.truth))
        warnings = label_warnings([case], said)
        assert any("is the whole wall" in w for w in warnings)
        assert any("say --labels" in w for w in warnings) is (said is None)


def test_evaluate_asks_what_it_cannot_know(tmp_path: Path, capsys) -> None:
    """A truth of EMIDEC against labels of ours: nothing in either file tells."""
    truth = save(emidec(no_reflow=True), tmp_path / "truth.nrrd")
    ours = np.where(TRUTH == Tissue.EDEMA, Tissue.MYOCARDIUM, TRUTH).astype(np.uint8)
    prediction = save(ours, tmp_path / "prediction.nrrd")
    assert main(["evaluate", str(prediction), str(truth)]) == 2
    assert "say --labels deepgmm or emidec" in capsys.readouterr().err
    assert main(["evaluate", str(prediction), str(truth), "--labels", "emidec", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["volume"]["Scar"]["dice"] == 1
    # as the data set calls its files, it is known
    named = save(emidec(no_reflow=False), tmp_path / "Contours" / "Case_P001.nii.gz")
    assert main(["evaluate", str(prediction), str(named)]) == 0
    out = capsys.readouterr().out
    assert "Scar        1.000" in out and "read as labels of EMIDEC by its name" in out


def test_evaluate_takes_a_convention_for_each(tmp_path: Path, capsys) -> None:
    patient = a_patient()
    truth = save(written(patient, "acdc"), tmp_path / "truth.nrrd")
    for convention in ("mnms", "deepgmm"):
        prediction = save(written(patient, convention), tmp_path / "prediction.nrrd")
        assert main(["evaluate", str(prediction), str(truth), "--labels", "acdc",
                     "--prediction-labels", convention, "--json"]) == 0
        scores = json.loads(capsys.readouterr().out)["volume"]
        assert scores["Blood"]["dice"] == 1
        assert (scores["Myocardium"]["dice"] == 1) is (convention == "mnms")
    assert main(["evaluate", str(prediction), str(truth), "--labels", "sausage"]) == 2
    assert "no label convention" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_our_own_labelmaps_say_that_they_are(tmp_path: Path, suffix: str) -> None:
    from small_results import a_result_of

    from deepgmm.review.outputs import write_outputs

    write_outputs(a_result_of(), labelmap=tmp_path / f"l{suffix}")
    assert read_labels(tmp_path / f"l{suffix}").ours


def test_labels_a_hair_off_whole_numbers_are_those(tmp_path: Path) -> None:
    for values, wanted in ((TRUTH * 1.0004, TRUTH), (TRUTH + 0.003, TRUTH),
                           (np.where(TRUTH == 4, 2221.02, np.select(
                               [TRUTH == 1, TRUTH == 2, TRUTH == 3], [500, 200, 1220])), TRUTH)):
        path = save(values.astype(np.float32), tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(read_labels(path).values, wanted)
        np.testing.assert_array_equal(parts_of(values.astype(np.float32)).mask, MASK)
    path = save(np.where(TRUTH == 1, 1.4, TRUTH).astype(np.float32), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"no tissue \(1\.4\)"):
        read_labels(path)
    with pytest.raises(InputError, match="1.4"):
        parts_of(np.where(TRUTH == 1, 1.4, TRUTH), "deepgmm")
    faint = MASK * 0.004  # a mask that was scaled to fractions is still all there
    np.testing.assert_array_equal(whole_numbers(faint), faint)


def test_myops_is_not_named_otherwise(tmp_path: Path) -> None:
    from deepgmm.phantom.myops_files import write_patient as write_myops

    write_myops(a_patient(), tmp_path, 101)
    with pytest.raises(InputError, match="leave it out"):
        find_labelled(tmp_path, labels="acdc")
    case, = find_labelled(tmp_path, labels="myops")
    np.testing.assert_array_equal(case.read()[1], a_patient().truth)


def test_an_image_of_labels_is_no_longer_than_its_grid(tmp_path: Path) -> None:
    """The grid comes with the labels, whoever wrote them."""
    path = save(written(a_patient(), "acdc")[:3, :48, :48], tmp_path / "a.nrrd")
    found = read_labels(path, convention="acdc")
    assert found.values.shape == an_image(TRUTH).GetSize()[::-1]
