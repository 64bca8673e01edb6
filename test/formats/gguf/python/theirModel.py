"""transformers' own reading of a GGUF."""

from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint


def their_model(path):
    """What AutoModelForCausalLM.from_pretrained(gguf_file=…) does, without needing accelerate."""
    settings = load_gguf_checkpoint(path)["config"]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).eval()
    tensors = load_gguf_checkpoint(path, return_tensors=True, model_to_load=model)["tensors"]
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    model.tie_weights()
    left = [name for name in missing if name != "lm_head.weight"]
    if left:
        raise ValueError(f"transformers leaves out {left[:3]}")
    return model
