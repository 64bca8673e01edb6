"""Blocks of one tensor type on standard input; their values as binary32 on standard output."""

import sys

import numpy as np
from gguf import GGMLQuantizationType, dequantize

blocks = np.frombuffer(sys.stdin.buffer.read(), dtype=np.uint8)
kind = GGMLQuantizationType[sys.argv[1]]
with np.errstate(all="ignore"):
    if kind == GGMLQuantizationType.F32:
        values = blocks.view(np.float32)
    elif kind == GGMLQuantizationType.F16:
        values = dequantize(blocks.view(np.float16), kind)
    else:
        values = dequantize(blocks, kind)
sys.stdout.buffer.write(values.astype(np.float32).tobytes())
