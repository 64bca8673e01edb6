"""torch.matmul on the decode shapes, timed as the benchmark times: cold L2, graph replay, median.

The dense baseline of `bench` must be as fast as this, or within 3 %. Usage: torchBaseline.py MxK,... N
"""
import statistics
import sys

import torch

COLD_BYTES = 220 << 20


def time_us(rows: int, cols: int, n: int) -> float:
    copies = max(2, COLD_BYTES // (2 * rows * cols) + 1)
    weights = [torch.randn(rows, cols, device="cuda", dtype=torch.float16) for _ in range(copies)]
    x = torch.randn(n, cols, device="cuda", dtype=torch.float16)
    y = torch.empty(n, rows, device="cuda", dtype=torch.float16)
    for w in weights[:2]:
        torch.matmul(x, w.t(), out=y)
    calls = max(copies, min(200, int(600 / (rows * cols * 2 / 2.6e6)) + 1))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            torch.matmul(x, weights[i % copies].t(), out=y)
    times = []
    for replay in range(9):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        if replay >= 2:
            times.append(begin.elapsed_time(end) * 1000 / calls)
    return statistics.median(times)


print("torch", torch.__version__)
for shape in sys.argv[1].split(","):
    rows, cols = map(int, shape.split("x"))
    for n in map(int, sys.argv[2].split(",")):
        print(f"{shape} N={n}: {time_us(rows, cols, n):.2f} us")
