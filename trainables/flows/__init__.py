"""Semi-conditional normalizing flows: a joint density of examples and labels with a cheap marginal."""

import torch

from raybayes.contract import Command, Load, Metric, Project, Rescore
from raybayes.data import is_path
from raybayes.errors import DataError
from trainables.flows.analysis.findings import SampleSettings, findings, resampled
from trainables.flows.config import Config, max_steps, model_problem
from trainables.flows.data.examples import fresh, require_unlabelled
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import SemiConditionalFlow
from trainables.flows.predicting import DrawSettings, PredictSettings, draw, predict
from trainables.flows.training import train
from trainables.flows.weights import Trained, load_trained

METRICS = (
    Metric("error", "minimize", "", "share of wrong labels on the validation examples"),
    Metric(
        "bpd", "minimize", "bits/dim", "-log2 p(x) per dimension, validation; pictures: of integer brightness values"
    ),
    Metric("nll", "minimize", "nats", "-log p(x) of a validation example, density of what the flow sees"),
    Metric("ce", "minimize", "nats", "-log p(y|x) of a validation example"),
    Metric("imbalance", "minimize", "nats", "KL(mean of p(y|x) || p(y)), validation; large: collapsed to few classes"),
    Metric("loss", "minimize", "nats", "objective, mean over the updates since the last report"),
    Metric("labelled_nll", "minimize", "nats", "-log p(x, y) of labelled training examples, same mean"),
    Metric("unlabelled_nll", "minimize", "nats", "-log p(x) of unlabelled training examples, same mean", False),
    Metric("grad_norm", "minimize", "", "norm of the gradient before clipping, same mean"),
    Metric("skipped", "minimize", "updates", "updates without a finite gradient since the last report"),
    Metric("inverse_error", "minimize", "", "largest |decode(encode(x)) - x| of 64 test examples; 1e9: not finite"),
    Metric("gflops", "minimize", "GFLOP", "floating-point operations per example in a training step"),
    Metric("test_error", "minimize", "", "share of wrong labels on the test examples", False),
    Metric("test_bpd", "minimize", "bits/dim", "bpd on the test examples", False),
    Metric("test_nll", "minimize", "nats", "nll on the test examples", False),
    Metric("logreg_error", "minimize", "", "test error of logistic regression on the labelled examples", False),
    Metric("nn_error", "minimize", "", "test error of the nearest labelled example, raw features", False),
    Metric("true_nll", "minimize", "nats", "moons, circles: nll of the true density on the test points", False),
    Metric("bayes_error", "minimize", "", "moons, circles: test error of the true posterior", False),
)


def check(config: Config, data: Load) -> None:
    """Raise DataError if a user's Parquet file cannot be trained on, or the flow does not fit its examples."""
    if not is_path(config.dataset):
        return
    found = fresh(config, data(config.dataset), torch.device("cpu"))
    require_unlabelled(config, found)
    if sentence := model_problem(config, found.shape):
        raise DataError(sentence)


PROJECT = Project(
    name="flows",
    summary="Semi-supervised learning by a semi-conditional normalizing flow: few labels, an exact joint density.",
    paper=(
        "Andrei Atanov, Alexandra Volokhova, Arsenii Ashukha, Ivan Sosnovik, Dmitry Vetrov. Semi-Conditional"
        " Normalizing Flows for Semi-Supervised Learning. INNF workshop at ICML 2019, arXiv 1905.00505"
    ),
    Config=Config,
    train=train,
    metrics=METRICS,
    fidelity="interval",
    parallel="data",
    smoke={"steps": 12, "reports": 3, "batch": 24, "points": 100, "validation": 50, "trunk.steps": 1, "head.steps": 1},
    data=("mnist-sample", "mnist", "cifar10-sample", "cifar10", "cifar10-lossless", "cifar10-original"),
    generated_datasets=("moons", "circles"),
    check=check,
    objective=("error", "bpd"),
    max_steps=max_steps,
    findings=findings,
    rescore=Rescore(SampleSettings, resampled),
    commands=(
        Command(
            "predict",
            "p(y|x), class, log p(x) and outlier rank of every row of a file.",
            "FILE",
            PredictSettings,
            predict,
        ),
        Command("sample", "Draw new pictures or rows of every class.", "", DrawSettings, draw),
    ),
)

__all__ = ["METRICS", "PROJECT", "Config", "SemiConditionalFlow", "Trained", "build_flow", "load_trained", "max_steps",
           "train"]  # fmt: skip
