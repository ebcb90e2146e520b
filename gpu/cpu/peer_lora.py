"""How fast PyTorch trains a LoRA on a CPU: the peer of our own step benchmark.

    python gpu/cpu/peer_lora.py [--threads 1,2] [--types f32,bf16] [--attention sdpa]

The model has the shape of SmolLM2-135M with random weights; the adapter has rank 16 on all
seven linears; a step is forward, backward, clip and AdamW over one row of 512
tokens, as transformers, PEFT and torch do it without compiling. bf16 means what Trainer(bf16=True)
means for a bf16 base: bf16 autocast, fp32 adapters. Each setting runs in a process of
its own: one step to warm up, then the median of --steps.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

TOKENS = 512


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", default="1,2")
    p.add_argument("--types", default="f32,bf16")
    p.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.child:
        return measure(int(o.threads), o.types, o.attention, o.steps)
    for kind in o.types.split(","):
        for threads in o.threads.split(","):
            env = dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OMP_WAIT_POLICY="passive",
                       CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
            args = ["--threads", threads, "--types", kind, "--attention", o.attention, "--steps", str(o.steps)]
            subprocess.run([sys.executable, __file__, "--child", *args], env=env, check=True)


def measure(threads, kind, attention, steps):
    import peft
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = smollm(peft, torch, transformers, kind, attention)
    weights = [w for w in model.parameters() if w.requires_grad]
    opt = torch.optim.AdamW(weights, lr=2e-4, fused=True)
    ids = torch.randint(3, 49152, (1, TOKENS))

    def step():
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        opt.step()
        opt.zero_grad()
        return time.perf_counter() - start

    step()
    took = [step() for _ in range(steps)]
    middle = statistics.median(took)
    print(f"peer: torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}: "
          f"lora step, SmolLM2-135M shape, {kind}, {attention}, {threads} threads: {TOKENS / middle:.0f} tok/s "
          f"({middle:.2f} s a step, best {TOKENS / min(took):.0f} tok/s)", flush=True)


def smollm(peft, torch, transformers, kind, attention):
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True, use_cache=False,
        rope_parameters=dict(rope_type="default", rope_theta=100000.0), attn_implementation=attention)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16 if kind == "bf16" else torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM")
    return peft.get_peft_model(model, lora).train()


if __name__ == "__main__":
    main()
