"""JSON as strictly as the TypeScript reader takes it: no key twice, no half of a surrogate pair.

Objects come as lists of pairs of the type `Object`, so that a repeated key is seen by whoever
knows whether it matters.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_COUNT = 2**53 - 1
MAX_DEPTH = 127
"""Objects and lists inside each other, as in the reference reader of safetensors."""


class JsonFault(Exception):
    """Why text was refused: "utf8", "syntax", "duplicate" or "type"."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Object(list[tuple[str, Any]]):
    """The members of a JSON object, in their order."""


class NotCount(float):
    """A number that is no whole number from 0 to 2^53 − 1."""


class Fraction(NotCount):
    """One that is written with a point or an exponent: 0.0 is no 0 to loaders that check types."""


def parse(data: bytes, *, non_finite: bool = False) -> Any:
    """The value of JSON text. Raises JsonFault. With `non_finite`, NaN and Infinity are numbers."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise JsonFault("utf8", f"byte {fault.start} is not UTF-8") from fault
    if text.strip(" \n\r\t") == "":
        raise JsonFault("type", "it is empty")
    decoder = json.JSONDecoder(
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=Fraction,
        parse_constant=NotCount if non_finite else _refuse_constant,
    )
    try:
        return decoder.decode(text)
    except RecursionError as fault:
        raise JsonFault("syntax", "it is nested too deeply") from fault
    except json.JSONDecodeError as fault:
        detail = f"{fault.msg} at character {fault.pos}"
        if fault.msg == "Extra data" and text[fault.pos] == "\0":
            detail = "NUL bytes follow the JSON text"
        raise JsonFault("syntax", detail) from fault


def _object(pairs: list[tuple[str, Any]]) -> Object:
    for key, value in pairs:
        _check_text(key)
        if isinstance(value, str):
            _check_text(value)
    return Object(pairs)


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise JsonFault("utf8", "a string holds half of a surrogate pair") from fault


def _integer(text: str) -> int | NotCount:
    if text[0] == "-" or len(text) > 16 or int(text) > MAX_COUNT:
        return NotCount(text)
    return int(text)


def _refuse_constant(word: str) -> Any:
    raise JsonFault("syntax", f"{word} is not JSON")


def members(value: Any, what: str) -> dict[str, Any]:
    """An object as a dict. Raises JsonFault: "type" for another value, "duplicate" for a key."""
    if not isinstance(value, Object):
        raise JsonFault("type", f"{what} is not an object")
    found: dict[str, Any] = {}
    for key, item in value:
        if key in found:
            raise JsonFault("duplicate", f"{key!r} of {what} is there twice")
        found[key] = item
    return found


def check_skipped(value: Any, depth: int) -> None:
    """Checks a value that nobody asks for: nesting from `depth` on, numbers in range, strings."""
    pending = [(value, depth)]
    while pending:
        item, level = pending.pop()
        if isinstance(item, list):
            if level > MAX_DEPTH:
                raise JsonFault("syntax", f"more than {MAX_DEPTH} levels of nesting")
            children = (pair[1] for pair in item) if isinstance(item, Object) else item
            pending.extend((child, level + 1) for child in children)
        elif isinstance(item, str):
            _check_text(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise JsonFault("syntax", "a number is out of range")


def plain(value: Any) -> Any:
    """The value with objects as dicts. Raises JsonFault "duplicate"."""
    if isinstance(value, Object):
        return {key: plain(item) for key, item in members(value, "an object").items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, NotCount):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < MAX_COUNT else number
    return value
