"""The same sweep with its results in an object store: nothing but the storage's address differs."""

import raybayes as rb

HERE = {"executor": "local", "checkpoint_every": 0.0}


def test_a_sweep_lives_in_an_object_store(tmp_path):
    remote = rb.sweep("parabola", trials=4, storage="fsspec+memory://bucket/runs", name="s", **HERE)
    local = rb.sweep("parabola", trials=4, storage=str(tmp_path), name="s", **HERE)
    columns = [name for name in local.trials.column_names if name.startswith("config.")] + ["state", "loss"]
    assert remote.trials.select(columns) == local.trials.select(columns)
    extended = rb.open_sweep(remote.path).extend(2, executor="local")
    assert extended.trials["state"].to_pylist() == ["COMPLETE"] * 6
    assert len(extended.reports) == 24
    assert extended.table("path")["trial"].to_pylist()[-1] == 5
    page = extended.report()
    assert page.endswith("runs/s/report.html")
    assert "report.html" in extended.layout.storage.list()
