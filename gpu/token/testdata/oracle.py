"""Makes oracle.jsonl.gz with the real library (pip install tokenizers==0.23.3; Apache-2.0).

Each line: {"name", "tokenizer": a tokenizer.json, "cases": [[text, ids, ids with the template around, decoded,
decoded without special tokens], ...]}. The tokenizers are trained here on the texts below, so nothing in the
file belongs to anybody else. Usage: python oracle.py > oracle.jsonl.gz

`python oracle.py train > train.json.gz` writes {"texts", "tokenizer"}: what the library's own trainer learns, 700 tokens.
"""
import gzip, json, random, sys
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
L, U, W = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
S = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": C + "|" + L + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + S,
    "qwen2": C + "|" + L + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + S,
    "marks": C + "|" + L + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + S,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "tiktoken": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": L + U + "*" + W + "+" + C + "?|" + L + U + "+" + W + "*" + C + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + S,
    "tekken": L + U + "*" + W + "+|" + L + U + "+" + W + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + S,
}
ATOMS = """a b the The THE hello Hello don't DON'T we'LL I'm they'Re 's 'S 'ſ 't 've 'd ' '' I'd've x1 12 123 1234 12345678 3.14 ½ Ⅷ ٣٤ ² é é ñ Å ﬁ ǅ ʰ ß ſ ẞ
ª 中文 日本語 한국어 กำ हिन्दी עברית عَرَبي 🙂 👍🏽 👩‍👩‍👧 🇩🇪 ́ ̈ ्  \u200d \u200b \ufeff \u00ad \x00 \x7f \x85 \xa0 \u2003 \u2028 \u3000 \ufffd \U0010ffff . , ... !? -- // / /n (){} <s> </s> <unk> <|end|>
<|endoftext|> <|x <think> [tag] word _ __init__ camelCase HTTPServer XMLHttp2 Ünï ▁ ▁▁ Ġ Ġthe <0x0A> <0xE2> \\""".replace("\n", " ").split(" ")
SPACES = ["", "", "", " ", " ", "  ", "   ", "\n", "\r\n", "\t", " \n ", "\n\n\n", " \t\n\r ", "\xa0", "\u3000 "]

def texts(seed, n):
    r = random.Random(seed)
    out = ["", " ", "  ", "\n", "a", " a", "a ", "\r\n\r\n", "x" * 100, "ab" * 60, " " * 70, "0" * 50, "the the  the   the", "<s>a</s>", "a <|end|> b", "a  [tag]  b", "[tag][tag]", " [tag] <|end|> ", "a word, awordb word", "word", "<|end|>" * 3, "e\u0301", "\u1e9b\u0323", "\u0301", "a\u0301A", "\u0301A", "\u0301a", "\u0301\u0301Ab", "a" + "\u0301" * 40, "x\u0323\u0301" * 3 + "e" + "\u0301\u0323\u0328" * 15 + "z", "\u0344" * 35]
    for _ in range(n):
        out.append("".join(r.choice(SPACES) + r.choice(ATOMS) for _ in range(r.randint(1, 14))) + r.choice(SPACES))
    for _ in range(n // 4):
        out.append("".join(chr(c) for c in (r.choice([r.randint(0, 0x7f), r.randint(0, 0x600), r.randint(0x2000, 0x33ff), r.randint(0xac00, 0xd7a3), r.randint(0x1f300, 0x1faff)]) for _ in range(r.randint(1, 20)))))
    return out

def cases(t, ts):
    rows = []
    for s in ts:
        ids = t.encode(s, add_special_tokens=False).ids
        rows.append([s, ids, t.encode(s).ids, t.decode(ids, skip_special_tokens=False), t.decode(ids)])
    return rows

ADDED = [AddedToken("<|end|>", special=True, normalized=False), AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<think>", normalized=False),
         AddedToken("[tag]", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False), AddedToken("é", normalized=True), AddedToken("XML", normalized=True)]

def bytelevel(pattern, vocab=700, pre=(), normalizer=None, prefix=False, added=ADDED, **model):
    t = Tokenizer(models.BPE(**model))
    if normalizer: t.normalizer = normalizer
    steps = list(pre)
    if pattern: steps.append(pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=not pattern))
    t.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts(1, 1500), trainers.BpeTrainer(vocab_size=vocab, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens(added)
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return t

def spm(pre, normalizer, vocab=400, fallback=True, **model):
    t = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>", **model))
    if normalizer: t.normalizer = normalizer
    if pre: t.pre_tokenizer = pre
    t.train_from_iterator([s for s in texts(1, 1500) if s.isascii()], trainers.BpeTrainer(vocab_size=vocab, special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)] * fallback, initial_alphabet=["▁"], show_progress=False))
    j = json.loads(t.to_str())
    keep = {"<unk>", "<s>", "</s>"}
    j["added_tokens"] = [a for a in j["added_tokens"] if a["content"] in keep]
    t = Tokenizer.from_str(json.dumps(j))
    t.add_tokens([AddedToken("<|end|>", special=True, normalized=False), AddedToken("word", single_word=True, normalized=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t

if sys.argv[1:] == ["train"]:
    ts = texts(3, 1500)
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    t.train_from_iterator(ts, trainers.BpeTrainer(vocab_size=700, special_tokens=["[PAD]", "[END]"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    sys.stdout.buffer.write(gzip.compress(json.dumps({"texts": ts, "tokenizer": json.loads(t.to_str())}).encode(), 9, mtime=0))
    sys.exit()

llama = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
made = {p: bytelevel(p) for p in PATTERNS}
made["gpt2-use_regex"] = bytelevel(None)
made["gpt2-prefix"] = bytelevel(None, prefix=True)
made["qwen2-nfc"] = bytelevel("qwen2", normalizer=normalizers.NFC())
made["nfkd"] = bytelevel("qwen2", normalizer=normalizers.Sequence([normalizers.NFKD(), normalizers.Replace("a", "xy")]))
made["llama3-ignore_merges"] = bytelevel("llama3", ignore_merges=True)
made["digits"] = bytelevel(None, pre=[pre_tokenizers.Digits(individual_digits=True)])
made["digits-runs"] = bytelevel(None, pre=[pre_tokenizers.Digits(individual_digits=False)])
made["llama2"] = spm(None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), fuse_unk=True)
made["llama2"].decoder = llama
made["gemma"] = spm(pre_tokenizers.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁"))
made["gemma"].decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
for scheme in ["always", "first", "never"]:
    made["metaspace-" + scheme] = spm(pre_tokenizers.Metaspace(prepend_scheme=scheme, split=scheme != "first"), None)
    made["metaspace-" + scheme].decoder = decoders.Metaspace(prepend_scheme=scheme)
made["unknowns"] = spm(pre_tokenizers.Metaspace(), None, fallback=False)
made["unknowns-fused"] = spm(pre_tokenizers.Metaspace(), None, fallback=False, fuse_unk=True)

out = gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=9, mtime=0)
for name, t in made.items():
    line = json.dumps({"name": name, "tokenizer": json.loads(t.to_str()), "cases": cases(t, texts(2, 120))}, ensure_ascii=True, separators=(",", ":"))
    out.write(line.encode() + b"\n")
out.close()
