"""A sweep in a browser: every page answers, nothing is written, and each mistake is one sentence."""

import builtins
import json
import socket
import threading
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest

import raybayes as rb
from raybayes.cli.dashboard import announcement, opened
from raybayes.cli.main import main
from raybayes.sweeps.dashboard import Site, serve
from raybayes.sweeps.dashboard_guard import Guard


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    storage = str(tmp_path_factory.mktemp("runs"))
    rb.sweep("parabola", trials=3, config={"steps": 2}, storage=storage, name="a", executor="local")
    return f"{storage}/a"


def ask(site, path, method="GET"):
    """(status, headers, body) of one request."""
    environ, answer = {"PATH_INFO": path, "REQUEST_METHOD": method}, {}
    setup_testing_defaults(environ)

    def start(status, headers, exc_info=None):
        answer.update(status=status, headers=dict(headers))

    body = b"".join(site(environ, start))
    return answer["status"], answer["headers"], body


def test_every_page_of_a_sweep(path):
    site, before = Site(path), {file: file.stat().st_mtime_ns for file in Path(path).rglob("*")}
    status, headers, body = ask(site, "/")
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for link in ('href="/report"', 'href="/dashboard/"', 'src="/figures/history.png"'):
        assert link.encode() in body
    assert b"3 trials: 3 complete" in body
    assert b"Best trial" in ask(site, "/report")[2]
    assert ask(site, "/figures/history.png")[2].startswith(b"\x89PNG")
    assert b"<svg" in ask(site, "/figures/history.svg")[2]
    for wrong in ("/figures/none.png", "/figures/history.exe", "/figures/../sweep.yaml"):
        assert ask(site, wrong)[0].startswith("404")
    assert b"<html" in ask(site, "/dashboard/")[2].lower()
    [study] = json.loads(ask(site, "/api/studies")[2])["study_summaries"]
    detail = json.loads(ask(site, f"/api/studies/{study['study_id']}")[2])
    assert len(detail["trials"]) == 3
    assert detail["objective_names"] == ["loss"]
    assert {file: file.stat().st_mtime_ns for file in Path(path).rglob("*")} == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_through_it(path, method):
    status, _, body = ask(Site(path), "/api/studies/0", method)
    assert status == "403 Forbidden"
    assert "is read-only" in json.loads(body)["reason"]


def test_before_the_first_trial_it_says_so(path, tmp_path):
    (tmp_path / "young").mkdir()
    (tmp_path / "young/sweep.yaml").write_text(Path(path, "sweep.yaml").read_text())
    site = Site(str(tmp_path / "young"))
    assert b"No trial has started yet" in ask(site, "/dashboard/")[2]
    assert b"0 trials" in ask(site, "/")[2]


def test_a_sweep_that_is_gone_is_a_sentence(path, tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(Path(path, "sweep.yaml").read_text())
    site = Site(str(folder))
    (folder / "sweep.yaml").unlink()
    status, _, body = ask(site, "/")
    assert status.startswith("503")
    assert b"not a sweep" in body


def test_a_real_server_answers_and_ends(path):
    with serve(Site(path), "127.0.0.1", 0, "secret") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            root = f"http://127.0.0.1:{server.server_port}/"
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with pytest.raises(urllib.error.HTTPError, match="401"):
                browser.open(root, timeout=30)
            with browser.open(f"{root}?token=secret", timeout=30) as answer:
                assert b"3 trials" in answer.read()
            with browser.open(root, timeout=30) as answer:  # the browser has the cookie now
                assert b"3 trials" in answer.read()
        finally:
            server.shutdown()
            thread.join()


def through(guard, **environ):
    """The status of one request to a guarded site."""
    found = {}
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "localhost:8080", **environ}
    guard(environ, lambda status, headers: found.update(status=status, headers=headers))
    return found["status"]


@pytest.mark.parametrize("header", ["localhost", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3", socket.gethostname()])
def test_a_name_of_this_machine_and_the_token_let_through(header):
    guard = Guard(lambda environ, start: start("200 OK", []) or [], "secret")
    assert through(guard, HTTP_HOST=header, QUERY_STRING="token=secret") == "200 OK"
    assert through(guard, HTTP_HOST=header, HTTP_COOKIE="other=1; raybayes_token=secret") == "200 OK"


@pytest.mark.parametrize("header", ["evil.example", "evil.example:8080", "", "localhost.evil.example"])
def test_a_name_that_somebody_else_gives_away_is_refused_even_with_the_token(header):
    guard = Guard(lambda environ, start: start("200 OK", []) or [], "secret")
    assert through(guard, HTTP_HOST=header, QUERY_STRING="token=secret").startswith("403")


@pytest.mark.parametrize("wrong", ["", "token=", "token=secre", "token=Secret", "token=secret2", "TOKEN=secret"])
def test_without_the_token_nothing_is_shown(wrong):
    guard = Guard(lambda environ, start: start("200 OK", []) or [], "secret")
    assert through(guard, QUERY_STRING=wrong, HTTP_COOKIE="raybayes_token=no").startswith("401")


def test_a_port_in_use_names_a_free_one(path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["dashboard", path, "--port", str(taken.getsockname()[1])]) == 2
    errors = capsys.readouterr().err
    assert "Address already in use" in errors
    assert "--port " in errors


WRONG = [(["--port", "99999"], "from 1024"), (["--host", "203.0.113.9"], "--host")]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_places_that_cannot_be_served(path, capsys, options, words):
    assert main(["dashboard", path, "--port", "0", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_missing_extra_is_named(path, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "optuna_dashboard":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["dashboard", path]) == 2
    assert "pip install 'raybayes[dashboard]'" in capsys.readouterr().err


def test_a_folder_that_is_no_sweep(tmp_path, capsys):
    assert main(["dashboard", str(tmp_path)]) == 2
    assert "not a sweep" in capsys.readouterr().err


def test_a_machine_without_a_browser_says_how_to_reach_it(monkeypatch):
    def none(*_):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    said = opened("http://127.0.0.1:8080/", 8080)
    assert "this machine has no browser" in said
    assert "ssh -L 8080:127.0.0.1:8080" in said
    assert any("ssh -L 8080:127.0.0.1:8080" in line for line in announcement("runs/a", "127.0.0.1", 8080, "t"))
