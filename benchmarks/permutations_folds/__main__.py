"""Five folds of the ranking data: `python -m benchmarks.permutations_folds [--quick]`. About three minutes of one core.

All 251 queries of the data set, dealt to five folds at random; each is the test once. Every method is trained anew in
each fold with the settings of the page's table, so that each query is scored once by models that have not seen it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import raybayes as rb
from benchmarks import measurement
from raybayes import data
from trainables.permutations.analysis.comparison import mean_and_error

FOLDS = 5
RIVAL = "lightgbm"
SETTINGS = {"task": "ranking", "estimator": "rloo", "scale_by_std": True, "lr": 0.02, "samples": 16,
            "evaluations": 1600, "runs": 4, "reports": 1}  # fmt: skip


def folds(folder: Path) -> list[Path]:
    """A Parquet file for each fold, with a column split."""
    tables = data.load("ltr")
    rows = pa.concat_tables([table.select(["query_id", "relevance", "features"]) for table in tables.values()])
    ids = rows["query_id"].to_numpy()
    dealt = np.random.default_rng(0).permutation(np.unique(ids))
    paths = []
    for fold in range(FOLDS):
        held = np.isin(ids, dealt[fold::FOLDS])
        paths.append(folder / f"fold-{fold}.parquet")
        pq.write_table(rows.append_column("split", pa.array(np.where(held, "test", "train"))), paths[-1])
    return paths


def measure(quick: bool) -> dict[tuple[str, str], list[float]]:
    """By method and metric, each test query's value, mean over runs; a query without a relevant document has none."""
    found: dict[tuple[str, str], list[float]] = {}
    settings = SETTINGS | ({"evaluations": 32} if quick else {})
    with tempfile.TemporaryDirectory() as folder:
        for path in folds(Path(folder))[: 1 if quick else FOLDS]:
            run = rb.train("permutations", {**settings, "dataset": str(path)}, storage=folder, name=path.stem,
                           executor="local")  # fmt: skip
            values: dict[tuple[str, str], dict[int, list[float]]] = {}
            for row in run.table("scores").to_pylist():
                if row["metric"].startswith("ndcg"):
                    of_method = values.setdefault((row["method"], row["metric"]), {})
                    of_method.setdefault(row["unit"], []).append(row["value"])
            for key, units in values.items():
                found.setdefault(key, []).extend(float(np.mean(unit)) for unit in units.values())
    return found


def page(found: dict[tuple[str, str], list[float]], made: str) -> str:
    """The table in Markdown, the best method first."""
    methods = sorted({method for method, _ in found}, key=lambda method: -float(np.mean(found[method, "ndcg10"])))
    said = "Mean ± standard error over all test queries; the last column is the mean difference to"
    lines = [f"# Rankings: {FOLDS} folds", "", f"{said} {RIVAL} on the same query.", "", made, "",
             f"| method | n | NDCG@5 | NDCG@10 | NDCG@10 - {RIVAL} |", "|---|---:|---:|---:|---:|"]  # fmt: skip
    for method in methods:
        cells = [mean_and_error(np.array(found[method, metric])) for metric in ("ndcg5", "ndcg10")]
        if (RIVAL, "ndcg10") in found and method != RIVAL:
            cells.append(mean_and_error(np.array(found[method, "ndcg10"]) - np.array(found[RIVAL, "ndcg10"])))
        shown = [f"{mean:.3f} ± {error:.3f}" for mean, error in cells] + [""] * (3 - len(cells))
        lines.append(f"| {method.replace('_', ' ')} | {len(found[method, 'ndcg10'])} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    options = measurement.parser("permutations_folds", __doc__, "one fold, few updates").parse_args(argv)
    threads, before = torch.get_num_threads(), measurement.load()
    torch.set_num_threads(1)
    try:
        found = measure(options.quick)
    finally:
        torch.set_num_threads(threads)
    machine = measurement.this_machine(before)
    text = page(found, f"`python -m benchmarks.permutations_folds`, {machine.date}, {machine.versions}.")
    print(text)
    if not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "permutations_folds.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
