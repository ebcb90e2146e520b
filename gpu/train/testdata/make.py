"""Writes the golden files of gpu/train with torch, transformers and PEFT.

    python gpu/train/testdata/make.py

README.md says what the files hold; the same versions (versions.json) write the
same bytes. The model is ../../model/testdata/llama with the fresh adapter in its init/.
"""

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes a set, in the order of its hashes
    os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, PYTHONHASHSEED="0"))
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
import json
import math
import tempfile
from pathlib import Path
from types import SimpleNamespace

import accelerate
import peft
import torch
import transformers
from peft import PeftModel
from torch.nn.utils import clip_grad_norm_
from transformers import (
    EarlyStoppingCallback,
    LlamaForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from real import step

HERE = Path(__file__).resolve().parent
MODEL = "../../model/testdata/llama"
IGNORE = -100
BATCH, ACCUMULATE, EPOCHS = 2, 2, 5
CURVES = dict(
    linear=dict(lr_scheduler_type="linear", warmup_steps=5, learning_rate=5e-3, weight_decay=0.0, max_grad_norm=2.5),
    cosine=dict(lr_scheduler_type="cosine", warmup_steps=0, learning_rate=5e-3, weight_decay=0.1, max_grad_norm=2.5),
)


def main():
    os.chdir(HERE)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    write_json("versions.json", {m.__name__: m.__version__ for m in (torch, transformers, peft, accelerate)})
    write_json("adamw.json", [adamw(wd, clip) for wd in (0.0, 0.1) for clip in (0.0, 1.0)])
    write_json("schedule.json", [schedule(kind, w) for kind in SCHEDULES for w in (0, 3)])
    write_json("clip.json", [clip(scale) for scale in (0.01, 1.0, 100.0)])
    write_json("earlystop.json", [early_stop(**case) for case in STOPS])
    rows = examples(37)
    write_json("examples.json", rows)
    for name, options in CURVES.items():
        write_curve(name, rows, options)
    write_story()


def write_json(path, value):
    """One line for each element of value, so that a diff can be read."""
    if isinstance(value, dict):
        text = "{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}\n"
    else:
        text = "[\n" + ",\n".join(f" {json.dumps(v, allow_nan=False)}" for v in value) + "\n]\n"
    Path(path).write_text(text)


def write_story():
    """The real model: what follows its golden prompt, and one step of an adapter on that."""
    golden = json.loads(Path("../../model/testdata/stories260k/golden.json").read_text())
    model = LlamaForCausalLM.from_pretrained("../../model/testdata/stories260k", dtype=torch.float32, attn_implementation="eager")
    n = len(golden["prompt_ids"])
    facts = step(model, [golden["prompt_ids"]], 60)
    assert facts["cases"][0]["greedy"] == golden["greedy_ids"][n:n + 60]  # transformers says what llama2.c does
    write_json("story.json", facts)


# --- the optimiser, the schedule, the clip ---


def adamw(weight_decay, max_norm):
    """Five steps on gradients with a zero, a tiny and a huge one; plain loops and the fused kernel that Trainer uses."""
    g = torch.Generator().manual_seed(7)
    start = torch.randn(8, generator=g)
    grads = torch.randn(5, 8, generator=g)
    grads[:, 0], grads[:, 1], grads[2, 2], grads[:, 3] = 0.0, 1e-30, 1e4, grads[:, 3] * 1e-6
    case = dict(lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=weight_decay, max_norm=max_norm,
                start=start.tolist(), grads=grads.tolist(), norms=[])
    for fused in (False, True):
        w = torch.nn.Parameter(start.clone())
        opt = torch.optim.AdamW([w], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=fused,
                                foreach=False)
        steps = []
        for t in range(5):
            w.grad = grads[t].clone()
            if max_norm:
                norm = clip_grad_norm_([w], max_norm).item()
                if not fused:
                    case["norms"].append(norm)
            opt.step()
            state = opt.state[w]
            steps.append(dict(w=w.tolist(), m=state["exp_avg"].tolist(), v=state["exp_avg_sq"].tolist()))
        case["fused" if fused else "plain"] = steps
    return case


SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine", "warmup_stable_decay")


def schedule(kind, warmup, updates=20, lr=1.0):
    """lrs[s] is what update s (from 0) uses."""
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    decay = dict(num_decay_steps=4) if kind == "warmup_stable_decay" else None
    sched = transformers.get_scheduler(kind, opt, num_warmup_steps=warmup, num_training_steps=updates,
                                       scheduler_specific_kwargs=decay)
    lrs = []
    for _ in range(updates):
        lrs.append(opt.param_groups[0]["lr"])
        opt.step()
        sched.step()
    return dict(kind=kind, warmup=warmup, updates=updates, lr=lr, lrs=lrs)


def clip(scale):
    """Three tensors clipped together to norm 1."""
    g = torch.Generator().manual_seed(8)
    params = [torch.nn.Parameter(torch.zeros(n)) for n in (1, 5, 17)]
    for p in params:
        p.grad = torch.randn(p.shape, generator=g) * scale
    before = [p.grad.tolist() for p in params]
    norm = clip_grad_norm_(params, 1.0).item()
    return dict(max_norm=1.0, grads=before, norm=norm, clipped=[p.grad.tolist() for p in params])


# --- early stopping ---

NAN = float("nan")
STOPS = [
    dict(name="improves throughout", patience=2, threshold=0.0, greater=False, metrics=[2.0, 1.9, 1.8, 1.7, 1.6]),
    dict(name="three strikes", patience=3, threshold=0.0, greater=False, metrics=[2.0, 1.5, 1.6, 1.4, 1.5, 1.4, 1.41, 1.0]),
    dict(name="equal is no improvement", patience=2, threshold=0.0, greater=False, metrics=[1.0, 1.0, 1.0, 0.5]),
    dict(name="a drift below the threshold moves the best along and stops", patience=3, threshold=0.1, greater=False,
         metrics=[2.0, 1.95, 1.9, 1.85, 1.8, 1.0]),
    dict(name="accuracy with gaps", patience=2, threshold=0.01, greater=True,
         metrics=[0.5, 0.6, 0.605, 0.7, 0.69, 0.705, 0.9]),
    dict(name="not a number in the middle", patience=2, threshold=0.0, greater=False, metrics=[2.0, NAN, 1.9, NAN, NAN, 1.0]),
    dict(name="not a number at first", patience=2, threshold=0.0, greater=False, metrics=[NAN, 1.5, 1.4, 1.5, 1.6, 1.0]),
]


def early_stop(name, patience, threshold, greater, metrics):
    """Asks the real callback, then lets the real Trainer update its best, as an evaluation does."""
    callback = EarlyStoppingCallback(patience, threshold)
    state, control, events = TrainerState(), TrainerControl(), []
    args = SimpleNamespace(metric_for_best_model="loss", greater_is_better=greater, save_strategy="no")
    for value in metrics:
        found = {"eval_loss": value}
        callback.on_evaluate(args, state, control, found)
        Trainer._determine_best_metric(SimpleNamespace(args=args, state=state), found, None)
        events.append(dict(metric=finite(value), counter=callback.early_stopping_patience_counter,
                           best=finite(state.best_metric), stop=control.should_training_stop))
        if control.should_training_stop:
            break
    return dict(name=name, patience=patience, threshold=threshold, greater=greater, events=events)


def finite(x):
    """null stands for "not a number" among metrics and "none yet" for the best."""
    return x if math.isfinite(x) else None


# --- a run of Trainer ---


def examples(n):
    """Rows that can be learnt (each token is the last plus a stride), of 5 to 21 tokens, with masked prompts; every third is all target."""
    g = torch.Generator().manual_seed(9)
    rows = []
    for i in range(n):
        length, first, stride = (int(torch.randint(lo, hi, (1,), generator=g)) for lo, hi in ((5, 22), (3, 257), (1, 4)))
        ids = [3 + (first + stride * j) % 254 for j in range(length)]
        prompt = length // 3 if i % 3 else 0
        rows.append(dict(ids=ids, labels=[IGNORE] * prompt + ids[prompt:]))
    return rows


def collate(rows):
    """Rows padded on the right."""
    width = max(len(r["ids"]) for r in rows)

    def pad(key, fill):
        return torch.tensor([r[key] + [fill] * (width - len(r[key])) for r in rows])

    mask = torch.tensor([[1] * len(r["ids"]) + [0] * (width - len(r["ids"])) for r in rows])
    return dict(input_ids=pad("ids", 0), labels=pad("labels", IGNORE), attention_mask=mask)


def order(n):
    """The example numbers of each update, micro-batch by micro-batch; the last update of an epoch is short."""
    micro = [list(range(i, min(i + BATCH, n))) for i in range(0, n, BATCH)]
    epoch = [micro[i : i + ACCUMULATE] for i in range(0, len(micro), ACCUMULATE)]
    return epoch * EPOCHS


def run(rows, options, dtype):
    """Trains and returns the model and the log of its updates."""
    base = LlamaForCausalLM.from_pretrained(MODEL, dtype=dtype, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, f"{MODEL}/init", is_trainable=True).to(dtype)
    with tempfile.TemporaryDirectory() as scratch:
        args = TrainingArguments(
            scratch, per_device_train_batch_size=BATCH, gradient_accumulation_steps=ACCUMULATE, num_train_epochs=EPOCHS,
            train_sampling_strategy="sequential", logging_steps=1, save_strategy="no", report_to="none", use_cpu=True,
            seed=0, remove_unused_columns=False, disable_tqdm=True, **options)
        assert args.optim == "adamw_torch_fused"
        trainer = Trainer(model=model, args=args, train_dataset=rows, data_collator=collate)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model, [e for e in trainer.state.log_history if "loss" in e]


def first_loss(rows, update, tokens):
    """The loss of an update of the base, one row at a time: Σ nll over the targets after the shift / their number."""
    base = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager")
    nll = 0.0
    for i in (i for micro in update for i in micro):
        logits = base(torch.tensor([rows[i]["ids"]])).logits[0, :-1]
        nll += torch.nn.functional.cross_entropy(logits, torch.tensor(rows[i]["labels"][1:]), reduction="sum").item()
    return nll / tokens


def distance(a, b):
    """The largest relative distance (L2) of two adapters' tensors."""
    pairs = zip(a.named_parameters(), b.named_parameters())
    return max(((p - q).norm() / q.norm()).item() for (_, p), (_, q) in pairs if p.requires_grad)


def write_curve(name, rows, options):
    """A run, and the distance of its losses from the same run with weights and products in fp64."""
    model, log = run(rows, options, torch.float32)
    exact_model, exact = run(rows, options, torch.float64)
    updates = order(len(rows))
    assert len(log) == len(updates) == 50
    drift = max(abs(a["loss"] - b["loss"]) for a, b in zip(log, exact))
    tokens = [sum(t != IGNORE for micro in u for i in micro for t in rows[i]["labels"][1:]) for u in updates]
    assert abs(log[0]["loss"] - first_loss(rows, updates[0], tokens[0])) < 1e-5
    adapter_drift = distance(model, exact_model)
    clipped = sum(e["grad_norm"] > options["max_grad_norm"] for e in log)
    print(f"{name}: loss {log[0]['loss']:.3f} to {log[-1]['loss']:.3f}, {clipped} updates clipped, fp32 drifts {drift:.1e}, {adapter_drift:.1e}")
    assert 5 <= clipped <= 45 and drift < 1e-5

    model.save_pretrained(f"curve-{name}")
    Path(f"curve-{name}/README.md").unlink(missing_ok=True)
    write_json(f"curve-{name}/options.json", dict(options, beta1=0.9, beta2=0.999, eps=1e-8, drift=drift,
                                                      adapter_drift=adapter_drift))
    write_json(f"curve-{name}/updates.json", [
        dict(step=i + 1, examples=u, tokens=n, loss=e["loss"], norm=e["grad_norm"], lr=e["learning_rate"])
        for i, (u, n, e) in enumerate(zip(updates, tokens, log))])


if __name__ == "__main__":
    main()
