"""The methods in PyTorch, written from the papers without any code of SpInfer. What a layer reads goes into `Inputs`;
a method takes a weight, those, and a job, and returns the weight with the mask of what goes:

    {"method": "wanda", "sparsity": 0.5}     or "pattern": [2, 4], which keeps two of four inputs

Counts are exact and ties go by index, which the threshold comparisons of the papers' code do not do; `"ties": "any"`
lets them go as they come, without sorting. Scores and factors have the dtype of `Inputs.squares`: float64 where masks
are compared, float32 as in the papers' code where time is.
"""

import torch


def linears(module, prefix=""):
    """The linear layers in a module by the names of their weights in the checkpoint."""
    for name, layer in module.named_modules():
        if isinstance(layer, torch.nn.Linear):
            yield f"{prefix}{name}.weight", layer


class Inputs:
    """What a linear layer reads: squares of each input in `precision`, and XᵀX (float32) unless `gram` is False."""

    def __init__(self, layer, precision=torch.float64, gram=True):
        columns, device = layer.in_features, layer.weight.device
        self.squares = torch.zeros(columns, dtype=precision, device=device)
        self.gram = torch.zeros(columns, columns, device=device) if gram else None

    def add(self, inputs):
        inputs = inputs.reshape(-1, inputs.shape[-1]).float()
        if self.gram is not None:
            self.gram.addmm_(inputs.T, inputs)
        self.squares += inputs.to(self.squares.dtype).square().sum(0)


def observe(layers, **kind):
    """Inputs of layers by name, added to as they run, and the hooks to remove."""
    inputs = {name: Inputs(layer, **kind) for name, layer in layers}
    hooks = [
        layer.register_forward_hook(lambda _, args, __, name=name: inputs[name].add(args[0])) for name, layer in layers
    ]
    return inputs, hooks


def least(scores, job):
    """The mask of what goes: the smallest of each row of scores, or of each group of a row."""
    if job.get("pattern"):
        keep, group = job["pattern"]
        return lowest(scores.reshape(-1, group), group - keep, job).reshape(scores.shape)
    return lowest(scores, int(scores.shape[1] * job["sparsity"]), job)


def lowest(scores, count, job):
    if job.get("ties") == "any":
        order = scores.topk(count, dim=1, largest=False, sorted=False).indices
    else:
        order = scores.sort(dim=1, stable=True).indices[:, :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


def least_of_all(scores, job):
    if job.get("pattern"):
        return least(scores, job)
    return least(scores.reshape(1, -1), job).reshape(scores.shape)


def magnitude(weight, _, job):
    """Of the whole matrix (Han et al. 2015)."""
    return weight, least_of_all(weight.abs(), job)


def wanda(weight, inputs, job):
    """|w| · ‖x‖₂, of each row (Sun et al. 2023, equation 1)."""
    return weight, least(weight.abs().to(inputs.squares.dtype) * inputs.squares.sqrt(), job)


def ria(weight, inputs, job):
    """Relative importance · ‖x‖₂^½, of the whole matrix (Zhang et al. 2024)."""
    sizes = weight.abs().to(inputs.squares.dtype)
    importance = sizes / sizes.sum(0, keepdim=True) + sizes / sizes.sum(1, keepdim=True)
    return weight, least_of_all(importance * inputs.squares.sqrt().sqrt(), job)


def sparsegpt(weight, inputs, job, block=128, damping=0.01):
    """Frantar and Alistarh 2023, algorithm 1: blocks of 128 inputs, 1 % damping."""
    weight = weight.clone()
    hessian = inputs.gram.to(inputs.squares.dtype, copy=True)
    dead = hessian.diagonal() == 0
    hessian.diagonal()[dead] = 1
    weight[:, dead] = 0
    hessian.diagonal().add_(damping * hessian.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor = torch.linalg.cholesky(inverse, upper=True).float()
    dropped = torch.zeros_like(weight, dtype=torch.bool)
    columns = weight.shape[1]
    for begin in range(0, columns, block):
        end = min(begin + block, columns)
        part, local = weight[:, begin:end].clone(), factor[begin:end, begin:end]
        diagonal = local.diagonal()
        mask = dropped[:, begin:end]
        if not job.get("pattern"):
            mask.copy_(least_of_all((part / diagonal).square(), job))
        errors = torch.zeros_like(part)
        for j in range(end - begin):
            if job.get("pattern") and j % job["pattern"][1] == 0:
                group = slice(j, j + job["pattern"][1])
                mask[:, group] = least((part[:, group] / diagonal[group]).square(), job)
            errors[:, j] = torch.where(mask[:, j], part[:, j], 0) / diagonal[j]
            part[:, j:].addmm_(errors[:, j : j + 1], local[j : j + 1, j:], alpha=-1)
        weight[:, begin:end] = part
        weight[:, end:].addmm_(errors, factor[begin:end, end:], alpha=-1)
    return weight, dropped


METHODS = {"magnitude": magnitude, "wanda": wanda, "ria": ria, "sparsegpt": sparsegpt}
