import base64
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from raybayes.clock import VirtualClock
from raybayes.reporting.page.html import render_page
from raybayes.reporting.page.make_page import make_page, write_page
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout

VOID = {"meta", "img", "br"}
REPORTS = pa.table({"trial": pa.array([], pa.int64())})


class Page(HTMLParser):
    """Checks that every tag is closed, and collects text, links and pictures."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.pictures, self.links, self.rows = [], [], {}, [], 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag == "img":
            kind, _, data = found["src"].partition(";base64,")
            self.pictures[found["alt"]] = kind, base64.b64decode(data, validate=True)
        self.rows += tag == "tr"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def layout(tmp_path):
    return Layout(open_storage(str(tmp_path)).child("ensembles-lr"))


def page_of(layout, *args):
    shown = write_page(layout, make_page(*args, VirtualClock(1_780_000_000.0)))
    assert shown.endswith("ensembles-lr/report.html")
    return Page(layout.storage.read_bytes(layout.report_page).decode())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sweep, summary, accuracy, nll):
    """(layout, page) of a sweep of two objectives that has all there can be."""
    layout = Layout(open_storage(str(tmp_path_factory.mktemp("runs"))).child("ensembles-lr"))
    return layout, page_of(layout, summary(accuracy, nll), *sweep(30, repeats=True))


def test_the_page_holds_the_whole_result(whole):
    _, page = whole
    assert "30 trials: " in page.text
    assert "page of 2026-05-28 20:26 UTC" in page.text
    assert "Best trial" in page.text
    assert "accuracy (%), higher is better, nll (nats), lower is better" in page.text
    assert "ValueError: the loss is nan after step 3 of 30" in page.text
    assert "dataset: mnist" in page.text
    assert "members, curves" in page.text
    assert "torch 2.14.1" in page.text
    assert page.rows >= 30


def test_it_needs_no_network_and_runs_no_code(whole):
    layout, page = whole
    assert all(link.startswith(("data:image/", "#part-")) for link in page.links)
    html = layout.storage.read_bytes(layout.report_page).decode()
    assert "<script" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "@media print" in html


def test_every_figure_is_in_the_page_and_also_a_file(whole):
    layout, page = whole
    names = {"history", "curves", "history-2", "curves-2", "pareto", "importances", "slices", "parallel", "timeline"}
    assert layout.storage.list(layout.figures) == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    pictures = {layout.storage.read_bytes(layout.figure(name, kind)) for name in names for kind in ("png", "svg")}
    assert len(page.pictures) == len(names)
    for kind, data in page.pictures.values():
        assert data in pictures
        assert data.startswith(b"\x89PNG") if kind == "data:image/png" else b"<svg" in data


def test_a_thousand_trials_stay_under_five_megabytes(layout, sweep, summary, accuracy):
    trials, reports = sweep(1000, steps=40, nodes=8, slots=8)
    page = page_of(layout, summary(accuracy), trials, reports)
    assert len(layout.storage.read_bytes(layout.report_page)) < 5_000_000
    assert page.rows >= 1000
    assert "In print: at most 25 trials and 12 columns" in page.text


def test_without_a_finished_trial_it_shows_what_there_is(layout, sweep, summary, accuracy):
    page = page_of(layout, summary(accuracy, importances=None), *sweep(4, running=4, bad_rate=0, steps=9))
    assert "No trial has finished with a result yet. So far: 4 trials: 4 running; 4 of them" in page.text
    assert "Best trial" not in page.text
    assert any("over training" in caption for caption in page.pictures)


def test_repeats_are_counted_and_the_verdict_stands_above(sweep, summary, accuracy):
    trials, reports = sweep(12, repeats=True)
    trials = trials.append_column("n", pa.array([3] * 12, pa.int64()))
    page = Page(render_page(summary(accuracy, best_summary="Trial 3 & more."), trials, reports, {}, 0.0))
    assert "Best trial Trial 3 & more. trial" in page.text
    assert re.search(r"accuracy \(%\) [\d.]+ ± [\d.]+ \(n = 3\)", page.text)
    assert "accuracy (%) seeds steps time" in page.text


def test_without_any_trial_it_is_still_a_page(layout, empty, summary, accuracy):
    page = page_of(layout, summary(accuracy, importances=None), *empty)
    assert "0 trials." in page.text
    assert "No trial has started." in page.text
    assert page.pictures == {}
    assert "Specification" in page.text


def test_a_pareto_front_is_a_table_of_its_trials(summary, accuracy, nll):
    n = 12
    trials = pa.table(
        {
            "trial": range(n),
            "state": ["COMPLETE"] * n,
            "steps": [1] * n,
            "accuracy": [float(i) for i in range(n)],
            "nll": [float(i) for i in range(n)],
            "config.lr": [0.1 * (i + 1) for i in range(n)],
            "seconds": [1.0] * n,
            "started": [float(i) for i in range(n)],
            "ended": [i + 1.0 for i in range(n)],
            "node": ["n"] * n,
            "attempts": [1] * n,
            "failure": pa.array([None] * n, pa.string()),
        }
    )
    page = Page(render_page(summary(accuracy, nll), trials, REPORTS, {}, now=0.0))
    assert "Pareto front, 12 trials" in page.text
    assert "4 more have a star in the table of trials." in page.text
    assert page.text.count("★") == 12


def test_what_users_wrote_is_text_and_never_html(sweep, summary, accuracy):
    trials, reports = sweep(12, bad_rate=0.5)
    evil = "<script>alert(1)</script>"
    for column in ("config.method", "failure", "node"):
        at = trials.column_names.index(column)
        trials = trials.set_column(at, column, pa.array([evil] * 12))
    html = render_page(
        summary(accuracy, name=evil, spec={"x": evil}, path=evil, project=evil),
        trials,
        reports,
        {},
        now=0.0,
        notice=evil,
    )
    assert "<script" not in html
    assert evil in Page(html).text


def test_what_was_run_says_seeds_machines_duration_and_cost(layout, sweep, summary, accuracy):
    facts = {"cpus": 4.0, "gpus": 0.5, "repeats": 3, "bursts": 2, "hardware": {"host": "login1", "cpus": 64}}
    trials, reports = sweep(30, gap_after=20, running=0)
    hours = sum(trials["seconds"].to_pylist()) / 3600
    text = Page(render_page(summary(accuracy, **facts), trials, reports, {}, now=0.0)).text
    assert "each configuration with 3 seeds derived from it" in text
    assert "host login1, cpus 64" in text
    assert re.search(r"duration 1 d 06 h, \d\d m \d\d s of it in 2 bursts", text)
    assert f"{4 * hours:.3g} CPU-hours, {0.5 * hours:.3g} GPU-hours" in text
    assert re.search(r"up to 6 trials; their slots were busy \d\d% of the working time", text)
    assert "node0 (" in text
    assert f"{len(reports):,} reports, one per epoch" in text


def test_the_page_says_why_the_projects_part_is_missing(sweep, summary, accuracy):
    text = Page(render_page(summary(accuracy), *sweep(5), {}, now=0.0, notice="no project of that name")).text
    assert "no project of that name" in text
