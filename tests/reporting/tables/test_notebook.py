import pyarrow as pa

from raybayes.reporting.tables.notebook import render_run, render_sweep


def test_a_sweep_is_its_best_trials(sweep, accuracy, nll):
    trials, _ = sweep(40)
    html = render_sweep("runs/x", "ensembles", trials, [accuracy])
    assert html.count("<tr>") == 11
    assert "★" in html
    assert "accuracy (%)" in html
    assert "ensembles: 40 trials: " in html
    assert "30 more not shown. runs/x" in html
    assert "nll" not in html
    assert render_sweep("runs/x", "ensembles", trials, [accuracy, nll]).count("★") >= 1


def test_values_that_are_means_say_of_how_many_seeds(sweep, accuracy):
    trials, _ = sweep(12, repeats=True)
    html = render_sweep("runs/x", "ensembles", trials.append_column("n", pa.array([3] * 12)), [accuracy])
    assert "<th>accuracy (%)</th><th>seeds</th>" in html
    assert "</td><td>3</td>" in html
    assert "seeds" not in render_sweep("runs/x", "ensembles", trials, [accuracy])


def test_what_users_wrote_is_text(sweep, accuracy):
    trials, reports = sweep(5)
    assert "<script>" not in render_sweep("<script>", "<script>", trials, [accuracy])
    assert "<script>" not in render_run("<script>", "<script>", trials, reports, reports.column_names[:7])


def test_nothing_yet_is_a_table_too(empty, accuracy):
    trials, reports = empty
    assert "0 trials" in render_sweep("p", "x", trials, [accuracy])
    assert "0 trials" in render_run("p", "x", trials, reports, reports.column_names)


def test_a_run_is_its_last_values(sweep):
    trials, reports = sweep(1, running=0, bad_rate=0)
    html = render_run("runs/r", "ensembles", trials, reports, reports.column_names[:7])
    assert f"<td>accuracy</td><td>{reports['accuracy'].to_pylist()[-1]:.6g}</td><td>30</td>" in html
