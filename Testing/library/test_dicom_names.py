"""Names that departments give series, in five languages, and what the header's own terms say."""

from __future__ import annotations

import numpy as np
import pytest
from test_dicom_meaning import GR_SP, GR_SS, SAGITTAL, SE, SHORT, a_frame, a_stack, is_cine

from deepgmm.reading.dicom.frames import Component, Variation
from deepgmm.reading.dicom.meaning import Type, meaning_of
from deepgmm.reading.dicom.view import View, view_of
from deepgmm.study.kinds import kind_from_description
from deepgmm.study.words import Kind, Role

#: Of vendors and users. The eight long ones in capitals (FIESTA with ASSET, WHOLE_HEART, DB_T2TSE,
#: DELAY, DHE, DE_2D, IrP-FGRE) stand in a public registry of 396,653 series (Apache-2.0).
CINES = ["SAX_FIESTA_BH_Asset", "SAX FIESTA ARC 12", "CINE_SA_WHOLE_HEART", "cine_sa_GRAPPA2",
         "B-TFE_SENSE_sa", "ciné petit axe", "Cine KA iPAT2", "cine eje corto de corazón",
         "cine asse corto", "sBTFE C-SENSE SA", "trufi caipi sa", "FIESTA SA stress"]
LATE = ["SAX_DELAY_TI=260_BH", "SHAX_DHE", "SAX_DE_2D_400_mBH_MAG", "SAX_IrP-FGRE_TI=240", "SA DE",
        "DE SAX ASSET", "DelEnh SA", "2D Del Enh 300", "PSIR SENSE SA", "LGE whole heart",
        "3D LGE whole heart nav", "rehaussement tardif petit axe", "Spätanreicherung KA",
        "Spaetanreicherung KA", "Spät-Enhancement", "realce tardío eje corto",
        "enhancement tardivo asse corto", "late enhancement", "delayed enhancement",
        "realce tardio", "IR_TFE SA", "FGRE-IR SA", "viabilité", "vitalità asse corto"]
EDEMA = ["DB_T2TSE_SAX", "T2_STIR", "BB T2 TSE", "T2W_TSE_BB", "STIR SENSE SA", "oedème petit axe",
         "Ödem KA", "edema eje corto", "T2 TIRM TI=170", "Triple IR FSE"]
NONE_OF_OURS = [
    ("DTI_sa", Type.DIFFUSION), ("DWI b350", Type.DIFFUSION),
    ("diffusion petit axe", Type.DIFFUSION),
    ("Asset calibration", Type.SCOUT), ("SENSE ref scan", Type.SCOUT), ("repérage", Type.SCOUT),
    ("localizador", Type.SCOUT), ("localizzatore", Type.SCOUT), ("Übersicht", Type.SCOUT),
    ("perfusion de repos", Type.PERFUSION), ("first pass", Type.PERFUSION),
    ("stress SA", Type.PERFUSION), ("perfusione riposo", Type.PERFUSION),
    ("flujo aorta", Type.FLOW), ("Fluss Aorta", Type.FLOW), ("cine PC", Type.FLOW),
    ("BB HASTE SA", Type.ANATOMY), ("whole heart nav 3D", Type.ANATOMY),
    ("DB_SAX", Type.ANATOMY),
    ("coronary MRA", Type.ANATOMY), ("T1 TSE SPAIR SA", Type.ANATOMY),
    ("T1w BB SPAIR", Type.ANATOMY),
    ("T1-Mapping KA", Type.T1_MAP), ("cartographie T1", Type.T1_MAP), ("mapa de flujo", Type.FLOW),
    ("T2 star iron", Type.T2_STAR), ("rehaussement précoce", Type.EARLY),
]


@pytest.mark.parametrize("name", CINES)
def test_cines_are_known_by_name(name: str) -> None:
    assert meaning_of(is_cine(name, **GR_SS)).type is Type.CINE
    assert meaning_of(is_cine(name)).type is Type.CINE, "without tags as well"


@pytest.mark.parametrize("name", LATE)
def test_late_enhancement_is_known_by_name(name: str) -> None:
    assert meaning_of(a_stack(name, inversion=260.0, **GR_SP)).type is Type.LGE
    assert meaning_of(a_stack(name)).type is Type.LGE, "without tags as well"


@pytest.mark.parametrize("name", EDEMA)
def test_t2_is_known_by_name(name: str) -> None:
    meant = meaning_of(a_stack(name, **SE))
    assert (meant.type, meant.kind) == (Type.T2, Kind.T2_DARK_BLOOD)


@pytest.mark.parametrize("name, type_", NONE_OF_OURS)
def test_other_acquisitions_are_known_by_name(name: str, type_: Type) -> None:
    assert meaning_of(a_stack(name)).type is type_
    assert type_.role is None


def test_de_is_also_a_word() -> None:
    for name in ("eje corto de la base", "film de coeur", "coupe de base", "cine de 2 camaras"):
        assert meaning_of(a_stack(name)).type is not Type.LGE, name


@pytest.mark.parametrize("stack, type_", [
    # GE writes SS for every gradient echo; Siemens names its sequence; Philips its technique.
    (is_cine("sa", scanning=frozenset({"GR"}), variant=frozenset({"SS", "SP"})), Type.UNKNOWN),
    (is_cine("cine sa", scanning=frozenset({"GR"}), variant=frozenset({"SS", "SP"})),
     Type.GRE_CINE),
    (is_cine("cine sa", scanning=frozenset({"GR"}), variant=frozenset({"SS", "SK"})), Type.CINE),
    (is_cine("cine trufi sa", sequence="*fl2d1"), Type.GRE_CINE),
    (is_cine("cine sa", sequence="*tfi2d1_15", **GR_SP), Type.CINE),
    (is_cine("CINE FastCARD SA"), Type.GRE_CINE),
    (is_cine("cine sa", sequence="T1TFE"), Type.GRE_CINE),
    (is_cine("cine sa", sequence="BTFE"), Type.CINE), (is_cine("cine gre sa"), Type.GRE_CINE),
    (is_cine("cine fl3d sa"), Type.GRE_CINE), (is_cine("SA SPGR cine"), Type.GRE_CINE),
])
def test_balanced_and_spoiled_cines_are_told_apart(stack, type_) -> None:
    meant = meaning_of(stack)
    assert meant.type is (Type.GRE_CINE if type_ is Type.UNKNOWN else type_), meant


@pytest.mark.parametrize("stack, type_", [
    (a_stack("sax", diffusion=350.0, **SE), Type.DIFFUSION),
    (a_stack("T2 sax", image_type=("ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"), **SE),
     Type.DIFFUSION),
    (a_stack("T2 sax", scanning=frozenset({"SE", "EP"}), echo=65.0), Type.EPI),
    (a_stack("sax", scanning=frozenset({"SE", "EP"}), echo=65.0), Type.EPI),
    (is_cine("cine sax", velocity=True), Type.FLOW),
    (is_cine("cine sax", image_type=("ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA")), Type.FLOW),
    (a_stack("sax", Variation.PHASE, 25, inversion=300.0, **GR_SP), Type.TI_SCOUT),
    (a_stack("sax", Variation.ORDER, 13, **SE), Type.UNKNOWN),
])
def test_the_header_says_what_is_none_of_ours(stack, type_) -> None:
    assert meaning_of(stack).type is type_


@pytest.mark.parametrize("stack, type_", [
    (a_stack("sax", inversion=260.0, scanning=frozenset({"RM"})), Type.LGE),
    (a_stack("DB_SAX", **SE), Type.T2), (a_stack("black blood TSE", **SE), Type.T2),
    (a_stack("sax", Variation.ORDER, 25, scanning=frozenset({"GR"})), Type.CINE),
    (a_stack("sax", Variation.ORDER, 25), Type.CINE),
    (a_stack("sax", Variation.PHASE, 25), Type.CINE),
    (a_stack("sax", Variation.PHASE, 25, **SE), Type.UNKNOWN),
])
def test_contents_decide_where_names_do_not(stack, type_) -> None:
    found = meaning_of(stack).type
    assert found is type_ or type_ is Type.UNKNOWN and found.role is not Role.BSSFP


def test_one_slice_with_another_name_decides_nothing() -> None:
    stack = a_stack("cine_sa", Variation.PHASE, 25)
    stack.slices[0] = [a_frame("localizer")] * 25
    assert meaning_of(stack).type is Type.CINE


@pytest.mark.parametrize("name, orientation, view", [
    ("Sag2D FIESTA", SAGITTAL, View.SAGITTAL), ("Sag3D MPRAGE", SAGITTAL, View.SAGITTAL),
    ("Sag2D FIESTA", SHORT, View.SAGITTAL), ("SA", SAGITTAL, View.SAGITTAL),
    ("SAX sagittal", SAGITTAL, View.SAGITTAL), ("sagittal cine", SHORT, View.SAGITTAL),
    ("coronal cine", SHORT, View.CORONAL), ("Cor2D", SHORT, View.CORONAL),
    ("transverse", SHORT, View.AXIAL), ("Ax2D FIESTA", SHORT, View.AXIAL),
    ("tra_haste", SHORT, View.AXIAL), ("sab3", SHORT, View.SHORT_AXIS),
    ("SA2D", SHORT, View.SHORT_AXIS), ("SAX10", SHORT, View.SHORT_AXIS),
    ("petit axe", SHORT, View.SHORT_AXIS), ("asse corto", SHORT, View.SHORT_AXIS),
    ("kurze Achse", SHORT, View.SHORT_AXIS), ("KA", SHORT, View.SHORT_AXIS),
    ("SHAX_DHE", SHORT, View.SHORT_AXIS), ("eje corto de corazon", SHORT, View.SHORT_AXIS),
    ("eje largo", SHORT, View.LONG_AXIS), ("grand axe", SHORT, View.LONG_AXIS),
    ("quatre cavités", SHORT, View.LONG_AXIS), ("Vierkammerblick", SHORT, View.LONG_AXIS),
    ("4 cámaras", SHORT, View.LONG_AXIS), ("asse lungo", SHORT, View.LONG_AXIS),
])
def test_views_are_known_in_other_words(name, orientation, view) -> None:
    assert view_of(a_stack(name, orientation=tuple(map(float, orientation))))[0] is view


def test_the_protocol_says_the_view_where_the_description_says_none() -> None:
    turned = tuple(np.asarray(a_frame().orientation))
    assert view_of(a_stack("cine", protocol="4ch", orientation=turned))[0] is View.LONG_AXIS
    assert view_of(a_stack("cine sax", protocol="4ch"))[0] is View.SHORT_AXIS


@pytest.mark.parametrize("role, words, kind", [
    (Role.LGE, "SAX_DE_2D_400_mBH_MAG", Kind.LGE_MAGNITUDE),
    (Role.LGE, "sa_DB_lge", Kind.LGE_DARK_BLOOD),
    (Role.LGE, "LGE sang noir", Kind.LGE_DARK_BLOOD), (Role.LGE, "PS-MDE", Kind.LGE_PSIR),
    (Role.T2, "DB_T2TSE_SAX", Kind.T2_DARK_BLOOD), (Role.T2, "T2_prep", Kind.T2_PREPARED),
    (Role.T2, "cartographie T2", Kind.T2_MAP), (Role.T2, "sax", None),
])
def test_kinds_are_known_from_the_same_words(role, words, kind) -> None:
    assert kind_from_description(role, words) is kind


def test_component_of_a_phase_image_is_no_sequence() -> None:
    assert meaning_of(a_stack("LGE sax", component=Component.PHASE)).type is Type.PHASE
