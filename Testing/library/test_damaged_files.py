"""Damaged files and strange options end in a whole result or in one line, whatever they are.

With DEEPGMM_DAMAGED_CASES=5000 and DEEPGMM_DAMAGED_SEED=3 it tries so many others. A case that
fails says how it is made again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from damage import Good
from damaged_files import KINDS, LONGEST, Ran, cases, try_case

from deepgmm.errors import InputError, shortened
from deepgmm.files import read_json

COUNT = int(os.environ.get("DEEPGMM_DAMAGED_CASES", "300"))
SEED = int(os.environ.get("DEEPGMM_DAMAGED_SEED", "0"))

#: How each case ended, over all kinds.
_ENDED: list[Ran] = []


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return Good.made(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_whole_result_or_one_line(kind: str, good: Good, tmp_path: Path) -> None:
    """300 cases in all; every one ends in status 0 or 2, and leaves nothing behind."""
    ran = [
        try_case(name, seed, good, tmp_path / f"case{number}")
        for number, (name, seed) in enumerate(cases(COUNT, SEED))
        if name == kind
    ]
    _ENDED.extend(ran)
    wrong = [str(case) for case in ran if case.faults]
    assert not wrong, f"{len(wrong)} of {len(ran)} cases:\n" + "\n".join(wrong)


def test_cases_get_as_far_as_a_fit_and_are_refused_before() -> None:
    """A generator of which everything is refused at the door would test the door."""
    if len({case.kind for case in _ENDED}) < len(KINDS):
        pytest.skip("not all kinds were run")
    done = sum(case.status == 0 for case in _ENDED)
    assert len(_ENDED) / 6 < done < 5 * len(_ENDED) / 6


def test_a_message_is_one_short_line_whatever_it_repeats() -> None:
    for said in ("x" * 10_000, "a b " * 3000, "line\nbreak\ttab\x1b[31m", "患" * 9000):
        line = str(InputError(f"the card's title is '{said}': give another"))
        assert len(line) < LONGEST - len("deepgmm: error: ") and line.isprintable()
        assert line.startswith("the card's title is '") and line.endswith("give another")
    assert shortened("as it was, short enough") == "as it was, short enough"


@pytest.mark.parametrize("content", [
    b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b'{"a": NaN}', b'{"a": -Infinity}', b"1e999",
    b"\xff\xfe{", b'{"a": "\xfc"}', b'"\\ud800"', b"1" * 5000, b"{} {}",
], ids=lambda content: repr(content[:12]))  # fmt: skip
def test_no_such_json_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "some.json").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_json(tmp_path / "some.json")
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("letters", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_unicode_is_read(letters: str, tmp_path: Path) -> None:
    """RFC 8259, 8.1, wants UTF-8; Windows' editors write the others, and a mark."""
    (tmp_path / "some.json").write_bytes('{"größe": [1, 2.5, null]}'.encode(letters))
    assert read_json(tmp_path / "some.json") == {"größe": [1, 2.5, None]}
