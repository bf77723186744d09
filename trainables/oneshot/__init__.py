"""Find every instance of a class in a scene, given one picture of the class."""

from raybayes.contract import Command, Metric, Project, Rescore
from trainables.oneshot.analysis import RescoreSettings, findings, rescored
from trainables.oneshot.config import Config, max_steps
from trainables.oneshot.detect_command import DetectSettings, detect, load_finder
from trainables.oneshot.preflight import check
from trainables.oneshot.training.train import train

METRICS = (
    Metric("map50", "maximize", "", "mean AP at IoU 0.5 over unseen classes (seen ones where none is unseen)"),
    Metric(
        "head_seconds",
        "minimize",
        "s",
        "of the head, per class image and scene, all levels; processor time",
        timing=True,
    ),
    Metric("map50_95", "maximize", "", "the same, mean over IoU 0.5 to 0.95"),
    Metric("map50_weighted", "maximize", "", "map50 with classes weighed by their objects"),
    Metric("recall50", "maximize", "", "share of objects that some detection overlaps by 0.5, mean over classes"),
    Metric(
        "ap50_merged", "maximize", "", "AP at IoU 0.5 of all classes ranked together: does one threshold serve all?"
    ),
    Metric("updates", "maximize", "", "updates so far; the first report has none"),
    Metric("skipped_updates", "minimize", "", "updates left out because the gradient was not finite"),
    Metric("map50_seen", "maximize", "", "map50 of training classes on scenes that were not trained on", False),
    Metric("loss", "minimize", "", "mean loss of the updates since the last report", False),
    Metric("positives", "maximize", "", "positive cells in an update, mean since the last report", False),
)

PROJECT = Project(
    name="oneshot",
    summary="Detect every instance of a class in a scene, given one picture of the class.",
    paper=(
        "Anton Osokin, Denis Sumin, Vasily Lomakin. OS2D: One-Stage One-Shot Object Detection by Matching Anchor"
        " Features. ECCV 2020, arXiv 2003.06800"
    ),
    Config=Config,
    train=train,
    metrics=METRICS,
    fidelity="evaluation",
    parallel="data",
    smoke={
        "dataset": "oneshot-sample",
        "steps": 2,
        "reports": 2,
        "class_batch_size": 2,
        "patch.width": 96,
        "patch.height": 96,
        "model.weights": "random",
        "model.grid_size": 3,
        "model.pool_border": 0,
        "inference.pyramid": 1,
        "loss.negative_margin": 0.0,
        "evaluation.scenes": 1,
        "evaluation.pictures": 1,
    },
    data=("grocery-sample", "oneshot-sample", "oneshot-cards", "oneshot-logos", "shelf-demo"),
    check=check,
    max_steps=max_steps,
    findings=findings,
    rescore=Rescore(RescoreSettings, rescored),
    commands=(
        Command("detect", "Find objects in pictures, given a picture of each class.", "SCENE", DetectSettings, detect),
    ),
)

__all__ = ["METRICS", "PROJECT", "Config", "DetectSettings", "detect", "load_finder", "max_steps", "train"]
