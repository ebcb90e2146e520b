"""Writes golden.json.gz: what transformers makes of conversations.json with each of templates/, through
apply_chat_template of a tokenizer of no importance. Usage: python make.py [FOLDER OF OTHER TEMPLATES > OUT.json]

Each rendering is a string, or {"error": message} where the template or Python refused. Each conversation is rendered as it
is and with add_generation_prompt; spans are those of {% generation %}. Needs transformers, jinja2 and tokenizers of the
versions that the file itself names.
"""
import datetime, gzip, json, pathlib, sys
import jinja2, transformers
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template

NOW = datetime.datetime(2026, 11, 4, 9, 5, 7)  # for strftime_now

class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW

chat_template_utils.datetime = Clock

here = pathlib.Path(__file__).parent
conversations = json.loads((here / "conversations.json").read_text("utf-8"))
specials = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0, "<s>": 1, "</s>": 2, "<pad>": 3, "<unk>": 4}, [])), **specials)

def render(template, c, prompt):
    extra = {k: v for k, v in c.items() if k not in ("messages", "tools")}
    try:
        text = tok.apply_chat_template(c["messages"], tools=c.get("tools"), chat_template=template, add_generation_prompt=prompt, tokenize=False, **extra)
    except Exception as e:
        return {"error": str(e), "kind": type(e).__name__}
    if "generation" in template and "{%" in template:
        try:
            _, spans = render_jinja_template([c["messages"]], tools=c.get("tools"), chat_template=template, return_assistant_tokens_mask=True,
                                             add_generation_prompt=prompt, **tok.special_tokens_map, **extra)
        except Exception:  # the template wants what apply_chat_template alone gives
            return text
        if spans[0]:
            return {"text": text, "spans": spans[0]}
    return text

folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "templates"
out = {"versions": {"transformers": transformers.__version__, "jinja2": jinja2.__version__}, "now": NOW.isoformat() + "Z", "templates": {}}
for path in sorted(folder.glob("*.jinja")):
    t = path.read_text("utf-8")
    out["templates"][path.stem] = [[render(t, c, False), render(t, c, True)] for c in conversations]
    bad = sum(isinstance(r, dict) and "error" in r for pair in out["templates"][path.stem] for r in pair)
    print(path.stem, len(conversations) * 2, "renderings,", bad, "refused", file=sys.stderr)
b = json.dumps(out, ensure_ascii=True, separators=(",", ":")).encode()
if len(sys.argv) > 1:
    sys.stdout.buffer.write(b)
else:
    (here / "golden.json.gz").write_bytes(gzip.compress(b, 9, mtime=0))
