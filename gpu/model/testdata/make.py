"""Writes the golden files of gpu/model with transformers and PEFT.

    python gpu/model/testdata/make.py

The same versions (versions.json) write the same bytes. README.md says what the files
hold. Everything runs in fp32 on one thread with eager attention; weights are
stored as bf16 because they were drawn to be bf16 numbers, which loses nothing.
"""

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes a set, in the order of its hashes
    os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, PYTHONHASHSEED="0"))
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
import hashlib
import json
import shutil
from pathlib import Path

import peft
import safetensors
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

HERE = Path(__file__).resolve().parent
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IGNORE = -100
ROPE_LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)


def main():
    os.chdir(HERE)  # so that the files name models by relative paths
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_json("versions.json", {m.__name__: m.__version__ for m in (torch, transformers, peft, safetensors)})

    plain = dict(rope_type="default", rope_theta=10000.0)
    write_model("llama", LlamaConfig, 1, vocab_size=257, rope_parameters=plain)
    write_model("llama-tied", LlamaConfig, 2, vocab_size=257, tie_word_embeddings=True,
                rope_parameters=dict(ROPE_LLAMA3, rope_theta=500000.0))
    respell("llama-tied")
    write_model("mistral", MistralConfig, 5, sliding_window=8, rope_parameters=plain)
    write_model("qwen2", Qwen2Config, 6, use_sliding_window=True, sliding_window=8, max_window_layers=1,
                rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=10000.0))
    write_model("qwen3", Qwen3Config, 7, head_dim=32, tie_word_embeddings=True, rms_norm_eps=1e-6,
                rope_parameters=dict(plain, rope_theta=1000000.0))
    for name, lengths in (("llama", (24, 17)), ("llama-tied", (66, 9)), ("mistral", (24, 11)), ("qwen2", (24, 11)),
                          ("qwen3", (19, 11))):
        write_adapter(name, seed=3, head=name == "mistral")
        batch = write_batch(name, lengths, seed=4)
        write_forward(name, batch)
        write_full_gradients(name, batch)
        if name != "llama-tied":
            write_generation(name)
    write_init("llama")
    write_merged("llama")
    write_peft("mistral")
    write_pissa("llama")
    write_decoding("llama")


def write_json(path, value):
    """One line for each element of value, so that a diff can be read."""
    if isinstance(value, dict):
        text = "{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}\n"
    else:
        text = "[\n" + ",\n".join(f" {json.dumps(v)}" for v in value) + "\n]\n"
    Path(path).write_text(text)


def draw(shape, seed, low=None, high=None, std=None):
    """Numbers that float32 holds, from a generator of their own."""
    g = torch.Generator().manual_seed(seed)
    if std is not None:
        return torch.randn(shape, generator=g) * std
    return torch.rand(shape, generator=g) * (high - low) + low


def write_model(name, config_class, seed, **keys):
    """A random model, loud enough (std 0.2) that every path carries signal, biases and norms included."""
    shape = dict(vocab_size=131, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=16, max_position_embeddings=512, rms_norm_eps=1e-5,
                 tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, dtype="bfloat16")
    model = AutoModelForCausalLM.from_config(config_class(**dict(shape, **keys)))
    with torch.no_grad():
        for i, (key, p) in enumerate(model.named_parameters()):
            spread = dict(low=0.5, high=1.5) if "norm" in key else dict(std=0.2)
            p.copy_(draw(p.shape, 1000 * seed + i, **spread))
    model.to(torch.bfloat16).save_pretrained(name)


def respell(name):
    """config.json as the Hub's files of 2024 spell it."""
    old = json.loads(Path(name, "config.json").read_text())
    rope = old.pop("rope_parameters")
    old.update(rope_theta=rope.pop("rope_theta"), rope_scaling=rope, torch_dtype=old.pop("dtype"))
    Path(name, "config.json").write_text(json.dumps(old, indent=2, sort_keys=True) + "\n")


def load(name, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(name, dtype=dtype, attn_implementation="eager")


def lora_config(head=False):
    return LoraConfig(r=4, lora_alpha=8, target_modules=LINEARS + ["lm_head"] * head, task_type="CAUSAL_LM")


def save_adapter(model, path):
    """adapter_config.json and adapter_model.safetensors as PEFT writes them, without the model card."""
    model.save_pretrained(path)
    Path(path, "README.md").unlink(missing_ok=True)


def write_adapter(name, seed, head):
    """An adapter whose B is not zero: with B = 0 every gradient of A is 0 too."""
    model = get_peft_model(load(name), lora_config(head))
    with torch.no_grad():
        for i, (key, p) in enumerate((k, p) for k, p in model.named_parameters() if p.requires_grad):
            p.copy_(draw(p.shape, 1000 * seed + i, std=0.1 if "lora_B" in key else 0.125))
    save_adapter(model, f"{name}/adapter")


def write_init(name):
    """What PEFT draws for a fresh adapter after torch.manual_seed(0)."""
    base = load(name)
    torch.manual_seed(0)
    save_adapter(get_peft_model(base, lora_config()), f"{name}/init")


def vocab(name):
    return json.loads(Path(name, "config.json").read_text())["vocab_size"]


PEFT = {
    "rslora": dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj"]),
    "patterns": dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj", "o_proj"],
                     rank_pattern={"layers.0.self_attn.q_proj": 2, "down_proj": 3, r"layers\.\d+\.mlp\.down_proj": 5},
                     alpha_pattern={"o_proj": 16, "model.layers.1.self_attn.q_proj": 1}),
    "match": dict(r=2, lora_alpha=4, target_modules=r".*\.1\..*\.(q|up)_proj"),
    "exclude": dict(r=2, lora_alpha=4, target_modules="all-linear", exclude_modules=["o_proj", "layers.0.mlp.up_proj"]),
    "except": dict(r=2, lora_alpha=4, target_modules=["k_proj", "gate_proj"], exclude_modules=r".*layers\.0\..*"),
    "save": dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", "norm"]),
    "head": dict(r=2, lora_alpha=4, target_modules=["v_proj", "lm_head"]),
}


def write_peft(name):
    """Adapters of many forms: what PEFT draws for each, what it saves, and the loss with it."""
    rows = json.loads(Path(name, "batch.json").read_text())["rows"]
    facts = {}
    for case, keys in PEFT.items():
        base = load(name)
        torch.manual_seed(0)
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **keys))
        drawn = [(k, p) for k, p in model.named_parameters() if "lora_" in k]
        digest = hashlib.sha256()
        for k, p in sorted(drawn):
            digest.update(p.detach().numpy().tobytes())
        with torch.no_grad():
            for i, (k, p) in enumerate((k, p) for k, p in model.named_parameters() if p.requires_grad):
                if "lora_B" in k:
                    p.copy_(draw(p.shape, 9000 + i, std=0.1))
                elif "modules_to_save" in k:
                    p.add_(draw(p.shape, 9000 + i, std=0.1))
            loss = model(**collate(rows)).loss.item()
        save_adapter(model, f"{name}/peft/{case}")
        facts[case] = dict(init_sha256=digest.hexdigest(), loss=loss)
    write_json(f"{name}/peft.json", facts)


def write_pissa(name):
    """PiSSA: what it begins with, and, once that has changed, the loss and the adapter of the whole base."""
    rows = json.loads(Path(name, "batch.json").read_text())["rows"]
    config = LoraConfig(r=3, lora_alpha=6, target_modules=LINEARS, rank_pattern={"down_proj": 2},
                        alpha_pattern={"o_proj": 1}, init_lora_weights="pissa", task_type="CAUSAL_LM")
    model = get_peft_model(load(name), config)
    model.peft_config["default"].init_lora_weights = True  # as PEFT wants it of what it is to subtract
    save_adapter(model, f"{name}/pissa/init")
    with torch.no_grad():
        for k, p in model.named_parameters():
            if p.requires_grad:
                p.mul_(1.25 if "lora_A" in k else 0.7)
        loss = model(**collate(rows)).loss.item()
        model.save_pretrained(f"{name}/pissa/whole", path_initial_model_for_weight_conversion=f"{name}/pissa/init")
        Path(f"{name}/pissa/whole/README.md").unlink(missing_ok=True)
        again = PeftModel.from_pretrained(load(name), f"{name}/pissa/whole")(**collate(rows)).loss.item()
    assert abs(again - loss) < 1e-5, (again, loss)
    write_json(f"{name}/pissa/loss.json", dict(loss=loss))


def write_batch(name, lengths, seed):
    """Two rows of token ids, with labels masked in runs as a chat template masks them.

    The first label of the second row is not masked: it is no target, because
    nothing precedes it, and so it does not count among the tokens.
    """
    rows = []
    for i, n in enumerate(lengths):
        ids = torch.randint(3, vocab(name), (n,), generator=torch.Generator().manual_seed(100 * seed + i)).tolist()
        labels = list(ids)
        for run in ((0, n // 3), (n // 2, n // 2 + 3)) if i == 0 else ((5, 9), (n - 2, n - 1)):
            labels[run[0] : run[1]] = [IGNORE] * (run[1] - run[0])
        rows.append(dict(ids=ids, labels=labels))
    return rows


def collate(rows):
    """Rows padded on the right, as transformers trains them."""
    width = max(len(r["ids"]) for r in rows)

    def pad(key, fill):
        return torch.tensor([r[key] + [fill] * (width - len(r[key])) for r in rows])

    mask = torch.tensor([[1] * len(r["ids"]) + [0] * (width - len(r["ids"])) for r in rows])
    return dict(input_ids=pad("ids", 0), labels=pad("labels", IGNORE), attention_mask=mask)


def unpad(x, mask):
    """(rows, width, D) to (N, D): one row after the other, without the padding."""
    return x.detach()[mask.bool()].contiguous()


def trace(model, batch):
    """Runs model and returns its outputs and the residual stream: embedded, after each layer, normed."""
    stream, hooks = {}, []
    inner = model.get_base_model().model if isinstance(model, PeftModel) else model.model
    stages = [("hidden.0", inner.embed_tokens)]
    stages += [(f"hidden.{i + 1}", layer) for i, layer in enumerate(inner.layers)] + [("normed", inner.norm)]
    for key, module in stages:
        hooks.append(module.register_forward_hook(
            lambda _m, _i, out, key=key: stream.__setitem__(key, out[0] if isinstance(out, tuple) else out)))
    out = model(**batch)
    for h in hooks:
        h.remove()
    return out, stream


def write_forward(name, rows):
    batch = collate(rows)
    mask = batch["attention_mask"]
    tensors, facts = {}, dict(rows=rows, tokens=int((batch["labels"][:, 1:] != IGNORE).sum()))
    for kind in ("base", "lora"):
        model = load(name)
        if kind == "lora":
            model = PeftModel.from_pretrained(model, f"{name}/adapter", is_trainable=True)
        out, stream = trace(model, batch)
        check_loss(out, batch, facts["tokens"])
        facts[f"{kind}_loss"] = out.loss.item()
        for key, x in dict(stream, logits=out.logits).items():
            tensors[f"{kind}.{key}"] = unpad(x, mask)
        if kind == "lora":
            out.loss.backward()
            grads = {k.replace(".default", ""): p.grad for k, p in model.named_parameters() if p.requires_grad}
            assert len(grads) == 2 * len(LINEARS) * 2 + 2 * (name == "mistral") and all(g.abs().max() > 0 for g in grads.values())
            save_file(grads, f"{name}/adapter_grads.safetensors", metadata={"format": "pt"})
    save_file(tensors, f"{name}/forward.safetensors", metadata={"format": "pt"})
    write_json(f"{name}/batch.json", facts)


def check_loss(out, batch, tokens):
    """The loss is the sum over targets divided by their number, after the shift by one."""
    logp = out.logits[:, :-1].log_softmax(-1)
    target = batch["labels"][:, 1:]
    nll = -logp.gather(-1, target.clamp(min=0)[..., None])[..., 0][target != IGNORE].sum() / tokens
    assert abs(nll - out.loss) < 1e-5, (nll, out.loss)


def write_full_gradients(name, rows):
    model = load(name)
    model(**collate(rows)).loss.backward()
    # All of them once; then only what a family does otherwise, for the size of the repository.
    skip = dict(llama=[], qwen2=["o_proj", "mlp", "lm_head"]).get(name, LINEARS + ["lm_head"])
    keep = dict(mistral=["k_proj"], qwen3=["k_proj", "_norm"]).get(name, [])
    grads = {k: p.grad for k, p in model.named_parameters() if any(n in k for n in keep) or not any(n in k for n in skip)}
    save_file(grads, f"{name}/grads.safetensors", metadata={"format": "pt"})


def write_merged(name):
    """merge_and_unload in both types: all linears in bf16, those of layer 0 in fp32."""
    for dtype, layers in ((torch.float32, (".layers.0.",)), (torch.bfloat16, (".layers.",))):
        merged = PeftModel.from_pretrained(load(name, dtype), f"{name}/adapter").merge_and_unload()
        keep = {k: p.data for k, p in merged.named_parameters()
                if any(n in k for n in LINEARS) and any(n in k for n in layers)}
        save_file(keep, f"{name}/merged_{str(dtype).removeprefix('torch.')}.safetensors", metadata={"format": "pt"})
        if dtype == torch.bfloat16:
            safe = PeftModel.from_pretrained(load(name, dtype), f"{name}/adapter").merge_and_unload(safe_merge=True)
            two = {k: p.data for k, p in safe.named_parameters() if ".layers.1." in k and k in keep}
            save_file(two, f"{name}/merged_safe.safetensors", metadata={"format": "pt"})
            base = load_file(f"{name}/model.safetensors")
            changed = sum(int((keep[k] != base[k]).sum()) for k in keep) / sum(v.numel() for v in keep.values())
            print(f"{name}: the bf16 merge changed {changed:.0%} of the weights")


def write_generation(name):
    """Greedy continuations: alone and batched give the same tokens, or the fixture is no good."""
    prompts = [torch.randint(3, vocab(name), (n,), generator=torch.Generator().manual_seed(800 + n)).tolist() for n in (3, 11, 7)]
    cases = []
    for kind in ("base", "lora"):
        model = load(name)
        if kind == "lora":
            model = PeftModel.from_pretrained(model, f"{name}/adapter")
        model.eval()
        outs = [greedy(model, p) for p in prompts]
        assert outs == greedy_batch(model, prompts)
        assert outs == [greedy(model, p, use_cache=False) for p in prompts]
        for p, o in zip(prompts, outs):
            cases.append(dict(model=kind, prompt=p, eos=-1, tokens=o, margin=margin(model, p, o)))
        stop = next(t for i, t in enumerate(outs[1]) if i >= 8 and t not in outs[1][:i])
        assert greedy(model, prompts[1], eos=stop) == outs[1][: outs[1].index(stop) + 1]
        cases.append(dict(model=kind, prompt=prompts[1], eos=stop, tokens=greedy(model, prompts[1], eos=stop),
                          margin=margin(model, prompts[1], outs[1])))
    write_json(f"{name}/generation.json", cases)


def write_decoding(name):
    """Greedy under a penalty of repetition, and what temperature, top_k and top_p leave of a distribution."""
    model, prompt = load(name).eval(), [5, 9, 100, 31, 77]
    model.generation_config.eos_token_id = None
    config = transformers.GenerationConfig(do_sample=False, max_new_tokens=32, pad_token_id=0, repetition_penalty=1.3)
    ids = torch.tensor([prompt])
    with torch.no_grad():
        tokens = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)[0, 5:].tolist()
        logits = model(ids).logits[:, -1]
    cases = []
    for temperature, k, p in ((0.7, 0, 0.8), (1.5, 5, 1.0), (1.0, 9, 0.6)):
        scores = transformers.TemperatureLogitsWarper(temperature)(ids, logits)
        if k:
            scores = transformers.TopKLogitsWarper(k)(ids, scores)
        if p < 1:
            scores = transformers.TopPLogitsWarper(p)(ids, scores)
        prob = scores.softmax(-1)[0]
        kept = prob.nonzero()[:, 0].tolist()
        cases.append(dict(temperature=temperature, top_k=k, top_p=p, tokens=kept, prob=[prob[t].item() for t in kept]))
    write_json(f"{name}/decoding.json", dict(prompt=prompt, penalty=1.3, tokens=tokens, logits=logits[0].tolist(), warped=cases))


def generate(model, ids, mask, eos=None, use_cache=True):
    model.generation_config.eos_token_id = None  # it would fill in where ours says None
    config = transformers.GenerationConfig(do_sample=False, max_new_tokens=32, eos_token_id=eos, pad_token_id=0,
                                           use_cache=use_cache)
    with torch.no_grad():
        return model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, ids.shape[1] :].tolist()


def greedy(model, prompt, **options):
    ids = torch.tensor([prompt])
    return generate(model, ids, torch.ones_like(ids), **options)[0]


def greedy_batch(model, prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return generate(model, ids, mask)


def margin(model, prompt, tokens):
    """The smallest gap between the best two logits on the way: how close the tokens came to being others."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    return round((best[:, 0] - best[:, 1]).min().item(), 4)


if __name__ == "__main__":
    for old in ("llama", "llama-tied", "mistral", "qwen2", "qwen3"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    main()
