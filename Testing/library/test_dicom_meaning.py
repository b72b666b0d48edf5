"""What series are taken for: names of all vendors, tags, and how they lie in the heart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepgmm.reading.dicom.frames import Component, Frame, Variation, component_of
from deepgmm.reading.dicom.meaning import Type, meaning_of
from deepgmm.reading.dicom.stack import Stack
from deepgmm.reading.dicom.view import View, turn_from_short_axis, view_of
from deepgmm.study.kinds import Guess, agreed, guess_from_header
from deepgmm.study.words import Kind, Role

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "sunnybrook"

#: Columns, rows and normal of a usual short axis.
SHORT = (0.74, 0.61, 0.29, -0.05, -0.37, 0.93)
AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
MAGNITUDE = ("ORIGINAL", "PRIMARY", "M", "NORM")


def a_frame(description: str = "", **said: object) -> Frame:
    """A magnitude image in short axis of which the header says nothing more."""
    along, down = np.asarray(SHORT[:3]), np.asarray(SHORT[3:])
    along = along / np.linalg.norm(along)
    down = down - along * (down @ along)
    plain = Frame(Path("x"), 0, "", "1.2", "1.2", 1, 1, description, "", "", MAGNITUDE,
                  Component.MAGNITUDE, (0.0, 0.0, 0.0),
                  (*along, *(down / np.linalg.norm(down))), (1.4, 1.4), 256, 256, 8.0,
                  None, None, None, None, "", frozenset(), frozenset(), False, 1.0, 0.0, "1.2")
    return replace(plain, **said)


def a_stack(description: str = "", variation: Variation = Variation.NONE, count: int = 1,
            **said: object) -> Stack:
    return Stack([[a_frame(description, **said)] * count] * 3, variation)


def is_cine(description: str, **said: object) -> Stack:
    return a_stack(description, Variation.PHASE, 25, **said)


GR_SS = {"scanning": frozenset({"GR"}), "variant": frozenset({"SK", "SS"})}
GR_SP = {"scanning": frozenset({"GR"}), "variant": frozenset({"SK", "SP"})}
SE = {"scanning": frozenset({"SE"}), "echo": 62.0}

#: As protocols of Siemens, GE and Philips, and their users, name them.
NAMES: list[tuple[Stack, Type, Kind]] = [
    (is_cine("cine_retro_sa_iPAT", **GR_SS), Type.CINE, Kind.BSSFP),
    (is_cine("CINE_segmented_SAX_b4", **GR_SS), Type.CINE, Kind.BSSFP),
    (is_cine("SAX FIESTA BH"), Type.CINE, Kind.BSSFP),
    (is_cine("sBTFE_BH_M2D SA"), Type.CINE, Kind.BSSFP),
    (is_cine("B-TFE SA", variant=frozenset({"SP"})), Type.CINE, Kind.BSSFP),
    (is_cine("tf2d12_retro_sa"), Type.CINE, Kind.BSSFP),
    (is_cine("SA", **GR_SS), Type.CINE, Kind.BSSFP),
    (is_cine("SA rest cine", **GR_SS), Type.CINE, Kind.BSSFP),
    (is_cine("cine sa fl2d", **GR_SP), Type.GRE_CINE, Kind.UNKNOWN),
    (a_stack("trufi_sa_single", **GR_SS), Type.STILL, Kind.BSSFP),
    (a_stack("de_overview_sa"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("DE_high-res_tfl_psir_SA_MAG"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("psir_sa_PSIR", component=Component.REAL), Type.LGE, Kind.LGE_PSIR),
    (a_stack("PSIR_TFE_BH SA", component=Component.REAL), Type.LGE, Kind.LGE_PSIR),
    (a_stack("PSIR_TFE_BH SA"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("PS-MDE SA", component=Component.UNKNOWN), Type.LGE, Kind.LGE_PSIR),
    (a_stack("2DDel Enh 250 2 C"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("LGE_SAX_10min"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("Late Gd SA viability"), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("LGE dark blood SAX", component=Component.REAL), Type.LGE, Kind.LGE_DARK_BLOOD),
    (a_stack("SA", inversion=310.0, **GR_SP), Type.LGE, Kind.LGE_MAGNITUDE),
    (a_stack("T2_STIR_sa", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("t2_tirm_sax", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("TRIPLE IR SA", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("T2W_BB_SPAIR SA", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("DB_TSE_T2_FS_sax", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("sax", **SE), Type.T2, Kind.T2_DARK_BLOOD),
    (a_stack("T2prep_trufi_sa", **GR_SS), Type.T2, Kind.T2_PREPARED),
    (a_stack("ACUT2E sa", **GR_SS), Type.T2, Kind.T2_PREPARED),
    (a_stack("T2map_trufi_sax_T2", image_type=("DERIVED", "PRIMARY", "T2 MAP")),
     Type.T2_MAP, Kind.T2_MAP),
]
#: Short-axis images that must never become a sequence of a study.
OTHERS: list[tuple[Stack, Type]] = [
    (a_stack("T1map_MOLLI_sax_MOCO_T1", image_type=("DERIVED", "PRIMARY", "T1 MAP")), Type.T1_MAP),
    (a_stack("ShMOLLI_192i_sax", Variation.INVERSION, 7, **GR_SS), Type.T1_MAP),
    (a_stack("sax", Variation.INVERSION, 8, inversion=100.0, **GR_SS), Type.T1_MAP),
    (a_stack("ECV sax"), Type.T1_MAP),
    (a_stack("T2map_trufi_sax", Variation.ECHO, 3), Type.T2_SOURCE),
    (a_stack("T2_star_sax", Variation.ECHO, 8), Type.T2_STAR),
    (a_stack("T2* sax", echo=2.0), Type.T2_STAR),
    (a_stack("sax", Variation.ECHO, 8, echo=2.0, **GR_SP), Type.T2_STAR),
    (a_stack("stress_perf_sax", Variation.TIME, 60), Type.PERFUSION),
    (a_stack("sax rest", Variation.TIME, 60), Type.PERFUSION),
    (a_stack("sax", Variation.TIME, 60, **GR_SS), Type.PERFUSION),
    (a_stack("FGRE Time Course SA", Variation.TIME, 40), Type.PERFUSION),
    (is_cine("tagging_sax"), Type.TAGGING),
    (is_cine("CSPAMM SA"), Type.TAGGING),
    (is_cine("sax", sequence="*fl2d1_v150in"), Type.FLOW),
    (is_cine("QFlow SA", component=Component.PHASE), Type.FLOW),
    (is_cine("4D sax", velocity=True), Type.FLOW),
    (a_stack("TI_scout_sa", Variation.PHASE, 25, **GR_SS), Type.TI_SCOUT),
    (is_cine("Look-Locker SA"), Type.TI_SCOUT),
    (a_stack("AAHeart_Scout sa"), Type.SCOUT),
    (a_stack("sa_trufi_loc"), Type.SCOUT),
    (a_stack("haste_sax_db"), Type.ANATOMY),
    (a_stack("t1_tse_db_sa", **SE), Type.ANATOMY),
    (a_stack("sax", scanning=frozenset({"SE"}), echo=25.0), Type.ANATOMY),
    (a_stack("EGE sax"), Type.EARLY),
    (a_stack("psir_sa", component=Component.PHASE), Type.PHASE),
    (a_stack("psir_sa", component=Component.IMAGINARY), Type.PHASE),
    (a_stack("sax"), Type.UNKNOWN),
]


@pytest.mark.parametrize("stack, type_, kind", NAMES,
                         ids=[f"{i} {s.first.description}" for i, (s, *_) in enumerate(NAMES)])
def test_sequences_are_known_by_name_and_tags(stack, type_, kind) -> None:
    meant = meaning_of(stack)
    assert (meant.type, meant.kind) == (type_, kind), meant
    assert meant.reasons and (kind is Kind.UNKNOWN or meant.confidence >= 0.5)


@pytest.mark.parametrize("stack, type_", OTHERS,
                         ids=[f"{i} {s.first.description}" for i, (s, _) in enumerate(OTHERS)])
def test_what_else_is_acquired_is_no_sequence_of_a_study(stack, type_) -> None:
    meant = meaning_of(stack)
    assert meant.type is type_, meant
    assert meant.type.role is None and meant.kind is Kind.UNKNOWN


def test_the_protocol_names_what_the_description_does_not() -> None:
    assert meaning_of(a_stack("sa", protocol="t2_stir_sa")).type is Type.T2
    assert meaning_of(a_stack("sa", sequence="*tfi2d1_12", **GR_SS)).type is Type.STILL
    assert meaning_of(a_stack("sa de", protocol="t1map_molli")).type is Type.T1_MAP


def test_reasons_hold_known_terms_only() -> None:
    """The rest of a name may name a person."""
    meant = meaning_of(a_stack("LGE SA for Dr Miller", inversion=300.0))
    assert "miller" not in " ".join(meant.reasons).lower()


@pytest.mark.parametrize("image_type, component", [
    (("ORIGINAL", "PRIMARY", "M", "RETRO"), Component.MAGNITUDE),
    (("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"), Component.MAGNITUDE),
    (("ORIGINAL", "PRIMARY", "PSIR", "NORM"), Component.REAL),
    (("ORIGINAL", "PRIMARY", "R_IR", "R", "IR"), Component.REAL),
    (("ORIGINAL", "PRIMARY", "P", "RETRO"), Component.PHASE),
    (("ORIGINAL", "PRIMARY", "PHASE MAP", "P", "PCA"), Component.PHASE),
    (("ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"), Component.PHASE),
    (("ORIGINAL", "PRIMARY", "PHASE CONTRAST M", "M", "PCA"), Component.MAGNITUDE),
    (("ORIGINAL", "PRIMARY", "OTHER"), Component.UNKNOWN),
    (("ORIGINAL",), Component.UNKNOWN),
])
def test_components_are_known_by_image_type(image_type, component) -> None:
    assert component_of(image_type) is component


# Views

@pytest.mark.parametrize("name, orientation, view", [
    ("cine_sa", SHORT, View.SHORT_AXIS), ("SAX_b3", SHORT, View.SHORT_AXIS),
    ("short axis", SHORT, View.SHORT_AXIS), ("cine Kurzachse", SHORT, View.SHORT_AXIS),
    ("eje corto", SHORT, View.SHORT_AXIS), ("", SHORT, View.SHORT_AXIS),
    ("cine_4ch", SHORT, View.LONG_AXIS), ("LVOT", SHORT, View.LONG_AXIS),
    ("2 chamber", SHORT, View.LONG_AXIS), ("HLA", AXIAL, View.LONG_AXIS),
    ("haste_tra", AXIAL, View.AXIAL), ("", AXIAL, View.AXIAL),
    ("", CORONAL, View.CORONAL), ("", SAGITTAL, View.SAGITTAL), ("sag", SHORT, View.SAGITTAL),
    ("flow_ao", SHORT, View.OBLIQUE), ("sa", AXIAL, View.OBLIQUE),
])
def test_views_are_known_by_name_or_direction(name, orientation, view) -> None:
    stack = a_stack(name, orientation=tuple(map(float, orientation)))
    # the axes given are rounded
    assert view_of(stack)[0] is view, turn_from_short_axis(stack.first)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/sunnybrook")
@pytest.mark.parametrize("case", ["SCD0000101", "SCD0000201", "SCD0000301"])
def test_real_short_axes_lie_where_they_are_expected(case: str) -> None:
    import SimpleITK as sitk

    direction = sitk.ReadImage(str(DATA / f"{case}_ED.nii.gz")).GetDirection()
    axes = np.asarray(direction).reshape(3, 3)
    stack = a_stack("", orientation=(*axes[:, 0], *axes[:, 1]))
    assert view_of(stack)[0] is View.SHORT_AXIS
    assert turn_from_short_axis(stack.first) < 10


# Kinds

def test_a_header_that_says_nothing_leaves_the_kind_unsure() -> None:
    assert guess_from_header(Role.T2, "sax").kind is Kind.UNKNOWN
    assert guess_from_header(Role.LGE, "lge").confidence < 0.75


def test_header_and_image_that_agree_are_surer_than_either() -> None:
    header, looks = Guess(Kind.LGE_PSIR, 0.8), Guess(Kind.LGE_PSIR, 0.7)
    both = agreed(header, looks)
    assert both.kind is Kind.LGE_PSIR and both.confidence == pytest.approx(1 - 0.2 * 0.3)


def test_of_header_and_image_that_differ_the_surer_stands() -> None:
    header, looks = Guess(Kind.LGE_MAGNITUDE, 0.7), Guess(Kind.LGE_PSIR, 0.9, "negative values")
    both = agreed(header, looks)
    # odds 0.9 : 0.1 for one against 0.7 : 0.3 for the other
    assert both.kind is Kind.LGE_PSIR
    assert both.confidence == pytest.approx(0.9 * 0.3 / (0.9 * 0.3 + 0.1 * 0.7))
    assert agreed(header, Guess(Kind.UNKNOWN, 0.0)) is header
    assert agreed(Guess(Kind.UNKNOWN, 0.0), looks) is looks
