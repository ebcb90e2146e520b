"""How fast PyTorch trains a LoRA on a CPU: the peer of BenchmarkPeer in gpu/train, which runs it.

    yes | head -5 | python gpu/cpu/peer_lora.py [--threads 2] [--type f32|bf16] [--attention sdpa|eager]

The model has the shape of SmolLM2-135M with random weights in bf16, which f32 widens; the adapter has rank 16 on all
seven linears; a step is forward, backward, clip and AdamW over one row of 512
tokens, as transformers, PEFT and torch do it without compiling. bf16 means what Trainer(bf16=True)
means for a bf16 base: bf16 autocast, fp32 adapters. The first line says what this is; then each line read
makes a step, of which is written how many seconds it took, by the clock and of the processors, and how much
memory there was at most so far, in KiB.
"""

import argparse
import os
import resource
import sys
import time

TOKENS = 512


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", default="2")
    p.add_argument("--type", default="f32", choices=("f32", "bf16"))
    p.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    o = p.parse_args()
    os.environ.update(OMP_NUM_THREADS=o.threads, MKL_NUM_THREADS=o.threads, CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
    import peft
    import torch
    import transformers

    torch.set_num_threads(int(o.threads))
    torch.manual_seed(0)
    model = smollm(peft, torch, transformers, o.type, o.attention)
    weights = [w for w in model.parameters() if w.requires_grad]
    opt = torch.optim.AdamW(weights, lr=2e-4, fused=True)
    ids = torch.randint(3, 49152, (1, TOKENS))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=o.type == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        opt.step()
        opt.zero_grad()

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, "
          f"{o.type}, {o.attention}, {o.threads} threads", flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        step()
        print(time.perf_counter() - start, time.process_time() - used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


def smollm(peft, torch, transformers, kind, attention):
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True, use_cache=False,
        rope_parameters=dict(rope_type="default", rope_theta=100000.0), attn_implementation=attention)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)  # as the file has it
    if kind == "f32":
        model = model.to(torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM")
    return peft.get_peft_model(model, lora).train()


if __name__ == "__main__":
    main()
