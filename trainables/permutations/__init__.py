"""Optimisation over orderings by low-variance gradients of a Plackett-Luce distribution."""

from raybayes.contract import Metric, Project
from trainables.permutations.config import Config, max_steps
from trainables.permutations.training import train

METRICS = (
    Metric("cost", "minimize", "", "E f under the trained distribution, fresh samples, mean over runs"),
    Metric("cost_se", "minimize", "", "standard error of that mean over runs"),
    Metric("log_grad_var", "minimize", "", "LogGradVar: 2 log of the mean deviation of the gradient's components"),
    Metric("best", "minimize", "", "lowest cost that was evaluated, mean over runs"),
    Metric("mode", "minimize", "", "cost of the most probable order, ties broken by chance, mean over runs"),
    Metric("evaluations", "minimize", "", "costs that each run has evaluated, all workers"),
    Metric("relaxed_evaluations", "minimize", "", "relaxed costs that each run's control variate has evaluated"),
    Metric("tau", "minimize", "", "median temperature of the control variate", False),
    Metric("eta", "minimize", "", "median scale of the control variate's relaxed cost", False),
    Metric("random_search", "minimize", "", "lowest cost of random search with as many evaluations", False),
    Metric("greedy_swaps", "minimize", "", "lowest cost of descent by neighbour swaps, as many evaluations", False),
    Metric("annealing", "minimize", "", "lowest cost of simulated annealing with as many evaluations", False),
)

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
    fidelity="evaluations",
    parallel="samples",
    smoke={"evaluations": 200, "reports": 4, "runs": 2},
    data=("tsp-sample", "tsp", "ltr-sample", "ltr", "sachs-sample", "sachs"),
    max_steps=max_steps,
)

__all__ = ["METRICS", "PROJECT", "Config", "max_steps", "train"]
