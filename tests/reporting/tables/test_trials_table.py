from pathlib import Path

import pyarrow as pa
import pytest
from rich.cells import cell_len
from rich.console import Console

from raybayes.reporting.tables.trials_table import best_trials, describe_counts, group_failures, trials_table

GOLDEN = Path(__file__).parent / "golden"


def text_of(table, width):
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


# state, steps, accuracy, its standard error, nll, lr, method, batch, augment, weight decay, swag.rank, seconds, error
ROWS = [
    ("COMPLETE", 30, 93.9812, 0.3121, 0.3372, 0.0193, "sse", 64, False, 2.383e-4, None, 242.0, None),
    ("FAIL", 0, None, None, None, 0.8, "sse", 128, True, 1e-5, None, 0.0, "Traceback\nValueError: the loss is nan"),
    ("COMPLETE", 30, 92.0, 0.05, 0.21, 0.1, "single", 128, True, 5e-5, None, 7500.0, None),
    ("PRUNED", 9, 40.7, None, 1.9, 0.0004213, "swag", 32, True, 1e-3, 12, 84.2, None),
    ("COMPLETE", 30, 94.2, 1.4, 0.5, 0.042, "swag with a very long name", 256, False, 1.824e-6, 27, 163.4, None),
    ("RUNNING", 3, 22.25, None, 2.5, 0.5, "sse", 64, True, 9.3e-4, None, 9.9, None),
    ("PAUSED", 3, None, None, None, 0.25, "swag", 64, False, 9.1e-4, 8, 12.0, None),
    ("PRUNED", 27, 80.2, None, 0.9, 0.001, "single", 32, True, 1e-6, None, 275000.0, None),
    ("FAIL", 4, 35.0, None, 2.0, 0.9, "sse", 256, True, 1e-4, None, 31.0, "ValueError: the loss is nan"),
    ("COMPLETE", 30, 89.0, 0.2, 0.45, 0.2, "single", 32, False, 2.5e-5, None, 170.0, None),
]
COLUMNS = [
    "state",
    "steps",
    "accuracy",
    "accuracy.se",
    "nll",
    "config.lr",
    "config.method",
    "config.batch",
    "config.augment",
    "config.weight_decay",
    "config.swag.rank",
    "seconds",
    "failure",
]


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("kind", ["one", "repeated", "two"])
def test_the_table_is_printed_as_ever(accuracy, nll, kind, width):
    trials = pa.Table.from_pylist([{"trial": i, **dict(zip(COLUMNS, row, strict=True))} for i, row in enumerate(ROWS)])
    if kind != "repeated":
        trials = trials.drop_columns(["accuracy.se"])
    printed = text_of(trials_table(trials, [accuracy, nll] if kind == "two" else [accuracy], width), width)
    assert printed == (GOLDEN / f"table-{kind}-{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [200, 100, 80, 61, 50])
def test_it_fits_and_cuts_no_cell(sweep, accuracy, nll, width):
    trials, _ = sweep(60, repeats=True)
    printed = text_of(trials_table(trials, [accuracy, nll] if width > 50 else [accuracy], width, rows=60), width)
    lines = printed.splitlines()
    assert max(map(cell_len, lines)) <= width
    body = lines[2:62]
    assert len(body) == 60
    for line in body:
        assert any(word in line for word in ("complete", "pruned", "failed", "running"))
        assert "…" not in line


def test_the_number_of_rows_is_told(sweep, accuracy):
    trials, _ = sweep(40)
    printed = text_of(trials_table(trials, [accuracy], rows=5), 100)
    assert "35 more trials are not shown." in printed
    assert "not shown" not in text_of(trials_table(trials, [accuracy], rows=40), 100)


def test_dropped_parameters_are_named_and_important_ones_stay(sweep, accuracy):
    trials, _ = sweep(40)
    printed = text_of(trials_table(trials, [accuracy], 70, importances={"augment": 1.0}), 70)
    assert "augment" in printed.splitlines()[0]
    assert "more parameters did not fit: " in printed
    assert "method" in printed.split("did not fit: ")[1]


def test_the_best_is_marked_once_and_a_front_everywhere(sweep, accuracy, nll):
    trials, _ = sweep(40)
    assert text_of(trials_table(trials, [accuracy]), 100).count("★") == 2  # the trial and the legend
    front = best_trials(trials, [accuracy, nll])
    printed = text_of(trials_table(trials, [accuracy, nll]), 100)
    assert printed.count("★") == len(front) + 1
    assert "★ Pareto front." in printed


def test_errors_are_one_short_line(sweep, accuracy):
    trials, _ = sweep(40)
    printed = text_of(trials_table(trials, [accuracy], 140, rows=40), 140)
    assert "2 failed, e.g. trial 2: ValueError: the loss is nan after step 3 of 30" in printed
    assert "Traceback" not in printed


def test_failures_are_grouped_and_only_the_commonest_told(accuracy):
    rows = [
        {"trial": i, "state": "FAIL", "accuracy": None, "steps": 0, "seconds": 0.0, "failure": error}
        for i, error in enumerate(["a", "b", "b", None, "c", "b\nx"])
    ]
    trials = pa.Table.from_pylist(rows)
    assert group_failures(trials) == [("b", [1, 2, 5]), ("a", [0]), ("no message", [3]), ("c", [4])]
    printed = text_of(trials_table(trials, [accuracy]), 100)
    assert "3 failed, e.g. trial 1: b" in printed
    assert "Other failures: 1 more" in printed


def test_an_infeasible_trial_is_called_so(sweep, accuracy):
    trials, _ = sweep(5, running=0, bad_rate=0)
    trials = trials.append_column("feasible", pa.array([False] * 5))
    assert describe_counts(trials) == "5 trials: 5 infeasible"
    assert "★" not in text_of(trials_table(trials, [accuracy]), 100)


def test_a_sweep_without_trials(empty, accuracy):
    assert text_of(trials_table(empty[0], [accuracy]), 100).splitlines()[-1] == "0 trials."


def test_hidden_markup_is_printed_as_it_is(sweep, accuracy):
    trials, _ = sweep(2, running=0, bad_rate=0)
    trials = trials.set_column(trials.column_names.index("config.method"), "config.method", pa.array(["[red]x", "[/]"]))
    assert "[red]x" in text_of(trials_table(trials, [accuracy], 140), 140)
