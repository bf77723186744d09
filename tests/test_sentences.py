"""The commonest sentences that a user reads, word for word: each is produced by the code, and compared as a whole.

A row is what is done wrong (or seen) and the sentence. A sentence that ends with "…" goes on with a list that other
tests cover.
"""

import contextlib
import io
import re
from pathlib import Path

import pyarrow as pa
import pytest

import raybayes as rb
from raybayes import catalog, data
from raybayes.cli.main import main
from raybayes.clock import VirtualClock
from raybayes.contract import Metric
from raybayes.data.files.tables import conform
from raybayes.errors import RaybayesError
from raybayes.reporting.tables.trials_table import describe_counts
from raybayes.reporting.terminal.log_lines import new_lines
from raybayes.reporting.terminal.view import ActiveBurst, View, describe_status
from raybayes.search.objective import Objective
from raybayes.search.outcomes.best_summary import best_summary
from raybayes.search.outcomes.confirm import Confirmation
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.plan import make_plan
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.checkpointing import checkpoints
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.store.logs.report_log import ReportLog
from raybayes.store.tables import read_table

LOSS = Objective("loss", "minimize")
METRICS = (Metric("loss", "minimize"), Metric("score", "maximize"), Metric("final", "minimize", every_report=False))
SPACE = rb.Space({"lr": rb.Float(1e-3, 1.0, log=True), "n": rb.Int(1, 4), "m": rb.Choice("a", "b")})
ROW = {"trial": 0, "repeat": 0, "attempt": 0, "step": 1, "seconds": 1.0, "time": 1.0, "node": "n"}


def refusal(call, *arguments, **named):
    """The sentence with which a call refuses what it was given."""
    with pytest.raises(RaybayesError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def config(**values):
    return refusal(catalog.configure, catalog.load_project("parabola"), values)


def plan(space=SPACE, **options):
    spec = SweepSpec.model_validate({"project": "parabola", "name": "s", **options})
    return refusal(make_plan, spec, space, METRICS, {})


def space(**parameters):
    return refusal(rb.Space, parameters)


def sweep(**options):
    return refusal(rb.sweep, "parabola", **{"trials": 2, "executor": "local", "storage": "runs", **options})


def terminal(*words):
    """The last line of a command on the terminal: of its errors if it fails, else of its output."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    return (err if code else out).getvalue().splitlines()[-1]


def made(name="a", **options):
    """A finished sweep of two trials."""
    return rb.sweep(
        "parabola", **{"trials": 2, "executor": "local", "storage": "runs", "name": name, "seed": 0, **options}
    )


def layout(name="a"):
    return Layout(open_storage("runs").child(name))


def put(file, text):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text)


def lock():
    BurstLock(layout(), VirtualClock(100.0)).acquire()
    text = refusal(BurstLock(layout(), VirtualClock(130.0)).acquire)
    host = BurstLock(layout()).read_holder()
    return text.replace(host.host, "HOST").replace(str(host.pid), "PID").replace(f"of {host.user}", "of USER")


def lost_lock():
    clock = VirtualClock(100.0)
    mine = BurstLock(layout(), clock)
    mine.acquire()
    Path("runs/a/burst.lock").unlink()
    clock.advance(300.0)
    return refusal(mine.refresh)


def broken(file, text, name="a"):
    made(name)
    put(f"runs/{name}/{file}", text)
    return refusal(rb.open_sweep, f"runs/{name}")


def failed():
    """A sweep in which every trial fails."""
    with contextlib.suppress(RaybayesError):
        made("a", config={"fail_at": 1})
    return "runs/a"


def trial(number, value=None, missed=None, state=State.COMPLETE):
    missed = missed or {}
    values = None if value is None else (value,)
    feasible = all(by <= 0 for by in missed.values())
    return TrialRecord(number, state, {"lr": 0.1 * number}, values, {}, feasible=feasible, missed=missed)


def view(*states, burst=True, wanted=3):
    n = len(states)
    trials = pa.table({
        "trial": list(range(n)), "state": list(states), "steps": [4] * n, "loss": [0.5 + i for i in range(n)],
        "n": [1] * n, "seconds": [2.0] * n, "started": [0.0] * n,
        "ended": pa.array([None if s == "RUNNING" else 2.0 for s in states], pa.float64()), "node": ["n"] * n,
        "failure": ["ValueError: no" if s == "FAIL" else None for s in states],
    })  # fmt: skip
    return View("s", "runs/s", "parabola", "step", [LOSS], wanted, trials, {}, {}, 10.0,
                ActiveBurst("node1", 7, 3.0) if burst else None)  # fmt: skip


# what is done or seen: (the code that says it, the sentence)
SENTENCES = {
    "a key that the configuration does not have": (
        lambda: config(stpes=3),
        "parabola config: unknown key 'stpes'; did you mean 'steps'? Valid keys: …",
    ),
    "a key of a group that does not exist": (
        lambda: config(**{"momentum.bta": 0.9}),
        "parabola config: unknown key 'momentum.bta'; did you mean 'momentum.beta'? Valid keys: momentum.beta "
        "(default 0.9).",
    ),
    "a group instead of a key": (
        lambda: config(**{"momentum": 1}),
        "parabola config: momentum: found 1; input should be a valid dictionary or instance of Momentum.",
    ),
    "a value out of range": (
        lambda: config(steps=0),
        "parabola config: steps: found 0; input should be greater than or equal to 1.",
    ),
    "a value of another type": (
        lambda: config(lr="fast"),
        "parabola config: lr: found 'fast'; input should be a valid number, unable to parse string as a number.",
    ),
    "a value that is not a choice": (
        lambda: config(method="adam"),
        "parabola config: method: found 'adam'; input should be 'plain' or 'momentum'.",
    ),
    "a project that does not exist": (
        lambda: refusal(catalog.load_project, "parabolo"),
        "unknown project 'parabolo'; did you mean 'parabola'? Valid projects: autoregressive, ensembles, flows, "
        "oneshot, parabola, permutations.",
    ),
    "a space that does not exist": (
        lambda: refusal(catalog.load_space, catalog.load_project("parabola"), "SPAC"),
        "search_spaces/parabola.py has no space 'SPAC'; did you mean 'SPACE'? Valid spaces: SPACE, GRID, WRONG.",
    ),
    "an option that does not exist": (
        lambda: sweep(trails=3),
        "unknown option 'trails'; did you mean 'trials'? sweep takes: …",
    ),
    "a number of trials below one": (
        lambda: sweep(trials=0),
        "sweep: trials: found 0; input should be greater than or equal to 1.",
    ),
    "a duration that cannot be read": (
        lambda: sweep(time_budget="10 minuts"),
        "sweep: time_budget: found '10 minuts'; write seconds, or a duration such as 90s, 30m, 2h or 1h30m.",
    ),
    "a confirmation of one seed": (
        lambda: sweep(confirm="5x1"),
        "confirm: found '5x1'; write TOPxSEEDS with at least 2 seeds, for example 5x3.",
    ),
    "a bound that cannot be read": (
        lambda: sweep(constraints={"size": "< 3"}),
        "constraint on size: found '< 3'; write '<= number' or '>= number'.",
    ),
    "an executor that does not exist": (
        lambda: sweep(executor="banana"),
        "executor: found 'banana'; give ray or local.",
    ),
    "a sampler that does not exist": (
        lambda: plan(sampler="tpee"),
        "unknown sampler 'tpee'; did you mean 'tpe'? Valid samplers: auto, tpe, gp, cmaes, nsga2, random, grid, "
        "or the import path of an Optuna sampler.",
    ),
    "a sampler that cannot be imported": (
        lambda: plan(sampler="no.such.Sampler"),
        "sampler no.such.Sampler: it cannot be imported (No module named 'no'); check the path.",
    ),
    "an option that the sampler does not have": (
        lambda: plan(sampler="random:n=3"),
        "sampler random (RandomSampler) has no option 'n'; valid options: none.",
    ),
    "a seed as an option of the sampler": (
        lambda: plan(sampler="random:seed=3"),
        "sampler random: its seed is derived from the sweep's; drop the option and use --seed.",
    ),
    "a scheduler that does not exist": (
        lambda: plan(scheduler="asah"),
        "unknown scheduler 'asah'; did you mean 'asha'? Valid schedulers: none, asha, median, hyperband, pbt.",
    ),
    "an option that the scheduler does not have": (
        lambda: plan(scheduler="asha:grace=3"),
        "scheduler asha has no option 'grace'; valid options: grace_period (default 1), eta (default 3).",
    ),
    "an option of the scheduler out of range": (
        lambda: plan(scheduler="asha:eta=1"),
        "scheduler asha: eta = 1; it must be a finite number above 1.",
    ),
    "an option of the scheduler that is not whole": (
        lambda: plan(scheduler="asha:grace_period=1.5"),
        "scheduler asha: grace_period = 1.5; it must be a whole number.",
    ),
    "a metric that does not exist": (
        lambda: plan(objective="los"),
        "objective: parabola has no metric 'los'; did you mean 'loss'? Valid metrics: loss, score, final.",
    ),
    "a metric twice": (
        lambda: plan(objective="loss,loss"),
        "objective names a metric twice: loss, loss; keep one of them.",
    ),
    "a constraint on a metric that does not exist": (
        lambda: plan(constraints={"speed": "<= 3"}),
        "constraints: parabola has no metric 'speed'; valid metrics: loss, score, final.",
    ),
    "a scheduler for one objective": (
        lambda: plan(scheduler="median", objective="loss,score"),
        "scheduler median needs one objective, found loss, score; use --scheduler asha or hyperband or none, or "
        "--objective loss.",
    ),
    "a scheduler on a metric of the last report": (
        lambda: plan(scheduler="asha", objective="final"),
        "scheduler asha needs its objectives in every report, but final is in the last report only; use "
        "--objective loss or --scheduler none.",
    ),
    "a population with a sampler": (
        lambda: plan(scheduler="pbt", sampler="gp"),
        "scheduler pbt is also the sampler, so --sampler gp has no effect; drop --sampler.",
    ),
    "a population with nothing to perturb": (
        lambda: plan(scheduler="pbt", config={"lr": 0.1, "n": 1, "m": "a"}),
        "scheduler pbt has no parameter to perturb: all are fixed; leave at least one free.",
    ),
    "a grid over a continuous range": (
        lambda: plan(sampler="grid"),
        "lr: Float(low=0.001, high=1.0, log=True, step=None, when=None) has infinitely many values; a grid needs "
        "step=.",
    ),
    "a sampler for one objective": (
        lambda: plan(sampler="cmaes", objective="loss,score"),
        "sampler cmaes supports one objective, found 2; use nsga2, tpe or gp.",
    ),
    "a parameter to fix that is not searched": (
        lambda: plan(fixed_params={"depth": 3}),
        "fixed_params: the space has no parameter 'depth'; valid parameters: lr, n, m.",
    ),
    "a parameter to fix out of its range": (
        lambda: plan(fixed_params={"n": 9}),
        "n: found 9; its range is the integers 1 to 4. A value can be fixed within the range only.",
    ),
    "a condition on a parameter that does not exist": (
        lambda: space(lr=rb.Float(0, 1), a=rb.Int(1, 2, when={"l": 1})),
        "a: when= names an unknown parameter 'l'; did you mean 'lr'? Valid parameters: lr, a.",
    ),
    "a condition on a value that does not exist": (
        lambda: space(m=rb.Choice("x", "y"), a=rb.Int(1, 2, when={"m": "z"})),
        "a: when= needs m = 'z', which Choice('x', 'y') cannot have.",
    ),
    "conditions in a cycle": (
        lambda: space(a=rb.Int(1, 2, when={"b": 1}), b=rb.Int(1, 2, when={"a": 1})),
        "the conditions of a, b form a cycle; remove one of them.",
    ),
    "a range upside down": (
        lambda: space(lr=rb.Float(0.1, 0.01)),
        "lr: low 0.1 is above high 0.01; swap them.",
    ),
    "a log range from zero": (
        lambda: space(lr=rb.Float(0, 1, log=True)),
        "lr: a log range needs low > 0, found 0; raise low or drop log.",
    ),
    "a choice of NaN": (
        lambda: space(m=rb.Choice(1.0, float("nan"))),
        "m: Choice cannot contain NaN, which never compares equal; use another value.",
    ),
    "a value twice in a choice": (
        lambda: space(m=rb.Choice(1, True)),
        "m: Choice(1, True) has a value twice (1, 1.0 and True are equal); keep one of them.",
    ),
    "something that is not a range": (
        lambda: space(lr=(0, 1)),
        "lr: (0, 1) is not a range; use Float, Int or Choice.",
    ),
    "a data set that is not there": (
        lambda: refusal(data.load, "mnist"),
        "data set 'mnist' was not found in /cache/raybayes/data (cache, no such folder); RAYBAYES_DATA is not set; "
        "fetch it with `raybayes data fetch mnist`, or use the embedded sample 'mnist-sample'.",
    ),
    "a data set that does not exist": (
        lambda: refusal(data.load, "minst"),
        "unknown data set 'minst'; did you mean 'mnist'? Valid data sets: …",
    ),
    "a data folder that is not one": (
        lambda: refusal(data.load, "mnist", "nowhere"),
        "--data: TMP/nowhere is not a folder; give an existing one, or drop --data.",
    ),
    "a Parquet file that is not there": (
        lambda: refusal(data.load, "own.parquet"),
        "TMP/own.parquet does not exist; give the path of an existing file.",
    ),
    "a column of another type": (
        lambda: refusal(conform, pa.table({"x": ["a"]}), [data.Column("x", pa.int8(), "a digit")], "f.parquet"),
        "f.parquet: column 'x' has type string, wanted int8; write it as int8 (a digit).",
    ),
    "no storage": (
        lambda: refusal(open_storage, ""),
        "the storage is empty; give a folder such as 'runs', or a URI such as s3://bucket/runs.",
    ),
    "a folder that is not a sweep": (
        lambda: refusal(rb.open_sweep, "."),
        ".: not a sweep: the folder has no sweep.yaml; give the folder of a sweep.",
    ),
    "a folder that does not exist": (
        lambda: refusal(rb.open_sweep, "runs/nothing"),
        "runs/nothing: not a sweep: the folder does not exist; give the folder of a sweep.",
    ),
    "a sweep of a newer raybayes": (
        lambda: broken("sweep.yaml", "schema: 99\nproject: x\n").replace(rb.__version__, "VERSION"),
        "runs/a/sweep.yaml: found schema 99, written by a newer raybayes; this is raybayes VERSION, which reads "
        "schema 2: install a newer raybayes to open it.",
    ),
    "a sweep.yaml that is not YAML": (
        lambda: broken("sweep.yaml", "a: [1\n"),
        "runs/a/sweep.yaml:2:1: not valid YAML: expected ',' or ']', but got '<stream end>'; restore it: raybayes "
        "check runs/a --repair.",
    ),
    "another sweep of the same name": (
        lambda: (made(), sweep(name="a", seed=1))[1],
        "runs/a already exists and is another sweep:\n  seed: 0 -> 1\nChoose another --name, or resume the old "
        "one: raybayes resume runs/a.",
    ),
    "a sweep that another burst works on": (
        lambda: lock(),
        "runs/a: another burst works on this sweep: HOST, process PID of USER, since 1970-01-01 00:01:40 by the clock "
        "there; wait for it, or stop it: kill PID (it stores everything first).",
    ),
    "a burst that lost its lock": (
        lambda: lost_lock(),
        "runs/a/burst.lock: the lock of this burst was deleted, so it stops; resume the sweep.",
    ),
    "a table that no trial saved": (
        lambda: (made(), refusal(read_table, layout(), "curves"))[1],
        "runs/a has no table 'curves'; valid tables: path.",
    ),
    "a trial that does not exist": (
        lambda: refusal(made().config, 9),
        "runs/a: unknown trial 9; valid trials: 0 to 1.",
    ),
    "a state that no trial kept": (
        lambda: refusal(made(keep_checkpoints=0).state),
        "runs/a: trial 1 has no stored state; let it make its first checkpoint.",
    ),
    "a change that makes another sweep": (
        lambda: (made(), refusal(rb.resume, "runs/a", seed=3))[1],
        "seed: 0 -> 3 is part of what the sweep runs/a is; start a new sweep for it. resume can change: …",
    ),
    "a state that a checkpoint cannot hold": (
        lambda: refusal(checkpoints.save_rank, layout(), 3, 0, 4, 0, {"w": {1, frozenset()}}),
        "trial 3, step 4: state['w'][0] is a builtins.frozenset, which a checkpoint cannot hold; use tensors, "
        "numbers, strings, and mappings, lists or tuples of them.",
    ),
    "a metric that is not a number": (
        lambda: refusal(ReportLog(layout(), 0).append, {**ROW, "loss": "high"}),
        "trial 0, step 1: loss is 'high', which is not a number; report a float.",
    ),
    "no trial is complete": (
        lambda: best_summary([trial(0)], {}, [LOSS], {}),
        "No trial is complete yet; resume the sweep, or extend it.",
    ),
    "the best of one run each": (
        lambda: best_summary([trial(0, 0.5), trial(1, 0.25)], {}, [LOSS], {}),
        "Best: trial 1: loss 0.25 (n = 1; optimistic, because it was selected on this value; `raybayes confirm` "
        "re-evaluates it on fresh seeds).",
    ),
    "no trial is feasible": (
        lambda: best_summary([trial(1, 0.5, {"size <= 1": 0.5})], {}, [LOSS], {"size": "<= 1"}),
        "None of the 1 complete trials satisfies size <= 1; trial 1 is closest and misses size <= 1 by 0.5. Extend "
        "the sweep, or start a new one with a looser bound.",
    ),
    "the best of those confirmed": (
        lambda: best_summary(
            [trial(0, 0.5), trial(1, 0.25)], {1: Confirmation(1, 5, (0.3,), (0.012,), True, True, (0.25,))}, [LOSS], {}
        ),
        "Best of 1 confirmed: trial 1: loss 0.300 ± 0.012 (n = 5 fresh seeds; the search reported 0.25).",
    ),
    "a running sweep": (
        lambda: describe_status(view("COMPLETE", "RUNNING")),
        "running on node1, process 7, last heartbeat 3.0 s ago",
    ),
    "a paused sweep": (
        lambda: describe_status(view("COMPLETE", burst=False)),
        "paused, no burst is running; resume with: raybayes resume runs/s",
    ),
    "a finished sweep": (
        lambda: describe_status(view("COMPLETE", burst=False, wanted=1)),
        "finished",
    ),
    "how many trials are in which state": (
        lambda: describe_counts(view("COMPLETE", "FAIL", "PRUNED").trials),
        "3 trials: 1 complete, 1 pruned, 1 failed",
    ),
    "a trial that completes, in a log": (
        lambda: new_lines(view("RUNNING"), view("COMPLETE"))[0],
        "trial 0 complete 0.5  (1 of 3, best loss 0.5000 (n = 1) in trial 0)",
    ),
    "a trial that fails, in a log": (
        lambda: new_lines(view("RUNNING"), view("FAIL"))[0],
        "trial 0 failed: ValueError: no  (1 of 3)",
    ),
    "a sweep that ends, in a log": (
        lambda: new_lines(view("COMPLETE", wanted=1), view("COMPLETE", burst=False, wanted=1))[0],
        "s: finished; 1 of 1 trials finished",
    ),
    "a sweep whose trials fail": (
        lambda: sweep(name="a", config={"fail_at": 1}),
        "runs/a: 2 of 2 trials failed, more than the limit of 50%; the first failure: ValueError: asked to fail at "
        "step 1",
    ),
    "a result that no trial has": (
        lambda: refusal(lambda: rb.open_sweep(str(failed())).best),
        "runs/a: no best trial. No trial is complete yet; resume the sweep, or extend it.",
    ),
    "a command on a run that offers none of that name": (
        lambda: (made(), terminal("distnace", "1", "--run", "runs/a"))[1],
        "raybayes: runs/a is a run of parabola, which has no command 'distnace'; it has distance.",
    ),
    "a wrong option of a command": (
        lambda: (made(), terminal("distance", "1", "--run", "runs/a", "--powr", "2"))[1],
        "raybayes: distance has no option '--powr'; did you mean '--power'? Valid options: --power, --label, --run "
        "PATH, --out DIR, --json.",
    ),
    "a dry run": (
        lambda: terminal("sweep", "parabola", "--trials", "2", "--dry-run", "--storage", "runs"),
        "dry run: nothing was started or written",
    ),
    "a command that does not exist": (
        lambda: terminal("swep"),
        "raybayes: unknown command 'swep'; did you mean 'sweep'? Valid commands: …",
    ),
    "resuming a finished sweep": (
        lambda: (made(), terminal("resume", "runs/a", "--local"))[1],
        "runs/a",
    ),
    "workers without Ray": (
        lambda: terminal("sweep", "parabola", "--workers", "2", "--local"),
        "raybayes: 2 workers cannot train in one process; drop --local, or use --workers 1.",
    ),
}


@pytest.mark.parametrize("seen", SENTENCES)
def test_a_user_reads(seen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.delenv("RAYBAYES_DATA", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    produce, sentence = SENTENCES[seen]
    found = produce().replace(str(tmp_path), "TMP")
    if sentence.endswith("…"):
        assert found.startswith(sentence.removesuffix("…"))
    else:
        assert found == sentence


def test_no_sentence_speaks_the_old_private_language():
    old = r"anew|told|go on with|put aside|is no |are no |has no use|desk|seat|books|roster|patience"
    assert [seen for seen, (_, sentence) in SENTENCES.items() if re.search(rf"\b({old})\b", sentence)] == []
