"""The formulas of the papers in float64 NumPy and PyTorch, written straight down, without care for
speed. Standard input: the length of a JSON list of cases (u32), the list, then float64 arrays in
the order that the cases name them. Standard output: for each case a keep mask (u8), or numbers
(f64) where the case asks for them."""

import json
import struct
import sys

import numpy as np
import torch


def drop_first(scores, count):
    """Keep mask of a flat array: the `count` least go, lowest index first among equals."""
    keep = np.ones(scores.size, bool)
    keep[np.argsort(scores, kind="stable")[:count]] = False
    return keep


def choose(scores, case):
    rows, cols = scores.shape
    if case.get("pattern"):
        n, m = case["pattern"]
        keep = np.ones((rows, cols), bool)
        for row in range(rows):
            for at in range(0, cols, m):
                group = scores[row, at : at + m]
                keep[row, at : at + m] = drop_first(group, max(0, group.size - n))
        return keep
    sparsity = case["sparsity"]
    if case["scope"] == "matrix":
        return drop_first(scores.reshape(-1), int(rows * cols * sparsity)).reshape(rows, cols)
    return np.stack([drop_first(row, int(cols * sparsity)) for row in scores])


def wanda_scores(w, norms):
    return np.abs(w) * norms


def ria_scores(w, norms, a):
    size = np.abs(w)
    with np.errstate(invalid="ignore"):
        relative = size / size.sum(axis=0) + size / size.sum(axis=1, keepdims=True)
    return np.where(size == 0, 0.0, relative * norms**a)


def dsnot(w, norms, sums, case):
    tokens, samples = case["tokens"], case["samples"]
    keep = choose(wanda_scores(w, norms), {**case, "scope": "row"})
    variance = np.maximum(0, norms**2 / tokens - (sums / tokens) ** 2)
    for row in range(w.shape[0]):
        refine(w[row], norms, w[row] * (sums / samples), variance, keep[row], case)
    return keep


def refine(w, norms, share, variance, keep, case):
    score = np.abs(w) * norms
    error = share[~keep & (w != 0)].sum()
    sign = np.sign(error)
    fixed = ~keep.copy()  # dropped at first: may only come back
    swapped = np.zeros(w.size, bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        regrow = share / variance ** case["power"]
    for _ in range(case["cycles"]):
        if not abs(error) > case["threshold"]:
            return
        side = 1 if error > 0 else -1
        back = [j for j in range(w.size) if fixed[j] and not keep[j] and share[j] * side > 0]
        if not back:
            return
        # a stable ascending order taken from its end, or from its beginning
        b = max(back, key=lambda j: (regrow[j], j)) if side > 0 else min(back, key=lambda j: (regrow[j], j))
        kept = [j for j in range(w.size) if keep[j] and not fixed[j] and not swapped[j]]
        if case.get("pattern"):
            m = case["pattern"][1]
            kept = [j for j in kept if j // m == b // m and w[j] != 0]
        else:
            kept = [j for j in kept if share[j] * side < 0]
        if not kept:
            return
        g = min(kept, key=lambda j: (score[j], j))
        after = error + share[g] - share[b]
        if case.get("pattern") and np.sign(after) != sign:
            return
        keep[b], keep[g], swapped[g] = True, False, True
        error = after


def owl(weights, norms, case):
    """Sparsity of each block, matrices given by block."""
    shares = []
    for block, inputs in zip(weights, norms):
        scores = np.concatenate([wanda_scores(w, x).reshape(-1) for w, x in zip(block, inputs)])
        shares.append(100 * np.count_nonzero(scores > case["ratio"] * scores.mean()) / scores.size)
    shares = np.array(shares)
    r = (shares - shares.min()) / (shares.max() - shares.min()) * 2 * case["range"]
    return case["sparsity"] - (r - r.mean())


def sparsegpt(w, gram, case):
    """Dead inputs always go. As published everything up to the threshold goes, one weight of each
    block too many; with "exact" as many go as the sparsity says."""
    W, H = torch.tensor(w), torch.tensor(gram)
    rows, cols = W.shape
    dead = torch.diag(H) == 0
    H[dead, dead] = 1
    W[:, dead] = 0
    at = torch.arange(cols)
    H[at, at] += case["damping"] * torch.mean(torch.diag(H))
    U = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(H)), upper=True)
    keep = torch.ones_like(W, dtype=torch.bool)
    for begin in range(0, cols, case["block"]):
        end = min(begin + case["block"], cols)
        scale = torch.diag(U)[begin:end]
        if not case.get("pattern"):
            scores = W[:, begin:end] ** 2 / scale**2
            count = int(scores.numel() * case["sparsity"])
            if case["exact"]:
                flat = drop_first(scores.numpy().reshape(-1), count)
                keep[:, begin:end] = torch.tensor(flat.reshape(scores.shape))
            else:
                keep[:, begin:end] = scores > torch.sort(scores.flatten())[0][count]
        for j in range(begin, end):
            if case.get("pattern") and j % case["pattern"][1] == 0:
                n, m = case["pattern"]
                scores = W[:, j : j + m] ** 2 / torch.diag(U)[j : j + m] ** 2
                least = torch.topk(scores, m - n, dim=1, largest=False)[1]
                keep.scatter_(1, j + least, False)
            lost = torch.where(keep[:, j], 0.0, W[:, j]) / U[j, j]
            W[:, j:] -= lost[:, None] * U[j, j:][None, :]
            W[~keep[:, j], j] = 0
    return keep.numpy(), W.numpy()


def loss(w, pruned, gram):
    """‖(W − Ŵ) Xᵀ‖², from XᵀX."""
    d = w - pruned
    return float(((d @ gram) * d).sum())


def main():
    stdin = sys.stdin.buffer
    cases = json.loads(stdin.read(struct.unpack("<I", stdin.read(4))[0]))
    out = sys.stdout.buffer

    def array(*shape):
        count = int(np.prod(shape))
        return np.frombuffer(stdin.read(8 * count), "<f8").reshape(shape).copy()

    for case in cases:
        method = case["method"]
        if method == "owl":
            shapes = case["shapes"]
            weights = [[array(*shape) for shape in block] for block in shapes]
            norms = [[array(shape[1]) for shape in block] for block in shapes]
            out.write(owl(weights, norms, case).astype("<f8").tobytes())
            continue
        rows, cols = case["shape"]
        w = array(rows, cols)
        if method == "magnitude":
            keep = choose(np.abs(w), case)
        elif method == "wanda":
            keep = choose(wanda_scores(w, array(cols)), case)
        elif method == "ria":
            keep = choose(ria_scores(w, array(cols), case["exponent"]), case)
        elif method == "dsnot":
            keep = dsnot(w, array(cols), array(cols), case)
        elif method == "sparsegpt":
            gram, ours = array(cols, cols), array(rows, cols)
            keep, updated = sparsegpt(w, gram, case)
            out.write(struct.pack("<2d", loss(w, updated, gram), loss(w, ours, gram)))
        out.write(keep.astype(np.uint8).tobytes())


main()
