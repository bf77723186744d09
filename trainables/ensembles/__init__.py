"""Ensembles of deep networks and how good their uncertainty is, in the domain they were trained for."""

from raybayes.contract import Fusion, Load, Metric, Project, Rescore
from raybayes.data import describe
from trainables.ensembles.analysis import RescoreSettings, findings, rescored
from trainables.ensembles.config.values import Config
from trainables.ensembles.data import check_sizes
from trainables.ensembles.plan import first_member, max_steps
from trainables.ensembles.training import train
from trainables.ensembles.trials import alike, most, train_together

METRICS = (
    Metric("cll", "maximize", "nats", "calibrated log-likelihood on the validation images, cross-validated"),
    Metric("cll_area", "maximize", "nats", "mean of cll over the logarithm of the ensemble size, from 1 to now"),
    Metric("ll", "maximize", "nats", "log-likelihood on the validation images, without temperature scaling"),
    Metric("error", "minimize", "", "share of wrong predictions on the validation images"),
    Metric("brier", "minimize", "", "Brier score on the validation images, summed over classes"),
    Metric("ece", "minimize", "", "expected calibration error on the validation images, 15 bins; not to be ranked by"),
    Metric("temperature", "minimize", "", "mean fitted temperature; below 1 the ensemble is under-confident"),
    Metric("members", "maximize", "", "finished members"),
    Metric("cost_epochs", "minimize", "epochs", "epochs of training so far, all runs added up"),
    Metric("test_cll", "maximize", "nats", "calibrated log-likelihood of the finished ensemble, test images", False),
    Metric("test_ll", "maximize", "nats", "log-likelihood of the whole ensemble on the test images", False),
    Metric("test_error", "minimize", "", "share of wrong predictions of the finished ensemble, test images", False),
    Metric("test_brier", "minimize", "", "Brier score of the whole ensemble on the test images", False),
    Metric("test_ece", "minimize", "", "expected calibration error of the whole ensemble on the test images", False),
    Metric("test_aurc", "minimize", "", "area under the risk-coverage curve, finished ensemble, test images", False),
    Metric("test_disagreement", "maximize", "", "share of pairs of members that choose different classes", False),
    Metric("test_mutual_information", "maximize", "nats", "what the members disagree about, mean over images", False),
    Metric("test_temperature", "minimize", "", "mean temperature fitted on halves of the test images", False),
)


def check(config: Config, data: Load) -> None:
    """DataError if the data set does not have as many images as are wanted; what is declared of it tells, unread."""
    check_sizes(config, describe(config.dataset).splits)


PROJECT = Project(
    name="ensembles",
    summary="Deep ensembles and cheaper rivals, by calibrated log-likelihood and deep ensemble equivalent.",
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
    fusion=Fusion(alike, most, train_together),
)

__all__ = ["METRICS", "PROJECT", "Config", "max_steps", "train"]
