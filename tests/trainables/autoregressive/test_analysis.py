"""What a sweep says: pooled folds and seeds, equal iterations, equal processor time, controls, figures."""

import json

import pyarrow as pa
import pytest

import raybayes as rb
from trainables.autoregressive.analysis import findings
from trainables.autoregressive.analysis.comparison import lines, mean_and_error
from trainables.autoregressive.config import Config

TINY = {"iterations": 4, "reports": 2, "batch": 6, "model.hidden": 8, "eval_rows": 6, "train_rows": 60}


class Sweep:
    """Runs whose error falls by 1 % a second from 50 %, and which make `speed` iterations a second for 8 s."""

    def __init__(self, configs, seeds=2, test=True):
        self.rows = {"setup": [], "progress": [], "costs": [], "reports": []}
        for trial, (config, speed) in enumerate(configs):
            for repeat in range(seeds):
                key = {"trial": trial, "repeat": repeat, "part": "rank-0"}
                config_text = json.dumps(Config(**config).model_dump())
                self.rows["setup"].append({**key, "config": config_text, "notes": ["words are memorised"]})
                self.rows["costs"].append({**key, "sentence": 0, "time": 0, "truth": "a", "token": "b", "cost": 0.5})
                for report in (1, 2):
                    seconds = 4.0 * report
                    error = 50 - seconds + repeat
                    scored = {"test_error": error, "test_sequence_error": 2 * error} if test or report == 2 else {}
                    self.rows["reports"].append({
                        **key, "step": report, "iteration": speed * seconds, "val_error": error + 1,
                        "val_sequence_error": 90.0, "test_error": None, "test_sequence_error": None, **scored,
                    })  # fmt: skip
                    for phase, share in (("rollout", 0.5), ("training", 1.0)):
                        self.rows["progress"].append(
                            {**key, "report": report, "phase": phase, "cost_seconds": share * seconds}
                        )

    @property
    def tables(self):
        return [name for name in self.rows if name != "reports"]

    @property
    def reports(self):
        return pa.Table.from_pylist(self.rows["reports"])

    def table(self, name, trial=None, repeat=None):
        rows = self.rows[name]
        return pa.Table.from_pylist([r for r in rows if trial is None or (r["trial"], r["repeat"]) == (trial, repeat)])


SEARNN = {"method": "searnn"}
MLE = {"method": "mle"}
SMOOTH = {"method": "mle", "label_smoothing": 0.2}


def fold(config, number):
    return {**config, "ocr": {"fold": number}}


def test_folds_and_seeds_are_pooled_and_costs_made_equal():
    sweep = Sweep([(fold(c, n), speed) for n in range(3) for c, speed in ((SEARNN, 10), (MLE, 40), (SMOOTH, 40))])
    found = {line.name: line for line in lines(sweep)}
    assert set(found) == {"SeaRNN LL, learned/mixed", "MLE", "MLE, smoothing 0.2"}
    assert all((len(line.runs), line.folds) == (6, 3) for line in found.values())
    tables = findings(sweep).tables
    titles = list(tables)
    assert "controls missing" not in titles[0]
    assert titles[1] == "Configurations at equal cost: 80 iterations"
    assert titles[2] == "Configurations at equal cost: 8 processor seconds of training"
    at_iterations = {row["configuration"]: row for row in tables[titles[1]].to_pylist()}
    assert at_iterations["SeaRNN LL, learned/mixed"]["error %"] == pytest.approx(42.5)
    assert at_iterations["MLE"]["n"] == 0, "80 iterations of MLE lie before its first report at 160"
    at_seconds = {row["configuration"]: row for row in tables[titles[2]].to_pylist()}
    assert {row["error %"] for row in at_seconds.values()} == {42.5}
    assert at_seconds["MLE"]["error %.se"] == pytest.approx(mean_and_error([42, 43] * 3)[1])
    assert at_seconds["MLE"]["on"] == "test"
    assert tables["Notes on these numbers"].to_pylist() == [{"note": "words are memorised"}]


def test_missing_controls_are_named_and_validation_stands_in():
    sweep = Sweep([(SEARNN, 10), ({**SEARNN, "lr": 0.002}, 10)], seeds=1, test=False)
    found = findings(sweep)
    assert "(controls missing in this sweep: MLE and label smoothing)" in next(iter(found.tables))
    names = next(iter(found.tables.values()))["configuration"].to_pylist()
    assert sorted(names) == ["SeaRNN LL, learned/mixed, lr 0.001", "SeaRNN LL, learned/mixed, lr 0.002"]
    assert found.tables["Configurations at equal cost: 80 iterations"]["on"].to_pylist() == ["validation"] * 2


def test_the_grid_has_the_controls_beside():
    grid = [
        {**SEARNN, "rollin": i, "rollout": o, "loss": x}
        for i in ("gt", "learned")
        for o in ("mixed",)
        for x in ("ll", "kl")
    ]
    rows = findings(Sweep([*((c, 10) for c in grid), (MLE, 40)])).tables["Roll-in × roll-out × loss, with the controls"]
    assert rows["roll-in"].to_pylist() == ["gt", "learned", "MLE"]
    assert rows["n"].to_pylist() == [2, 2, 2]
    assert rows["ll"].to_pylist() == rows["kl"].to_pylist() == [42.5] * 3


def test_the_grid_shows_what_was_best_on_validation():
    grid = [{**SEARNN, "rollin": i, "loss": x, "lr": lr}
            for i in ("gt", "learned") for x in ("ll", "kl") for lr in (0.001, 0.002)]  # fmt: skip
    sweep = Sweep([(c, 10) for c in grid], seeds=1)
    for row in sweep.rows["reports"]:
        if row["trial"] % 2:  # lr 0.002: better on test, worse on validation
            row["test_error"], row["val_error"] = row["test_error"] - 10, row["val_error"] + 10
    rows = findings(sweep).tables["Roll-in × roll-out × loss, with the controls"]
    assert rows["ll"].to_pylist() == [42.0, 42.0]


def test_a_real_sweep_has_all_of_it(tmp_path):
    sweep = rb.sweep(
        "autoregressive",
        trials=3,
        space="PAPER_OCR",
        sampler="grid",
        config={**TINY, "test_every_report": True},
        storage=str(tmp_path),
        name="s",
        executor="local",
    )
    found = findings(sweep)
    costs = sweep.table("costs").to_pylist()
    first = [row for row in costs if (row["trial"], row["sentence"]) == (0, 0)]
    truth = {row["time"]: row["truth"] for row in first}
    assert {row["target"] for row in first} == {"".join(truth[time] for time in sorted(truth)[:-1])}
    assert len({row["decoded"] for row in first}) == 1
    heat = next(figure for caption, figure in found.figures.items() if caption.startswith("Cost of every"))
    assert f"target: {first[0]['target']}" in heat.axes[0].get_title(loc="left")
    assert len(found.results) == 3
    assert set(found.results.column_names) >= {"configuration", "test_error", "cpu_seconds", "iteration"}
    assert len(found.figures) == 3
    for number, figure in enumerate(found.figures.values()):
        path = tmp_path / f"{number}.png"
        figure.savefig(path)
        assert path.stat().st_size > 5000
    assert findings(rb.open_sweep(sweep.path)).tables.keys() == found.tables.keys()


def test_an_empty_sweep_has_found_nothing():
    class Empty:
        tables: tuple[str, ...] = ()

    assert not findings(Empty()).tables
