"""The same pruning in NumPy: every layer's weights per row, 50 %, written as masked safetensors.

argpartition  exact counts, on the fp16 magnitudes
keys          exact counts, on the magnitudes' bits as integers: faster, the same result
threshold     everything up to each row's threshold goes: not exact where weights are equal
"""

import json
import os
import re
import struct
import sys
import time

import numpy as np

LINEAR = re.compile(r"layers\.\d+\..*_proj\.weight$")


def prune(weights, mode):
    drop = weights.shape[1] // 2
    if mode == "argpartition":
        order = np.argpartition(np.abs(weights), drop - 1, axis=1)[:, :drop]
        np.put_along_axis(weights, order, 0, axis=1)
        return
    keys = weights.view(np.int16) & 0x7FFF
    if mode == "keys":
        order = np.argpartition(keys, drop - 1, axis=1)[:, :drop]
        np.put_along_axis(weights, order, 0, axis=1)
    else:
        weights[keys <= np.partition(keys, drop - 1, axis=1)[:, drop - 1 : drop]] = 0


def main(source, target, mode):
    begun = time.perf_counter()
    compute = 0.0
    with open(source, "rb") as file, open(target, "wb") as out:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(length)
        out.write(struct.pack("<Q", length) + text)
        header = json.loads(text)
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            weights = np.fromfile(file, dtype=np.float16, count=(end - begin) // 2)
            weights = weights.reshape(entry["shape"])
            if LINEAR.search(name):
                at = time.perf_counter()
                prune(weights, mode)
                compute += time.perf_counter() - at
            out.write(memoryview(weights).cast("B"))
        out.flush()
        os.fsync(out.fileno())
    print(json.dumps({"seconds": time.perf_counter() - begun, "compute": compute}))


main(*sys.argv[1:])
