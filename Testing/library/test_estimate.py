"""Contrast priors from labelled studies, against numpy by hand."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from deepgmm import InputError, Kind, Role, Study, Tissue
from deepgmm.identify.contrast import SHIPPED, contrast_prior
from deepgmm.identify.estimate import contrasts, estimate
from deepgmm.reading.masks.labelmap import UNLABELLED
from deepgmm.study.study import Sequence

ROOT = Path(__file__).resolve().parents[2]
TISSUES = (Tissue.BLOOD, Tissue.MYOCARDIUM, Tissue.EDEMA, Tissue.SCAR)
MAGNITUDE = {Role.LGE: Kind.LGE_MAGNITUDE, Role.T2: Kind.T2_DARK_BLOOD}
#: Blood, myocardium, edema, scar.
LEVELS = {Role.LGE: (200, 60, 80, 300), Role.T2: (30, 100, 180, 170)}


def a_study(seed: int, kinds: dict[Role, Kind] = MAGNITUDE, *,
            tissues: tuple[int, ...] = (1, 2, 3, 4)) -> tuple[Study, np.ndarray]:
    """Four stripes of tissue in a square mask, with noise and levels of the patient's own."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[:, 4:36, 4:36] = np.array(tissues, np.uint8)[np.arange(32) * len(tissues) // 32]
    sequences = {}
    for role, kind in kinds.items():
        levels = np.array([20, *LEVELS[role]]) * (1 + rng.normal(0, 0.1, 5))
        values = levels[labels] + rng.normal(0, 12, labels.shape)
        sequences[role] = Sequence(role, (values * (1 + seed)).astype(np.float32), kind)
    return Study(sequences, labels > 0), labels


def by_hand(study: Study, labels: np.ndarray, role: Role, tissue: int) -> tuple[float, float]:
    """Median and normal interquartile spread of a tissue, -1 and 1 being the 2nd and 98th
    percentile inside the mask."""
    slices = [i for i in range(3) if i not in study.excluded]
    values, mask = study.sequences[role].values[slices].astype(float), study.mask[slices]
    low, high = np.percentile(values[mask], [2, 98])
    inside = (2 * (values - low) / (high - low) - 1)[labels[slices] == tissue]
    return float(np.median(inside)), float(np.diff(np.percentile(inside, [25, 75]))[0] / 1.349)


def test_a_studys_contrasts_are_medians_in_normalised_units() -> None:
    study, labels = a_study(3)
    found = contrasts(study, labels)
    assert list(found) == ["lge-magnitude", "t2-dark-blood"]
    for (role, kind), tissue in itertools.product(MAGNITUDE.items(), TISSUES):
        one = found[kind.value][tissue]
        np.testing.assert_allclose((one.mean, one.spread), by_hand(study, labels, role, tissue),
                                   rtol=1e-6)
        assert one.pixels == (labels == tissue).sum()


def test_only_labelled_pixels_of_fitted_slices_count() -> None:
    study, labels = a_study(3)
    study.excluded[0] = "told"
    labels[1] = np.where(labels[1] > 0, UNLABELLED, 0)
    labels[2][labels[2] == Tissue.EDEMA] = 0
    labels[2][tuple(np.argwhere(study.mask[2])[:20].T)] = Tissue.EDEMA
    found = contrasts(study, labels)["t2-dark-blood"]
    assert Tissue.EDEMA not in found, "20 pixels are too few"
    one = found[Tissue.SCAR]
    np.testing.assert_allclose((one.mean, one.spread),
                               by_hand(study, labels, Role.T2, Tissue.SCAR), rtol=1e-6)
    assert one.pixels == (labels[2] == Tissue.SCAR).sum()


def test_priors_are_medians_over_patients_with_spreads() -> None:
    studies = [a_study(seed) for seed in range(5)]
    kinds = estimate(studies).kinds
    floors = {Tissue.BLOOD: 0.12, Tissue.MYOCARDIUM: 0.12, Tissue.EDEMA: 0.3, Tissue.SCAR: 0.3}
    for (role, kind), tissue in itertools.product(MAGNITUDE.items(), TISSUES):
        seen = np.array([by_hand(*study, role, tissue) for study in studies])
        row = kinds[kind.value]["tissues"][tissue.name.lower()]
        assert row["mean"] == pytest.approx(np.median(seen[:, 0]), abs=0.0051)
        assert row["sd"] == pytest.approx(max(np.median(seen[:, 1]), 0.15), abs=0.0051)
        assert row["mean_sd"] == pytest.approx(
            max(1.5 * np.std(seen[:, 0]), floors[tissue]), abs=0.0051)
        assert row["cases"] == 5
        assert row["pixels"] == sum((labels == tissue).sum() for _, labels in studies)
    strays = {row["mean_sd"] for k in kinds.values() for row in k["tissues"].values()}
    assert strays - {0.12, 0.3}, "some spread between patients is above its floor"
    assert kinds["lge-magnitude"]["source"] == "5 labelled cases, spread between them widened"


def test_the_order_of_cases_does_not_matter() -> None:
    studies = [a_study(seed) for seed in range(4)]
    texts = {json.dumps(estimate(order).kinds) for order in itertools.permutations(studies)}
    assert len(texts) == 1


def test_kinds_are_kept_apart_and_the_unknown_share_one() -> None:
    psir = {Role.LGE: Kind.LGE_PSIR}
    unknown = {Role.LGE: Kind.UNKNOWN}
    magnitude = [a_study(seed) for seed in range(2)]
    others = [a_study(5, unknown), a_study(6, unknown), a_study(7, psir)]
    made = estimate([*magnitude, *others])
    assert list(made.kinds) == ["lge-magnitude", "lge-unknown", "t2-dark-blood"]
    assert made.kinds["lge-magnitude"] == estimate(magnitude).kinds["lge-magnitude"]
    assert made.remarks == ["lge-psir has one labelled case, of which no prior can be made: the "
                            "shipped one stays"]


def test_a_tissue_that_hardly_anybody_labelled_keeps_the_shipped_row() -> None:
    studies = [a_study(seed, tissues=(1, 2, 4)) for seed in range(3)] + [a_study(3)]
    made = estimate(studies)
    shipped = json.loads((SHIPPED / "lge-magnitude.json").read_text())["tissues"]
    own = made.kinds["lge-magnitude"]
    assert own["tissues"]["edema"] == shipped["edema"] | {"cases": 0, "pixels": 0}
    assert own["tissues"]["scar"]["cases"] == 4
    assert own["source"].endswith("; edema as shipped")
    assert made.remarks[0] == ("lge-magnitude: fewer than 2 cases have enough labels of edema, "
                               "which keeps the shipped numbers")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_cases_are_refused(count: int) -> None:
    with pytest.raises(InputError, match="at least 2 labelled cases of one kind"):
        estimate([a_study(seed) for seed in range(count)])


def test_segment_takes_the_numbers_as_they_are(tmp_path: Path) -> None:
    made = estimate([a_study(seed) for seed in range(3)])
    table = tmp_path / "mu_data.json"
    table.write_text(json.dumps({"cases": [], "kinds": made.kinds}))
    prior = contrast_prior({Role.BSSFP: Kind.BSSFP} | MAGNITUDE, TISSUES, table)
    own = made.kinds["lge-magnitude"]["tissues"]
    assert prior.means[:, 1].tolist() == [own[t.name.lower()]["mean"] for t in TISSUES]
    assert prior.deviations[:, 1].tolist() == [own[t.name.lower()]["sd"] for t in TISSUES]
    assert prior.sources[1] == "3 labelled cases, spread between them widened"
    shipped = contrast_prior({Role.BSSFP: Kind.BSSFP}, TISSUES)
    assert (prior.means[:, 0] == shipped.means[:, 0]).all(), "a kind that the file lacks"


def test_the_shipped_files_are_made_with_it() -> None:
    sys.path.insert(0, str(ROOT / "Benchmarks"))
    import make_contrast_priors as command

    kind = Kind.LGE_PSIR
    content = command.content_of(kind.value, command.measured(kind), command.REAL_LGE)
    assert json.dumps(content, indent=1) + "\n" == (SHIPPED / f"{kind.value}.json").read_text()
