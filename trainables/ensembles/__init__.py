"""Ensembles of deep networks, scored by their uncertainty in the domain they were trained for."""

from raybayes.contract import Fusion, Load, Metric, Project, Rescore
from raybayes.data import describe
from trainables.ensembles.analysis import RescoreSettings, findings, rescored
from trainables.ensembles.config import Config
from trainables.ensembles.data.images import check_sizes
from trainables.ensembles.run.plan import first_member, max_steps
from trainables.ensembles.training.train import train
from trainables.ensembles.training.train_fused import fusion_key, most_fused, train_fused

METRICS = (
    Metric("cll", "maximize", "nats", "calibrated log-likelihood on the validation images, cross-validated"),
    Metric("cll_area", "maximize", "nats", "mean of cll over the logarithm of the ensemble size, from 1 to now"),
    Metric("ll", "maximize", "nats", "log-likelihood on the validation images, without temperature scaling"),
    Metric("error", "minimize", "", "share of wrong predictions on the validation images"),
    Metric("brier", "minimize", "", "Brier score on the validation images, summed over classes"),
    Metric("ece", "minimize", "", "expected calibration error on the validation images, 15 bins; do not rank by it"),
    Metric("temperature", "minimize", "", "mean fitted temperature; below 1 the ensemble is under-confident"),
    Metric("members", "maximize", "", "finished members"),
    Metric("cost_epochs", "minimize", "epochs", "training epochs so far, summed over all runs"),
    Metric("test_cll", "maximize", "nats", "calibrated log-likelihood of the finished ensemble, test images", False),
    Metric("test_ll", "maximize", "nats", "log-likelihood of the whole ensemble on the test images", False),
    Metric("test_error", "minimize", "", "share of wrong predictions of the finished ensemble, test images", False),
    Metric("test_brier", "minimize", "", "Brier score of the whole ensemble on the test images", False),
    Metric("test_ece", "minimize", "", "expected calibration error of the whole ensemble on the test images", False),
    Metric("test_aurc", "minimize", "", "area under the risk-coverage curve, finished ensemble, test images", False),
    Metric("test_disagreement", "maximize", "", "share of pairs of members that choose different classes", False),
    Metric("test_mutual_information", "maximize", "nats", "disagreement of the members, mean over images", False),
    Metric("test_temperature", "minimize", "", "mean temperature fitted on halves of the test images", False),
)


def check(config: Config, data: Load) -> None:
    """Raise DataError if the data set is too small for the configuration, by its declared sizes, without reading it."""
    check_sizes(config, describe(config.dataset).splits)


PROJECT = Project(
    name="ensembles",
    summary="Deep ensembles and cheaper alternatives, by calibrated log-likelihood and deep ensemble equivalent.",
    paper=(
        "Arsenii Ashukha, Alexander Lyzhov, Dmitry Molchanov, Dmitry Vetrov. Pitfalls of In-Domain Uncertainty"
        " Estimation and Ensembling in Deep Learning. ICLR 2020, arXiv 2002.06470"
    ),
    Config=Config,
    train=train,
    metrics=METRICS,
    fidelity="epoch",
    parallel="members",
    smoke={"train_images": 300, "test_images": 100, "members": 2, "epochs": 3},
    data=(
        "mnist-sample",
        "mnist",
        "cifar10-sample",
        "cifar10",
        "cifar10-lossless",
        "cifar10-original",
        "cifar100",
        "imagenet",
        "letters-sample",
        "letters",
    ),
    check=check,
    max_steps=max_steps,
    grace_period=first_member,
    findings=findings,
    rescore=Rescore(RescoreSettings, rescored),
    fusion=Fusion(fusion_key, most_fused, train_fused),
)

__all__ = ["METRICS", "PROJECT", "Config", "max_steps", "train"]
