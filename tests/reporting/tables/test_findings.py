"""Findings as text: means carry their errors, nothing is wider than the terminal, nothing is left out in silence."""

import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from raybayes.errors import SpecError, StoreError
from raybayes.reporting.export import write_figures, write_long
from raybayes.reporting.tables.findings import file_name, findings_columns, findings_table, render_findings


def printed(table, width, rows=40):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(findings_table(table, width, rows))
    return console.export_text()


def test_a_standard_error_stands_beside_its_mean():
    table = pa.table({"method": ["a", "b"], "cll": [-0.1234, None], "cll.se": [0.0021, None], "n": [3, 1]})
    found = findings_columns(table)
    assert [column.header for column in found] == ["method", "cll", "n"]
    assert found[1].cells == ["-0.1234 ± 0.0021", "–"]
    assert [column.numeric for column in found] == [False, True, True]


@pytest.mark.parametrize("width", [30, 60, 100])
def test_it_is_never_wider_than_the_terminal(width):
    table = pa.table({f"a rather long name {i}": [1.0, 2.0] for i in range(8)})
    lines = printed(table, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("Columns that did not fit: ") for line in lines)


@pytest.mark.parametrize("width", [60, 100])
def test_a_long_text_is_shown_whole_in_several_lines(width):
    note = " ".join(f"word{i}" for i in range(40))
    text = printed(pa.table({"split": ["fold"], "note": [note], "n": [3]}), width)
    assert max(map(len, text.splitlines())) <= width
    assert [word for word in note.split() if word not in text] == []
    assert note in render_findings(pa.table({"note": [note]}))


def test_rows_beyond_the_limit_are_counted():
    assert "37 more rows are not shown." in printed(pa.table({"k": list(range(40))}), 80, rows=3)


def test_the_page_holds_every_row_as_text():
    html = render_findings(pa.table({"method": ["<b>"] * 50}))
    assert html.count("<tr>") == 51
    assert "<b>" not in html


def test_a_caption_becomes_a_file_name():
    assert file_name("CLL against K, 8 members (mean ± s.e.)") == "cll-against-k-8-members-mean-s-e"


def test_a_table_that_is_not_there_or_cannot_be_written(tmp_path):
    with pytest.raises(SpecError, match="has no table of results"):
        write_long(None, "x.csv", "csv")
    with pytest.raises(StoreError, match="cannot be written"):
        write_long(pa.table({"a": [1]}), str(tmp_path / "no" / "x.csv"), "csv")
    assert list(tmp_path.iterdir()) == []


def test_csv_says_what_it_cannot_hold(tmp_path):
    with pytest.raises(SpecError, match=r"the column 'a' \(list<item: int64>\); use --format parquet"):
        write_long(pa.table({"a": [[1]]}), str(tmp_path / "x.csv"), "csv")
    with pytest.raises(SpecError, match=r"^standard output: CSV cannot hold the column 'a'"):
        write_long(pa.table({"a": [[1]]}), "-", "csv")
    assert list(tmp_path.iterdir()) == []


def test_figures_become_files_named_by_their_captions(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    (written,) = write_figures({"Samples by class, trial 3": figure}, str(tmp_path / "new"))
    assert written == str(tmp_path / "new" / "samples-by-class-trial-3.png")
    assert (tmp_path / "new" / "samples-by-class-trial-3.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SpecError, match="has no figure"):
        write_figures({}, str(tmp_path / "none"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_figures({"x": figure}, str(tmp_path / "taken"))
