"""Users' text files as tables: CSV with a header, and svmlight (libsvm) with query ids."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from raybayes.errors import DataError


def read_csv(path: Path) -> pa.Table:
    """A CSV file with a header; empty cells become null, in text too.

    Raises:
        DataError: it cannot be read as CSV, or two columns have one name.
    """
    try:
        convert = pa.csv.ConvertOptions(strings_can_be_null=True)
        table = pa.csv.read_csv(path, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]}); mend the file.") from error
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the column {twice[0]} occurs twice; rename one.")
    return table


def read_svmlight(path: Path) -> pa.Table:
    """Lines "grade qid:QUERY index:value ... # comment" as query_id, relevance, features; absent indices count as 0.

    Raises:
        DataError: naming the line: no query, a query that comes back after another one, a grade below 0 or not whole,
            an index below 1 or out of order, a value that is not finite.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); give an svmlight file.") from None
    queries: list[str] = []
    grades: list[int] = []
    documents: list[dict[int, float]] = []
    ended: set[str] = set()
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            grade, query, features = _document(words)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; a line is: grade qid:QUERY index:value ...") from None
        if queries and query != queries[-1]:
            ended.add(queries[-1])
        if query in ended:
            raise DataError(f"{path}, line {number}: qid:{query} comes back after another query; sort the file by qid.")
        queries.append(query)
        grades.append(grade)
        documents.append(features)
    if not documents:
        raise DataError(f"{path}: found no document.")
    width = max(max(features, default=0) for features in documents)
    rows = [[features.get(index, 0.0) for index in range(1, width + 1)] for features in documents]
    whole = all(query.lstrip("-").isdigit() for query in queries)
    ids = pa.array([int(query) for query in queries]) if whole else pa.array(queries)
    kind = pa.list_(pa.float64())
    return pa.table({"query_id": ids, "relevance": pa.array(grades), "features": pa.array(rows, kind)})


def _document(words: list[str]) -> tuple[int, str, dict[int, float]]:
    grade = float(words[0])
    if not grade.is_integer() or grade < 0:
        raise ValueError(f"found the grade {words[0]}, which must be 0 or a whole number above")
    if len(words) < 2 or not words[1].startswith("qid:") or not words[1][4:]:
        raise ValueError("found no qid")
    features: dict[int, float] = {}
    last = 0
    for word in words[2:]:
        index, colon, value = word.partition(":")
        if not colon or not index.isdigit() or int(index) <= last:
            raise ValueError(f"found {word!r}, where an index above {last} was due")
        last = int(index)
        features[last] = float(value)
        if not math.isfinite(features[last]):
            raise ValueError(f"found {word!r}, which is not finite")
    return int(grade), words[1][4:], features
