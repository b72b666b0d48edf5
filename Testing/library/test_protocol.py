"""Messages come out as they went in, and what is no message is refused."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

from deepgmm.jobs.protocol import MARK, MOST_BYTES, MOST_HEADER, ProtocolError, pieces, read_message


def written(header: dict, arrays: dict | None = None) -> bytes:
    return b"".join(bytes(piece) for piece in pieces(header, arrays))


def read_back(data: bytes, **options):
    return read_message(io.BytesIO(data), **options)


class Trickle(io.BytesIO):
    """Brings a byte at a time, as a pipe may."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:1])


@pytest.mark.parametrize("kind", ["bool", "uint8", "int16", "int64", "float16", "float32",
                                  "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (2, 3, 5)])
def test_arrays_keep_every_bit(kind: str, shape: tuple[int, ...]) -> None:
    bits = np.random.default_rng(0).integers(0, 2 if kind == "bool" else 255,
                                             (*shape, np.dtype(kind).itemsize), dtype=np.uint8)
    sent = bits.view(kind)[..., 0] if kind != "bool" else bits[..., 0].astype(bool)
    _, arrays = read_back(written({}, {"a": sent}))
    assert arrays["a"].dtype == sent.dtype and arrays["a"].shape == sent.shape
    assert arrays["a"].tobytes() == sent.tobytes()


def test_any_layout_in_memory_is_the_same_array() -> None:
    plain = np.arange(24.0).reshape(2, 3, 4)
    for odd in (plain.transpose(2, 0, 1), plain[:, ::-1, ::2], plain.astype(">f8"),
                np.asfortranarray(plain)):
        _, arrays = read_back(written({}, {"a": odd}))
        np.testing.assert_array_equal(arrays["a"], odd)
        assert arrays["a"].flags.c_contiguous and arrays["a"].dtype.isnative


def test_large_arrays_are_not_copied_to_be_sent() -> None:
    values = np.zeros((100, 100), np.float32)
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), values)
               for piece in pieces({}, {"a": values}))


def test_headers_keep_words_and_numbers() -> None:
    header = {"names": ["Müller\n", "", "\u6f22"], "deep": {"x": [1, 2.5, None, True]},
              "large": 2**53 + 1, "third": 1 / 3, "inf": math.inf, "less": -math.inf}
    back, arrays = read_back(written(header | {"nan": math.nan}))
    assert math.isnan(back.pop("nan"))
    assert back == header and arrays == {}


def test_what_numpy_leaves_in_a_header_becomes_plain() -> None:
    back, _ = read_back(written({"a": np.float64(0.1), "b": np.arange(3), "c": np.bool_(True)}))
    assert back == {"a": 0.1, "b": [0, 1, 2], "c": True}


def test_messages_follow_each_other() -> None:
    stream = Trickle(written({"n": 1}, {"a": np.ones(5)}) + written({"n": 2}))
    assert read_message(stream)[0] == {"n": 1}
    assert read_message(stream)[0] == {"n": 2}
    assert read_message(stream) is None


@pytest.mark.parametrize("values", [np.array([None]), np.array(["a"]), np.ones(3, complex),
                                    np.ones(3, "datetime64[s]"), np.ones((1,) * 9)])
def test_what_no_message_can_hold_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ProtocolError, match="a: .* cannot be sent"):
        written({}, {"a": values})


def test_nothing_but_values_goes_into_a_header() -> None:
    with pytest.raises(ProtocolError, match="cannot hold object"):
        written({"a": object()})
    with pytest.raises(ProtocolError, match="too large"):
        written({}, {str(i): np.ones(1) for i in range(100)})


def test_one_that_breaks_off_is_refused_wherever_it_does() -> None:
    whole = written({"a": "b"}, {"a": np.arange(3)})
    assert read_back(b"") is None
    for length in range(1, len(whole)):
        with pytest.raises(ProtocolError):
            read_back(whole[:length])


def framed(text: bytes, length: int | None = None) -> bytes:
    return MARK + (len(text) if length is None else length).to_bytes(4, "little") + text


def described(*arrays: object) -> bytes:
    return framed(json.dumps({"arrays": arrays}).encode())


@pytest.mark.parametrize("data", [
    b"hello, world", framed(b"{}", MOST_HEADER + 1), framed(b"{}"), framed(b"[]"), framed(b"{"),
    framed(b"\xff\xfe"), framed(b'{"arrays":3}'), framed(b"[" * 100_000),
    described(["a", "object", [1]]), described(["a", "O", [1]]), described(["a", "uint8", [-1]]),
    described(["a", "uint8", [1.5]]), described(["a", "uint8"]), described(["a", "uint8", 3]),
    described(["a", "uint8", [1] * 9]), described(["a", "float64", [MOST_BYTES // 8 + 1]]),
    described(["a", "uint8", [2**40, 2**40]]), described(*[["a", "uint8", [0]]] * 65),
])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_back(data)


def test_damage_is_refused_or_seen_in_the_values_alone() -> None:
    """No byte of it can do more harm than that."""
    rng = np.random.default_rng(1)
    whole = written({"n": 1, "list": [1, 2, 3]}, {"a": np.arange(6, dtype=np.int16)})
    refused = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[rng.integers(4, len(whole))] = rng.integers(256)
        try:
            header, arrays = read_back(bytes(damaged))
        except ProtocolError:
            refused += 1
        else:
            assert isinstance(header, dict)
            assert all(isinstance(a, np.ndarray) for a in arrays.values())
    assert 200 < refused < 2000


@pytest.mark.parametrize("before", [b"", b"a", b"a launcher says\r\n", MARK[:3] + b"x",
                                    MARK[:1] * 3])
def test_what_is_printed_before_the_first_message_is_told_apart(before: bytes) -> None:
    noise = bytearray()
    assert read_back(before + written({"n": 1}), noise=noise)[0] == {"n": 1}
    assert noise == before


def test_nothing_but_noise_has_an_end_too() -> None:
    noise = bytearray()
    assert read_back(b"no such file\n", noise=noise) is None
    assert noise == b"no such file\n"
    with pytest.raises(ProtocolError, match="much else"):
        read_back(bytes(1 << 17), noise=bytearray())
