"""The first sweep of somebody's own script: what has to be written, and whether it runs at the first try.

The same search of the same script (20 trials of up to 20 epochs, log-uniform lr, width, optimizer; successive halving)
with Optuna, with Ray Tune and OptunaSearch, and with raybayes: as a script without an edit, as a function, and of a
Lightning module (20 trials of 3 epochs). Counted are the lines that differ from the plain file, without its docstring.

Beside that: what a trial costs that does nothing, and the seconds until the first line and the first report.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import measurement
from benchmarks.measurement import Sample

HERE = Path(__file__).parent
NAME = "first_sweep"
_RANGES = ("--param", "lr=log:1e-4..1", "--param", "width=int:16..256")
_RAYBAYES = (sys.executable, "-m", "raybayes", "sweep")
_FLAGS = ("--objective", "val_loss:minimize", "--scheduler", "asha", "--name", "digits")
_WRITTEN = "lines to write: added and changed, then removed, from the plain file"
_RUN = "from the call to the last of the trials"
_TRIAL = "a trial that does nothing"
_START = "from the call of rb.sweep, on a private Ray"


@dataclass(frozen=True)
class Way:
    """A way to search the script.

    Args:
        side: its name in the tables.
        plain, searched: the file before and after; the same one where nothing is edited.
        command: runs it, with TRIALS in place of their number; None: the searched file itself, as a script.
    """

    side: str
    plain: str
    searched: str
    command: tuple[str, ...] | None = None


WAYS = (
    Way("Optuna", "digits.py", "digits_optuna.py"),
    Way("Ray Tune + OptunaSearch", "digits.py", "digits_ray.py"),
    Way(
        "raybayes, the script as it is", "digits.py", "digits.py",
        (*_RAYBAYES, *_RANGES, "--param", "optimizer=sgd|adam", *_FLAGS, "--trials", "TRIALS", "--", sys.executable,
         "digits.py", "--lr", "{lr}", "--width", "{width}", "--optimizer", "{optimizer}", "--epochs", "20"),
    ),
    Way("raybayes, a function", "digits.py", "digits_raybayes.py"),
    Way(
        "raybayes, Lightning", "digits_lightning.py", "digits_lightning_raybayes.py",
        (*_RAYBAYES, "digits_lightning_raybayes.py:fit", *_RANGES, *_FLAGS, "--trials", "TRIALS"),
    ),
)  # fmt: skip


def code_lines(file: Path) -> list[str]:
    """The lines of a script, without its docstring and without empty ones."""
    text = file.read_text(encoding="utf-8")
    first = ast.parse(text).body[0]
    lines = text.splitlines()[first.end_lineno or 0 :]
    return [line for line in lines if line.strip()]


def edits(plain: Path, searched: Path) -> tuple[int, int]:
    """Lines that were added and removed; a changed line is both."""
    found = list(difflib.ndiff(code_lines(plain), code_lines(searched)))
    return sum(line.startswith("+ ") for line in found), sum(line.startswith("- ") for line in found)


def run_way(way: Way, trials: int) -> tuple[float, str]:
    """Seconds that a way takes in an empty folder, and what went wrong, if anything did."""
    with tempfile.TemporaryDirectory(prefix="first-sweep-") as folder:
        for name in {way.plain, way.searched}:
            text = (HERE / name).read_text(encoding="utf-8")
            short = text.replace("n_trials=20", f"n_trials={trials}").replace("num_samples=20", f"num_samples={trials}")
            Path(folder, name).write_text(short.replace("trials=20", f"trials={trials}"), encoding="utf-8")
        words = [str(trials) if word == "TRIALS" else word for word in way.command or (sys.executable, way.searched)]
        began = time.monotonic()
        ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=_environment())
        seconds = time.monotonic() - began
        left = [str(p.pid) for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])]
    problem = (ran.stderr or ran.stdout).strip().splitlines()[-1:] if ran.returncode else []
    return seconds, "; ".join([*problem, *([f"left processes {', '.join(left)}"] if left else [])])


def _environment() -> dict[str, str]:
    root = str(HERE.parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


_NOTHING = "import json; print(json.dumps({'loss': 1.0}))"
_OVERHEAD = """
import json, sys, raybayes as rb
space, objective = {"x": rb.Float(0, 1)}, {"loss": "minimize"}
more = {"objective": objective, "trials": int(sys.argv[1]), "executor": "local", "watch": False}
script = rb.sweep([sys.executable, "-c", NOTHING + "#{x}"], space=space, name="script", **more)
function = rb.sweep(lambda config: 1.0, space=space, name="function", **more)
project = rb.sweep("nothing", name="project", **{**more, "objective": "loss"})
def seconds(sweep):  # from one trial's start to the next one's: everything that a trial costs
    starts = sorted(sweep.trials["started"].to_pylist())
    return [later - earlier for earlier, later in zip(starts, starts[1:])]
print(json.dumps({"script": seconds(script), "function": seconds(function), "project": seconds(project)}))
"""
_PROJECT = """
from pydantic import BaseModel, ConfigDict
from raybayes.contract import Metric, Project
class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    x: float = 0.5
def train(config, ctx):
    ctx.report({"loss": 1.0})
PROJECT = Project(name="nothing", summary="", paper="", Config=Config, train=train, parallel="data",
                  metrics=(Metric("loss", "minimize"),), fidelity="report", smoke={})
"""
_SPACE = "from raybayes.space import Float, Space\nSPACE = Space({'x': Float(0, 1)})\n"


def trial_costs(trials: int) -> Iterator[Sample]:
    """What trials cost that do nothing: of a script beside its bare process, of a function beside a project."""
    with tempfile.TemporaryDirectory(prefix="first-sweep-") as folder:
        for place, text in (("trainables/nothing.py", _PROJECT), ("search_spaces/nothing.py", _SPACE)):
            Path(folder, place).parent.mkdir()
            Path(folder, place).write_text(text)
        program = _OVERHEAD.replace("NOTHING", repr(_NOTHING))
        words = [sys.executable, "-c", program, str(trials)]
        ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=_environment(), check=True)
    for side, seconds in json.loads(ran.stdout.splitlines()[-1]).items():
        yield Sample(_TRIAL, f"raybayes, {side}", statistics.median(seconds))
    bare = []
    for _ in range(trials):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", _NOTHING], capture_output=True, check=True)
        bare.append(time.monotonic() - began)
    yield Sample(_TRIAL, "subprocess.run of the script", statistics.median(bare))


_FIRST = """
import json, sys, time, raybayes as rb
def train(config):
    return {"loss": config["x"], "at": time.time()}
began = time.time()
sweep = rb.sweep(train, space={"x": rb.Float(0, 1)}, objective={"loss": "minimize"}, trials=2, name="s")
print(json.dumps(min(sweep.reports["at"].to_pylist()) - began))
"""


def first_times() -> Iterator[Sample]:
    """Seconds from the call to the first line on the terminal, and to the first report."""
    with tempfile.TemporaryDirectory(prefix="first-sweep-") as folder:
        file = Path(folder, "first.py")
        file.write_text(_FIRST.replace("began = time.time()", "began = time.time(); print(began, flush=True)"))
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, str(file)], cwd=folder, stdout=pipe, stderr=pipe, text=True, env=_environment()
        ) as ran:
            assert ran.stdout is not None
            assert ran.stderr is not None
            began = float(ran.stdout.readline())
            ran.stderr.readline()
            yield Sample(_START, "first line", time.time() - began)
            ran.stderr.read()
            yield Sample(_START, "first report", float(ran.stdout.read().splitlines()[-1]))


def written_table() -> str:
    """Lines that each way adds and removes, as Markdown."""
    lines = [f"## {_WRITTEN}", "", "| way | added | removed |", "| --- | ---: | ---: |"]
    for way in WAYS:
        added, removed = edits(HERE / way.plain, HERE / way.searched)
        lines.append(f"| {way.side} | {added} | {removed} |")
    return "\n".join(lines)


def measure(ways: Sequence[Way], trials: int, nothing: int, starts: int) -> Iterator[Sample | str]:
    """All measurements, and a sentence for each way that failed."""
    for way in ways:
        seconds, problem = run_way(way, trials)
        yield f"{way.side} failed: {problem}" if problem else Sample(_RUN, way.side, seconds)
        print(way.side, f"{seconds:.1f} s", problem, file=sys.stderr, flush=True)
    yield from trial_costs(nothing)
    for _ in range(starts):
        yield from first_times()


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = measurement.parser(NAME, __doc__, "two trials, one start")
    parser.add_argument("--starts", type=int, default=5, help="first lines and first reports (%(default)s)")
    options = parser.parse_args(argv)
    load_before, quick = measurement.load(), options.quick
    found = list(measure(WAYS, 2 if quick else 20, 5 if quick else 50, 1 if quick else options.starts))
    samples = [one for one in found if isinstance(one, Sample)]
    problems = [one for one in found if isinstance(one, str)]
    notes = "\n\n".join([(__doc__ or "").strip(), "    python -m benchmarks.first_sweep", written_table(), *problems])
    measurement.publish(options, NAME, "The first sweep of a script", notes, samples, load_before)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
