"""A study and a result arrive with every field as it was, bit for bit."""

from __future__ import annotations

import io
import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from small_results import a_result_of

from deepgmm.jobs.codec import decode_result, decode_study, encode_result, encode_study
from deepgmm.jobs.protocol import ProtocolError, pieces, read_message
from deepgmm.result import Result
from deepgmm.study.study import Geometry, Sequence, Study
from deepgmm.study.words import Kind, Role


def sent(header: dict, arrays: dict) -> tuple[dict, dict]:
    """Through the bytes of a pipe."""
    return read_message(io.BytesIO(b"".join(bytes(p) for p in pieces(header, arrays))))


def assert_same(one: Any, other: Any, where: str = "it") -> None:
    """Of the same types, with the same values to the last bit, all the way down."""
    assert type(one) is type(other), where
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name),
                        f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tobytes() == other.tobytes(), where
    else:
        assert one == other or one != one and other != other, where


def a_full_study() -> Study:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(3, 8, 9))
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    points = rng.normal(size=(3, 2, 2))
    points[1] = np.nan
    return Study(
        {Role.T2: Sequence(Role.T2, values, Kind.UNKNOWN),
         Role.LGE: Sequence(Role.LGE, values.astype(np.float32), Kind.LGE_PSIR),
         Role.BSSFP: Sequence(Role.BSSFP, values.astype(np.float16)[..., ::-1])},
        values > 0,
        Geometry((1.1, 1 / 3, 8.0), (-0.1, 1e-17, 3.0), tuple(rng.normal(size=9).tolist())),
        wall=values > 0.5, insertion_points=points,
        excluded={2: "left out by the user", 0: "m\u00fcde"}, warnings=["one", "two\u2026"],
        hashes={"lge": "0" * 64, "mask": "1" * 64},
        provenance={"bssfp_phase": {"frame": 3, "why": None}, "share": math.nan, "most": math.inf})


def test_a_study_arrives_whole() -> None:
    study = a_full_study()
    assert_same(decode_study(*sent(*encode_study(study))), study)


def test_a_small_study_arrives_as_small() -> None:
    study = Study({Role.LGE: Sequence(Role.LGE, np.ones((1, 4, 4)))}, np.ones((1, 4, 4), bool))
    assert_same(decode_study(*sent(*encode_study(study))), study)


def a_full_result() -> Result:
    result = a_result_of(slices=4, excluded={1: "left out by the user"}, warnings=["look"])
    rng = np.random.default_rng(4)
    result.posterior *= rng.uniform(0.5, 1, result.posterior.shape).astype(np.float32)
    result.posterior[2, 0, 1, 1] = 0.25  # outside the mask, as a locked slice may have it
    result.fits[0].agreement = 0.875
    result.fits[1].trace = []
    result.fits[1].converged = False
    result.fits[2].nll = math.inf
    result.provenance |= {"locked_slices": [2], "quality": [{"index": 1, "role": None}]}
    return result


def test_a_result_arrives_whole() -> None:
    result = a_full_result()
    assert_same(decode_result(*sent(*encode_result(result))), result)


def test_a_result_without_fits_arrives() -> None:
    result = replace(a_full_result(), fits=[], posterior=np.zeros((4, 4, 40, 52), np.float32))
    assert_same(decode_result(*sent(*encode_result(result))), result)


def test_what_the_other_side_has_is_not_sent_again() -> None:
    result = a_full_result()
    study = result.study
    mine = replace(study, warnings=[],
                   sequences={role: replace(s) for role, s in study.sequences.items()})
    lge = study.sequences[Role.LGE]
    lge.values, lge.kind = lge.values * 2, Kind.LGE_PSIR  # repaired there, and recognised
    study.warnings.append("said there")
    header, arrays = sent(*encode_result(result, known=mine))
    assert [name for name in arrays if name.startswith("study.")] == ["study.lge"]
    back = decode_result(header, arrays, known=mine)
    assert_same(back, result)
    assert back.study.mask is mine.mask and back.study.sequences[Role.T2].values is \
        mine.sequences[Role.T2].values
    assert mine.sequences[Role.LGE].kind is Kind.LGE_MAGNITUDE and mine.warnings == []


@pytest.mark.parametrize("name", ["study.mask", "labels", "posterior", "fits.nll"])
def test_what_is_missing_is_said(name: str) -> None:
    header, arrays = sent(*encode_result(a_full_result()))
    del arrays[name]
    with pytest.raises(ProtocolError, match="no result|no study"):
        decode_result(header, arrays)


@pytest.mark.parametrize("name", ["kinds", "geometry", "excluded", "given"])
def test_a_header_of_something_else_is_refused(name: str) -> None:
    header, arrays = sent(*encode_study(a_full_study()))
    with pytest.raises(ProtocolError, match="no study"):
        decode_study(header | {name: 3}, arrays)
