"""Writes choices.json beside this file: what lm-evaluation-harness says of multiple choices, for TestChoicesAgainstHarness.

    python builtins/testdata/choices.py        (needs lm_eval, torch, transformers)

The model is scripts/models/regex-base; the items are of scripts/data/nl-rx/test.jsonl: a description, its regular
expression and three others.
"""

import json
import os
import pathlib
import random
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="false")
import lm_eval
import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "{text}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: "{delimiter}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""


def main():
    random.seed(5)
    rows = [json.loads(line) for line in (ROOT / "scripts/data/nl-rx/test.jsonl").read_text().splitlines()][:400]
    items = []
    for i, row in enumerate(random.sample(rows, 30)):
        choices = [row["answer"]] + random.sample([r["answer"] for r in rows if r["answer"] != row["answer"]], 3)
        random.shuffle(choices)
        items.append({"id": f"c{i}", "prompt": row["prompt"], "choices": choices, "answer": choices.index(row["answer"])})
    out = {"versions": {"lm_eval": lm_eval.__version__, "torch": torch.__version__, "transformers": transformers.__version__}, "items": items, "runs": []}
    lm = HFLM(pretrained=str(ROOT / "scripts/models/regex-base"), dtype="float32", batch_size=8, device="cpu")
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        (tmp / "items.json").write_text("\n".join(json.dumps(i) for i in items))
        settings = [("{{prompt}}\\n", "{prompt}\n", ""), ("{{prompt}}", "{prompt}", " "), ("Describe: {{prompt}} Answer:  ", "Describe: {prompt} Answer:  ", "")]
        for k, (text, prompt, delimiter) in enumerate(settings):
            (tmp / f"task{k}.yaml").write_text(TASK.format(name=f"task{k}", file=tmp / "items.json", text=text, delimiter=delimiter))
        manager = TaskManager(include_path=str(tmp))
        for k, (text, prompt, delimiter) in enumerate(settings):
            result = lm_eval.simple_evaluate(model=lm, tasks=[f"task{k}"], task_manager=manager, log_samples=True, bootstrap_iters=0)
            samples = sorted(result["samples"][f"task{k}"], key=lambda s: s["doc_id"])
            score = result["results"][f"task{k}"]
            out["runs"].append({
                "prompt": prompt, "delimiter": delimiter, "acc": score["acc,none"], "acc_norm": score["acc_norm,none"],
                "logprob": [[r[0] for r in s["filtered_resps"]] for s in samples],
            })
    (HERE / "choices.json").write_text(json.dumps(out, indent=1) + "\n")


main()
