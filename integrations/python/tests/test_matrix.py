"""The container: the golden matrices, the specification's own reader, and every kind of damage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import GOLDEN, ROOT, forge, random_bits, refused
from numpy.typing import NDArray

from spinfer import SpInferError, check_matrix, decode_matrix, read_meta
from spinfer import matrix as container
from spinfer.encode import encode_matrix
from spinfer.errors import Origin
from spinfer.layout import HEADER, inside_words


def golden(path: Path) -> tuple[bytes, bytes, NDArray[np.uint16], dict[str, object]]:
    case = json.loads(path.read_text())
    bits = np.zeros((case["rows"], case["cols"]), np.uint16)
    for row, col, value in case["values"]:
        bits[row, col] = value
    dense = np.ascontiguousarray(bits.T) if case["transposed"] else bits
    payload, meta = (bytes.fromhex("".join(case[key])) for key in ("payload", "weightMeta"))
    return payload, meta, dense, case


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_reads_and_writes_the_golden_matrices(path: Path) -> None:
    payload, stored, dense, case = golden(path)
    meta = check_matrix(payload, stored)
    assert (meta.dtype, meta.transposed) == (case["dtype"], case["transposed"])
    assert meta.dense_shape == dense.shape
    np.testing.assert_array_equal(decode_matrix(payload, meta), dense)
    written = encode_matrix(dense, meta.dtype, transposed=meta.transposed)
    assert (written[0].tobytes(), written[1].tobytes()) == (payload, stored)


def test_there_are_golden_matrices() -> None:
    assert len(GOLDEN) >= 6


def test_agrees_with_the_reader_that_the_specification_prints() -> None:
    text = (ROOT / "formats" / "tile-bitmap" / "SPEC.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1], names)
    for seed, (rows, cols) in enumerate([(1, 1), (32, 64), (33, 65), (100, 200), (300, 31)]):
        bits = random_bits(seed, rows, cols, seed / 5)
        payload, meta = encode_matrix(bits, "F16")
        theirs = names["read_tile_bitmap"](payload.tobytes(), meta.tobytes())  # type: ignore[operator]
        np.testing.assert_array_equal(theirs.view(np.uint16), bits)
        np.testing.assert_array_equal(decode_matrix(payload, check_matrix(payload, meta)), bits)


def test_every_pattern_comes_back() -> None:
    bits = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for dtype in ("F16", "BF16"):
        payload, meta = encode_matrix(bits, dtype)
        np.testing.assert_array_equal(decode_matrix(payload, check_matrix(payload, meta)), bits)


@pytest.mark.parametrize("strips", [1, 2, 3])
def test_groups_of_any_size_give_the_same(strips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = random_bits(9, 150, 200)
    payload, stored = encode_matrix(bits, "F16")
    monkeypatch.setattr(container, "GROUP_WEIGHTS", strips * 32 * 256)
    meta = check_matrix(payload, stored)
    np.testing.assert_array_equal(decode_matrix(payload, meta), bits)
    part = container.decode_strips(payload, meta, 1, 4)
    np.testing.assert_array_equal(part, bits[32:128])


def test_bits_inside_are_counted_right() -> None:
    for rows, cols in ((32, 64), (1, 1), (17, 33), (8, 64), (32, 1)):
        assert int(np.bitwise_count(inside_words(rows, cols)).sum()) == rows * cols


Parts = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def good() -> Parts:
    return encode_matrix(random_bits(4, 40, 70), "F16")


def field(meta: NDArray[np.uint8], name: str, value: int) -> None:
    meta[:64].view(HEADER)[name] = value


def offset(meta: NDArray[np.uint8], index: int, change: int) -> None:
    meta[64:84].view("<u4")[index] += np.uint32(change % 2**32)


HEADER_CASES = [
    ("magic", 0, "E_TB_LAYOUT", "magic"),
    ("minor", 1, "E_TB_VERSION", "version 1.1 is not supported"),
    ("major", 2, "E_TB_VERSION", "version 2.0 is not supported"),
    ("major", 0, "E_TB_VERSION", "version 0.0"),
    ("value_dtype", 0, "E_TB_LAYOUT", "value dtype code 0"),
    ("value_dtype", 16, "E_TB_LAYOUT", "value dtype code 16"),
    ("value_order", 2, "E_TB_LAYOUT", "value order code 2"),
    ("scale_kind", 1, "E_TB_LAYOUT", "scale kind 1"),
    ("flags", 2, "E_TB_LAYOUT", "flags 2"),
    ("reserved", 1, "E_TB_LAYOUT", "reserved"),
    ("rows", 0, "E_TB_LAYOUT", "shape 0 × 70"),
    ("cols", 2**31, "E_TB_LAYOUT", "shape 40 × 2147483648"),
    ("chunk_rows", 64, "E_TB_LAYOUT", "chunks of 64 × 64"),
    ("chunk_cols", 0, "E_TB_LAYOUT", "chunks of 32 × 0"),
    ("header_bytes", 80, "E_TB_LAYOUT", "a header of 80 bytes"),
    ("chunks", 3, "E_TB_LAYOUT", "3 chunks for 40 × 70"),
    ("rows", 70, "E_TB_LAYOUT", "4 chunks for 70 × 70"),
    ("payload_bytes", 2**36, "E_TB_COUNT", "payload size of 68719476736"),
    ("nonzeros", 2**64 - 1, "E_TB_COUNT", "nonzeros of 18446744073709551615"),
    ("nonzeros", 2801, "E_TB_COUNT", "2801 nonzeros in a 40 × 70 matrix"),
    ("nonzeros", 1, "E_TB_COUNT", "1 nonzeros are declared"),
]


@pytest.mark.parametrize(("name", "value", "code", "words"), HEADER_CASES)
def test_refuses_a_header(name: str, value: int, code: str, words: str) -> None:
    payload, meta = good()
    field(meta, name, value)
    forge(meta, payload)
    with refused(code, words):
        check_matrix(payload, meta)


OFFSET_CASES = [
    (0, 1, "E_TB_OFFSETS", "the first offset is 1"),
    (2, -1000, "E_TB_OFFSETS", "chunk 1 (rows 0..31, columns 64..69)"),
    (1, 1, "E_TB_POPCOUNT", "chunk 0 (rows 0..31, columns 0..63)"),
    (4, 1, "E_TB_COUNT", "the offsets end at"),
]


@pytest.mark.parametrize(("index", "change", "code", "words"), OFFSET_CASES)
def test_refuses_offsets(index: int, change: int, code: str, words: str) -> None:
    payload, meta = good()
    offset(meta, index, change)
    forge(meta, payload)
    with refused(code, words):
        check_matrix(payload, meta)


@pytest.mark.parametrize("size", [0, 63, 80, 97])
def test_refuses_a_weight_meta_of_another_size(size: int) -> None:
    payload, meta = good()
    changed = np.zeros(size, np.uint8)
    changed[: min(size, len(meta))] = meta[:size]
    forge(changed, payload)
    with refused("E_TB_LAYOUT", f"weight_meta has {size} bytes"):
        check_matrix(payload, changed)


@pytest.mark.parametrize("extra", [-16, -1, 1, 16])
def test_refuses_a_payload_of_another_size(extra: int) -> None:
    payload, meta = good()
    changed = np.zeros(len(payload) + extra, np.uint8)
    changed[: len(payload)] = payload[: len(changed)]
    forge(meta, changed)
    with refused("E_TB_ALIGN", f"the payload has {len(changed)} bytes"):
        check_matrix(changed, meta)


def test_refuses_padding_and_stored_zeros() -> None:
    bits = np.zeros((32, 64), np.uint16)
    bits[0, 0] = 1
    payload, meta = encode_matrix(bits, "F16")
    for at in range(258, 272):
        damaged = payload.copy()
        damaged[at] = 0x80
        forge(meta, damaged)
        with refused("E_TB_PADDING", "the padding of chunk 0"):
            check_matrix(damaged, meta)
    payload[256:258] = 0
    forge(meta, payload)
    with refused("E_TB_ZERO", "chunk 0 (rows 0..31, columns 0..63) stores a zero"):
        check_matrix(payload, meta)
    payload, meta = good()
    meta[95] = 1
    forge(meta, payload)
    with refused("E_TB_PADDING", "weight_meta byte 95"):
        check_matrix(payload, meta)


@pytest.mark.parametrize(
    ("rows", "cols", "word", "bit"), [(8, 64, 0, 2), (16, 64, 32, 0), (32, 1, 0, 1), (32, 16, 1, 0)]
)
def test_refuses_bits_beyond_the_matrix(rows: int, cols: int, word: int, bit: int) -> None:
    bits = np.zeros((rows, cols), np.uint16)
    bits[0, 0] = 5
    payload, meta = encode_matrix(bits, "F16")
    payload[:256] = 0
    payload[:256].view("<u4")[word] = 1 << bit
    forge(meta, payload)
    with refused("E_TB_PADDING", "has a bit beyond the matrix"):
        check_matrix(payload, meta)


def test_finds_every_single_flipped_bit() -> None:
    payload, meta = encode_matrix(random_bits(5, 20, 40), "F16")
    both = np.concatenate([payload, meta])
    for bit in range(8 * len(both)):
        damaged = both.copy()
        damaged[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(SpInferError):
            check_matrix(damaged[: len(payload)], damaged[len(payload) :])


def test_finds_flipped_bits_of_bitmaps_by_structure_alone() -> None:
    codes = set()
    # with eight values one more needs another 16 bytes, with five it meets padding
    for count in (8, 5):
        bits = np.zeros((32, 64), np.uint16)
        bits[3, :count] = 7
        payload, meta = encode_matrix(bits, "F16")
        for bit in range(2048):
            damaged = payload.copy()
            damaged[bit >> 3] ^= 1 << (bit & 7)
            with pytest.raises(SpInferError) as caught:
                check_matrix(damaged, meta, crc=False)
            codes.add(caught.value.code)
    assert codes == {"E_TB_POPCOUNT", "E_TB_ZERO", "E_TB_PADDING"}


def test_checksums_find_what_structure_cannot() -> None:
    payload, meta = good()
    payload[256] ^= 1
    with refused("E_HASH", "the payload does not match its CRC-32"):
        check_matrix(payload, meta)
    check_matrix(payload, meta, crc=False)
    payload, meta = good()
    meta[15] = 1  # transposed
    with refused("E_HASH", "weight_meta does not match its CRC-32"):
        read_meta(meta)


def test_a_payload_that_changed_after_its_check_is_not_decoded() -> None:
    payload, stored = good()
    meta = check_matrix(payload, stored)
    payload[:256] = 0xFF
    with refused("E_TB_POPCOUNT", "changed since it was checked"):
        decode_matrix(payload, meta)


def test_damage_gives_a_code_and_nothing_else() -> None:
    random = np.random.default_rng(11)
    codes: dict[str, int] = {}
    for _ in range(3000):
        rows, cols = random.integers(1, 100, 2)
        payload, meta = encode_matrix(random_bits(int(rows), rows, cols, random.random()), "F16")
        part = meta if random.random() < 0.5 else payload
        for _ in range(random.integers(1, 4)):
            part[random.integers(len(part))] = random.choice([0, 1, 0x7F, 0x80, 0xFF])
        if random.random() < 0.7:
            forge(meta, payload)
        try:
            found = check_matrix(payload, meta, crc=bool(random.random() < 0.7))
        except SpInferError as error:
            codes[error.code] = codes.get(error.code, 0) + 1
        else:
            again = encode_matrix(
                decode_matrix(payload, found), found.dtype, transposed=found.transposed
            )
            assert again[0].tobytes() == payload.tobytes()
    assert set(codes) >= {"E_TB_LAYOUT", "E_TB_POPCOUNT", "E_TB_OFFSETS", "E_TB_PADDING", "E_HASH"}


def test_messages_name_file_tensor_and_next_step() -> None:
    payload, meta = good()
    meta[0] = 0
    with pytest.raises(SpInferError) as caught:
        check_matrix(payload, meta, Origin("model.safetensors", "a.weight"))
    error = caught.value
    expected = "model.safetensors: a.weight: weight_meta does not begin with its magic"
    assert error.message == expected
    assert (error.path, error.tensor) == ("model.safetensors", "a.weight")
    assert "fetch it again" in str(error)
