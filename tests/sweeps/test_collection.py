"""Many sweeps: listed, compared, served together, removed."""

import io
import json

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.store.lock import BurstLock
from raybayes.sweeps.collection import compare, list_sweeps
from raybayes.wording import padded

SPACE = rb.Space({"x": rb.Float(0, 1)})


def curve(config):
    yield {"loss": config["x"], "seconds": 360}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two sweeps, a folder that is none, and a sweep whose file is damaged."""
    folder = tmp_path_factory.mktemp("runs")
    for name, trials in (("a", 10), ("b", 4)):
        rb.simulate(curve, SPACE, trials=trials, sampler="random", seed=trials, storage=folder, name=name)
    (folder / "notes").mkdir()
    (folder / "c").mkdir()
    (folder / "c" / "sweep.yaml").write_text("[")
    return folder


class TestList:
    def test_every_sweep_has_a_line(self, runs, capsys):
        a, b, c = list_sweeps(runs)
        assert (a.name, a.project, a.state, a.trials, a.worker) == ("a", "a", "finished", "10/10", "")
        assert a.best == f"loss {padded(rb.open_sweep(runs / 'a').best['loss'])}"
        assert b.trials == "4/4"
        assert c.state.startswith("unreadable: ")
        assert main(["list", str(runs), "--json"]) == 0
        assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["a", "b", "c"]
        assert main(["list", str(runs)]) == 0
        assert "worked on by" in capsys.readouterr().out

    def test_who_works_on_it_is_said_and_a_missing_folder_refused(self, runs, tmp_path, capsys):
        with BurstLock(rb.open_sweep(runs / "a").layout):
            found = list_sweeps(runs)[0]
            assert found.state == "running"
            assert ", process " in found.worker
        assert main(["list", str(tmp_path / "none")]) == 2
        assert "there is no such folder" in capsys.readouterr().err
        assert main(["list", str(tmp_path)]) == 0
        assert capsys.readouterr().out == "no sweep there yet\n"


class TestCompare:
    def test_tables_and_curves(self, runs):
        found = compare([runs / "a", runs / "b"])
        rows = found.table.to_pylist()
        assert [row["sweep"] for row in rows] == ["a", "b"]
        assert [row["finished"] for row in rows] == [10, 4]
        for row in rows:
            sweep, best = rb.open_sweep(runs / row["sweep"]), found.curves[row["sweep"]]
            values = sweep.trials["loss"].to_pylist()
            assert best.best == tuple(min(values[: i + 1]) for i in range(len(values)))
            assert best.hours == pytest.approx([0.1 * (i + 1) for i in range(len(values))])
            assert row["loss"] == min(values)
            assert row["hours to best"] == pytest.approx(0.1 * (values.index(min(values)) + 1))

    def test_on_the_command_line_with_a_page(self, runs, tmp_path, capsys):
        page = tmp_path / "page.html"
        assert main(["compare", str(runs / "a"), str(runs / "b"), "--page", str(page)]) == 0
        assert "hours to best" in " ".join(capsys.readouterr().out.split())
        assert "data:image/svg+xml" in page.read_text()
        assert main(["compare", str(runs / "a"), str(runs / "b"), "--page", str(tmp_path / "no" / "x")]) == 2

    def test_what_cannot_be_compared(self, runs, tmp_path):
        up = rb.simulate(curve, SPACE, trials=1, objective={"loss": "maximize"}, storage=tmp_path, name="up").sweep
        with pytest.raises(
            rb.SpecError, match=r"up is to maximize loss, .* to minimize loss; compare needs one and the"
        ):
            compare([runs / "a", up.path])
        with pytest.raises(rb.SpecError, match="two sweeps or more, each named once"):
            compare([runs / "a", f"{runs}/a/"])


class TestRemove:
    @pytest.fixture
    def sweep(self, tmp_path):
        return rb.simulate(curve, SPACE, trials=1, storage=tmp_path, name="s").sweep

    def test_it_asks(self, sweep, tmp_path, monkeypatch, capsys):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert main(["rm", sweep.path]) == 2
        assert "nobody can be asked here; give --yes" in capsys.readouterr().err
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        assert main(["rm", sweep.path]) == 0
        assert (tmp_path / "s" / "sweep.yaml").exists()
        assert "nothing was deleted" in capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        assert main(["rm", sweep.path]) == 0
        assert not (tmp_path / "s").exists()

    def test_a_living_one_and_a_folder_that_is_no_sweep_are_refused(self, sweep, tmp_path, capsys):
        with BurstLock(sweep.layout):
            assert main(["rm", sweep.path, "--yes"]) == 2
        assert (tmp_path / "s" / "sweep.yaml").exists()
        assert main(["rm", str(tmp_path), "--yes"]) == 2
        assert tmp_path.exists()
        capsys.readouterr()
        assert main(["rm", sweep.path, "--yes", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"removed": sweep.path}


def test_one_dashboard_for_all(runs):
    pytest.importorskip("optuna_dashboard")
    from raybayes.sweeps.dashboard import Site, StorageSite, site_of

    def get(path, method="GET"):
        said = []
        asked = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": "", "wsgi.input": io.BytesIO()}
        server = {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        body = b"".join(site({**asked, **server}, lambda status, headers, *_: said.append(status)))
        return said[0][:3], body.decode()

    site = site_of(str(runs))
    assert isinstance(site, StorageSite)
    assert isinstance(site_of(str(runs / "a")), Site)
    status, body = get("/")
    assert (status, body.count("/sweeps/")) == ("200", 3)
    assert '<a href="/sweeps/a/report">' in get("/sweeps/a/")[1]
    assert get("/sweeps/none/")[0] == "503"
    assert get("/", "POST")[0] == "403"
    studies = json.loads(get("/api/studies")[1])["study_summaries"]
    assert sorted(study["study_name"] for study in studies) == ["a", "b"]
