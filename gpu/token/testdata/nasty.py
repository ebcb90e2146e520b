"""Writes nasty.json.gz: 2,000 strings that tokenizers get wrong, and what the tokenizers library makes of them.
Usage: python nasty.py [FOLDER WITH REAL TOKENIZERS, of real.py]   (pip install tokenizers==0.23.3)

For each tokenizer and string: the first 4 bytes of SHA-256 over the ids, each in 4 bytes, little-endian, and of the ids decoded with and
without special tokens, and the ids in full of every 20th string. The tokenizers of oracle.jsonl.gz, small ones trained there, stand in
for every family; gpt2 and qwen3 are real and committed; those in FOLDER are real and are not.
"""
import base64, gzip, hashlib, json, pathlib, random, struct, sys
import tokenizers
from tokenizers import Tokenizer

here = pathlib.Path(__file__).parent
r = random.Random(20261124)

WORDS = """the The THE quick brown fox don't DON'T we'll they'Re I'd've 's 'S 'll 'ſ it’s naïve Straße ﬁnance ǅungla İstanbul ΑΣ café e\u0301te\u0301 A\u030a a\u0323\u0301 \u1e9b\u0323 \u0344 ㎏ ½ Ⅷ ² ٣٤٥ १२३ 一二 12 123 1234 12345678901234567890
3.14159 1,000,000 0x1F 1e-5 $9.99 50% #1 @user http://x.yz/a?b=c&d=e#f foo_bar __init__ camelCaseHTTPServer snake_case_2 kebab-case x=y+z; if(a&&b){c--;} // /* */ <!-- --> \\n \\u0041 C:\\path \t\tindent
中文字符 日本語テキスト ひらがな 한국어 各种 กำลัง हिन्दी தமிழ் עִבְרִית العَرَبِيَّة Ελληνικά Русский ქართული 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 👍 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 1️⃣ ❤️ ☺ 🤷🏽‍♀️ \u200d \u200b \u2060 \ufeff \u00ad \u202e \u061c \ufffd \ufffe \U0010ffff \ue000 \x00 \x01 \x1b[0m \x7f \x80 \x85 Ã© â€™ \xc3\x28
<s> </s> <unk> <pad> <bos> <eos> <|endoftext|> <|im_start|> <|im_end|> <|begin_of_text|> <|eot_id|> <start_of_turn> <end_of_turn> <|im_start <|endoftext|><|endoftext|> [INST] [/INST] <think> </think> <tool_call> <0x0A> <0xE2><0x96><0x81> ▁ ▁▁ ▁the Ġ Ġthe Ċ [tag] word sword <|end|>""".split()
SPACES = ["", "", "", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "\n ", " \r\n \t", "\xa0", "\u3000", "\u2003 ", "\u2028", "\x0b", "\x0c", "\x85", "\x1c", "\u200a\n"]

def mixture(n):
    return "".join(r.choice(SPACES) + r.choice(WORDS) for _ in range(n)) + r.choice(SPACES)

RANGES = [(0, 0x7f), (0, 0xff), (0x80, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0x10ff), (0x1100, 0x1fff), (0x2000, 0x2fff), (0x3000, 0x9fff), (0xac00, 0xd7a3), (0xe000, 0xffff), (0x10000, 0x1ffff), (0x1f300, 0x1faff), (0x20000, 0x10ffff)]
def points(n):
    a, b = r.choice(RANGES)
    return "".join(chr(r.randint(a, b) if r.random() < .7 else r.randint(*r.choice(RANGES))) for _ in range(n)).translate({c: None for c in range(0xd800, 0xe000)})

strings = ["", " ", "  ", "\n", "\r\n", "\t", "\xa0", "a", " a", "a ", "\u0301", "\u200d", "▁", " ▁ ", "<s>", "<s><s>", " <s> ", "<|endoftext|>" * 5, "<s>a</s>b<unk>", "\x00", "\ufffd", "\U0010ffff"]
for unit, n in [("a", 300), ("ab", 200), ("A", 100), ("9", 100), (" ", 200), ("\n", 100), (" \n", 60), ("\r\n", 60), ("\t", 50), ("=", 120), ("-", 77), ("é", 90), ("e\u0301", 60), ("\u0301", 80), ("👍🏽", 30), ("👩‍👩‍👧", 20), ("中", 120), ("▁", 50), (" a", 90), ("a ", 90), ("'s", 50), ("'", 60), ("<", 60), ("<s>", 20), ("\xa0", 40), ("\u3000", 40), ("\u200b", 40), ("ᄀ", 30), ("가", 50), ("\u1100\u1161\u11a8", 30), ("x\u0323\u0301", 40), ("\x00", 20), ("0a", 60), (".", 90), ("ſ", 40), ("ﷺ", 20), ("\U0001d400", 30)]:
    strings += [unit * n, unit * 3, unit * (n // 2) + " end"]
strings += [mixture(r.randint(1, 12)) for _ in range(1250)]
strings += [points(r.randint(1, 24)) for _ in range(350)]
strings += [r.choice(WORDS) + r.choice(WORDS) for _ in range(120)]
strings += [mixture(r.randint(40, 80)) for _ in range(30)]
while len(strings) < 2000:
    strings.append(mixture(3))
strings = strings[:2000]

def short(b):
    return hashlib.sha256(b).digest()[:4]

def judge(t):
    ids = [e.ids for e in t.encode_batch(strings, add_special_tokens=False)]
    special = [e.ids for e in t.encode_batch(strings, add_special_tokens=True)]
    pack = lambda x: struct.pack(f"<{len(x)}i", *x)
    decoded = [t.decode(x, skip_special_tokens=False) + "\x00" + t.decode(x) for x in ids]
    return {"tokens": sum(map(len, ids)), "ids": base64.b64encode(b"".join(short(pack(x)) for x in ids)).decode(), "special": short(b"".join(map(pack, special))).hex(),
            "decoded": base64.b64encode(b"".join(short(x.encode()) for x in decoded)).decode(), "some": {str(i): ids[i] for i in range(0, 2000, 20)}}

found = {name: gzip.decompress((here / name / "tokenizer.json.gz").read_bytes()).decode() for name in ["gpt2", "qwen3"]}
for line in gzip.decompress((here / "oracle.jsonl.gz").read_bytes()).decode().splitlines():
    o = json.loads(line)
    found["small-" + o["name"]] = json.dumps(o["tokenizer"])
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")) if len(sys.argv) > 1 else []:
    found.setdefault(path.stem, path.read_text("utf-8"))
out = {"tokenizers": tokenizers.__version__, "strings": strings, "judged": {}}
for name, text in found.items():
    out["judged"][name] = judge(Tokenizer.from_str(text))
    print(name, out["judged"][name]["tokens"], "tokens", file=sys.stderr)
(here / "nasty.json.gz").write_bytes(gzip.compress(json.dumps(out, ensure_ascii=True, separators=(",", ":")).encode(), 9, mtime=0))
