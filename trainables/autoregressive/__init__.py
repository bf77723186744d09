"""Cost-sensitive training of autoregressive models: learning to search, and its baselines."""

from raybayes.contract import Direction, Load, Metric, Project
from raybayes.data import is_path
from trainables.autoregressive.analysis import findings
from trainables.autoregressive.config import Config, dataset_of, grace_period, max_steps
from trainables.autoregressive.tasks.loaders import read_task
from trainables.autoregressive.training import train

_SCORES: tuple[tuple[str, Direction, str, str], ...] = (
    ("hamming", "minimize", "%", "wrong symbols of {} (OCR, chunking)"),
    ("cer", "minimize", "%", "edit distance over target characters of {} (spelling)"),
    ("bleu", "maximize", "", "sacrebleu's corpus BLEU of {}, no further tokenising (translation, ordering)"),
    ("kendall", "minimize", "%", "pairs in the wrong order, mean over {} (ordering)"),
    ("f1", "maximize", "%", "chunk F1 of {} (chunking)"),
)
METRICS = (
    Metric("val_error", "minimize", "%", "task metric on validation: Hamming, CER, 100 - BLEU, Kendall, 100 - F1"),
    Metric("val_sequence_error", "minimize", "%", "validation sentences with any error"),
    Metric("loss", "minimize", "", "mean training loss since the last report; not comparable across losses"),
    Metric("iteration", "minimize", "", "training steps so far"),
    Metric("rollouts", "minimize", "", "sequences that the model completed to find costs, all workers"),
    Metric("rollout_steps", "minimize", "", "model steps in roll-outs, padding included"),
    Metric("rollin_probability", "maximize", "", "probability of the reference in a mixed roll-in"),
    Metric("lr", "minimize", "", "step size"),
    *(
        Metric(f"val_{name}", way, unit, doc.format("the validation sentences"), False)
        for name, way, unit, doc in _SCORES
    ),
    Metric("test_error", "minimize", "%", "task metric on the test sentences, last report", False),
    Metric("test_sequence_error", "minimize", "%", "test sentences with any error", False),
    *(Metric(f"test_{name}", way, unit, doc.format("the test sentences"), False) for name, way, unit, doc in _SCORES),
)


def check(config: Config, data: Load) -> None:
    """Raise DataError if a user's Parquet file does not fit its task; it names the column, split or row."""
    if is_path(dataset_of(config)):
        read_task(config, data(dataset_of(config)))


PROJECT = Project(
    name="autoregressive",
    summary="Train encoder-decoders by the cost of each token: learning to search, beside MLE, smoothing and RL.",
    paper=(
        "Rémi Leblond, Jean-Baptiste Alayrac, Anton Osokin, Simon Lacoste-Julien. SEARNN: Training RNNs with"
        " global-local losses. ICLR 2018, arXiv 1706.04499; Irina Saparina, Anton Osokin. Cost-Sensitive Training for"
        " Autoregressive Models. 2019, arXiv 1912.03771"
    ),
    Config=Config,
    train=train,
    metrics=METRICS,
    fidelity="interval",
    parallel="data",
    smoke={"iterations": 6, "reports": 3, "batch": 8, "model.hidden": 16, "eval_rows": 20},
    data=("letters-sample", "letters", "spelling-sample", "spelling", "multi30k-sample", "multi30k"),
    check=check,
    max_steps=max_steps,
    grace_period=grace_period,
    findings=findings,
)

__all__ = ["METRICS", "PROJECT", "Config", "max_steps", "train"]
