"""`watch`, `export`, `report`, notebooks: what they print, and one sentence for each mistake."""

import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import raybayes as rb
from raybayes.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a sweep `runs/a` of three trials, and a run `runs/r`."""
    folder = tmp_path_factory.mktemp("seeing")
    storage = str(folder / "runs")
    rb.sweep("parabola", trials=3, config={"steps": 2}, storage=storage, name="a", executor="local")
    rb.train("parabola", {"steps": 3}, storage=storage, name="r", executor="local")
    return folder


@pytest.fixture
def run(capsys, folder, monkeypatch):
    """A command line in that folder: (exit code, output, errors)."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


class TestWatch:
    def test_one_look(self, run):
        code, output, errors = run("watch", "runs/a", "--once")
        assert code == 0, errors
        assert "a  parabola  finished" in output
        assert "3 of 3" in output
        assert max(len(line) for line in output.splitlines()) <= 100
        assert output.rstrip().endswith("runs/a")

    def test_without_a_terminal_it_is_plain_lines_and_ends_with_the_sweep(self, run):
        code, output, _ = run("watch", "runs/a", "--every", "0.2")
        assert code == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d a: finished; 3 of 3 trials finished\n", output)

    def test_for_machines(self, run):
        facts = json.loads(run("watch", "runs/a", "--json")[1])
        assert facts["states"] == {"complete": 3}
        assert facts["finished"] is True
        assert facts["worker"] is None
        assert len(facts["trials"]) == 3

    def test_a_run_can_be_watched_too(self, run):
        code, output, _ = run("watch", "runs/r", "--once")
        assert code == 0
        assert "1 of 1" in output


class TestExport:
    @pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
    def test_trials(self, run, kind, tmp_path):
        file = tmp_path / f"x.{kind}"
        code, output, errors = run("export", "runs/a", "--format", kind, "--out", file)
        assert code == 0, errors
        assert output.strip() == str(file)
        trials = rb.open_sweep("runs/a").trials
        if kind == "json":
            assert json.loads(file.read_text()) == trials.to_pylist()
        elif kind == "parquet":
            assert pq.read_table(file).to_pylist() == trials.to_pylist()
        else:
            read = pyarrow.csv.read_csv(file)
            assert read.column_names == trials.column_names
            assert read["loss"].to_pylist() == pytest.approx(trials["loss"].to_pylist())

    def test_reports_and_stored_tables_by_name(self, run):
        assert run("export", "runs/a", "--what", "reports")[1] == "a-reports.csv\n"
        assert len(pyarrow.csv.read_csv("a-reports.csv")) == 6
        code, output, _ = run("export", "runs/a", "--what", "path", "--format", "json", "--out", "-")
        assert code == 0
        assert json.loads(output) == rb.open_sweep("runs/a").table("path").to_pylist()

    def test_numbers_that_json_does_not_know_are_null(self, tmp_path):
        from raybayes.reporting.export import write_long

        table = pa.table({"x": [1.0, float("nan"), float("inf")], "list": [[1.0], [float("nan")], None]})
        write_long(table, str(tmp_path / "x.json"), "json")
        rows = json.loads((tmp_path / "x.json").read_text())
        assert rows == [{"x": 1.0, "list": [1.0]}, {"x": None, "list": [None]}, {"x": None, "list": None}]

    def test_csv_has_no_lists(self, tmp_path):
        from raybayes.reporting.export import write_long

        with pytest.raises(rb.SpecError, match=r"CSV cannot hold the column 'boxes' \(list<item: double>\); use"):
            write_long(pa.table({"boxes": [[1.0]]}), str(tmp_path / "x.csv"), "csv")
        assert list(tmp_path.iterdir()) == []


class TestPython:
    def test_pandas(self, run):
        frame = rb.open_sweep("runs/a").to_pandas()
        assert list(frame["trial"]) == [0, 1, 2]
        assert set(rb.open_sweep("runs/a").to_pandas("reports").columns) >= {"step", "loss"}

    def test_without_pandas_it_says_what_to_install(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(rb.SpecError, match=r"pip install pandas, or use \.frame\('path'\), a pyarrow\.Table"):
            rb.open_sweep("runs/a").to_pandas("path")

    def test_a_notebook_shows_sweeps_and_runs(self, run):
        assert "★" in rb.open_sweep("runs/a")._repr_html_()
        assert "<td>final</td>" in rb.open_sweep("runs/r")._repr_html_()

    def test_importances_come_with_intervals(self, run):
        sweep = rb.open_sweep("runs/a")
        assert set(sweep.importances()) == set(sweep.importance_intervals())


class TestReport:
    def test_a_sweep_without_its_project_still_has_a_page(self, run, folder):
        text = Path("runs/a/sweep.yaml").read_text()
        Path("runs/gone").mkdir()
        for file in Path("runs/a").iterdir():
            if file.is_file():
                Path("runs/gone", file.name).write_bytes(file.read_bytes())
        Path("runs/gone/sweep.yaml").write_text(text.replace("project: parabola", "project: moved_away"))
        code, _, errors = run("report", "runs/gone")
        assert code == 0, errors
        page = Path("runs/gone/report.html").read_text()
        assert "own tables and figures are missing: unknown project &#x27;moved_away&#x27;" in page
        assert "history.svg" not in page
        assert Path("runs/gone/figures/history.svg").exists()


MISTAKES = {
    "watch no sweep": (["watch", "."], ["not a sweep", "has no sweep.yaml"]),
    "watch nothing": (["watch", "nowhere"], ["nowhere", "does not exist"]),
    "export no sweep": (["export", "."], ["not a sweep"]),
    "export as something": (["export", "runs/a", "--format", "xls"], ["found 'xls'", "csv, parquet, json"]),
    "export what is not there": (
        ["export", "runs/a", "--what", "pth"],
        ["unknown table 'pth'; did you mean 'path'?", "trials, reports, path"],
    ),
    "parquet to a terminal": (["export", "runs/a", "--format", "parquet", "--out", "-"], ["not text", "--out"]),
    "export to nowhere": (["export", "runs/a", "--out", "no/such/x.csv"], ["no/such/x.csv cannot be written"]),
    "report of no sweep": (["report", "."], ["not a sweep"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(run, mistake):
    arguments, words = MISTAKES[mistake]
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    for word in words:
        assert word in errors
