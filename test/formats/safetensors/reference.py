"""Reads files as the safetensors package does and says what it made of each.

Input: blobs, each after its length as 4 bytes, little-endian. Output: a JSON list with one item a
blob: null when it was refused, else [[name, dtype, shape, data in hexadecimal], ...].
"""

import json
import sys

from safetensors import SafetensorError, deserialize


def read(blob):
    try:
        tensors = deserialize(blob)
    except SafetensorError:
        return None
    return [[name, t["dtype"], t["shape"], bytes(t["data"]).hex()] for name, t in tensors]


def main():
    data = sys.stdin.buffer.read()
    at = 0
    results = []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        results.append(read(data[at + 4 : at + 4 + size]))
        at += 4 + size
    json.dump(results, sys.stdout)


main()
