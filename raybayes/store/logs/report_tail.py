"""Reads what a sweep reports while it runs, each time only what has come since."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

from raybayes.errors import StoreError
from raybayes.store import parquet
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import Row, report_files


class ReportTail:
    """The reports of a sweep as they come, those of all bursts, in the order in which each burst wrote them.

    A burst that ends turns its log into a table of the same rows in the same order, so a count of rows is all that
    must be remembered of a burst. Many processes may follow; none of them writes.

    Args:
        without: numbers of bursts that are passed over.
    """

    def __init__(self, layout: Layout, without: Collection[int] = ()) -> None:
        self._layout, self._without = layout, frozenset(without)
        self._seen: Counter[int] = Counter()  # rows, by burst
        self._bytes: Counter[str] = Counter()  # of each log, up to the end of its last whole line
        self._done: set[str] = set()  # tables and parts that were read

    def news(self) -> list[tuple[int, Row]]:
        """(burst, report) of every report that was written since the last call.

        Raises:
            StoreError: the storage cannot be read now; the next call gives what this one has missed.
        """
        found: list[tuple[int, Row]] = []
        files = report_files(self._layout)
        tables = {burst for burst, part, path in files if part is None and path.endswith(".parquet")}
        for burst, part, path in files:
            if burst in self._without or path in self._done or (part is not None and burst in tables):
                continue
            try:
                rows = self._lines(path) if path.endswith(".jsonl") else self._table(burst, part, path)
            except StoreError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    continue  # the burst ended while we looked: its table comes with the next call
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
        return [json.loads(line) for line in whole.splitlines() if line.strip()]

    def _table(self, burst: int, part: int | None, path: str) -> list[Row]:
        table = parquet.read_table(self._layout.storage, path)
        self._done.add(path)
        if part is None:  # the whole burst: what was read of its log is its beginning
            table = table.slice(self._seen[burst])
        return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
