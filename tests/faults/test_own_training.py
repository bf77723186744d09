"""A script with one added line, whose sweep is killed, on Ray; a function on two workers."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import raybayes as rb
from raybayes.cli.main import main

SCRIPT = """
import json, sys, time
import torch
import raybayes as rb
model = torch.nn.Linear(1, 1)
for epoch in rb.epochs(12, model=model):
    with open("seen.txt", "a") as seen:
        print(sys.argv[1], epoch, file=seen)
    time.sleep(0.5)
    print(json.dumps({"epoch": epoch, "loss": float(sys.argv[1]) / epoch}), flush=True)
"""


def epochs_seen(folder):
    """The epochs that each trial has trained, in order, by its value."""
    found = {}
    for line in (folder / "seen.txt").read_text().splitlines() if (folder / "seen.txt").exists() else []:
        value, epoch = line.split()
        found.setdefault(value, []).append(int(epoch))
    return found


def of_folder(folder):
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_sweep_of_a_script_resumes_above_its_first_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "fit_slowly.py"
    script.write_text(SCRIPT)
    words = ["sweep", "--param", "x=0.0..1.0", "--objective", "loss:minimize", "--trials", "2", "--name", "s",
             "--checkpoint-every", "0.1", "--", sys.executable, str(script), "{x}"]  # fmt: skip
    driver = subprocess.Popen([sys.executable, "-m", "raybayes", *words], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not any(max(epochs) >= 4 for epochs in epochs_seen(tmp_path).values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    deadline = time.monotonic() + 30
    while of_folder(script) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert of_folder(script) == []  # no process of a script outlives its sweep
    before = epochs_seen(tmp_path)
    assert main(["resume", "runs/s"]) == 0
    after = epochs_seen(tmp_path)
    resumed = [after[value][len(epochs)] for value, epochs in before.items() if len(after[value]) > len(epochs)]
    assert resumed
    assert max(resumed) > 1
    steps = rb.open_sweep("runs/s").reports.to_pylist()
    for trial in (0, 1):  # what was reported within the last seconds before the kill may be missing, nothing is twice
        epochs = [row["epoch"] for row in steps if row["trial"] == trial]
        assert epochs == sorted(set(epochs))
        assert epochs[-1] == 12
    assert of_folder(script) == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_function_on_two_workers_reports_once(tmp_path, ray_cluster):
    import torch

    def train(config, ctx):
        total = ctx.all_reduce(torch.tensor([float(ctx.rank + 1)]))
        for epoch in range(2):
            ctx.report({"loss": config["x"] + epoch, "size": ctx.world_size, "mean": total.item()})

    sweep = rb.sweep(
        train, space={"x": rb.Float(0, 1)}, objective="loss:minimize", trials=2, workers=2, storage=tmp_path
    )
    assert sweep.trials["state"].to_pylist() == ["COMPLETE"] * 2
    assert sweep.reports["size"].to_pylist() == [2.0] * 4
    assert sweep.reports["mean"].to_pylist() == [1.5] * 4
