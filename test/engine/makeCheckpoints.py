"""
Small random checkpoints of every family, made by transformers, with what they should give:
  DIR/<case>/             config.json and model.safetensors (float32)
  DIR/<case>.ids          int32 [windows, length]
  DIR/<case>.logits       float32 [windows, length, vocabulary]
  DIR/<case>.hidden.<n>   float32 states before block n (n = blocks: before the last norm)
  DIR/<case>.squares.<i>, DIR/<case>.gram.<i>   float64, of the inputs of linear layer i
Prints a JSON description. Arguments: DIR CASES (JSON: {name: {model_type, config}}).
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
WINDOWS, LENGTH = 2, 150


def randomize(model, generator):
    """Everything matters: biases are not zero, norms not one, attention far from uniform."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            parameter.data = noise * (1.7 / parameter.shape[-1] ** 0.5)
        elif "norm" in name.lower() or ".ln_" in name:
            parameter.data = parameter.data + 0.2 * noise
        else:
            parameter.data = 0.2 * noise


def watch(model, blocks):
    """Inputs of each linear layer inside blocks, by the name of its weight."""
    inputs, hidden = {}, {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{path}.") for path in blocks)
        if inside and isinstance(module, (torch.nn.Linear, Conv1D)):
            def keep(_, given, name=name):
                inputs[f"{name}.weight"] = given[0].reshape(-1, given[0].shape[-1])
            module.register_forward_pre_hook(keep)
    modules = dict(model.named_modules())
    for index, path in enumerate(blocks):
        def before(_, args, kwargs, index=index):
            hidden[index] = args[0] if args else kwargs["hidden_states"]
        def after(_, args, output, index=index):
            hidden[index + 1] = output[0] if isinstance(output, tuple) else output
        modules[path].register_forward_pre_hook(before, with_kwargs=True)
        modules[path].register_forward_hook(after)
    return inputs, hidden


def block_paths(model):
    return [
        name
        for name, module in model.named_modules()
        if name.rsplit(".", 1)[-1].isdigit() and isinstance(module, torch.nn.Module)
        and name.count(".") <= 3 and "act" not in name
    ]


def write(path, tensor, dtype):
    path.write_bytes(tensor.detach().to(dtype).contiguous().numpy().tobytes())


def main():
    folder, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    described = {}
    for seed, (case, told) in enumerate(cases.items()):
        config = CONFIG_MAPPING[told["model_type"]](**told["config"])
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
        randomize(model, generator)
        model.tie_weights()
        model.save_pretrained(folder / case)
        blocks = block_paths(model)
        inputs, hidden = watch(model, blocks)
        vocabulary = config.vocab_size
        ids = torch.randint(0, vocabulary, (WINDOWS, LENGTH), generator=generator)
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits
        write(folder / f"{case}.ids", ids, torch.int32)
        write(folder / f"{case}.logits", logits, torch.float32)
        for index, states in hidden.items():
            write(folder / f"{case}.hidden.{index}", states, torch.float32)
        for index, (name, values) in enumerate(inputs.items()):
            values = values.double()
            write(folder / f"{case}.squares.{index}", (values**2).sum(0), torch.float64)
            write(folder / f"{case}.gram.{index}", values.T @ values, torch.float64)
        described[case] = {
            "windows": WINDOWS,
            "length": LENGTH,
            "vocabulary": vocabulary,
            "blocks": len(blocks),
            "layers": list(inputs),
        }
    json.dump(described, sys.stdout)


main()
