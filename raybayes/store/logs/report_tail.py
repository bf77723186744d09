"""Reads the reports of a running sweep, each time only the new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import Row, list_report_files, parse_lines


class ReportTail:
    """Follows the reports of all bursts of a sweep, in the order in which each burst wrote them.

    A burst that ends converts its log into a table with the same rows in the same order, so it is enough to remember
    the number of rows read per burst. Many processes may follow; none of them writes.

    Args:
        without: numbers of bursts to skip.
    """

    def __init__(self, layout: Layout, without: Collection[int] = ()) -> None:
        self._layout, self._without = layout, frozenset(without)
        self._seen: Counter[int] = Counter()  # rows, by burst
        self._bytes: Counter[str] = Counter()  # of each log, up to the end of its last complete line
        self._done: set[str] = set()  # tables and parts that were read

    def read_new(self) -> list[tuple[int, Row]]:
        """(burst, report) of every report written since the last call.

        Raises:
            StoreError: the storage cannot be read now; the next call returns what this one missed.
        """
        found: list[tuple[int, Row]] = []
        files = list_report_files(self._layout)
        tables = {burst for burst, part, path in files if part is None and path.endswith(".parquet")}
        for burst, part, path in files:
            if burst in self._without or path in self._done or (part is not None and burst in tables):
                continue
            try:
                rows = self._lines(path) if path.endswith(".jsonl") else self._table(burst, part, path)
            except StoreError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    continue  # the burst ended meanwhile: the next call reads its table
                raise
            self._seen[burst] += len(rows)
            found += [(burst, row) for row in rows]
        return found

    def _lines(self, path: str) -> list[Row]:
        with self._layout.storage.reading(path) as file:
            file.seek(self._bytes[path])
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._bytes[path] += len(whole)
        return parse_lines(whole, path)[0]  # `raybayes check` names what is damaged

    def _table(self, burst: int, part: int | None, path: str) -> list[Row]:
        table = parquet.read_table(self._layout.storage, path)
        self._done.add(path)
        if part is None:  # of the whole burst: it begins with what was read of its log
            table = table.slice(self._seen[burst])
        return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
