"""Lets llama.cpp run the GGUF files that `go test ./gpu/model -run GGUFForOthers` wrote.

    STARBOOK_GGUF=DIR go test ./gpu/model -run GGUFForOthers && python gpu/gguf/testdata/judge.py DIR

Each NAME.gguf stands beside NAME.json: greedy continuations by transformers (or
by llama2.c) of lists of token ids. llama.cpp must make the same ones. It needs the
packages gguf and llama-cpp-python.
"""

import json
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

F32 = 0


def main(folder):
    wrong = 0
    for facts in sorted(Path(folder).glob("*.json")):
        path = facts.with_suffix(".gguf")
        tensors = len(gguf.GGUFReader(path).tensors)
        model = llama_cpp.Llama(str(path), n_ctx=512, verbose=False, type_k=F32, type_v=F32, flash_attn=False)
        cases = json.loads(facts.read_text())
        good = sum(greedy(model, c["prompt"], len(c["tokens"])) == c["tokens"] for c in cases)
        text = [model.tokenize(c["text"].encode(), add_bos=c["bos"], special=False) == c["prompt"] for c in cases if "text" in c]
        print(f"{path.name}: {tensors} tensors, {good} of {len(cases)} continuations, {sum(text)} of {len(text)} texts tokenised alike")
        wrong += len(cases) - good + len(text) - sum(text)
    sys.exit(1 if wrong else 0)


def greedy(model, prompt, n):
    model.reset()
    model.eval(prompt)
    out = []
    for _ in range(n):
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        out.append(int(np.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax()))
        model.eval(out[-1:])
    return out


if __name__ == "__main__":
    main(sys.argv[1])
