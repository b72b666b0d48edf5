"""Names and codes of regions and segments: what is no left ventricle is never taken for it."""

from __future__ import annotations

import pytest

from deepgmm.reading.contours.parts import Part, part_of_name
from deepgmm.reading.conventions.names import (
    Meaning,
    listed_names,
    meaning_of_codes,
    meaning_of_name,
    says_nothing,
)

#: English, German, French, Spanish, Italian, Portuguese, Dutch; TG-263; TotalSegmentator.
NAMES: dict[Meaning | None, str] = {
    Meaning.VENTRICLE: """LV; L.V.; Ventricle_L; L_ventricle; Left ventricle; LeftVentricle;
        left_ventricle; left-ventricle; LV Epicardium; LV epi; epi; saepicardialContour; LVED;
        L-epi; Epikard; linker Ventrikel; Linke Herzkammer; VG; Ventricule gauche; Ventricule G;
        épicarde; Ventrículo izquierdo; VI; ventriculo I; epicardio; ventricolo sinistro;
        Ventricolo sx; ventrículo esquerdo; VE; linkerventrikel; linker hartkamer; LV mask;
        ventriculus sinister""",
    Meaning.POOL: """LV endo; LV_endo; endo; LVendo; saendocardialContour; Blood; blood pool; LVBP;
        LV cavity; LV lumen; LV-BloodPool; Blutpool; Endokard; endocarde; cavité VG; sang;
        cavidad del ventriculo izquierdo; cavità ventricolo sinistro; sangue; bloed;
        heart_ventricle_left; LV endo excl. papillary muscles; V.G. endo;
        LV chamber; LV inner contour""",
    Meaning.MYOCARDIUM: """Myocardium; LV myocardium; LVM; MYO; LV_Myo; LVMyo; LV wall; wall;
        Left_Ventricle_Wall; LV mass; Normal myocardium; myocardium without scar; heart_myocardium;
        Myokard; Herzmuskel; linksventrikuläres Myokard; Wand des linken Ventrikels; myocarde;
        paroi VG; miocardio; pared del VI; parete ventricolo sx; miocárdio; parede; hartspier;
        heart muscle; LV basal anterior segment; lateral wall""",
    Meaning.EDEMA: """Edema; Oedema; myocardial edema; area at risk; Ödem; Myokardödem; œdème;
        edème; Oedeem; LV edema""",
    Meaning.SCAR: """Scar; scar tissue; LV scar; Infarct; Subendocardial infarct; fibrosis;
        Late gadolinium enhancement; Narbe; Myokardinfarkt; infarctus; cicatrice; infarto;
        cicatriz; litteken; rehaussement tardif""",
    Meaning.MVO: """MVO; no-reflow; No reflow; NoReflow; microvascular obstruction;
        Mikrovaskuläre Obstruktion; obstruction microvasculaire""",
    Meaning.OTHER: """Ventricle_R; R_ventricle; R-epi; R.V.; RV; RVendo; RV_epi; rv-myo; RVOT;
        MYO_R;
        Right ventricle; RightVentricle; ventricle right; sarvendocardialContour; RV myocardium;
        Right ventricular wall; right ventricular blood pool; RV insertion point; epi_right;
        heart_ventricle_right; rechter Ventrikel; Rechte Herzkammer; Ventricule droit; VD endo;
        Ventricule D.; Ventriculo derecho; ventricolo destro; Ventricolo dx; endocardio VD;
        paroi du ventricule droit; ventrículo direito; rechterventrikel; ventriculus dexter;
        Atrium_L; Atrium_R; Left atrium; LA; RA; LA endo; la_endo; heart_atrium_left; linker Vorhof;
        oreillette gauche; aurícula izquierda; atrio sinistro; átrio esquerdo; linkerboezem;
        atrial_appendage_left; Aorta; A_Aorta_Asc; A_Coronary; A_Coronary_L; A_LAD; LAD;
        Left coronary artery; Linke Koronararterie; artère coronaire gauche; pulmonary_artery;
        A_Pulmonary; pulmonary_vein; V_Venacava_S; inferior_vena_cava; Left lung; Lung_L;
        lung_upper_lobe_left; poumon gauche; linke Lunge; Pericardium; Pericardial fat; Perikard;
        Epicardial fat; epikardiales Fett; graisse épicardique; grasa epicárdica; gordura; Heart;
        Herz; Cœur; corazón; cuore; papillary muscle; LV papillary muscles; LVOT;
        left_ventricular_outflow_tract; Left lateral ventricle; ventricle_frontal_horn_left; Liver;
        Chestwall_L; Cavity_Oral; Bauchwand; Rectal wall; skeletal_muscle; Musc_Constrict; LV lead;
        LVAD; Ventricle_Lateral_L; pleural cavity; aorta_true_lumen; GreatVes;
        Left anterior descending; Background""",
    None: """PTV 3; A; Structure1; Segment_1; left; LV and RV; LVendo_r; Ventricles; endo-epi;
        Mitral valve; LV thrombus; Peri-infarct zone; scan;
        LV apex; LV axis; mass; muscle; necrotic core; peritumoral edema; enhancing tumor;
        anterior chamber""",
}


@pytest.mark.parametrize(("name", "meaning"), [
    (" ".join(name.split()), meaning) for meaning, names in NAMES.items()
    for name in names.split(";")])
def test_a_name_means_what_it_says(name: str, meaning: Meaning | None) -> None:
    for spelt in (name, name.replace("_", " ") if "_" in name and name[1:2] != "_" else name):
        if spelt.startswith(("heart ventricle left",)):  # an exact name of TotalSegmentator's
            continue
        assert meaning_of_name(spelt) is meaning, spelt


@pytest.mark.parametrize("name", " ;_;-;/;.;__".split(";"))
@pytest.mark.parametrize("side", ["R", "r", "Right", "RIGHT", "rechts", "droit", "derecho",
                                  "destro", "dx", "direito"])
def test_the_side_counts_wherever_it_stands(side: str, name: str) -> None:
    for part in ("ventricle", "epicardium", "Myocardium", "endo", "blood pool"):
        for text in (f"{side}{name}{part}", f"{part}{name}{side}", f"x{name}{part}{name}{side}"):
            assert part_of_name(text) == (True, None), text


def test_parts_are_those_of_the_left_ventricle() -> None:
    for name, part in (("LV", Part.VENTRICLE), ("Scar", Part.WALL), ("Edema", Part.WALL),
                       ("MVO", Part.WALL), ("endo", Part.POOL), ("RV endo", None)):
        assert part_of_name(name) == (True, part)
    assert part_of_name("Structure1") == (False, None)
    assert says_nothing("Structure1") and not says_nothing("LV and RV")


#: SNOMED CT and SNOMED-RT of one thing must agree; names cannot overrule the right side.
@pytest.mark.parametrize(("code", "regions", "name", "meaning"), [
    ("87878005", (), "LV", Meaning.VENTRICLE),
    ("T-32600", (), "whatever", Meaning.VENTRICLE),
    ("87878005", (), "LV endocardium", Meaning.POOL),
    ("53085002", (), "LV", Meaning.OTHER),
    ("T-32500", (), "", Meaning.OTHER),
    ("87612001", ("53085002",), "Blood", Meaning.OTHER),
    ("87612001", ("87878005",), "x", Meaning.POOL),
    ("74281007", (), "Right wall", Meaning.OTHER),
    ("49848007", (), "x", Meaning.MYOCARDIUM),
    ("79654002", (), "x", Meaning.EDEMA),
    ("12402003", (), "Edema", Meaning.SCAR),
    ("80891009", (), "LV myocardium", Meaning.MYOCARDIUM),
    ("85756007", ("87878005",), "x", Meaning.VENTRICLE),
    ("39607008", (), "LV", Meaning.OTHER),
    ("", (), "VD", Meaning.OTHER),
    ("nonsense", (), "LV scar", Meaning.SCAR),
])  # fmt: skip
def test_codes_go_before_names(code, regions, name, meaning) -> None:
    assert meaning_of_codes(code, regions, name) is meaning


@pytest.mark.parametrize("kind", ["21814001", "T-32400"])
def test_a_modifier_may_say_the_side(kind: str) -> None:
    assert meaning_of_codes(kind, (), "ventricle") is None
    for left, right in (("7771000", "24028007"), ("G-A101", "G-A100")):
        assert meaning_of_codes(kind, (), "ventricle", [left]) is Meaning.VENTRICLE
        assert meaning_of_codes(kind, (), "ventricle", [right]) is Meaning.OTHER
    assert meaning_of_codes("74281007", (), "Myocardium", ["24028007"]) is Meaning.OTHER


def test_codes_of_both_generations_are_those_of_dicom() -> None:
    """pydicom's table of SNOMED CT to SNOMED-RT, which is DICOM's."""
    mapping = pytest.importorskip("pydicom.sr._snomed_dict").mapping["SCT"]
    from deepgmm.reading.conventions.names import _CODES

    checked = 0
    for code, meaning in _CODES.items():
        if mapping.get(code) in _CODES:
            assert _CODES[mapping[code]] is meaning
            checked += 1
    assert checked > 20


def test_names_in_messages_are_few_and_short() -> None:
    text = listed_names(["a" * 100, "b\nc", "", "d", "e"])
    assert text == "'" + "a" * 21 + "...', 'b c', '(no name)' and 2 more"
