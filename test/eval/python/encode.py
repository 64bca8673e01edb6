"""Ids of a text by the package `tokenizers`.

    encode.py TEXT TOKENIZER.json …     for each, on stdout: how many, then that many; int32
                                        first without what the tokenizer adds, then with it
"""

import struct
import sys
from pathlib import Path

import numpy
from tokenizers import Tokenizer

text = Path(sys.argv[1]).read_bytes().decode()
for path in sys.argv[2:]:
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for special in (False, True):
        ids = tokenizer.encode(text, add_special_tokens=special).ids
        sys.stdout.buffer.write(struct.pack("<i", len(ids)))
        sys.stdout.buffer.write(numpy.asarray(ids, "<i4").tobytes())
