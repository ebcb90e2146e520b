"""How fast the tokenizers library is on one core: python speed.py CORPUS TOKENIZER.json...

CORPUS holds one document a line, as JSON strings. Prints for each tokenizer the best of three rounds of encode_batch_fast, which is
the library's quickest way, in MB of UTF-8 a second of processor time, and the number of tokens.
"""
import json, os, pathlib, sys, time
os.environ["TOKENIZERS_PARALLELISM"], os.environ["RAYON_NUM_THREADS"] = "false", "1"
import tokenizers
from tokenizers import Tokenizer

docs = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
size = sum(len(d.encode()) for d in docs)
for path in sys.argv[2:]:
    t = Tokenizer.from_str(pathlib.Path(path).read_text("utf-8"))
    best, n = float("inf"), 0
    for _ in range(3):
        start = time.process_time()
        n = sum(len(e.ids) for e in t.encode_batch_fast(docs, add_special_tokens=False))
        best = min(best, time.process_time() - start)
    print(f"{pathlib.Path(path).stem}\t{size / best / 1e6:.2f}\t{n}\ttokenizers {tokenizers.__version__}", flush=True)
