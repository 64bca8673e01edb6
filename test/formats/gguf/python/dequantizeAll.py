"""SHA-256 of each tensor of a GGUF as binary32, by its offset in the file, as JSON."""

import hashlib
import json
import sys

import numpy as np
from gguf import GGUFReader, dequantize

hashes = {}
for tensor in GGUFReader(sys.argv[1]).tensors:
    values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    hashes[int(tensor.data_offset)] = hashlib.sha256(values.tobytes()).hexdigest()
json.dump(hashes, sys.stdout)
