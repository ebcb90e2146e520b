"""What others read of what starbook export wrote: python .ci/readers.py FOLDER. .ci/full exports makes the folder."""

import csv
import json
import os
import sys

folder = sys.argv[1]
want = {}  # (step name, metric): [(x, value)]
with open(os.path.join(folder, "points.csv")) as f:
    for r in csv.DictReader(f):
        want.setdefault((r["step_name"], r["metric"]), []).append((int(r["x"]), float(r["value"])))
assert want, "no points in the CSV file"
losses = want["lora.train", "train/loss"]


def near(got, points, tolerance=0.0):
    got = sorted(got)
    assert [x for x, _ in got] == [x for x, _ in points], (got[:3], points[:3])
    assert all(abs(a - b) <= tolerance * abs(b) for (_, a), (_, b) in zip(got, points)), (got[:3], points[:3])


import nbformat  # noqa: E402

nb = nbformat.read(os.path.join(folder, "run.ipynb"), as_version=4)
nbformat.validate(nb)
outputs = [o for c in nb.cells if c.cell_type == "code" for o in c.outputs]
assert any(o.output_type == "stream" for o in outputs) and any(o.output_type == "display_data" for o in outputs)
print(f"nbformat {nbformat.__version__}: valid, {len(nb.cells)} cells, {len(outputs)} outputs")

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

client = MlflowClient(tracking_uri="file://" + os.path.abspath(os.path.join(folder, "mlruns")))
experiments = client.search_experiments()
runs = client.search_runs([e.experiment_id for e in experiments])
assert len(runs) == 2 and all(r.info.status == "FINISHED" for r in runs), runs
newest = max(runs, key=lambda r: r.info.start_time)
assert newest.data.params["patience"] == "2", newest.data.params
history = client.get_metric_history(newest.info.run_id, "lora.train/train/loss")
near([(m.step, m.value) for m in history], losses)
print(f"mlflow {mlflow.__version__}: {len(runs)} runs, {len(history)} points of train/loss, equal")

from tensorboard import version  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

for name in ["live", "board"]:  # as it was written beside the run, and as exported afterwards
    found = 0
    for where, _, files in os.walk(os.path.join(folder, name)):
        if not any("tfevents" in f for f in files) or "lora.train" not in where:
            continue
        acc = EventAccumulator(where, size_guidance={"scalars": 0})
        acc.Reload()
        near([(e.step, e.value) for e in acc.Scalars("train/loss")], losses, 1e-6)
        found += 1
    assert found == 1, (name, found)
    print(f"tensorboard {version.VERSION}: {name}: {len(losses)} points of train/loss, equal as float32")

with open(os.path.join(folder, "run.json")) as f:
    bundle = json.load(f)
assert {s["name"] for s in bundle["steps"]} >= {"lora.train", "lora.merge", "eval.run"}
print("json: ok")
