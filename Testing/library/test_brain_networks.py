"""A brain's networks: trained from folders, kept on disk, asked again; tables of few labels."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from deepgmm.brain.network_card import load_brain_network
from deepgmm.brain.scores import agreement
from deepgmm.brain.table import LOSSES, TableSettings, table
from deepgmm.brain.tissues import BrainTissue
from deepgmm.brain.training import train
from deepgmm.brain.unsupervised import Sliced, UnsupervisedSettings, fit, segment
from deepgmm.brain.volumes import BrainVolume
from deepgmm.errors import InputError
from deepgmm.study.study import Geometry
from deepgmm.weights.card import Learning

SMALL = UnsupervisedSettings(filters=4, levels=2, convolutions=1, steps=6, batch=4)


def ball(seed=0, size=26, spacing=(3.0, 3.0, 3.0), noise=5.0, inverted=False):
    generator = np.random.default_rng(seed)
    z, y, x = np.mgrid[:size, :size, :size] - (size - 1) / 2
    radius = np.sqrt(z**2 + (1.1 * y) ** 2 + (0.95 * x) ** 2)
    labels = np.where(radius < size * .3, 3, np.where(radius < size * .42, 2, 1)).astype(np.uint8)
    labels[radius > size * .45] = 0
    level = np.array([0, 110, 75, 40] if inverted else [0, 40, 75, 110])[labels]
    image = np.where(labels > 0, level + noise * generator.standard_normal(labels.shape), 0)
    return BrainVolume(image.clip(0).astype(np.float32), labels > 0, labels,
                       Geometry(spacing, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))


def ibsr(root, count, labelled=True):
    for number in range(1, count + 1):
        volume = ball(number)
        folder = root / f"IBSR_{number:02}"
        folder.mkdir(parents=True)
        for name, values in ((folder.name, volume.image), (folder.name + "_seg", volume.labels)):
            if name.endswith("_seg") and not labelled:
                continue
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((3.0, 3.0, 3.0))
            sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return root


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (1.0, 3.0, 1.0), (3.0, 1.0, 1.0)])
def test_slices_lie_across_the_longest_voxels_and_go_back_voxel_by_voxel(spacing):
    volume = ball(spacing=spacing)
    volume.image[:, :, 13:] *= 0.8  # no symmetry
    sliced = Sliced.of([volume], SMALL)
    assert volume.spacing[sliced.axes[0]] == 3.0
    positive = volume.image[volume.mask & (volume.image > 0)]
    back = sliced.back(sliced.slices.images.numpy(), 0, volume.image.shape)
    wanted = np.where(volume.mask, volume.image / np.percentile(positive, 98), 0).clip(0, 2)
    assert np.allclose(back, wanted, atol=1e-6)


def test_inverted_contrast_has_its_own_order():
    for inverted, contrast in ((False, "T1"), (True, "T2")):
        volume = ball(inverted=inverted)
        settings = UnsupervisedSettings(contrast=contrast, filters=4, levels=2, convolutions=1,
                                        steps=2, batch=4)
        found = segment(volume, fit([volume], settings), settings)
        scores = agreement(found.labels, volume.labels)
        assert scores[BrainTissue.WM].f1 > 0.9 and scores[BrainTissue.GM].f1 > 0.85
        assert np.argsort(found.means).tolist() == ([2, 1, 0] if inverted else [0, 1, 2])
        assert not found.labels[~volume.mask].any() and found.labels[volume.mask].all()
        assert np.allclose(found.probabilities.sum(0), volume.mask, atol=1e-5)


def test_a_field_is_found_and_given_back_on_the_volumes_grid():
    volume = ball()
    ramp = np.linspace(0.9, 1.1, 26, dtype=np.float32)[:, None, None]
    volume.image = volume.image * ramp
    settings = UnsupervisedSettings(filters=4, levels=2, convolutions=1, steps=2, batch=4,
                                    degree=1)
    found = segment(volume, fit([volume], settings), settings)
    inside = volume.mask
    assert np.corrcoef(found.field[inside], np.broadcast_to(ramp, inside.shape)[inside])[0, 1] > .9


def test_training_saves_what_can_be_read_back_and_says_what_it_learned_of(tmp_path):
    folder = ibsr(tmp_path / "cases", 2)
    card = train(folder, tmp_path / "net", unsupervised=SMALL)
    assert card.learning is Learning.UNSUPERVISED and card.labelled_cases.loss == 0
    network, again = load_brain_network(tmp_path / "net")
    assert again == card and len(again.training["cases"]) == 2
    volume = ball(3)
    same = fit([ball(1), ball(2)], SMALL)
    a, b = (segment(volume, n, SMALL).probabilities for n in (network, same))
    assert np.allclose(a, b, atol=1e-2)
    assert "IBSR" not in json.dumps(again.training["cases"])


def test_labels_that_enter_the_loss_are_counted(tmp_path):
    from dataclasses import replace

    card = train(ibsr(tmp_path / "cases", 2), tmp_path / "net",
                 unsupervised=replace(SMALL, label_weight=1.0, steps=2))
    assert card.learning is Learning.SUPERVISED and card.labelled_cases.loss == 2


@pytest.mark.parametrize("change, word", [
    (lambda card: card | {"kind": "other"}, "cannot be"),
    (lambda card: card | {"version": 99}, "update deepgmm"),
    (lambda card: card | {"format": "deepgmm network"}, "brain train"),
    (lambda card: card | {"more": 1}, "not known"),
    (lambda card: card | {"sha256": "0" * 64}, "damaged"),
    (lambda card: card | {"learning": "unsupervised",
                          "labelled_cases": card["labelled_cases"] | {"loss": 2}}, "labels"),
])
def test_a_card_that_cannot_be_is_refused(tmp_path, change, word, trained):
    for part in trained.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(change(card)))
    with pytest.raises(InputError, match=word) as said:
        load_brain_network(tmp_path)
    assert len(str(said.value)) < 300 and str(tmp_path) not in str(said.value)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from deepgmm.brain.network_card import BrainCard, NetworkKind, save_brain_network
    from deepgmm.model.architectures import build
    from deepgmm.weights.card import LabelledCases

    folder = tmp_path_factory.mktemp("net") / "n"
    card = BrainCard("n", "a network", NetworkKind.UNSUPERVISED, Learning.UNSUPERVISED,
                     LabelledCases(), SMALL.architecture.as_dict(), "T1", {}, {}, "none")
    save_brain_network(folder, build(SMALL.architecture), card)
    return folder


def test_what_is_there_is_kept_unless_forced(tmp_path, trained):
    before = (trained / "card.json").read_bytes()
    with pytest.raises(InputError, match="--force"):
        train(tmp_path, trained, unsupervised=SMALL)
    assert (trained / "card.json").read_bytes() == before


def test_one_network_at_a_time_and_an_atlas_where_one_is_needed(tmp_path):
    from deepgmm.brain.amortised import AmortisedSettings

    with pytest.raises(InputError, match="give an atlas"):
        train(tmp_path, tmp_path / "n", amortised=AmortisedSettings())
    with pytest.raises(InputError, match="one network"):
        train(tmp_path, tmp_path / "n", amortised=AmortisedSettings(), unsupervised=SMALL)


def test_a_missing_monai_is_said_before_any_case_is_read(tmp_path, monkeypatch):
    import sys

    from deepgmm.brain.amortised import AmortisedSettings
    from deepgmm.brain.held_atlas import Atlas

    for name in [n for n in sys.modules if n.split(".")[0] == "monai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "deepgmm.model.amortised", raising=False)
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setattr("deepgmm.brain.training.read_case", None)
    atlas = Atlas(np.ones((3, 4, 4, 4), np.float32) / 3, np.ones((4, 4, 4), np.float32),
                  np.eye(4), "any")
    with pytest.raises(InputError, match="needs MONAI.*monai>=1.5"):
        train(tmp_path, tmp_path / "n", amortised=AmortisedSettings(), atlas=atlas)


@pytest.mark.parametrize("wrong", [
    {"contrast": "T3"}, {"degree": 9}, {"steps": 0}, {"learning_rate": 0.0},
    {"likelihood_weight": 0.0}, {"variation": float("nan")}, {"levels": 40}, {"filters": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        UnsupervisedSettings(**wrong)


def test_tables_hold_the_papers_figures_beside_ours(tmp_path):
    from dataclasses import replace

    folder = ibsr(tmp_path / "cases", 3)
    settings = TableSettings(fractions=(0.25,), networks=("modified-unet",)).quick()
    settings = replace(settings, training=replace(settings.training, steps=40))
    found = table(folder, settings)
    assert [row.loss for row in found.rows] == list(LOSSES)
    assert [(row.labelled, row.unlabelled) for row in found.rows] == [(1, 0), (1, 1)]
    assert set(found.training).isdisjoint(found.scored) and len(found.scored) == 1
    text = found.markdown()
    assert "93.62" in text and "93.64" in text  # Table 1, our method, a quarter
    assert "81.74 / 93.30 / 90.71" in text      # Table 3
    plain = json.loads(json.dumps(found.as_dict()))
    recall = plain["rows"][0]["tissues"]["WM"]["recall"]
    assert recall == pytest.approx(found.rows[0].mean("recall", BrainTissue.WM))
    assert recall > 60  # it has learned: a third is luck


def test_tables_need_three_labelled_cases(tmp_path):
    with pytest.raises(InputError, match="at least three"):
        table(ibsr(tmp_path / "cases", 2), TableSettings().quick())


def test_an_unknown_network_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="no network is called"):
        table(ibsr(tmp_path / "cases", 3), TableSettings(networks=("vgg",)))
