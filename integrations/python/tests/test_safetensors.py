"""Files on which readers of safetensors disagree, with the codes of the TypeScript reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import refused

from spinfer.safetensors import Header, read_header

ENTRY = '"dtype":"U8","shape":[4],"data_offsets":[0,4]'


def u8(begin: int, end: int) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


def raw(header: object, data: int = 4) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header)
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(8, "little") + encoded + b"\1" * data


def one(**changes: object) -> dict[str, object]:
    return {"a": {**u8(0, 4), **changes}}


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 12\n"
HTML = b"<!doctype html><html><title>503</title></html>"

REFUSED = [
    ("hole", raw({"a": u8(0, 1), "b": u8(2, 4)}), "E_ST_OFFSETS"),
    ("overlap", raw({"a": u8(0, 3), "b": u8(2, 4)}), "E_ST_OFFSETS"),
    (
        "twice, other offsets",
        raw(f'{{"a":{{{ENTRY}}},"a":{{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}}}', 8),
        "E_ST_DUP_KEY",
    ),
    (
        "twice, same offsets",
        raw(f'{{"a":{{{ENTRY}}},"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}'),
        "E_ST_DUP_KEY",
    ),
    ("dtype twice", raw(f'{{"a":{{{ENTRY},"dtype":"I8"}}}}'), "E_ST_DUP_KEY"),
    ("bytes behind", raw({"a": u8(0, 4)}, 7), "E_ST_SIZE"),
    ("a byte short", raw({"a": u8(0, 4)}, 3), "E_ST_TRUNCATED"),
    (
        "wraps to 0",
        raw({"a": {"dtype": "U8", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}, 0),
        "E_ST_OVERFLOW",
    ),
    (
        "overflows, times 0",
        raw({"a": {"dtype": "U8", "shape": [2**32, 2**32, 2**32, 0], "data_offsets": [0, 0]}}, 0),
        "E_ST_OVERFLOW",
    ),
    ("unknown dtype", raw(one(dtype="F7")), "E_ST_DTYPE_UNSUPPORTED"),
    ("half a byte", raw(one(dtype="F4", shape=[7])), "E_ST_SUBBYTE"),
    ("another size", raw(one(shape=[3])), "E_ST_SIZE"),
    ("1.0 in a shape", raw(one(shape=[4.0])), "E_ST_JSON_TYPE"),
    ("negative", raw(one(shape=[-4])), "E_ST_JSON_TYPE"),
    ("true in a shape", raw(one(shape=[True])), "E_ST_JSON_TYPE"),
    ("over 2^53", raw(one(data_offsets=[0, 2**53])), "E_ST_JSON_TYPE"),
    ("no shape", raw({"a": {"dtype": "U8", "data_offsets": [0, 4]}}), "E_ST_JSON_TYPE"),
    ("three offsets", raw(one(data_offsets=[0, 2, 4])), "E_ST_JSON_TYPE"),
    ("metadata", raw({"__metadata__": {"a": 1}, "a": u8(0, 4)}), "E_ST_JSON_TYPE"),
    ("a list", raw("[]", 0), "E_ST_JSON_TYPE"),
    ("empty", raw("", 0), "E_ST_JSON_TYPE"),
    ("lone surrogate", raw(f'{{"\\ud800":{{{ENTRY}}}}}'), "E_ST_UTF8"),
    ("no UTF-8", b"\x02" + bytes(7) + b"{\xff", "E_ST_UTF8"),
    ("NUL padding", raw(f'{{"a":{{{ENTRY}}}}}\0\0\0\0'), "E_ST_JSON"),
    ("byte-order mark", raw(f'\ufeff{{"a":{{{ENTRY}}}}}'), "E_ST_JSON"),
    ("NaN", raw(one(more=float("nan"))), "E_ST_JSON"),
    ("out of range", raw(f'{{"a":{{{ENTRY},"more":[1e999]}}}}'), "E_ST_JSON"),
    ("deep", raw(f'{{"a":{{{ENTRY},"more":{"[" * 200}{"]" * 200}}}}}'), "E_ST_JSON"),
    ("deeper", raw(f'{{"a":{{{ENTRY},"more":{"[" * 100_000}}}}}'), "E_ST_JSON"),
    ("9 dimensions", raw(one(shape=[1] * 8 + [4])), "E_LIMIT"),
    ("short", b"1234567", "E_ST_SHORT"),
    ("too large", (2**63).to_bytes(8, "little") + b"{}", "E_ST_HEADER_TOO_LARGE"),
    ("too long", (1000).to_bytes(8, "little") + b"{}", "E_ST_HEADER_LENGTH"),
    ("git-lfs", LFS, "E_NOT_SAFETENSORS"),
    ("html", HTML, "E_NOT_SAFETENSORS"),
    ("gguf", b"GGUF\3\0\0\0" + bytes(100), "E_NOT_SAFETENSORS"),
    ("zip", b"PK\3\4" + bytes(100), "E_NOT_SAFETENSORS"),
]

ACCEPTED = [
    ("as it should be", raw({"a": u8(0, 4)})),
    ("unknown key", raw(one(more={"x": [1, {"x": 2, "y": None}]}))),
    ("leading space", raw(f'  {{"a":{{{ENTRY}}}}}')),
    ("__proto__", raw(f'{{"__proto__":{{{ENTRY}}}}}')),
    ("a scalar", raw(one(shape=[], dtype="F32"))),
    ("an empty tensor", raw({"b": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, 0)),
]


def read(tmp_path: Path, data: bytes) -> Header:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with path.open("rb") as file:
        return read_header(file, "x.safetensors")


@pytest.mark.parametrize(
    ("data", "code"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_refuses(data: bytes, code: str, tmp_path: Path) -> None:
    with refused(code, "x.safetensors: "):
        read(tmp_path, data)


@pytest.mark.parametrize("data", [case[1] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_accepts(data: bytes, tmp_path: Path) -> None:
    assert len(read(tmp_path, data).entries) == 1


def test_offsets_are_those_in_the_file(tmp_path: Path) -> None:
    data = raw({"b": u8(1, 4), "a": u8(0, 1)})
    entries = read(tmp_path, data).entries
    assert [entry.name for entry in entries] == ["a", "b"]
    assert (entries[0].begin, entries[1].end) == (len(data) - 4, len(data))
