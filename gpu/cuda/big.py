"""Writes a model directory of random weights: big.py DIR 7b|small TOKENIZER_DIR."""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

SHAPES = {  # Qwen2.5-7B, and one for the fake driver: as small as NF4, whose blocks have 256 weights, allows
    "7b": dict(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28,
               num_key_value_heads=4, vocab_size=152064),
    "small": dict(hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, vocab_size=512),
}


def main(out, size, tokenizer):
    c, out = SHAPES[size], Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if Path(tokenizer, name).exists():
            shutil.copy(Path(tokenizer, name), out)
    config = dict(c, architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", rms_norm_eps=1e-6,
                  max_position_embeddings=32768, rope_theta=1e6, tie_word_embeddings=False, torch_dtype="bfloat16",
                  bos_token_id=None, eos_token_id=0, use_sliding_window=False)
    (out / "config.json").write_text(json.dumps(config, indent=1))
    d, ff, kv = c["hidden_size"], c["intermediate_size"], c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def random(*shape):
        return (0.02 * torch.randn(*shape, device=gpu, dtype=torch.float32)).to(torch.bfloat16).cpu()

    shards = [{"model.embed_tokens.weight": random(c["vocab_size"], d), "lm_head.weight": random(c["vocab_size"], d),
               "model.norm.weight": torch.ones(d, dtype=torch.bfloat16)}]
    for layer in range(c["num_hidden_layers"]):
        p, t = f"model.layers.{layer}.", {}
        for name, rows, cols in (("self_attn.q_proj", d, d), ("self_attn.k_proj", kv, d), ("self_attn.v_proj", kv, d),
                                 ("self_attn.o_proj", d, d), ("mlp.gate_proj", ff, d), ("mlp.up_proj", ff, d), ("mlp.down_proj", d, ff)):
            t[p + name + ".weight"] = random(rows, cols)
            if name[-6] in "qkv" and name.startswith("self_attn") and name[-6] != "o":
                t[p + name + ".bias"] = random(rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            t[p + name + ".weight"] = torch.ones(d, dtype=torch.bfloat16)
        shards.append(t)
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, out / file)
        index.update({name: file for name in shard})
    (out / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=index)))


main(*sys.argv[1:])
