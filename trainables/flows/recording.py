"""What a run leaves behind: the metrics of a report, and the tables `run`, `predictions`, `samples` and `weights`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from torch import Tensor

from raybayes.contract import Context
from trainables.flows.config import TOYS, Config
from trainables.flows.controls import control_errors
from trainables.flows.data.examples import FlowData
from trainables.flows.data.toys import true_log_joint
from trainables.flows.evaluation import Scores
from trainables.flows.models.flow import SemiConditionalFlow
from trainables.flows.sampling import class_samples, samples_table
from trainables.flows.weights import weights_table

_LAST = ("test_error", "test_bpd", "test_nll", "logreg_error", "nn_error", "true_nll", "bayes_error", "gflops")


def metrics_of(scores: Scores, log_prior: Tensor) -> dict[str, float]:
    """The validation scores, by metric."""
    return {
        "error": scores.error,
        "bpd": scores.bpd,
        "nll": scores.nll,
        "ce": scores.ce,
        "imbalance": scores.imbalance(log_prior),
    }


def references(config: Config, data: FlowData) -> dict[str, float]:
    """What test scores are compared with: methods that use the labelled examples only, and the known truth."""
    found: dict[str, float] = {}
    if config.controls:
        found |= control_errors(data.train.at(data.labelled), data.test, data.classes)
    if config.dataset in TOYS:
        joint = true_log_joint(config.dataset, config.spread, data.test.x.cpu())
        found["true_nll"] = -float(joint.logsumexp(1).mean())
        found["bayes_error"] = float((joint.argmax(1) != data.test.labels.cpu()).double().mean())
    return found


def save(
    flow: SemiConditionalFlow,
    config: Config,
    data: FlowData,
    scores: Scores,
    test: Scores,
    seconds: float,
    metrics: Mapping[str, float],
    ctx: Context,
) -> None:
    """Store what `findings` and users read: the run in one row, test predictions, samples, the trained flow."""
    ctx.save_table("run", _run_table(config, data, scores, seconds, metrics))
    ctx.save_table("predictions", _predictions(data, test))
    ctx.save_table("data", data_table(data))
    drawn, labels = class_samples(flow, 10, ctx.rng("samples"))
    ctx.save_table("samples", samples_table(drawn, labels, data.pictures, data.projection, data.names))
    if config.keep_weights:
        ctx.save_table("weights", weights_table(flow, data, config))


def data_table(data: FlowData) -> pa.Table:
    """What the run used: how many examples for what, which columns as what, and which not and why."""
    lines = [
        ("examples", "labelled", f"{len(data.labelled)} train"),
        ("examples", "unlabelled", f"{len(data.unlabelled)} train"),
        ("examples", "validation", f"{len(data.val)} choose among trials"),
        ("examples", "test", f"{len(data.test)} are scored once, at the end"),
        ("classes", ", ".join(data.names), f"{data.classes} in all"),
    ]
    lines += [("column", feature.name, f"used: {feature.kind}") for feature in data.features]
    lines += [("column", name, f"not used: {reason}") for name, reason in data.dropped.items()]
    lines += [("note", "", sentence) for sentence in data.notes]
    return pa.table({name: [line[i] for line in lines] for i, name in enumerate(("what", "name", "use"))})


def _run_table(
    config: Config, data: FlowData, scores: Scores, seconds: float, metrics: Mapping[str, float]
) -> pa.Table:
    """One row; a metric that this run does not have is null."""
    row: dict[str, Any] = {
        "dataset": config.dataset, "preset": config.preset, "objective": config.objective,
        "labelled_share": config.labelled_share, "labels": len(data.labelled), "split_seed": config.split_seed,
        "n_unlabelled": len(data.unlabelled), "n_val": len(data.val), "n_test": len(data.test),
        "trunk": config.trunk.kind, "head": config.head.kind, "steps": config.steps, "batch": config.batch,
        "error": scores.error, "bpd": scores.bpd,
        "weights": config.keep_weights, "seconds": seconds, "config": config.model_dump_json(),
    }  # fmt: skip
    columns = {name: pa.array([value]) for name, value in row.items()}
    return pa.table({**columns, **{name: pa.array([metrics.get(name)], pa.float64()) for name in _LAST}})


def _predictions(data: FlowData, test: Scores) -> pa.Table:
    """One row per test example."""
    return pa.table(
        {
            "row": list(range(len(data.test))),
            "label": data.test.labels.tolist(),
            "predicted": test.posterior.argmax(1).tolist(),
            "label_name": [data.names[k] for k in data.test.labels.tolist()],
            "predicted_name": [data.names[k] for k in test.posterior.argmax(1).tolist()],
            "confidence": pa.array(test.posterior.max(1).values.tolist(), pa.float32()),
            "log_density": pa.array(test.log_density.tolist(), pa.float32()),
        }
    )
