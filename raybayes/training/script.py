"""A command as a project: a script is trained as it is, its metrics are read from what it prints or reports.

A trial of a script is a process group of its own. What the sweep decides on a report reaches the script as SIGTERM, or
through `rb.should_stop()` in a script that asks; after a grace the whole group is killed.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raybayes.contract import Action, Context, Direction, Metric, Project, Stop
from raybayes.errors import TrialError
from raybayes.space import Space
from raybayes.training.channel import CHECKPOINT_EVERY, SOCKET, TRIAL_DIR, Listener
from raybayes.training.command_words import Template, require_names, require_program
from raybayes.training.function import config_model, require_directions, values_of

GRACE_S = 10.0  # from SIGTERM to SIGKILL
_LEAVES_S = 2.0  # a script that reports by a call may leave by itself within this time
_ASKS_S = 60.0  # a script that has asked `should_stop` may take this long
_STEP_NAMES = ("step", "epoch", "iteration", "global_step")  # metrics that say how far a script is
_LAST_LINES = 20  # of a script's output, in the error of its trial


def project_of(
    words: Sequence[str],
    space: Space,
    objective: Mapping[str, Direction],
    constants: Mapping[str, Any],
    patterns: Mapping[str, re.Pattern[str]],
    checkpoint_every: float = 10.0,
) -> Project:
    """The project that trains by running a command.

    Args:
        words: the command, word by word, with `{name}` for parameters.
        objective: metrics to improve, with their directions.
        constants: values by name that all trials share.
        patterns: where a metric stands in the output, if not in JSON lines.
        checkpoint_every: seconds, handed to the script.

    Raises:
        SpecError: a name without a parameter, a parameter without a name, no such program.
    """
    require_directions(objective)
    require_program(words)
    template = Template(tuple(words))
    require_names(template, space, constants)
    return Project(
        name=title_of(words),
        summary=f"the command {' '.join(words)}",
        paper="",
        Config=config_model(space, constants),
        train=ScriptTraining(template, tuple(objective), dict(patterns), checkpoint_every),
        metrics=tuple(Metric(name, direction) for name, direction in objective.items()),
        fidelity="report",
        parallel="data",
        open_metrics=True,
    )


def title_of(words: Sequence[str]) -> str:
    """What a sweep of this command is called by default: its script, else its program."""
    script = next((word for word in words if word.endswith(".py")), words[0] if words else "command")
    return re.sub(r"[^A-Za-z0-9._-]+", "", Path(script).stem).strip("._-") or "command"


@dataclass(frozen=True)
class ScriptTraining:
    """Runs a command for a configuration, and reports its metrics.

    Args:
        template: the command.
        objective: names that a line of metrics must hold.
        patterns: a pattern by metric; without any, metrics are lines of JSON that hold the objective.
        checkpoint_every: seconds between two checkpoints, as the script may read it.
    """

    template: Template
    objective: tuple[str, ...]
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    checkpoint_every: float = 10.0

    def __call__(self, config: BaseModel, ctx: Context) -> None:
        words = self.template.fill(values_of(config))
        _Run(self, words, ctx).train()

    def metrics_in(self, line: str, found: dict[str, float]) -> dict[str, float] | None:
        """The metrics of one line of output; None as long as the objective is not complete.

        Args:
            found: what patterns have found so far; it is emptied once the objective is complete.
        """
        if not self.patterns:
            return _json_metrics(line, self.objective)
        for name, pattern in self.patterns.items():
            if match := pattern.search(line):
                found[name] = _number(name, match[1])
        if not all(name in found for name in self.objective):
            return None
        metrics = dict(found)
        found.clear()
        return metrics


def _json_metrics(line: str, objective: Sequence[str]) -> dict[str, float] | None:
    values = _json_numbers(line)
    return values if all(name in values for name in objective) else None


def _json_numbers(line: str) -> dict[str, float]:
    """The numbers of a line of JSON, by name; none of any other line."""
    text = line.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return {str(name): float(value) for name, value in values.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TrialError(
            f"metric {name}: its pattern found {text!r}, which is not a number; narrow the group."
        ) from None


@dataclass(frozen=True)
class _Said:
    """Something from the script: a line of output, or metrics reported by a call. `answer` gets whether to stop."""

    line: str = ""
    metrics: Mapping[str, float] | None = None
    answer: Callable[[bool], None] | None = None


class _Run:
    """One trial of a script, from its start until none of its processes is left."""

    def __init__(self, training: ScriptTraining, words: Sequence[str], ctx: Context) -> None:
        self._training, self._words, self._ctx = training, words, ctx
        self._said: queue.Queue[_Said | None] = queue.Queue()
        self._reported, self._skip = 0, 0
        self._step: float | None = None  # the script's own, of its last report
        self._found: dict[str, float] = {}
        self._last: list[str] = []
        self._other: dict[str, None] = {}  # names of metrics in lines without the objective, in order
        self._stop: Action | None = None
        self._leaves_by_itself = threading.Event()
        self._calls = False

    def train(self) -> None:
        """Run the command to its end. Raises Stop, or TrialError with its last lines."""
        folder = self._ctx.trial_dir()
        state = self._ctx.resume()
        if state is not None:
            # A script that keeps files continues after them; one that keeps none starts again, and its first reports
            # are known already.
            self._reported, self._step = int(state["reported"]), state["step"]
            self._skip = 0 if any(folder.iterdir()) else self._reported
        listener = Listener(self._handle)
        try:
            code = self._run(folder, listener.place)
        finally:
            listener.close()
        if self._stop is not None:
            raise Stop(self._stop)
        if code != 0:
            raise TrialError(f"{self._words[0]} ended with exit code {code}: {self._tail()}")
        if not self._reported:
            wanted = ", ".join(self._training.objective)
            found = f"its JSON lines hold {', '.join(self._other)}; " if self._other else ""
            raise TrialError(f"the command printed no metric {wanted}; {found}it ended with: {self._tail()}")

    def _run(self, folder: Path, place: str) -> int:
        environment = {
            **os.environ,
            SOCKET: place,
            TRIAL_DIR: str(folder),
            CHECKPOINT_EVERY: str(self._training.checkpoint_every),
            "PYTHONUNBUFFERED": "1",  # else a script's lines come in blocks of 8 KB, and none before its end
        }
        keeper = [sys.executable, "-m", "raybayes.training.processes", str(GRACE_S), "--", *self._words]
        with subprocess.Popen(
            keeper, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="backslashreplace", start_new_session=True,
        ) as process:  # fmt: skip
            threading.Thread(target=self._read, args=(process,), daemon=True).start()
            try:
                while (said := self._said.get()) is not None:
                    self._take(said, process)
            except BaseException:
                process.terminate()
                raise
            return process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.put(_Said(line=line.rstrip("\n")))
        self._said.put(None)

    def _handle(self, message: Mapping[str, Any]) -> bool:
        """A call of the script, in the listener's thread."""
        if "resumed_after" in message:
            self._reported, self._skip, self._step = int(message["resumed_after"]), 0, None
        if message.get("leaves_by_itself"):
            self._leaves_by_itself.set()
        if "report" not in message:
            return self._stop is not None
        answered: queue.Queue[bool] = queue.Queue()
        self._said.put(_Said(metrics=message["report"], answer=answered.put))
        return answered.get()

    def _take(self, said: _Said, process: subprocess.Popen[str]) -> None:
        metrics = said.metrics
        if metrics is None:
            self._keep(said.line)
            if not self._reported:
                self._other |= dict.fromkeys(_json_numbers(said.line))
            metrics = None if self._calls else self._training.metrics_in(said.line, self._found)
        else:
            self._calls = True  # a script that calls `report` and prints its metrics too says them once
        if metrics is not None and self._stop is None:
            self._report(metrics)
            if self._stop is not None:
                self._end(process, called=said.answer is not None)
        if said.answer is not None:
            said.answer(self._stop is not None)

    def _report(self, metrics: Mapping[str, float]) -> None:
        if self._is_known(metrics):
            return
        missing = [name for name in self._training.objective if name not in metrics]
        if missing:
            raise TrialError(f"the objective {', '.join(missing)} was not reported; found {', '.join(metrics)}.")
        self._reported += 1
        reached = {"reported": self._reported, "step": self._step}
        try:
            self._ctx.report(metrics, lambda: reached)
        except Stop as stop:
            self._stop = stop.action

    def _is_known(self, metrics: Mapping[str, float]) -> bool:
        """Whether a script that was started again reports what it has reported before."""
        step = next((metrics[name] for name in _STEP_NAMES if name in metrics), None)
        if step is not None and self._step is not None:
            known = step <= self._step
        else:
            known = self._skip > 0
            self._skip = max(0, self._skip - 1)
        if not known and step is not None:
            self._step = step
        return known

    def _end(self, process: subprocess.Popen[str], called: bool) -> None:
        """Let the script end: at once, or after the time that it may take to leave by itself."""
        if not called:
            process.terminate()
            return

        def later() -> None:
            try:
                process.wait(_LEAVES_S)
            except subprocess.TimeoutExpired:
                if self._leaves_by_itself.is_set():
                    try:
                        process.wait(_ASKS_S)
                    except subprocess.TimeoutExpired:
                        process.terminate()
                else:
                    process.terminate()

        threading.Thread(target=later, daemon=True).start()

    def _keep(self, line: str) -> None:
        self._ctx.write_log(line)
        self._last = [*self._last, line][-_LAST_LINES:]

    def _tail(self) -> str:
        """The last line, as a table shows it; below it the last lines."""
        last = next((line for line in reversed(self._last) if line.strip()), "nothing was printed")
        return "\n".join([last.strip(), *self._last])
