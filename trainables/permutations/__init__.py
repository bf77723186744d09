"""Optimisation over orderings by low-variance gradients of a Plackett-Luce distribution."""

from raybayes.contract import Command, Direction, Findings, Finished, Fusion, Load, Metric, Project
from trainables.permutations import fusion
from trainables.permutations.applying import DiscoverSettings, RankSettings, discover, rank
from trainables.permutations.config import Config, max_steps
from trainables.permutations.distributions.plackett_luce import PlackettLuce
from trainables.permutations.losses import LOSSES
from trainables.permutations.order import BestOrder, minimise_order
from trainables.permutations.queries import split_queries
from trainables.permutations.tasks.causal.problem import own_rows
from trainables.permutations.tasks.own import own_cost
from trainables.permutations.tasks.tsp import load_instance
from trainables.permutations.training import train
from trainables.permutations.tsplib import is_tsplib

_GRAPH = ("shd", "skeleton_shd", "cpdag_shd", "sid", "excess")
_METHODS = {
    "random_search": ("random search with as many evaluations", ("", "gap", *_GRAPH)),
    "greedy_swaps": ("descent by neighbour swaps with as many evaluations", ("", "gap", *_GRAPH)),
    "annealing": ("simulated annealing with as many evaluations", ("", "gap", *_GRAPH)),
    "descent": ("descent by insertions and swaps with as many evaluations", ("", "gap", *_GRAPH)),
    "boss": ("best order score search (BOSS) with as many evaluations", ("", *_GRAPH)),
    "two_opt": ("2-opt from random tours with as many evaluations", ("", "gap")),
    "nearest_neighbour": ("the nearest-neighbour tours of all starts", ("", "gap")),
    "local_search": ("2-opt and Or-opt from nearest-neighbour tours with as many evaluations", ("", "gap")),
    "lkh": ("LKH, if elkai is installed", ("", "gap")),
    "random_order": ("a random order", ("", *_GRAPH, "ndcg5", "ndcg10")),
    "variance_sorting": ("the order of the variances", ("", *_GRAPH)),
    "greedy_order": ("smallest residual variance first", ("", *_GRAPH)),
    "true_order": ("an order of the true graph", ("", *_GRAPH)),
    "exact_optimum": ("the exact optimum over all orders", ("", *_GRAPH)),
    "lightgbm": ("LightGBM's lambdarank, 100 trees, if it is installed", ("ndcg5", "ndcg10")),
    **{name: (f"{loss.title}, as many updates", ("ndcg5", "ndcg10")) for name, loss in LOSSES.items()},
}
_KINDS = {
    "": "cost",
    "gap": "gap",
    "shd": "SHD",
    "skeleton_shd": "skeleton SHD",
    "cpdag_shd": "CPDAG SHD",
    "excess": "cost above the optimum",
}


def _controls() -> tuple[Metric, ...]:
    """Metrics of the control methods, which the last report carries."""
    metrics = []
    for name, (meaning, kinds) in _METHODS.items():
        for kind in kinds:
            unit = {"gap": "%", "excess": "nats", **dict.fromkeys(_GRAPH[:4], "edges")}.get(kind, "")
            shown = _KINDS.get(kind) or f"test {kind.upper().replace('G', 'G@')}"
            better: Direction = "maximize" if kind.startswith("ndcg") else "minimize"
            metrics.append(Metric(f"{name}_{kind}".rstrip("_"), better, unit, f"{shown} of {meaning}", False))
    return tuple(metrics)


METRICS = (
    Metric("cost", "minimize", "", "E f under the trained distribution, fresh samples, mean over runs"),
    Metric("cost_se", "minimize", "", "standard error of that mean over runs"),
    Metric("log_grad_var", "minimize", "", "LogGradVar: 2 log of the gradient's mean deviation, median over runs"),
    Metric("best", "minimize", "", "lowest cost that was evaluated, mean over runs"),
    Metric("best_se", "minimize", "", "standard error of that mean over runs"),
    Metric("mode", "minimize", "", "cost of the most probable order, ties broken at random, mean over runs"),
    Metric("evaluations", "minimize", "", "cost evaluations per run, all workers; orders seen again are not counted"),
    Metric("repeats", "minimize", "", "share of the drawn orders that had been seen before", False),
    Metric("restarted", "minimize", "", "starts begun anew because they repeated themselves, per run", False),
    Metric("relaxed_evaluations", "minimize", "", "relaxed cost evaluations per run, by its control variate"),
    Metric("tau", "minimize", "", "median temperature of the control variate", False),
    Metric("eta", "minimize", "", "median scale of the control variate's relaxed cost", False),
    Metric("gap", "minimize", "%", "best tour over the optimum, mean over runs", False),
    Metric("gap_se", "minimize", "%", "standard error of that mean over runs", False),
    Metric("gap_best", "minimize", "%", "best tour of all runs over the optimum", False),
    Metric("shd", "minimize", "edges", "structural Hamming distance of the best order's graph, mean over runs", False),
    Metric("shd_se", "minimize", "edges", "standard error of that mean over runs", False),
    Metric("shd_mode", "minimize", "edges", "structural Hamming distance of the most probable order's graph", False),
    Metric(
        "skeleton_shd", "minimize", "edges", "pairs that only one of graph and truth connects, mean over runs", False
    ),
    Metric("skeleton_shd_se", "minimize", "edges", "standard error of that mean over runs", False),
    Metric("cpdag_shd", "minimize", "edges", "pairs that the equivalence classes connect differently", False),
    Metric("cpdag_shd_se", "minimize", "edges", "standard error of that mean over runs", False),
    Metric("sid", "minimize", "", "pairs whose effect the graph's parents would not give (SID), mean over runs", False),
    Metric("sid_se", "minimize", "", "standard error of that mean over runs", False),
    Metric("fdr", "minimize", "", "share of the found edges that are wrong", False),
    Metric("tpr", "maximize", "", "share of the true edges that were found", False),
    Metric("fpr", "minimize", "", "wrong edges over the pairs that are not connected", False),
    Metric("edges", "minimize", "edges", "found edges", False),
    Metric("excess", "minimize", "nats", "best cost above the exact optimum over all orders, mean over runs", False),
    Metric("excess_se", "minimize", "nats", "standard error of that mean over runs", False),
    Metric("test_ndcg5", "maximize", "", "NDCG@5 on the test queries, mean over runs", False),
    Metric("test_ndcg5_se", "minimize", "", "standard error of that mean over test queries", False),
    Metric("test_ndcg10", "maximize", "", "NDCG@10 on the test queries, mean over runs", False),
    Metric("test_ndcg10_se", "minimize", "", "standard error of that mean over test queries", False),
    *_controls(),
)


def check(config: Config, data: Load) -> None:
    """Raise DataError if what a configuration names does not fit: a tour, a cost, a file of the user's own."""
    if config.task == "tsp" and not is_tsplib(config.tsp.instance):
        load_instance(config.tsp.instance, data(config.dataset or "tsp-sample"), config.tsp.optimum)
    if config.task == "own" and config.cost is not None and config.items is not None:
        own_cost(config.cost, config.soft, config.items, config.repeats)
    if config.task == "causal" and config.causal.graph == "own":
        own_rows(config.causal, data(str(config.dataset)))
    if config.task == "ranking" and config.own_data:
        split_queries(data(str(config.dataset)))


def _findings(finished: Finished) -> Findings:
    from trainables.permutations.analysis.findings import findings  # imports matplotlib, which training does not need

    return findings(finished)


PROJECT = Project(
    name="permutations",
    summary="Minimise a cost of orderings by unbiased, low-variance gradients of a distribution over them.",
    paper=(
        "Artyom Gadetsky, Kirill Struminsky, Christopher Robinson, Novi Quadrianto, Dmitry Vetrov. Low-variance"
        " Black-box Gradient Estimates for the Plackett-Luce Distribution. AAAI 2020, arXiv 1911.10036"
    ),
    Config=Config,
    train=train,
    metrics=METRICS,
    fidelity="interval",
    parallel="samples",
    smoke={"evaluations": 200, "reports": 4, "runs": 2},
    data=("tsp-sample", "tsp", "ltr-sample", "ltr", "sachs-sample", "sachs"),
    check=check,
    max_steps=max_steps,
    findings=_findings,
    commands=(
        Command("rank", "Score and rank the documents of a file.", "FILE", RankSettings, rank),
        Command("discover", "Fit a graph to new rows by the run's order.", "FILE", DiscoverSettings, discover),
    ),
    fusion=Fusion(alike=fusion.alike, most=fusion.most, train=fusion.train),
)

__all__ = ["METRICS", "PROJECT", "BestOrder", "Config", "PlackettLuce", "max_steps", "minimise_order", "train"]
