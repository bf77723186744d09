"""The findings of a sweep of ensembles: tables of deep ensemble equivalents and of detection, and figures."""

from __future__ import annotations

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.contract import Findings, Finished
from trainables.ensembles.analysis import figures
from trainables.ensembles.analysis.comparison import (
    Entry,
    comparable,
    entries,
    mean_and_error,
    record,
    reference,
    size_table,
    summary_table,
)
from trainables.ensembles.metrics.reference import ReferenceCurve
from trainables.ensembles.stored.rescore import detect_foreign


def findings(finished: Finished) -> Findings:
    """The methods of a sweep on the test images, each by its best trial on the validation images.

    DEE is relative to the deep ensembles of the same sweep, with the networks of all repeats as one pool.
    """
    if "curve" not in finished.tables:
        return Findings()
    return compared(finished, finished.table("curve"), "test")


def compared(finished: Finished, results: pa.Table, split: str) -> Findings:
    """Tables and figures from a long table of results (`comparison.entries`), per data set and architecture."""
    tables: dict[str, pa.Table] = {}
    drawn: dict[str, Figure] = {}
    for (dataset, model), listed in entries(results, split).items():
        if not listed:
            continue
        place = f"{dataset}, {model}"
        predictions = {found.label: finished.table("predictions", found.trial) for found in listed}
        curve = reference(finished, listed, split)
        fair = _comparable(listed, predictions) if curve is not None else []
        tables |= _tables(place, split, listed, fair, curve)
        if detection := _detection(listed, predictions):
            tables[f"Detection of foreign images among test images, {place}"] = pa.Table.from_pylist(detection)
        drawn |= figures.draw(place, split, listed, fair, curve, predictions)
    return Findings(tables, drawn, results)


def _comparable(listed: list[Entry], predictions: dict[str, pa.Table]) -> list[Entry]:
    known = record(predictions["deep_ensemble"])
    return [found for found in listed if comparable(known, record(predictions[found.label]))]


def _tables(
    place: str, split: str, listed: list[Entry], fair: list[Entry], curve: ReferenceCurve | None
) -> dict[str, pa.Table]:
    if curve is None:
        title = f"Methods on the {split} images, {place} (no deep ensembles in this sweep, so no DEE)"
        return {title: summary_table(listed, None)}
    title = f"Methods on the {split} images, {place}; DEE by {curve.pool} networks in {curve.orders} orders"
    found = {title: summary_table(fair, curve), f"DEE by ensemble size, {place}": size_table(fair, curve)}
    if others := [one for one in listed if one not in fair]:
        found[f"Trained on other data, augmentation or dropout, so without DEE, {place}"] = summary_table(others, None)
    return found


def _detection(listed: list[Entry], predictions: dict[str, pa.Table]) -> list[dict[str, object]]:
    """AUROC and FPR at 95 % TPR of the whole ensembles, by entropy; empty without predicted foreign images."""
    rows = []
    for found in listed:
        table = predictions[found.label]
        if "foreign" not in table["split"].unique().to_pylist():
            continue
        scored = detect_foreign(table, sizes=(found.sizes[-1],)).to_pylist()
        detected = [row for row in scored if row["score"] == "entropy"]
        row: dict[str, object] = {"method": found.label, "n": len(detected), "K": found.sizes[-1]}
        for title, name in (("AUROC", "roc_auc"), ("FPR95", "fpr_at_95_tpr"), ("AP foreign", "average_precision_out")):
            row[title], row[f"{title}.se"] = mean_and_error(one[name] for one in detected)
        rows.append(row)
    return sorted(rows, key=lambda row: -float(str(row["AUROC"])))
