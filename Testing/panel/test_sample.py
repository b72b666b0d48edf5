"""The sample patient: made again, and loaded by Slicer without any network."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builds import MODULE, ROOT

from deepgmm.phantom import PhantomPatient, make_patient
from deepgmm.reading.masks.seg_nrrd import MASK_TERMINOLOGY, OWN_CONTEXT
from deepgmm.reading.studies.from_files import read_study
from deepgmm.study.words import Role

FOLDER = MODULE / "Resources/SampleData"
THUMBNAIL = MODULE / "Resources/Icons/DeepGMMSample.png"
TERMS = MODULE / "Logic/deepgmm/data/terminology/DeepGMM.term.json"


@pytest.fixture(scope="module")
def its_phantom() -> PhantomPatient:
    return make_patient(1)


def entries() -> list[dict[str, str]]:
    return json.loads((FOLDER / "sample.json").read_text())


def header_and_values(file: Path) -> tuple[bytes, np.ndarray]:
    """An uncompressed NRRD's header as it stands, and its numbers."""
    header, _, data = file.read_bytes().partition(b"\n\n")
    kind = np.dtype(np.uint8 if b"type: unsigned char" in header else "<i2")
    return header, np.frombuffer(data, kind).astype(int)


def taken_apart(header: bytes) -> tuple[list[str], list[float]]:
    """What stands between a header's numbers, and these."""
    number = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
    text = header.decode("utf-8")
    return re.split(number, text), [float(one) for one in re.findall(number, text)]


def test_the_command_gives_the_sample_that_ships(tmp_path: Path) -> None:
    """Headers to the word, their numbers to the ninth digit, and voxels within a grey level: the
    last bit of a float, and with it a rounded number, differs between makes of processors."""
    subprocess.run([sys.executable, ROOT / "tools/make_sample.py", "--into", tmp_path], check=True,
                   capture_output=True)
    made = tmp_path / "SampleData"

    assert {p.name for p in made.iterdir()} == {p.name for p in FOLDER.iterdir()}
    for file in sorted(FOLDER.glob("*.nrrd")):
        (header, values), (kept_header, kept) = (header_and_values(f)
                                                 for f in (made / file.name, file))
        (words, numbers), (kept_words, kept_numbers) = map(taken_apart, (header, kept_header))
        assert words == kept_words and values.size == kept.size
        assert np.allclose(numbers, kept_numbers, rtol=1e-9, atol=1e-9)
        away = np.abs(values - kept)
        assert away.max() <= 1 and (away > 0).mean() < 1e-3, "run python tools/make_sample.py"
    points, kept_points = (json.loads((folder / "DeepGMM-sample-insertions.mrk.json").read_text())
                           for folder in (made, FOLDER))
    places, kept_places = ([c.pop("position") for c in found["markups"][0]["controlPoints"]]
                           for found in (points, kept_points))
    assert points == kept_points and np.allclose(places, kept_places, atol=0.002)
    index = json.loads((made / "sample.json").read_text())
    assert [{**entry, "sha256": ""} for entry in index] == [
        {**entry, "sha256": ""} for entry in entries()]
    for entry in index:
        assert hashlib.sha256((made / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    image = pytest.importorskip("PIL.Image")
    with image.open(tmp_path / "Icons" / THUMBNAIL.name) as one, image.open(THUMBNAIL) as kept:
        assert np.abs(np.subtract(one, kept, dtype=int)).mean() < 0.1


def test_it_is_small_and_says_what_it_is() -> None:
    files = {p.name: p for p in FOLDER.iterdir()}

    assert sum(p.stat().st_size for p in [*files.values(), THUMBNAIL]) < 1_000_000
    assert set(files) == {"sample.json", *(entry["file"] for entry in entries())}
    for entry in entries():
        assert hashlib.sha256(files[entry["file"]].read_bytes()).hexdigest() == entry["sha256"]


def test_it_is_the_phantom_without_its_truth(its_phantom: PhantomPatient) -> None:
    study = read_study(**{role.value: FOLDER / f"DeepGMM-sample-{role.value}.nrrd"
                          for role in Role}, mask=FOLDER / "DeepGMM-sample-mask.seg.nrrd")

    assert np.array_equal(study.mask, its_phantom.study.mask)
    assert study.wall is None
    for role, sequence in study.sequences.items():
        assert np.abs(sequence.values - its_phantom.study.sequences[role].values).max() <= 0.51
    assert np.allclose(study.geometry.index_to_world(),
                       its_phantom.study.geometry.index_to_world(), atol=1e-12)


def test_registering_needs_no_package_but_slicers(tmp_path: Path) -> None:
    """Under a Python without site-packages: what the start of Slicer runs, before any install."""
    (tmp_path / "SampleData.py").write_text(
        "class SampleDataLogic:\n"
        "    registerCustomSampleDataSource = staticmethod(lambda **k: print(k['uris'][0]))\n")
    code = (f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(MODULE)!r}];"
            f"from DeepGMMSegmentationLib import sample; sample.register({str(MODULE)!r})")

    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True,
                          text=True)

    assert done.stdout.strip() == (FOLDER / "DeepGMM-sample-bssfp.nrrd").as_uri(), done.stderr


class Slicer:
    """Slicer's scene, the Sample Data module's stand-in, and no network."""

    def __init__(self, folder: Path, cache: Path) -> None:
        from scenes import Scene, slicer
        from standins import SampleData

        self.slicer, self.samples, self.scene = slicer, SampleData, Scene()
        self.markups = slicer.vtkSlicerMarkupsLogic()
        self.markups.SetMRMLScene(self.scene.mrml)
        self.folder = folder
        SampleData.SOURCES.clear()
        SampleData.SampleDataLogic.scene = self.scene.mrml
        SampleData.SampleDataLogic.cache = cache

    def register(self) -> None:
        from DeepGMMSegmentationLib import sample

        sample.register(self.folder)


@pytest.fixture
def a_slicer_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Slicer:
    folder = tmp_path / "Slicer 5.12 für Jürg"
    shutil.copytree(MODULE / "Resources", folder / "Resources")
    (tmp_path / "cache").mkdir()

    def refused(*words: object, **named: object) -> None:
        raise OSError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(sys, "path", [str(MODULE), *sys.path])
    slicer = Slicer(folder, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "SampleData", slicer.samples)
    return slicer


def test_slicer_loads_it_without_network(
    a_slicer_without_network: Slicer, its_phantom: PhantomPatient
) -> None:
    slicer = a_slicer_without_network
    slicer.register()

    *volumes, mask, points = slicer.samples.downloadSamples("DeepGMM heart")

    assert [v.GetName() for v in volumes] == ["Sample bSSFP", "Sample LGE", "Sample T2"]
    for volume, role in zip(volumes, Role):
        values = slicer.slicer.util.arrayFromVolume(volume)
        assert np.abs(values - its_phantom.study.sequences[role].values).max() <= 0.51
    assert mask.IsA("vtkMRMLSegmentationNode") and mask.GetName() == "Sample LV mask"
    segmentation = mask.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 1
    segment = segmentation.GetSegment("left_ventricle")
    assert segment.GetName() == "Left ventricle"
    inside = slicer.slicer.vtkOrientedImageData()
    mask.GetBinaryLabelmapRepresentation("left_ventricle", inside)
    assert inside.GetScalarRange() == (0, 1)
    assert [points.GetNthControlPointLabel(i) for i in range(points.GetNumberOfControlPoints())
            ] == ["anterior", "inferior"]


def test_its_points_are_the_phantoms_on_the_middle_slice(
    a_slicer_without_network: Slicer, its_phantom: PhantomPatient
) -> None:
    slicer = a_slicer_without_network
    slicer.register()
    from deepgmm.scene.inputs import study_from_nodes

    *volumes, mask, points = slicer.samples.downloadSamples("DeepGMM heart")
    study = study_from_nodes(**{role.value: node for role, node in zip(Role, volumes)}, mask=mask,
                             insertions=points)

    truth = its_phantom.study.insertion_points
    assert np.allclose(study.insertion_points[2], truth[2], atol=0.01)
    assert not study.warnings


def test_its_term_is_one_that_slicer_knows(a_slicer_without_network: Slicer) -> None:
    slicer = a_slicer_without_network
    slicer.register()
    mask = slicer.samples.downloadSamples("DeepGMM heart")[3]
    logic = slicer.slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.LoadTerminologyFromFile(str(TERMS)) == OWN_CONTEXT

    text = mask.GetSegmentation().GetSegment("left_ventricle").GetTerminology()
    entry = slicer.slicer.vtkSlicerTerminologyEntry()

    assert text == MASK_TERMINOLOGY
    assert logic.DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeValue() == "87878005"
    assert logic.SerializeTerminologyEntry(entry) == text


def test_the_terms_are_made_known_at_the_start(
    a_slicer_without_network: Slicer, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    slicer = a_slicer_without_network.slicer
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    module = SimpleNamespace(logic=lambda: logic)
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(terminologies=module), raising=False)
    from DeepGMMSegmentationLib import terms

    terms.register(MODULE)
    names = pytest.importorskip("vtk").vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    assert OWN_CONTEXT in [names.GetValue(i) for i in range(names.GetNumberOfValues())]
    assert not caplog.records

    terms.register(MODULE / "elsewhere")
    assert "install DeepGMM again" in caplog.text


def test_it_is_offered_once_with_its_picture(a_slicer_without_network: Slicer) -> None:
    slicer = a_slicer_without_network
    slicer.register()
    slicer.register()

    (source,) = slicer.samples.SOURCES["DeepGMM"]
    assert source.sampleName == "DeepGMM heart"
    assert all(uri.startswith("file:///") and uri.isascii() for uri in source.uris)
    assert Path(source.thumbnailFileName).is_file()
    assert all(c.startswith("SHA256:") for c in source.checksums)


def test_a_damaged_file_is_not_taken(a_slicer_without_network: Slicer) -> None:
    slicer = a_slicer_without_network
    lge = slicer.folder / "Resources/SampleData/DeepGMM-sample-lge.nrrd"
    lge.write_bytes(lge.read_bytes()[:-1] + b"\x7f")
    slicer.register()

    assert slicer.samples.downloadSamples("DeepGMM heart")[1] is None


def test_an_application_without_sample_data_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(MODULE), *sys.path])
    monkeypatch.setitem(sys.modules, "SampleData", None)
    from DeepGMMSegmentationLib import sample

    sample.register(MODULE)
