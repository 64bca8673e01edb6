"""The products of products.mjs in PyTorch, float32; prints GFLOP/s in their order."""

import json
import sys
import time

import torch

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])


def best(run) -> float:
    least = float("inf")
    for _ in range(job["rounds"]):
        begin = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begin)
    return least


made = []
with torch.no_grad():
    for rows, inputs, outputs in job["products"]:
        x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        seconds = best(lambda: torch.nn.functional.linear(x, weight))
        made.append(2 * rows * inputs * outputs / seconds / 1e9)
    shape = job["attention"]
    length, size = shape["length"], shape["headSize"]
    query = torch.randn(1, shape["heads"], length, size)
    key, value = (torch.randn(1, shape["heads"], length, size) for _ in range(2))
    seconds = best(
        lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    )
    made.append(2 * shape["heads"] * size * length * (length + 1) / seconds / 1e9)
print(json.dumps(made))
