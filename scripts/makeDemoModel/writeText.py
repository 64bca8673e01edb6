"""Writes the text the demo model learns from, and the held-out text it is measured on.

A text is a row of documents, each of one of the kinds in kinds.py, separated by a blank
line. Which side a document belongs to is decided by its own hash: one in sixteen may only occur in held-out
text, the others only in training text. So no held-out document can occur in training, however much of
either is written.

    python writeText.py --split heldout --bytes 200000 --out heldout.txt
    python writeText.py --self-test
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from random import Random

from kinds import KINDS

TRAINING_SEED = 20250
HELDOUT_SEED = 77031
TRAINING_BYTES = 16_000_000
HELDOUT_BYTES = 200_000
SEPARATOR = "\n\n"


def is_heldout(document: str) -> bool:
    """Whether the document may only occur in held-out text."""
    return hashlib.sha256(document.encode()).digest()[0] % 16 == 0


def write_documents(split: str, size: int, seed: int) -> list[str]:
    """Different documents of one split, until together they have `size` bytes."""
    if split not in ("training", "heldout"):
        raise ValueError(f"split must be training or heldout, not {split}")
    rng, seen, documents, written = Random(seed), set(), [], 0
    while written < size:
        document = rng.choice(KINDS)(rng)
        if document in seen or is_heldout(document) != (split == "heldout"):
            continue
        seen.add(document)
        documents.append(document)
        written += len(document.encode()) + len(SEPARATOR)
    return documents


def join_documents(documents: list[str]) -> str:
    """The documents as one text, with a line feed at its end."""
    return SEPARATOR.join(documents) + "\n"


def training_documents() -> list[str]:
    return write_documents("training", TRAINING_BYTES, TRAINING_SEED)


def heldout_documents() -> list[str]:
    return write_documents("heldout", HELDOUT_BYTES, HELDOUT_SEED)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def self_test(heldout_file: Path | None) -> list[str]:
    """What is wrong with the writer: nothing, in good order."""
    problems: list[str] = []
    training, heldout = training_documents(), heldout_documents()
    if join_documents(heldout) != join_documents(heldout_documents()):
        problems.append("two held-out texts of one seed differ")
    if sha256(join_documents(training)) != sha256(join_documents(training_documents())):
        problems.append("two training texts of one seed differ")
    both = set(training) & set(heldout)
    if both:
        problems.append(f"{len(both)} held-out documents occur in training")
    text = join_documents(training)
    inside = [d for d in heldout if d in text]
    if inside:
        problems.append(f"{len(inside)} held-out documents occur inside training documents")
    for document in [*training, *heldout]:
        if SEPARATOR in document or document != document.strip() or not document.isascii():
            problems.append(f"not a clean document: {document[:60]!r}")
    if heldout_file and heldout_file.read_bytes() != join_documents(heldout).encode():
        problems.append(f"{heldout_file} is not what the writer writes")
    print(f"training: {len(training)} documents, {len(text)} bytes, sha256 {sha256(text)}")
    text = join_documents(heldout)
    print(f"held-out: {len(heldout)} documents, {len(text)} bytes, sha256 {sha256(text)}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=["training", "heldout"], default="training")
    parser.add_argument("--bytes", type=int, help="how much to write (default: what the demo model uses)")
    parser.add_argument("--seed", type=int, help="another seed than that of the demo model")
    parser.add_argument("--out", type=Path, help="the file to write (default: standard output)")
    parser.add_argument("--self-test", action="store_true", help="check that the texts are reproducible and apart")
    parser.add_argument("--heldout-file", type=Path, help="with --self-test: the committed held-out text to compare")
    args = parser.parse_args()
    if args.self_test:
        problems = self_test(args.heldout_file)
        print("\n".join(problems) if problems else "self-test: all in order")
        return 1 if problems else 0
    heldout = args.split == "heldout"
    size = args.bytes or (HELDOUT_BYTES if heldout else TRAINING_BYTES)
    seed = args.seed if args.seed is not None else (HELDOUT_SEED if heldout else TRAINING_SEED)
    data = join_documents(write_documents(args.split, size, seed)).encode()
    if args.out:
        args.out.write_bytes(data)
    else:
        sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
