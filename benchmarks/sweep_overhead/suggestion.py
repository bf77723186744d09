"""What a suggestion costs as a study grows: ask, one report, the end, all of it durable where the side is durable."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measurement import Sample

WINDOW = 50  # trials before the mark over which the median is taken
Step = Callable[[int], None]


def _objective(x: float, y: float) -> float:
    return x**2 + math.log10(y / 0.1) ** 2


def _raybayes(folder: Path, seed: int) -> Step:
    from raybayes.search.objective import Objective
    from raybayes.search.outcomes.outcome import Outcome, State
    from raybayes.search.samplers import make_sampler_factory
    from raybayes.search.study.study import Study
    from raybayes.space import Float, Space
    from raybayes.spec.component import Component

    space = Space({"x": Float(-1.0, 1.0), "y": Float(1e-3, 1.0, log=True)})
    factory = make_sampler_factory(Component(name="tpe"), space, seed, 1)
    study = Study(str(folder / "study.journal"), space, (Objective("loss", "minimize"),))

    def step(_: int) -> None:
        number, params = study.ask(factory)
        study.flush()
        x, y = (float(str(params[name])) for name in ("x", "y"))
        loss = _objective(x, y)
        study.report(number, 1, loss)
        study.finish(number, Outcome(State.COMPLETE, (loss,)), {})
        study.flush()

    return step


def _optuna(storage: object, seed: int) -> Step:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(storage=storage, sampler=sampler)  # type: ignore[arg-type]

    def step(_: int) -> None:
        trial = study.ask()
        loss = _objective(trial.suggest_float("x", -1.0, 1.0), trial.suggest_float("y", 1e-3, 1.0, log=True))
        trial.report(loss, 1)
        study.tell(trial, loss)

    return step


def _optuna_memory(folder: Path, seed: int) -> Step:
    return _optuna(None, seed)


def _optuna_journal(folder: Path, seed: int) -> Step:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return _optuna(JournalStorage(JournalFileBackend(str(folder / "journal"))), seed)


SIDES: dict[str, Callable[[Path, int], Step]] = {
    "raybayes": _raybayes,
    "Optuna in memory": _optuna_memory,
    "Optuna, its journal file": _optuna_journal,
}


def growth(seconds: Sequence[float]) -> float:
    """Seconds that a trial costs more for each 100 trials before it: Theil and Sen's slope, deaf to single hiccups.

    Medians of blocks of ten trials stand for the trials: all pairs of a thousand would be half a million.
    """
    blocks = [statistics.median(seconds[start : start + 10]) for start in range(0, len(seconds) - 9, 10)]
    slopes = [(blocks[j] - blocks[i]) / (j - i) for j in range(len(blocks)) for i in range(j)]
    return statistics.median(slopes) * 10  # from one block of ten to a hundred trials


def measure(marks: Sequence[int], repeats: int) -> list[Sample]:
    """Cost of a trial around each of `marks` trials, and its growth, of each side; sides take turns."""
    samples = []
    for repeat in range(repeats):
        for side, make in SIDES.items():
            with tempfile.TemporaryDirectory(prefix="raybayes-bench-") as folder:
                step = make(Path(folder), repeat)
                seconds = [_timed(step, number) for number in range(max(marks))]
            for mark in marks:
                cost = statistics.median(seconds[max(0, mark - WINDOW) : mark])
                samples.append(Sample(f"suggestion, report and end of a trial, at {mark} trials", side, cost))
            samples.append(Sample("growth of that cost with each 100 trials more", side, growth(seconds)))
    return samples


def _timed(step: Step, number: int) -> float:
    began = time.perf_counter()
    step(number)
    return time.perf_counter() - began
