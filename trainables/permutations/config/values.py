"""Every hyperparameter of the permutations project: what it means, its unit, its range, and where its value comes from.

"[P]" marks the paper's setting (Gadetsky et al. 2020, arXiv 1911.10036, and its released code) where it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import require_entries
from raybayes.data import is_path
from trainables.permutations.config.estimators import ESTIMATORS, EstimatorName, Traits

CausalScore = Literal["least_squares", "joint", "bic", "discrete_bic", "bdeu"]
ModelName = Literal["plackett_luce", "matching"]
RelaxationName = Literal["neuralsort", "softsort"]
TaskName = Literal["toy", "causal", "ranking", "tsp", "own"]


class Group(BaseModel):
    """A frozen group of values in which a wrong name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CriticValues(Group):
    """The control variate c(z) of rebar and relax, and how it is trained."""

    of: Literal["relaxed", "black_box"] = Field(
        "relaxed", description="c(z) contains f's relaxation, or is the network alone (relax only). [P] relaxed"
    )
    relaxation: RelaxationName = Field("neuralsort", description="Soft sorting. [P] neuralsort")
    tau: float = Field(1.0, gt=0, le=1000, description="Initial temperature. [P] 1")
    learn_tau: bool = Field(True, description="Train the temperature by the variance. [P] true")
    eta: float = Field(1.0, ge=0, le=100, description="Initial scale of the relaxed cost; 1 in plain relax. [P] 1")
    learn_eta: bool = Field(True, description="Train the scale by the variance (plain relax: fixed). [P] true")
    width: int = Field(32, ge=0, le=1024, description="Units of the network's hidden layers; 0: no network. [P] 32")
    depth: Literal[1, 2] = Field(1, description="Hidden layers. [P] 1")
    activation: Literal["relu", "tanh"] = Field("relu", description="Activation of the hidden layers. [P] relu")
    centring: Literal["ema", "loo"] = Field("ema", description="Baseline of the centred estimators")
    lr: float = Field(0.01, gt=0, le=10, description="Adam's step size for tau, eta and the network. [P] 0.01")
    updates: int = Field(1, ge=1, le=100, description="Variance steps per update of theta, each on new samples. [P] 1")
    warmup: int = Field(0, ge=0, le=100_000, description="Variance steps before the first update of theta. [P] 0")


class RelaxationValues(Group):
    """The biased estimators: relaxation, straight_through, sinkhorn; and the scale of gaussian."""

    sort: RelaxationName = Field("neuralsort", description="Soft sorting of relaxation and straight_through")
    tau: float = Field(1.0, gt=0, le=100, description="Temperature, fixed")
    iterations: int = Field(20, ge=1, le=1000, description="Sinkhorn's alternations of rows and columns")
    noise: float = Field(1.0, ge=0, le=10, description="Scale of sinkhorn's Gumbel noise")
    sigma: float = Field(1.0, gt=0, le=100, description="Standard deviation of gaussian's noise")


class ToyValues(Group):
    """The paper's toy: f(b) = ‖P_b - T‖², T nearly uniform with a slightly larger diagonal."""

    n: int = Field(8, ge=2, le=100, description="Items. [P] 8")
    eps: float = Field(0.05, gt=0, le=1, description="Surplus of T's diagonal over 1/n. [P] 0.05")


class CausalValues(Group):
    """Structure learning through orders: every DAG that an order allows is acyclic by construction."""

    graph: Literal["er", "sf", "bp", "sachs", "own"] = Field(
        "er",
        description="Synthetic Erdos-Renyi, scale-free or bipartite linear SEM (one per run), Sachs' cells, or own: the"
        " file that dataset names (then the default)",
    )
    truth: str | None = Field(None, description="own: CSV file of the edges to judge by, a line cause,effect each")
    kind: Literal["auto", "continuous", "discrete"] = Field(
        "auto", description="own: what the columns are; auto: discrete if none holds fractions"
    )
    ignore: tuple[str, ...] = Field((), description="own: columns that are left out")
    score: CausalScore = Field(
        "least_squares",
        description="Cost of an order; bic is free of scale, and own's default; discrete_bic and bdeu cut columns into"
        " levels and need d <= 15",
    )
    d: int = Field(10, ge=2, le=200, description="Variables of a synthetic graph")
    edges: int = Field(1, ge=1, le=10, description="Edges per variable (s0 = edges · d)")
    rows: int = Field(1000, ge=10, le=1_000_000, description="Rows of a synthetic data set")
    noise: Literal["normal", "exp", "gumbel", "uniform", "logistic"] = Field("normal", description="SEM's noise")
    standardise: bool = Field(
        False, description="Divide columns by their deviation: removes the information that variance sorting uses"
    )
    threshold: float = Field(0.3, ge=0, le=10, description="Smaller weights are pruned from the fitted graph")
    weight_l1: float = Field(0.1, ge=0, le=100, description="L1 penalty of the joint score's weights")
    weight_lr: float = Field(0.01, gt=0, le=10, description="Adam's step size of the joint score's weights")
    cells: Literal["observational", "all"] = Field("observational", description="Sachs: 853 or the usual 7,466 cells")
    reference: Literal["reported17", "consensus20", "cmu19", "cdt18"] = Field(
        "consensus20", description="Sachs: reference graph of SHD; cdt18 has a cycle and is refused"
    )
    levels: int = Field(3, ge=2, le=10, description="Quantile levels of a discrete score")
    sample_size: float = Field(10.0, gt=0, le=1e6, description="Equivalent sample size of BDeu")


class RankingValues(Group):
    """Ranking documents by a linear or one-hidden-layer score; the cost is minus NDCG@k of a sampled order."""

    k: int = Field(10, ge=1, le=1000, description="Number of top places that NDCG counts")
    hidden: int = Field(0, ge=0, le=1024, description="Hidden units of the score; 0: linear")
    weight_decay: float = Field(1e-3, ge=0, le=10, description="L2 penalty of the score's weights")


class TourValues(Group):
    """A travelling salesman's problem."""

    instance: str = Field("bayg29", description="Name in the data set, or the path of a TSPLIB file (*.tsp, *.atsp)")
    optimum: float | None = Field(None, gt=0, description="Length of an optimal tour of a file, if known")


class Values(BaseModel):
    """The whole configuration. Defaults: the paper's toy with its best estimator, eight runs at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskName = Field("toy", description="What is minimised")
    dataset: str | None = Field(
        None,
        description="Data of tsp, ranking, causal.graph = sachs, or an own file: causal .parquet or .csv, ranking"
        " .parquet or .svm; null: that task's sample",
    )
    cost: str | None = Field(None, description="own: file.py:function, rows of orders in, costs out")
    soft: str | None = Field(None, description="own: file.py:function, the cost of soft permutations (m, n, n)")
    items: int | None = Field(None, ge=2, le=1000, description="own: number of items")
    repeats: int = Field(1, ge=1, le=100_000, description="own: evaluations of an order, for a cost that is random")
    estimator: EstimatorName = Field("relax", description="How the gradient is estimated. [P] exact to relax")
    model: ModelName = Field(
        "plackett_luce", description="One logit an item, or one a (place, item) pair; not for sinkhorn, gaussian"
    )
    runs: int = Field(8, ge=1, le=100_000, description="Independent runs, computed together; metrics are their means")
    restarts: int = Field(
        1, ge=1, le=10_000, description="Independent starts that share the evaluations of a run. [P] 1"
    )
    evaluations: int = Field(50_000, ge=1, description="Cost evaluations per run and worker. [P] 50,000")
    samples: int = Field(1, ge=1, le=100_000, description="Samples per update and worker. [P] 1")
    lr: float = Field(0.01, gt=0, le=10, description="Adam's step size for theta. [P] 0.01")
    lr_decay: Literal["none", "cosine"] = Field("none", description="Decay of the step size. [P] none")
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the past in a moving-average baseline")
    scale_by_std: bool = Field(False, description="Divide advantages by the update's deviation: bias O(1/samples)")
    entropy: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of log p(b) added to the cost, in deviations of the first update's costs; falls to 0",
    )
    init_scale: float = Field(0.0, ge=0, le=100, description="Initial standard deviation of theta. [P] 0")
    spread: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Initial standard deviation of theta in all starts but the first; init_scale if that is larger",
    )
    memory: bool | None = Field(
        None, description="Orders seen are not evaluated again; null: where an order is searched, not in toy, ranking"
    )
    collapse: float = Field(
        0.9, gt=0, le=1, description="Share of repeated orders at which a start begins anew (with memory); 1: never"
    )
    descent: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the evaluations for a final descent by insertions and swaps, which also gets what"
        " repeats have saved; null: 0.25 where an order is searched, 0 in toy and ranking",
    )
    precision: Literal["float64", "float32"] = Field("float64", description="Number format. [P] float64")
    reports: int = Field(100, ge=1, le=10_000, description="Reports of a run, evenly spaced. [P] every 500 updates")
    eval_samples: int = Field(
        256, ge=10, le=100_000, description="Fresh samples per report, not counted as evaluations. [P] 10"
    )
    controls: bool = Field(
        True, description="Run the control methods at the end, with as many evaluations as a run had"
    )
    critic: CriticValues = Field(default_factory=CriticValues, description="Values of rebar and relax")
    relaxation: RelaxationValues = Field(default_factory=RelaxationValues, description="Values of biased estimators")
    toy: ToyValues = Field(default_factory=ToyValues, description="Values of task toy")
    causal: CausalValues = Field(default_factory=CausalValues, description="Values of task causal")
    ranking: RankingValues = Field(default_factory=RankingValues, description="Values of task ranking")
    tsp: TourValues = Field(default_factory=TourValues, description="Values of task tsp")

    @property
    def traits(self) -> Traits:
        """What is known of the estimator."""
        return ESTIMATORS[self.estimator]

    @property
    def searches(self) -> bool:
        """Whether the best order is what counts, and its cost is the same whenever it is evaluated."""
        fixed = self.task != "causal" or self.causal.score != "joint"
        return self.task not in ("toy", "ranking") and fixed and self.estimator != "exact"

    @property
    def remembers(self) -> bool:
        """Whether orders that were seen are not evaluated again."""
        return self.searches if self.memory is None else self.memory

    @property
    def kept_back(self) -> int:
        """Evaluations that the final descent has at least."""
        share = (0.25 if self.searches else 0.0) if self.descent is None else self.descent
        return int(share * self.evaluations)

    @property
    def updates(self) -> int:
        """Updates of theta that the budget allows."""
        updates = (self.evaluations - self.kept_back) // (self.samples * self.restarts)
        if not self.traits.control_variate:
            return updates
        return (updates - self.critic.warmup) // self.critic.updates

    @property
    def known_items(self) -> int | None:
        """Number of items, if the configuration alone determines it."""
        drawn = None if self.causal.graph in ("sachs", "own") else self.causal.d
        return {"toy": self.toy.n, "causal": drawn, "own": self.items}.get(self.task)

    @property
    def own_data(self) -> bool:
        """Whether the data set is a user's file."""
        return self.dataset is not None and is_path(self.dataset)

    @property
    def place(self) -> str:
        """Task and instance in words, the same for configurations with comparable costs."""
        return PLACES[self.task](self)


def _causal_place(values: Values) -> str:
    causal, scale = values.causal, "standardised" if values.causal.standardise else "raw"
    if causal.graph == "own":
        return f"{values.dataset}, {causal.score}"
    data = f"{causal.cells} cells" if causal.graph == "sachs" else f"d = {causal.d}, {causal.edges} d edges"
    return f"{causal.graph}, {data}, {causal.score}, {scale}"


PLACES: dict[TaskName, Callable[[Values], str]] = {
    "toy": lambda values: f"toy, n = {values.toy.n}, eps = {values.toy.eps:g}",
    "causal": _causal_place,
    "ranking": lambda values: f"{values.dataset or 'ltr-sample'}, NDCG@{values.ranking.k}",
    "tsp": lambda values: values.tsp.instance,
    "own": lambda values: f"{values.cost}, n = {values.items}",
}
require_entries(TaskName, PLACES, "trainables/permutations/config/values.py: PLACES")


def max_steps(config: Values) -> int:
    """Reports of a full run."""
    return min(config.reports, config.updates)
