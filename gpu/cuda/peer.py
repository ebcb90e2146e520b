"""transformers and PEFT doing what `starbook bench` did, on the same GPU.

    starbook bench train --shape qwen2.5-7b --json >ours.json
    python3 peer.py train ours.json >theirs.json      # the same shape, adapter, batch and lengths
    python3 peer.py decode ours.json >theirs.json
    python3 peer.py table ours.json theirs.json ...   # all of them as one table, in Markdown

What is to be done is read from the report of starbook bench, so that the two cannot differ.
The set-up is the best that needs no other package: bf16 base, fp32 adapters under autocast as
Trainer(bf16=True) has them (and bf16 adapters, which is faster and not the same training),
FlashAttention 2 where it is installed and else SDPA, fused AdamW, no gradient checkpointing and
whole updates where they fit; padded (examples of an update to the longest, no mask where all are
equal) and packed (one row, positions begin anew); with and without torch.compile.
"""

import argparse
import gc
import json
import signal
import statistics
import sys
import time

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TRAIN = ["padded", "packed", "padded-bf16", "packed-bf16", "padded-compile", "packed-compile"]
DECODE = ["dynamic", "static"]


def figure(values):
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return dict(value=statistics.median(values), low=low, high=high, n=len(values))


class Bench:
    """A model of random weights in the shape that a report has."""

    def __init__(self, report, device):
        import torch
        import transformers

        self.torch, self.device, self.o, self.lengths = torch, torch.device(device), report["options"], report["lengths"]
        config = dict(report["config"])
        self.config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
        self.attention = "sdpa"
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = True
            if transformers.utils.is_flash_attn_2_available():
                self.attention = "flash_attention_2"
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        with self.device:
            self.model = transformers.AutoModelForCausalLM.from_config(self.config, attn_implementation=self.attention)
        torch.set_default_dtype(torch.float32)

    def about(self, bench):
        import peft
        import transformers

        gpu = self.torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"
        return dict(bench=bench, shape=self.o["shape"], device=gpu, attention=self.attention,
                    versions=dict(torch=self.torch.__version__, transformers=transformers.__version__, peft=peft.__version__))

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def forget_peak(self):
        gc.collect()
        if self.device.type == "cuda":
            self.torch.cuda.empty_cache()
            self.torch.cuda.reset_peak_memory_stats()

    def peak(self):
        return self.torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else None

    def ids(self, *shape):
        return self.torch.randint(0, self.config.vocab_size, shape, device=self.device)


class Training(Bench):
    def __init__(self, report, device):
        import peft

        super().__init__(report, device)
        lora = peft.LoraConfig(r=self.o["rank"], lora_alpha=self.o["rank"], target_modules=TARGETS, task_type="CAUSAL_LM")
        self.model = peft.get_peft_model(self.model, lora).train()
        self.model.config.use_cache = False
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.start = [p.detach().cpu().clone() for p in self.trained]

    def labels(self, ids, n):
        labels = ids.clone()
        labels[: max(1, n - max(1, int(self.o["trained"] * n)))] = -100  # nothing comes before the first
        return labels

    def batches(self, lengths, packed, pieces):
        """The inputs of an update, in so many pieces."""
        per = -(-len(lengths) // pieces)
        for at in range(0, len(lengths), per):
            part = lengths[at: at + per]
            rows = [self.ids(n) for n in part]
            labels = [self.labels(r, n) for r, n in zip(rows, part)]
            if packed:
                positions = self.torch.cat([self.torch.arange(n, device=self.device) for n in part])
                yield dict(input_ids=self.torch.cat(rows)[None], labels=self.torch.cat(labels)[None], position_ids=positions[None])
                continue
            pad = lambda rows, value: self.torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
            inputs = dict(input_ids=pad(rows, 0), labels=pad(labels, -100))
            if len(set(part)) > 1:
                inputs["attention_mask"] = pad([self.torch.ones_like(r) for r in rows], 0)
            yield inputs

    def update(self, model, opt, lengths, packed, pieces):
        total = 0.0
        inputs = list(self.batches(lengths, packed, pieces))
        targets = sum(int((i["labels"] != -100).sum()) for i in inputs)
        for i in inputs:
            with self.torch.autocast(self.device.type, self.torch.bfloat16):
                loss = model(**i, num_items_in_batch=targets).loss
            loss.backward()
            total += loss.detach()
        self.torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return total

    def variant(self, name):
        torch, o = self.torch, self.o
        packed, dtype = name.startswith("packed"), torch.bfloat16 if "bf16" in name else torch.float32
        for p, start in zip(self.trained, self.start):
            p.data, p.grad = start.to(self.device, dtype, copy=True), None
        model = torch.compile(self.model) if "compile" in name else self.model
        opt = torch.optim.AdamW(self.trained, lr=2e-4, fused=self.device.type == "cuda")
        lists = [self.lengths[i: i + o["batch"]] for i in range(0, len(self.lengths), o["batch"])]
        for pieces, checkpointing in self.fits():
            try:
                if checkpointing:
                    self.model.enable_input_require_grads()
                    self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
                self.forget_peak()
                longest = max(lists, key=sum)
                losses = [self.update(model, opt, l, packed, pieces) for l in [longest] + (lists * o["warmup"])[: o["warmup"]]]
                seconds = []
                for l in lists:
                    self.wait()
                    start = time.perf_counter()
                    self.update(model, opt, l, packed, pieces)
                    self.wait()
                    seconds.append(time.perf_counter() - start)
                return dict(
                    name=name, speed=figure([sum(l) / s for l, s in zip(lists, seconds)]), update=figure(seconds),
                    overall=sum(self.lengths) / sum(seconds), peak_mib=self.peak(), pieces=pieces, checkpointing=checkpointing,
                    loss=float(losses[0]))
            except torch.OutOfMemoryError:
                for p in self.trained:
                    p.grad = None
            finally:
                if checkpointing:
                    self.model.gradient_checkpointing_disable()
        return dict(name=name, error="out of memory")

    def fits(self):
        """What to try: whole updates, then more and more pieces, and checkpointing at last."""
        pieces = 1
        while pieces < self.o["batch"]:
            yield pieces, False
            pieces *= 2
        yield self.o["batch"], False
        yield self.o["batch"], True


class Decoding(Bench):
    def variant(self, name):
        torch, o = self.torch, self.o
        if o["rank"] and not hasattr(self.model, "peft_config"):
            import peft
            self.model = peft.get_peft_model(self.model, peft.LoraConfig(r=o["rank"], lora_alpha=o["rank"], target_modules=TARGETS, task_type="CAUSAL_LM"))
        model = self.model.eval()
        model.generation_config.eos_token_id = None
        batches = [self.lengths[i: i + o["batch"]] for i in range(0, len(self.lengths), o["batch"])]

        def complete(batches, most):
            for limits in batches:  # a batch goes on until its longest has ended
                ids, n = self.ids(len(limits), o["prompt"]), min(most, max(limits))
                out = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0,
                    **(dict(cache_implementation="static") if name == "static" else {}))
                assert out.shape[1] == o["prompt"] + n, out.shape
            self.wait()

        self.forget_peak()
        try:
            with torch.inference_mode():
                complete(batches[:1], o["new"] if name == "static" else 8)  # static caches are compiled for their length
                seconds = []
                for _ in range(o["steps"]):
                    start = time.perf_counter()
                    complete(batches, o["new"])
                    seconds.append(time.perf_counter() - start)
        except torch.OutOfMemoryError:
            return dict(name=name, error="out of memory")
        return dict(name=name, speed=figure([sum(self.lengths) / s for s in seconds]), all=figure(seconds), peak_mib=self.peak())


def run(o):
    with open(o.report) as f:
        report = json.load(f)
    if report["bench"] != o.what:
        sys.exit(f"peer.py: {o.report} is the report of a {report['bench']}, not of a {o.what}")
    import torch

    bench = (Training if o.what == "train" else Decoding)(report, o.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    out = dict(bench.about(o.what), options=report["options"], variants=[])
    begun = time.perf_counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("peer.py: stopped"))  # what was measured is written all the same
    try:
        for name in o.variants.split(",") if o.variants else TRAIN if o.what == "train" else DECODE:
            if o.seconds and time.perf_counter() - begun > o.seconds:
                out["variants"].append(dict(name=name, error=f"not measured: over {o.seconds:.0f} s had gone by"))
                continue
            try:
                out["variants"].append(bench.variant(name))
            except Exception as e:  # a compiler that fails here says nothing of the others
                out["variants"].append(dict(name=name, error=f"{type(e).__name__}: {e}"[:300]))
            print(f"peer.py: {out['variants'][-1]}", file=sys.stderr)
    finally:
        json.dump(out, sys.stdout, indent=1)


def table(files):
    """Writes reports, ours and theirs in the order in which they were made, as Markdown."""
    groups = {}
    for name in files:
        with open(name) as f:
            report = json.load(f)
        o = report["options"]
        key = (report["bench"], o["shape"], json.dumps({k: o.get(k) for k in ("tokens", "ragged", "batch", "prompt", "new", "rank")}))
        groups.setdefault(key, []).append(report)
    for (bench, shape, _), reports in groups.items():
        ours, theirs = [r for r in reports if "figures" in r], [r for r in reports if "variants" in r]
        o = reports[0]["options"]
        what = (f"rank {o['rank']}, {o['batch']} × {'up to ' if o['ragged'] else ''}{o['tokens']} tokens an update" if bench == "train" else
                f"batch {o['batch']}, prompts of {o['prompt']}, {'up to ' if o['ragged'] else ''}{o['new']} new tokens" if bench == "decode" else
                f"rank {o['rank']}, {o['batch']} × {o['tokens']} tokens, {o['slots']} slots")
        print(f"\n## {bench} {shape}, {what}\n\n{(ours or theirs)[0]['device']}")
        if bench != "kernels":
            beside(ours, theirs)
        for r in ours[:1]:
            print("\n| ours | value | |\n|---|---|---|")
            for f in r["figures"]:
                value = f"not measured: {f['not_measured']}" if f.get("not_measured") else f"{f['value']:.4g} {f['unit']}" + (f", n = {f['n']}" if f["n"] else ", computed")
                print(f"| {f['name']} | {value} | {f.get('note', '')} |")
            if r.get("ops"):
                print("\n| operation | size | time | GB/s | of the copy | TFLOP/s | of the GEMM |\n|---|---|---|---|---|---|---|")
            for op in r.get("ops", []):
                t = op["time"]
                flops = (f"{op['flop'] / t['value'] / 1e6:.3g}", f"{op['share_of_gemm']['value']:.0f} %") if op["flop"] else ("", "")
                print(f"| {op['name']} | {op['size']} | {t['value']:.4g} µs, n = {t['n']} | {op['bytes'] / t['value'] / 1e3:.4g} | {op['share_of_copy']['value']:.0f} % | {flops[0]} | {flops[1]} |")


def beside(ours, theirs):
    """Prints the speeds of both, and ours by the best of theirs."""
    print("\n| engine | tok/s (quartiles, n) | memory at most | ours is |\n|---|---|---|---|")
    rows = []
    for r in ours:
        f = {f["name"]: f for f in r["figures"]}
        rows.append(("starbook", f["speed"], f["memory at most"]["value"] or None, ""))
    best = {}
    for r in theirs:
        for v in r["variants"]:
            note = "".join([f", {v['pieces']} pieces" if v.get("pieces", 1) > 1 else "", ", checkpointing" if v.get("checkpointing") else ""])
            rows.append((f"{v['name']}, {r['attention']}{note}", v.get("speed"), v.get("peak_mib"), v.get("error", "")))
            if "speed" in v:
                best.setdefault(v["name"], []).append(v["speed"]["value"])
    middle = statistics.median([s["value"] for _, s, _, _ in rows[: len(ours)]]) if ours else None
    for engine, speed, peak, note in rows:
        rate = f"{speed['value']:,.0f} ({speed['low']:,.0f} to {speed['high']:,.0f}, n = {speed['n']})" if speed else "not measured"
        ratio = note or (f"{middle / speed['value']:.2f} ×" if middle and engine != "starbook" else "")
        print(f"| {engine} | {rate} | {f'{peak:,.0f} MiB' if peak else 'not measured'} | {ratio} |")
    if middle and best:
        name = max(best, key=lambda n: statistics.median(best[n]))
        print(f"\nAgainst their best, {name}: **{middle / statistics.median(best[name]):.2f} ×** (medians of {len(ours)} and {len(best[name])} runs).")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="what", required=True)
    for what, all in (("train", TRAIN), ("decode", DECODE)):
        q = sub.add_parser(what)
        q.add_argument("report", help="what starbook bench --json printed")
        q.add_argument("--variants", default="", help="some of " + ",".join(all))
        q.add_argument("--seconds", type=float, default=0, help="begin no further variant after so long")
        q.add_argument("--device", default="", help="cuda or cpu")
    sub.add_parser("table").add_argument("files", nargs="+")
    o = p.parse_args()
    table(o.files) if o.what == "table" else run(o)


if __name__ == "__main__":
    main()
