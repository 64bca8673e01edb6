"""Calibrates and prunes a Llama-type model in PyTorch as the code of Wanda and SparseGPT does: block after block,
statistics by hooks on the linear layers while the block is as it was, masks, then the windows once more through the
pruned block. All in float32. Prints one line of JSON.

    prune.py '{"model": DIR, "text": FILE, "nsamples": 16, "seqlen": 1024, "method": "wanda", "sparsity": 0.5,
               "batch": 1, "threads": 2, "output": FILE}'

`seconds`: from the model and the windows in memory to pruned weights in memory; `save_seconds`: rounding them to the
checkpoint's dtype and writing a safetensors file, dense, without a sync. With {"compare": [FILE, FILE]} it says
instead how many of the zeros of two files are the same.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "quality"))
from pruners import METHODS, linears, observe  # noqa: E402


def windows_of(job):
    tokenizer = AutoTokenizer.from_pretrained(job["model"], local_files_only=True)
    ids = tokenizer(Path(job["text"]).read_bytes().decode(), return_tensors="pt").input_ids[0]
    count, length = job["nsamples"], job["seqlen"]
    return ids[: count * length].reshape(count, length)


def prune(model, windows, job):
    """`batch` windows go through a block together."""
    decoder = model.model
    positions = torch.arange(windows.shape[1])[None]
    states = list(decoder.embed_tokens(windows).split(job["batch"]))
    rotary = decoder.rotary_emb(states[0], positions)

    def run(block, hidden):
        return block(hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary)

    for block in decoder.layers:
        layers = list(linears(block))
        inputs, hooks = observe(layers, precision=torch.float32, gram=job["method"] == "sparsegpt")
        for hidden in states:
            run(block, hidden)
        for hook in hooks:
            hook.remove()
        for name, layer in layers:
            weight, dropped = METHODS[job["method"]](layer.weight.data, inputs[name], {**job, "ties": "any"})
            layer.weight.data = weight.masked_fill_(dropped, 0)
        states = [run(block, hidden) for hidden in states]


def compare(files):
    agreed, compared = 0, 0
    with safe_open(files[0], "pt") as left, safe_open(files[1], "pt") as right:
        for name in left.keys():
            if ".layers." not in name or left.get_slice(name).get_shape()[1:] == []:
                continue
            zeros = [tensors.get_tensor(name) == 0 for tensors in (left, right)]
            agreed += (zeros[0] == zeros[1]).sum().item()
            compared += zeros[0].numel()
    return {"mask_agreement": agreed / compared}


@torch.no_grad()
def measure(job):
    torch.set_num_threads(job["threads"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32, local_files_only=True).eval()
    windows = windows_of(job)
    began = time.perf_counter()
    prune(model, windows, job)
    pruned = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with safe_open(Path(job["model"]) / "model.safetensors", "pt") as stored:
        dtypes = {name: stored.get_tensor(name).dtype for name in stored.keys()}
    writing = time.perf_counter()
    save_file({name: model.state_dict()[name].to(dtype) for name, dtype in dtypes.items()}, job["output"])
    saved = time.perf_counter()
    return {
        "seconds": pruned - began,
        "save_seconds": saved - writing,
        "peak_bytes": peak,
        "processor_seconds": time.process_time(),
    }


def main():
    job = json.loads(sys.argv[1])
    print(json.dumps(compare(job["compare"]) if "compare" in job else measure(job)))


if __name__ == "__main__":
    main()
