"""Log, list and compare with MLflow, Trackio and Aim, each through its own Python API on its own SQLite or RocksDB files,
one after the other in one process: python .ci/trackers.py RUNS DIRECTORY. .ci/full trackers runs it beside our benchmarks."""

import logging
import os
import sys
import time

runs, here = int(sys.argv[1]), os.path.abspath(sys.argv[2])
os.makedirs(here, exist_ok=True)
os.chdir(here)
os.environ.update(TRACKIO_DIR=os.path.join(here, "trackio"), MLFLOW_DISABLE_TELEMETRY="true", HF_HUB_OFFLINE="1", GIT_PYTHON_REFRESH="quiet")
logging.disable(logging.WARNING)
POINTS = 50  # of the curve of each of the runs


def size(path):
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(os.path.getsize(os.path.join(folder, f)) for f in files)
    return total


def row(who, what, value, unit):
    print(f"{who:8} {what:34} {value:14,.1f} {unit}", flush=True)


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def mlflow_():
    os.makedirs("mlflow")
    import mlflow
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri("sqlite:///mlflow/m.db")
    client = MlflowClient()
    exp = mlflow.create_experiment("e", artifact_location="mlflow/artifacts")
    run = client.create_run(exp).info.run_id
    client.log_metric(run, "loss", 0.5, step=0)
    n = 300
    took = timed(lambda: [client.log_metric(run, "loss", 0.5, step=i) for i in range(1, n + 1)])
    row("mlflow", f"log_metric, {n} calls", n / took, "points/s")
    before = size("mlflow")
    took = timed(lambda: [client.log_batch(run, [Metric("batch", 0.5, 0, b * 1000 + i) for i in range(1000)]) for b in range(10)])
    row("mlflow", "log_batch of 1,000", 10_000 / took, "points/s")
    row("mlflow", "bytes", (size("mlflow") - before) / 10_000, "B/point")
    for i in range(runs - 1):
        r = client.create_run(exp).info.run_id
        client.log_param(r, "lr", i)
        client.log_batch(r, [Metric("loss", 1 / (i + x + 1), 0, x) for x in range(POINTS)])
    row("mlflow", f"list {runs} runs", 1e3 * timed(lambda: client.search_runs([exp], max_results=runs)), "ms")
    ids = [r.info.run_id for r in client.search_runs([exp], max_results=runs)]
    row("mlflow", f"compare {runs} runs (one curve each)", 1e3 * timed(lambda: [client.get_metric_history(r, "loss") for r in ids]), "ms")


def trackio_():
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    n = 10_000
    trackio.init(project="p", name="one", embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def log():
        for i in range(n):
            trackio.log({"loss": 0.5}, step=i)
        trackio.finish()

    row("trackio", f"log, {n} calls and finish", n / timed(log), "points/s")
    row("trackio", "bytes", size("trackio") / n, "B/point")
    for i in range(runs):
        SQLiteStorage.bulk_log(project="q", run=f"r{i}", metrics_list=[{"loss": 1 / (i + x + 1)} for x in range(POINTS)], steps=list(range(POINTS)), config={"lr": i})
    row("trackio", f"list {runs} runs", 1e3 * timed(lambda: SQLiteStorage.get_runs("q")), "ms")
    names = [f"r{i}" for i in range(runs)]
    row("trackio", f"compare {runs} runs (one curve each)", 1e3 * timed(lambda: [SQLiteStorage.get_logs("q", r) for r in names]), "ms")


def aim_():
    os.makedirs("aim")
    from aim import Repo, Run

    repo = Repo("aim", init=True)
    n = 10_000
    r = Run(repo=repo, system_tracking_interval=None, log_system_params=False, capture_terminal_logs=False)

    def log():
        for i in range(n):
            r.track(0.5, name="loss", step=i)
        r.close()

    row("aim", f"track, {n} calls and close", n / timed(log), "points/s")
    row("aim", "bytes", size("aim") / n, "B/point")
    for i in range(runs):
        r = Run(repo=repo, system_tracking_interval=None, log_system_params=False, capture_terminal_logs=False)
        r["lr"] = i
        for x in range(POINTS):
            r.track(1 / (i + x + 1), name="loss", step=x)
        r.close()
    repo = Repo("aim")
    row("aim", f"list {runs} runs", 1e3 * timed(lambda: [(r.hash, r.get("lr")) for r in repo.iter_runs()]), "ms")

    def compare():
        for metrics in repo.query_metrics('metric.name == "loss"', report_mode=0).iter_runs():
            for m in metrics:
                m.values.sparse_numpy()

    row("aim", f"compare {runs} runs (one curve each)", 1e3 * timed(compare), "ms")


for who, f in [("mlflow", mlflow_), ("trackio", trackio_), ("aim", aim_)]:
    try:
        f()
    except Exception as e:  # one that is not installed, or has changed, does not end the others
        print(f"{who:8} failed: {type(e).__name__}: {e}", flush=True)
