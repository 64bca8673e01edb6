"""The one exception of the package. Sentences are for people, codes are for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """Where bytes come from, for messages."""

    path: str | None = None
    tensor: str | None = None

    def __str__(self) -> str:
        parts = [part for part in (self.path, self.tensor) if part is not None]
        return ": ".join(parts) or "tile-bitmap"


class SpInferError(Exception):
    """Every refusal. `code` is one of those that `spinfer help CODE` explains.

    The text holds what was found, what was expected and what to do next.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        origin: Origin | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.path = None if origin is None else origin.path
        self.tensor = None if origin is None else origin.tensor
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.hint is not None:
            text += f". {self.hint}"
        return text


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses into E_IO."""
    try:
        yield
    except OSError as cause:
        origin = Origin(str(cause.filename or path))
        raise SpInferError("E_IO", f"{origin}: {cause.strerror}", origin=origin) from cause


DAMAGED = (
    "The checkpoint is damaged or was not written by SpInfer: fetch it again or convert it anew"
)


def printable(text: str, most: int = 100) -> str:
    """`text` for messages: control characters escaped, at most `most` characters."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text[: most + 1]
    )
    return shown if len(shown) <= most else f"{shown[:most]}…"
