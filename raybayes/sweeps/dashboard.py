"""A sweep, or all of a storage, in a browser: Optuna's dashboard, the report and the figures. It only reads."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from html import escape
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from raybayes.clock import WALL, Clock
from raybayes.errors import RaybayesError, SpecError, StoreError
from raybayes.reporting.tables.trials_table import describe_counts
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.collection import as_row, list_sweeps, sweep_names
from raybayes.sweeps.dashboard_guard import Guard
from raybayes.sweeps.results import SweepResult

if TYPE_CHECKING:
    from raybayes.reporting.page.make_page import Page

SHOWN = ("history", "curves", "importances", "timeline")  # figures on the first page
FRESH_S = 60.0  # the page of a running sweep is redrawn at most this often
Answer = Iterable[bytes]
Start = Callable[..., Any]
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}"
    "a{color:#0072b2}figure{display:inline-block;width:46%;margin:1%;vertical-align:top}img{width:100%}"
)


class Site:
    """The WSGI application of one sweep: `/`, `/report`, `/figures/NAME`, and Optuna's dashboard below `/dashboard/`.

    Args:
        path: the sweep's folder or URI.
        root: where it lies on the server: "/sweeps/lr" if it is one of several.

    Raises:
        SpecError: optuna-dashboard is not installed.
        StoreError: there is no sweep.
    """

    def __init__(self, path: str, clock: Clock = WALL, root: str = "") -> None:
        self._path, self._clock, self._root = path, clock, root
        self._name = SweepResult(path).layout.name
        self._wsgi = _optuna_dashboard()
        self._optuna: Any = None
        self._mutex = threading.Lock()  # matplotlib draws one figure at a time
        self._page: Page | None = None
        self._drawn = 0.0

    def __call__(self, environ: Mapping[str, Any], start: Start) -> Answer:
        """Answer one request; an error is a page with one sentence, never a traceback."""
        path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            reason = {"reason": "The dashboard is read-only; use the command line to change the sweep."}
            return _answer(start, "403 Forbidden", "application/json", json.dumps(reason).encode())
        try:
            if path in ("", "/"):
                return _answer(start, "200 OK", "text/html", self._front().encode())
            if path.rstrip("/") == "/report":
                return _answer(start, "200 OK", "text/html", self._fresh().html.encode())
            if path.startswith("/figures/"):
                return self._figure(path.removeprefix("/figures/"), start)
            return self._dashboard(environ, start)
        except RaybayesError as error:
            return _answer(start, "503 Service Unavailable", "text/html", _page(self._name, f"<p>{escape(str(error))}"))

    def _fresh(self) -> Page:
        with self._mutex:
            now = self._clock.elapsed()
            if self._page is None or now - self._drawn > FRESH_S:
                self._page, self._drawn = SweepResult(self._path).page(), now
            return self._page

    def _front(self) -> str:
        sweep = SweepResult(self._path)
        at = f"{self._root}/figures"
        picture = '<figure><a href="{1}/{0}.svg"><img src="{1}/{0}.png" alt="{0}: nothing yet"></a></figure>'
        pictures = "".join(
            picture.format(name, at) for name in SHOWN
        )  # the browser fetches them: drawing takes seconds
        body = (
            f"<h1>{escape(self._name)}</h1><p>{escape(sweep.spec.project)}: "
            f"{escape(describe_counts(sweep.trials))}.</p>"
            f'<p><a href="{self._root}/report">Report</a> · <a href="/dashboard/">Optuna dashboard</a></p>'
            f"{pictures}<p><code>{escape(sweep.path)}</code></p>"
        )
        return _page(self._name, body).decode()

    def _figure(self, name: str, start: Start) -> Answer:
        stem, _, kind = name.rpartition(".")
        files = self._fresh().figures
        if stem not in files or kind not in ("svg", "png"):
            return _answer(start, "404 Not Found", "text/plain", b"No such figure.")
        mime = "image/svg+xml" if kind == "svg" else "image/png"
        return _answer(start, "200 OK", mime, files[stem][0 if kind == "svg" else 1])

    def _dashboard(self, environ: Mapping[str, Any], start: Start) -> Answer:
        if self._optuna is None:
            study = SweepResult(self._path).open_study()
            if not study.has_trials:
                text = "<p>No trial has started yet; reload this page later."
                return _answer(start, "200 OK", "text/html", _page(self._name, text))
            self._optuna = self._wsgi(study.storage)
        answer: Answer = self._optuna(environ, start)
        return answer


class StorageSite:
    """The WSGI application of all sweeps of a storage: a list, `/sweeps/NAME/` as `Site`, and one Optuna dashboard.

    Raises:
        SpecError: optuna-dashboard is not installed.
        StoreError: there is no such folder.
    """

    def __init__(self, storage: str, clock: Clock = WALL) -> None:
        self._storage, self._clock = storage, clock
        self._wsgi = _optuna_dashboard()
        self._sites: dict[str, Site] = {}
        self._optuna: Any = None
        self._copied = 0.0
        self._mutex = threading.Lock()
        list_sweeps(storage)

    def __call__(self, environ: Mapping[str, Any], start: Start) -> Answer:
        """Answer one request; an error is a page with one sentence, never a traceback."""
        path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            reason = {"reason": "The dashboard is read-only; use the command line to change a sweep."}
            return _answer(start, "403 Forbidden", "application/json", json.dumps(reason).encode())
        try:
            if path in ("", "/"):
                return _answer(start, "200 OK", "text/html", self._front())
            if path.startswith("/sweeps/"):
                name, _, rest = path.removeprefix("/sweeps/").partition("/")
                return self._site(name)({**environ, "PATH_INFO": f"/{rest}"}, start)
            return self._dashboard(environ, start)
        except RaybayesError as error:
            text = f"<p>{escape(str(error))}"
            return _answer(start, "503 Service Unavailable", "text/html", _page(self._storage, text))

    def _front(self) -> bytes:
        heads = "".join(f"<th align=left>{head}" for head in ("", "project", "state", "trials", "best", "age", "by"))
        rows = "".join(
            f'<tr><td><a href="/sweeps/{quote(each.name)}/">{escape(each.name)}</a>'
            + "".join(f"<td>{escape(cell)}" for cell in list(as_row(each).values())[1:])
            for each in list_sweeps(self._storage)
        )
        links = '<p><a href="/dashboard/">Optuna dashboard</a>'
        return _page(self._storage, f"<h1>{escape(self._storage)}</h1>{links}<table><tr>{heads}{rows}</table>")

    def _site(self, name: str) -> Site:
        if name not in sweep_names(self._storage):
            raise StoreError(f"there is no sweep {name!r} in {self._storage}")
        if name not in self._sites:
            path = open_storage(self._storage).display_path(name)
            self._sites[name] = Site(path, self._clock, f"/sweeps/{quote(name)}")
        return self._sites[name]

    def _dashboard(self, environ: Mapping[str, Any], start: Start) -> Answer:
        with self._mutex:  # a copy of all studies, made anew when it is old
            now = self._clock.elapsed()
            if self._optuna is None or now - self._copied > FRESH_S:
                storage = open_storage(self._storage)
                paths = {name: storage.display_path(name) for name in sweep_names(self._storage)}
                self._optuna, self._copied = self._wsgi(copies_of_studies(paths)), now
        answer: Answer = self._optuna(environ, start)
        return answer


def copies_of_studies(paths: Mapping[str, str]) -> Any:
    """An Optuna storage in memory with the studies of some sweeps, by name; those without one are left out."""
    from raybayes.engine.controller.journal_file import journal_file
    from raybayes.search.study.exchange import in_memory

    locations = {}
    for name, path in paths.items():
        with contextlib.suppress(RaybayesError):
            layout = SweepResult(path).layout
            locations[name] = str(journal_file(layout))
    return in_memory(locations)


def site_of(path: str) -> Site | StorageSite:
    """The site of a sweep, or of all sweeps of a storage. Raises StoreError if the folder is neither."""
    storage = open_storage(path)
    return Site(path) if storage.exists(Layout(storage).spec) or not sweep_names(path) else StorageSite(path)


def _optuna_dashboard() -> Callable[[Any], Any]:
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise SpecError(
            "optuna-dashboard is not installed; run pip install 'raybayes[dashboard]' (raybayes report and raybayes "
            "watch work without it)."
        ) from None
    made: Callable[[Any], Any] = wsgi
    return made


def _answer(start: Start, status: str, mime: str, body: bytes) -> Answer:
    kind = f"{mime}; charset=utf-8" if mime.startswith("text/") else mime
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _page(title: str, body: str) -> bytes:
    head = f'<meta charset="utf-8"><title>{escape(title)}: raybayes</title><style>{_STYLE}</style>'
    return f"<!DOCTYPE html><html lang=en><head>{head}</head><body>{body}</body></html>".encode()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a browser asks every few seconds."""


def serve(site: Site | StorageSite, host: str, port: int, token: str) -> WSGIServer:
    """A server that is bound to its port; `serve_forever` runs it, in as many threads as a browser asks for.

    Args:
        token: what a browser must know; see `Guard`.

    Raises:
        SpecError: the port is in use, out of range or forbidden; the host is not an address of this machine.
    """
    if not 0 <= port <= 65535:
        raise SpecError(f"--port: found {port}; use a number from 1024 to 65535.")
    try:
        return make_server(host, port, Guard(site, token, host), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"choose another one, e.g. --port {free_port(host)}"
        elif error.errno == errno.EACCES:
            advice = "ports below 1024 need administrator rights; choose a higher one"
        else:
            advice = "choose an address of this machine with --host"
        raise SpecError(f"cannot serve on {host}:{port}: {error.strerror or error}; {advice}.") from None


def free_port(host: str) -> int:
    """A port of this machine that is free now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((host, 0))
        number: int = probe.getsockname()[1]
        return number
