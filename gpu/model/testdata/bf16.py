"""Writes bf16.json: how far transformers and PEFT in bf16 are from their own fp32.

    python gpu/model/testdata/bf16.py

For each model |bf16 - fp32| / |fp32| of the residual stream, the logits, the loss and
the gradient of each tensor of the adapter, over all rows of batch.json. It is the
yardstick of devices that compute in bf16. On the CPU, one thread, eager attention.
"""

import json
import os
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def off(got, want):
    got, want = got.detach().double(), want.double()
    return float(f"{((got - want).norm() / want.norm()).item():.2e}")


def measure(name):
    base = AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, f"{name}/adapter", is_trainable=True)
    batch = json.loads(Path(name, "batch.json").read_text())
    want, grads = load_file(f"{name}/forward.safetensors"), load_file(f"{name}/adapter_grads.safetensors")
    kept, loss = {}, 0
    for row in batch["rows"]:
        out = model(torch.tensor([row["ids"]]), output_hidden_states=True)
        found = {f"hidden.{i}": h for i, h in enumerate(out.hidden_states[:2])}
        found |= {"normed": out.hidden_states[-1], "logits": out.logits}
        for key, value in found.items():
            kept.setdefault(key, []).append(value[0])
        labels = torch.tensor(row["labels"][1:])
        loss = loss + torch.nn.functional.cross_entropy(out.logits[0, :-1].float(), labels, ignore_index=-100, reduction="sum")
    loss = loss / batch["tokens"]
    loss.backward()
    found = {"loss": float(f"{abs(loss.item() / batch['lora_loss'] - 1):.2e}")}
    found |= {key: off(torch.cat(value), want[f"lora.{key}"]) for key, value in kept.items()}
    got = {k.replace(".default", ""): p.grad for k, p in model.named_parameters() if p.requires_grad}
    return found | {key: off(got[key], grads[key]) for key in sorted(grads)}


def main():
    os.chdir(Path(__file__).resolve().parent)
    torch.set_num_threads(1)
    found = {name: measure(name) for name in ("llama", "llama-tied", "mistral", "qwen2", "qwen3")}
    Path("bf16.json").write_text(json.dumps(found, indent=1) + "\n")


main()
