"""Lets transformers and PEFT load what `go test ./gpu/model -run ForTransformers` wrote.

    STARBOOK_HF=DIR go test ./gpu/model -run ForTransformers && python gpu/model/testdata/judge.py DIR

cases.json lists for each case the base, our adapter or none, a batch, and the loss
and the last logits that we computed. Theirs must be the same within 1e-5.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
import torch
import transformers
from peft import PeftConfig, PeftModel

transformers.logging.set_verbosity_error()


def main(folder):
    os.chdir(folder)
    wrong = 0
    for case in json.loads(Path("cases.json").read_text()):
        model = transformers.AutoModelForCausalLM.from_pretrained(case["base"], dtype=torch.float32, attn_implementation="eager")
        if case["adapter"]:
            config = PeftConfig.from_pretrained(case["adapter"])
            model = PeftModel.from_pretrained(model, case["adapter"])
            assert config.r == case["r"], (config.r, case["r"])
        model.eval()
        ids = torch.tensor([case["ids"]])
        with torch.no_grad():
            out = model(input_ids=ids, labels=ids)
        loss = abs(out.loss.item() - case["loss"]) / case["loss"]
        last = out.logits[0, -1]
        logits = ((last - torch.tensor(case["logits"])).norm() / last.norm()).item()
        good = loss < 1e-5 and logits < 1e-5
        wrong += not good
        print(f"{'same ' if good else 'OTHER'} {case['name']}: loss off by {loss:.1e}, last logits by {logits:.1e}")
    transformers.TrainerState.load_from_json("trainer_state.json")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1])
