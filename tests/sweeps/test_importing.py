"""Sweeps made of trials from elsewhere, and studies that are opened by others."""

import json
from pathlib import Path

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybayes as rb
from raybayes.cli.main import main

HERE = {"executor": "local"}
FIXED = {"steps": 4}
GOOD = "lr,method,momentum.beta,loss\n0.1,plain,,1.5\n0.2,momentum,0.5,0.25\n0.3,plain,,0.75\n"


def table(folder, text=GOOD):
    file = Path(folder) / "results.csv"
    file.write_text(text)
    return file


def imported(folder, text=GOOD, **options):
    return rb.import_trials(
        table(folder, text), "parabola", config=FIXED, storage=folder / "runs", name="old", **options
    )


class TestTable:
    def test_it_is_a_sweep_as_any_other(self, tmp_path):
        found = imported(tmp_path)
        assert found.trials["state"].to_pylist() == ["COMPLETE"] * 3
        assert (found.best["config.lr"], found.best["loss"]) == (0.2, 0.25)
        assert found.config()["momentum.beta"] == 0.5
        assert Path(found.report()).exists()
        more = found.extend(2, **HERE)
        assert [row["trial"] for row in more.trials.to_pylist()] == [0, 1, 2, 3, 4]
        next_one = rb.sweep("parabola", trials=3, config=FIXED, storage=tmp_path, name="new",
                            warm_start=found.path, **HERE)  # fmt: skip
        assert next_one.trials["config.lr"].to_pylist()[1] == more.best["config.lr"]

    def test_what_raybayes_exports_it_imports(self, tmp_path, capsys):
        first = rb.sweep("parabola", trials=6, config=FIXED | {"fail_at": 2, "only_above": 0.1}, sampler="random",
                         storage=tmp_path, name="one", max_failed_fraction=1.0, **HERE)  # fmt: skip
        file = str(tmp_path / "one.csv")
        assert main(["export", first.path, "--out", file]) == 0
        again = rb.import_trials(file, "parabola", config=first.spec.config, storage=tmp_path, name="two")
        for name in ("trial", "state", "config.lr", "config.method", "seconds", "failure"):
            assert again.trials[name].to_pylist() == first.trials[name].to_pylist(), name
        assert again.best["loss"] == first.best["loss"]

    def test_parquet_and_the_command_line(self, tmp_path, capsys):
        file = tmp_path / "results.parquet"
        pq.write_table(pa.table({"params_lr": [0.1, 0.2], "value": [3.0, 1.0], "note": ["a", "b"]}), file)
        options = ["--project", "parabola", "--storage", str(tmp_path), "--name", "s", "-s", "method=plain"]
        assert main(["import", str(file), *options]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "columns that mean nothing here: note", "2 trials imported", str(tmp_path / "s")
        ]  # fmt: skip
        assert main(["import", str(file), *options]) == 2
        assert "exists" in capsys.readouterr().err

    def test_a_training_that_is_not_at_hand(self, tmp_path, capsys):
        file = table(tmp_path, "lr,loss\n0.1,3\n0.01,2\n")
        options = [
            "--param",
            "lr=log:1e-3..1",
            "--objective",
            "loss:minimize",
            "--storage",
            str(tmp_path),
            "--name",
            "own",
        ]
        assert main(["import", str(file), *options]) == 0
        path = str(tmp_path / "own")
        assert main(["extend", path, "--trials", "1", "--local"]) == 2
        assert "resume it from Python with the function" in capsys.readouterr().err
        found = rb.extend(path, 1, train=lambda config: config["lr"], **HERE)
        assert len(found.trials) == 3


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("lr,method,momentum.beta\n0.1,plain,\n", r"has no column 'loss' for the metric; it has the columns lr, "),
            ("rate,method,loss\n0.1,plain,1\n", r"has no column for lr; .*Rename one, or fix .* with -s lr=VALUE"),
            (GOOD.replace("0.3,", "3,"), r"1 of 3 trials do not fit.*\n  row 4, lr: found '3'; its range is 0\.001 to"),
            (GOOD.replace("0.3,plain", "0.3,adam"), r"row 4, method: found 'adam'; it is one of 'plain', 'momentum'"),
            (GOOD.replace("0.3,plain,", "0.3,plain,0.5"), r"row 4, momentum\.beta: found '0\.5'; it is inactive here"),
            (GOOD.replace("0.75", "nan"), r"row 4, loss: found 'nan'; a finished trial has a finite number"),
            ("lr,config.lr,method,loss\n1,1,plain,1\n", r"the columns lr and config\.lr both are lr; drop one of them"),
            ("trial,lr,method,loss\n4,1,plain,1\n4,1,plain,2\n", r"row 2 and row 3 are both trial 4; keep one"),
            ("lr,method,loss,config.steps\n1,plain,1,9\n", r"row 2, steps: found '9'; it is fixed at 4 \(-s steps="),
            ("lr,method,loss,state\n1,plain,1,RUNNING\n", r"row 2, state: found 'RUNNING'; a finished trial is"),
            ("lr,method,loss\n1,plain\n", r"row 2: found 2 values, the header has 3 names"),
            ("", "is empty"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, tmp_path, text, said):
        with pytest.raises(rb.RaybayesError, match=f"(?s){said}"):
            imported(tmp_path, text)
        assert not (tmp_path / "runs" / "old").exists()

    def test_misfits_are_left_out_when_told(self, tmp_path):
        found = imported(tmp_path, GOOD.replace("0.3,", "3,"), skip_misfits=True)
        assert found.trials["config.lr"].to_pylist() == [0.1, 0.2]

    def test_options_that_an_import_has_no_use_for(self, tmp_path, capsys):
        with pytest.raises(rb.SpecError, match="trials: the trials of an import are those of its source"):
            imported(tmp_path, trials=4)
        with pytest.raises(rb.SpecError, match="grid and pbt count on their own first trials"):
            imported(tmp_path, sampler="grid", space="GRID")
        assert main(["import", "a.csv", "--storage", "sqlite:///x.db", "--project", "parabola"]) == 2
        assert "found two sources, a.csv and sqlite:///x.db" in capsys.readouterr().err


class TestOptuna:
    @pytest.fixture
    def database(self, tmp_path):
        """A study of another program: 12 trials, one failed, one pruned, one that runs."""
        url = f"sqlite:///{tmp_path}/old.db"
        study = optuna.create_study(study_name="old", storage=url, direction="minimize")
        for number in range(12):
            trial = study.ask()
            lr = trial.suggest_float("lr", 1e-3, 0.5, log=True)
            trial.suggest_categorical("method", ["plain"])
            trial.report(lr + 1, 1)
            state = {3: optuna.trial.TrialState.FAIL, 4: optuna.trial.TrialState.PRUNED}.get(number)
            if number != 5:
                study.tell(trial, None if state else lr, state=state)
        return url

    def test_a_study_becomes_a_sweep(self, tmp_path, database, capsys, monkeypatch):
        monkeypatch.setenv("RAYBAYES_STORAGE", str(tmp_path / "runs"))
        options = ["--project", "parabola", "-s", "steps=4", "--name", "s", "--json"]
        assert main(["import", "--storage", database, "--study", "old", *options]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "path": str(tmp_path / "runs/s"), "trials": 11, "remarks": ["1 unfinished trials were left out"]
        }  # fmt: skip

    def test_rows_states_and_curves(self, tmp_path, database):
        found = rb.import_trials(database, "parabola", study="old", config=FIXED, storage=tmp_path, name="s")
        states = found.trials["state"].to_pylist()
        assert (len(states), states[3], states[4]) == (11, "FAIL", "PRUNED")
        assert found.best["loss"] == optuna.load_study(study_name="old", storage=database).best_value
        assert found.records[0].curve == {1: found.records[0].params["lr"] + 1}
        assert len(found.extend(1, **HERE).trials) == 12

    def test_what_does_not_fit_is_refused(self, tmp_path, database):
        old = optuna.create_study(study_name="up", storage=database, direction="maximize")
        old.add_trial(optuna.create_trial(params={}, distributions={}, value=1.0))
        options = {"config": FIXED, "storage": tmp_path}
        with pytest.raises(rb.SpecError, match="has 2 studies; name one with --study: old, up"):
            rb.import_trials(database, "parabola", **options)
        with pytest.raises(rb.SpecError, match="the study is to maximize where this sweep is to minimize loss"):
            rb.import_trials(database, "parabola", study="up", **options)
        with pytest.raises(rb.SpecError, match="has no study 'new'; it has: old, up"):
            rb.import_trials(database, "parabola", study="new", **options)
        with pytest.raises(rb.SpecError, match="has 1 objectives, this sweep 2"):
            rb.import_trials(database, "parabola", study="old", objective="loss,size", **options)
        with pytest.raises(rb.SpecError, match=r"it cannot be opened \(.*give a database such as sqlite"):
            rb.import_trials("sqlite:////no/such/folder/x.db", "parabola", **options)

    def test_the_study_of_a_sweep_is_read_only_and_can_be_copied(self, tmp_path, capsys):
        found = imported(tmp_path)
        before = (Path(found.path) / "study.journal").read_bytes()
        assert [trial.params["lr"] for trial in found.study.trials] == [0.1, 0.2, 0.3]
        assert (found.study.best_value, found.study.metric_names) == (0.25, ["loss"])
        with pytest.raises(rb.StoreError, match="the study of a sweep is read-only; raybayes extend adds trials"):
            found.study.ask()
        url = f"sqlite:///{tmp_path}/x.db"
        assert main(["export", found.path, "--to", url]) == 0
        assert capsys.readouterr().out == f"study old in {url}\n"
        copied = optuna.load_study(study_name="old", storage=url)
        copied.ask()
        assert [trial.params for trial in copied.trials[:3]] == [trial.params for trial in found.study.trials]
        assert main(["export", found.path, "--to", url]) == 2
        assert "it has a study 'old' already" in capsys.readouterr().err
        assert (Path(found.path) / "study.journal").read_bytes() == before


class TestChangedSpace:
    def test_shared_parameters_are_mapped_and_it_is_said(self, tmp_path, capsys):
        old = rb.simulate(
            lambda config: config["x"], rb.Space({"x": rb.Float(0, 1), "gone": rb.Int(1, 9)}), trials=20,
            storage=tmp_path, name="old", sampler="random",
        )  # fmt: skip
        new = rb.Space({"x": rb.Float(0.05, 0.5), "added": rb.Float(0, 4)})
        found = rb.simulate(
            lambda config: config["x"], new, trials=9, storage=tmp_path, name="new", warm_start=old.sweep.path
        ).sweep
        best = max(0.05, old.sweep.best["config.x"])
        assert found.trials.to_pylist()[0]["config.x"] == pytest.approx(best)
        assert found.trials.to_pylist()[0]["config.added"] == 2
        remark = found.warm_start_remark
        assert remark.startswith(f"of {old.sweep.path}, x is clipped to its range in ")
        assert remark.endswith("added is new and gets 2, gone is searched no longer")

    def test_nothing_in_common_is_refused(self, tmp_path):
        old = rb.simulate(lambda config: 1.0, rb.Space({"x": rb.Float(0, 1)}), trials=2, storage=tmp_path, name="old")
        with pytest.raises(rb.SpecError, match="it has none of the parameters y; it searched x"):
            rb.simulate(lambda config: 1.0, rb.Space({"y": rb.Float(0, 1)}), warm_start=old.sweep.path, trials=2)
