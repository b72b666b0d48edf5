"""Headers written plainly are read without pydicom, and say what pydicom reads in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, LGE, Examination
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deepgmm.reading.dicom import elements
from deepgmm.reading.dicom.elements import SEQUENCES, TEXTS, WANTED, Header
from deepgmm.reading.dicom.plain import plain_elements
from deepgmm.study.study import Geometry

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
GEOMETRY = Geometry((1.4, 1.4, 8.0), (-80.0, -60.0, 10.0), AXIAL)
DEFLATED = "1.2.840.10008.1.2.1.99"


def by_both(file: Path) -> tuple[Header, Header] | None:
    """What our reading and pydicom's find; None where ours leaves it, and both end at one place."""
    size = file.stat().st_size
    with file.open("rb", buffering=0) as stream:
        if stream.read(132)[128:] != b"DICM":
            return None
        found = plain_elements(stream, size, WANTED, TEXTS, SEQUENCES)
    if found is None:
        return None
    values, syntax, end = found
    with file.open("rb") as stream:
        read = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=sorted(WANTED))
        assert stream.tell() == end
    return Header(values, syntax), Header.of(read)


def assert_agree(file: Path) -> bool:
    both = by_both(file)
    if both is None:
        return False
    ours, theirs = both
    assert ours.syntax == theirs.syntax
    for keyword in set(elements._TAGS) - {"SpecificCharacterSet"}:  # asked for by pydicom alone
        assert (keyword in ours) == (keyword in theirs), keyword
        assert ours.text(keyword) == theirs.text(keyword), keyword
        for count in (1, 2, 3, 6):
            assert ours.numbers(keyword, count) == theirs.numbers(keyword, count), keyword
    return True


def test_files_of_many_makes_say_the_same_to_both():
    folder = Path(pydicom.__file__).parent / "data"
    files = [f for f in folder.rglob("*.dcm") if f.stat().st_size < 1_000_000]
    agreed = [f for f in files if assert_agree(f)]
    assert len(files) > 60 and len(agreed) > len(files) / 2
    assert not {f for f in agreed if "big" in f.name.lower()}  # big endian


@pytest.mark.parametrize("syntax,read", [
    (EXPLICIT, True), (IMPLICIT, True), (DEFLATED, False)])
@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_before_the_elements_are_passed_over(tmp_path, syntax, read, undefined):
    data = an_image(tmp_path, syntax)
    inner = Dataset()
    inner.SeriesNumber, inner.InstanceNumber = 99, 98
    outer = Dataset()
    outer.ReferencedSOPInstanceUID = "1.2.3"
    outer.ReferencedSeriesSequence = Sequence([inner, inner])
    data.ReferencedImageSequence = Sequence([outer, outer])
    for one in (data["ReferencedImageSequence"], outer["ReferencedSeriesSequence"]):
        one.is_undefined_length = undefined
    inner.is_undefined_length_sequence_item = outer.is_undefined_length_sequence_item = undefined
    file = saved(data, tmp_path / "one.dcm", syntax)
    assert assert_agree(file) == read
    if read:
        ours, _ = by_both(file)
        assert (ours.integer("SeriesNumber"), ours.integer("InstanceNumber")) == (7, 1)


@pytest.mark.parametrize("keyword,value", [
    ("SeriesDescription", "Spätaufnahme"),
    ("RealWorldValueMappingSequence", Sequence([Dataset()]))])
def test_what_takes_more_than_bytes_is_left_to_pydicom(tmp_path, keyword, value):
    data = an_image(tmp_path, EXPLICIT)
    data.SpecificCharacterSet = "ISO_IR 100"
    setattr(data, keyword, value)
    assert by_both(saved(data, tmp_path / "one.dcm", EXPLICIT)) is None


def test_a_header_cut_anywhere_is_never_read_as_whole(tmp_path):
    file = saved(an_image(tmp_path, EXPLICIT), tmp_path / "one.dcm", EXPLICIT)
    whole = file.read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\x00")
    for end in [*range(140, pixels, 23), pixels - 1]:
        file.write_bytes(whole[:end])
        both = by_both(file)
        if both is not None:  # cut between two elements
            assert_agree(file)
        with file.open("rb", buffering=0) as stream:
            found = plain_elements(stream, end, WANTED, TEXTS, SEQUENCES)
        assert found is None or found[2] == end


def test_an_examination_of_plain_files_does_not_load_pydicom(tmp_path):
    exam = Examination(tmp_path / "exam", clutter=5)
    exam.add(30, "de_sa", np.ones((4, 32, 32), np.float32), GEOMETRY, tags=LGE)
    code = ("import sys; from deepgmm.reading.dicom.examination import read_examination; "
            f"found = read_examination({str(exam.folder)!r}); "
            "print(len(found.scan.frames), 'pydicom' in sys.modules)")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["4", "False"]


def an_image(folder: Path, syntax: str) -> Dataset:
    exam = Examination(folder / "exam")
    file, *_ = exam.add(7, "de_sa", np.ones((1, 16, 16), np.float32), GEOMETRY, tags=LGE)
    return pydicom.dcmread(file)


def saved(data: Dataset, file: Path, syntax: str) -> Path:
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(file, implicit_vr=syntax == IMPLICIT)
    return file
