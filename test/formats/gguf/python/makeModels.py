"""Small random models of every supported family, each with its GGUF as llama.cpp's converter
writes it: FOLDER/NAME/original is the model in transformers, FOLDER/NAME/model.gguf the file.

Weights are drawn at random, norms and biases too, so that nothing is hidden by a 1 or a 0.

usage: makeModels.py FOLDER
"""

import math
import os
import sys

import gguf
import numpy as np
import torch
import transformers
from makeTokenizers import make_tokenizer, write_tokenizer

F32 = gguf.GGMLQuantizationType.F32
SIZES = dict(
    vocab_size=0,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    tie_word_embeddings=False,
)

LLAMA3_ROPE = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)


def long_rope(dims):
    """Factors of LongRoPE for a rotary embedding of `dims` dimensions."""
    return dict(
        rope_type="longrope",
        long_factor=[1.0 + 0.5 * i for i in range(dims // 2)],
        short_factor=[1.0 + 0.25 * i for i in range(dims // 2)],
    )


# name: (architecture of the GGUF, class, tokenizer, type of the matrices, settings)
MODELS = {
    "llama": ("llama", "Llama", "llama", "F32", dict(rope_theta=50000.0)),
    "llama-tied-bias": (
        "llama",
        "Llama",
        "smollm",
        "F32",
        dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    ),
    "llama-3-rope": (
        "llama",
        "Llama",
        "llama-bpe",
        "F32",
        dict(rope_theta=10000.0, rope_scaling=LLAMA3_ROPE, head_dim=32),
    ),
    "llama-q8": ("llama", "Llama", "llama", "Q8_0", {}),
    "llama-f16": ("llama", "Llama", "gpt-2", "F16", {}),
    "llama-bf16": ("llama", "Llama", "llama", "BF16", dict(rope_scaling=dict(rope_type="linear", factor=2.0))),
    "mistral": ("llama", "Mistral", "llama", "F32", dict(sliding_window=None, rope_theta=1e6)),
    "qwen2": ("qwen2", "Qwen2", "qwen2", "F32", dict(rope_theta=1e6)),
    "qwen3": ("qwen3", "Qwen3", "qwen2", "F32", dict(head_dim=24, tie_word_embeddings=True)),
    # the "-plain" ones are such that transformers' own reader, which assumes some of these
    # settings, reads them right
    "qwen3-plain": ("qwen3", "Qwen3", "qwen2", "F32", dict(head_dim=128)),
    "gemma": ("gemma", "Gemma", "gemma", "F32", dict(head_dim=32, tie_word_embeddings=True)),
    "gemma2": (
        "gemma2",
        "Gemma2",
        "gemma",
        "F32",
        dict(
            head_dim=32,
            tie_word_embeddings=True,
            query_pre_attn_scalar=32,
            sliding_window=16,
            attn_logit_softcapping=20.0,
            final_logit_softcapping=10.0,
            num_hidden_layers=3,
        ),
    ),
    "gemma2-plain": (
        "gemma2",
        "Gemma2",
        "gemma",
        "F32",
        dict(head_dim=256, tie_word_embeddings=True, query_pre_attn_scalar=256, sliding_window=16),
    ),
    "gemma3-plain": (
        "gemma3",
        "Gemma3",
        "gemma",
        "Q4_1",
        dict(head_dim=256, tie_word_embeddings=True, query_pre_attn_scalar=256, sliding_window=16),
    ),
    "gemma3": (
        "gemma3",
        "Gemma3",
        "gemma",
        "F32",
        dict(
            head_dim=32,
            tie_word_embeddings=True,
            query_pre_attn_scalar=32,
            sliding_window=16,
            rope_theta=1e6,
            rope_scaling=dict(rope_type="linear", factor=8.0),
            num_hidden_layers=7,
        ),
    ),
    "phi3": ("phi3", "Phi3", "phi3", "F32", dict(sliding_window=16)),
    "phi3-plain": ("phi3", "Phi3", "phi3", "Q5_0", {}),
    "phi3-long": (
        "phi3",
        "Phi3",
        "phi3",
        "F32",
        dict(
            partial_rotary_factor=0.5,
            rope_scaling=long_rope(8),
            original_max_position_embeddings=64,
            tie_word_embeddings=True,
        ),
    ),
}


def make_model(family, settings):
    prefix = "Gemma3Text" if family == "Gemma3" else family
    config = getattr(transformers, f"{prefix}Config")(**settings)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.1)
    return model


def permuted(weights, heads):
    """What llama.cpp's converter does to q and k: the two halves of each head interleaved."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def llama3_divisors(config):
    """rope_freqs.weight, by the rule of transformers."""
    rope = config.rope_parameters
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    divisors = []
    for frequency in 1.0 / rope["rope_theta"] ** exponents:
        wavelength = 2 * math.pi / frequency
        context = rope["original_max_position_embeddings"]
        if wavelength < context / rope["high_freq_factor"]:
            divisors.append(1.0)
        elif wavelength > context / rope["low_freq_factor"]:
            divisors.append(rope["factor"])
        else:
            smooth = (context / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            divisors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(divisors, dtype=np.float32)


def write_metadata(writer, arch, config):
    rope = config.rope_parameters
    full = rope.get("full_attention", rope)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name("A model for tests")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(full["rope_theta"])
    if head_dim * config.num_attention_heads != config.hidden_size or arch.startswith("gemma"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if arch in ("llama", "phi3"):
        writer.add_rope_dimension_count(int(head_dim * full.get("partial_rotary_factor", 1.0)))
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
    if full["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(full["factor"])
    if arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_sliding_window(config.sliding_window or 0)
    if arch in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def write_tensors(writer, arch, model, kind):
    config = model.config
    names = gguf.get_tensor_name_map(
        next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == arch),
        config.num_hidden_layers,
    )
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weights = tensor.to(torch.float32).numpy()
        if arch == "llama" and (".q_proj." in name or ".k_proj." in name):
            heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
            weights = permuted(weights, heads)
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            weights = weights + 1
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        quantization = gguf.GGMLQuantizationType[kind] if weights.ndim > 1 else F32
        writer.add_tensor(
            target, gguf.quants.quantize(weights, quantization), raw_dtype=quantization
        )
    rope = config.rope_parameters
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config))
    if rope.get("rope_type") == "longrope":
        for length in ("long", "short"):
            factors = np.array(rope[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)


def main(folder):
    for name, (arch, family, tokenizer_name, kind, settings) in MODELS.items():
        place = os.path.join(folder, name)
        tokenizer = make_tokenizer(tokenizer_name)
        sizes = SIZES | {"vocab_size": len(tokenizer.tokens)} | settings
        special = tokenizer.special
        sizes |= {
            "bos_token_id": special["bos"],
            "eos_token_id": special["eos"],
            "pad_token_id": special.get("padding"),
        }
        model = make_model(family, sizes)
        model.save_pretrained(os.path.join(place, "original"))
        tokenizer.backend.save(os.path.join(place, "original", "tokenizer.json"))
        writer = gguf.GGUFWriter(os.path.join(place, "model.gguf"), arch)
        write_metadata(writer, arch, model.config)
        write_tokenizer(writer, tokenizer)
        write_tensors(writer, arch, model, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


if __name__ == "__main__":
    # small matrices: threads only wait for each other
    torch.set_num_threads(1)
    main(sys.argv[1])
