"""A user's own cost, table and documents: train, apply, and what is refused."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import raybayes as rb
from raybayes import data
from raybayes.errors import DataError, RaybayesError
from trainables.permutations.tasks.causal import own
from trainables.permutations.tasks.own import own_cost

HERE = {"executor": "local"}
COSTS = """
import random
import numpy as np
import torch

LENGTH = np.array([4, 2, 6, 3, 5, 1])
DUE = np.array([10, 3, 25, 8, 16, 2])


def rows(orders):
    ends = LENGTH[np.asarray(orders)].cumsum(axis=1)
    return np.maximum(ends - DUE[np.asarray(orders)], 0).sum(axis=1)


def tensor(orders):
    length, due = torch.tensor(LENGTH), torch.tensor(DUE)
    return (length[orders].cumsum(-1) - due[orders]).clamp(min=0).sum(-1)


def one(order):
    end = late = 0
    for job in order:
        end += LENGTH[job]
        late += max(end - DUE[job], 0)
    return late


def soft(matrix):
    length, due = torch.tensor(LENGTH).to(matrix), torch.tensor(DUE).to(matrix)
    return ((matrix @ length).cumsum(-1) - matrix @ due).clamp(min=0).sum(-1)


def wrong_soft(matrix):
    return soft(matrix) + 1


def noisy(orders):
    return rows(orders) + np.random.default_rng().normal(size=len(orders))


def shape(orders):
    return np.zeros((len(orders), 2))


def hole(orders):
    return np.where(np.asarray(orders)[:, 0] >= 0, np.nan, 0)


def raises(orders):
    raise KeyError("no such job")
"""


@pytest.fixture
def costs(tmp_path):
    path = tmp_path / "own_cost.py"
    path.write_text(COSTS)
    return path


def lowest(path):
    cost = own_cost(f"{path}:one", None, 6, 1)
    return float(cost(torch.tensor([list(itertools.permutations(range(6)))])).min())


def test_rows_tensors_and_single_orders_are_the_same_cost(costs):
    orders = torch.tensor([list(itertools.permutations(range(6)))[::37]])
    found = [own_cost(f"{costs}:{name}", None, 6, 1)(orders) for name in ("rows", "tensor", "one")]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_an_own_cost_is_trained_with_its_controls_and_reaches_the_optimum(costs, tmp_path):
    values = {"task": "own", "cost": f"{costs}:rows", "items": 6, "evaluations": 600, "reports": 2, "runs": 2}
    run = rb.train("permutations", values, storage=str(tmp_path), name="r", **HERE)
    last = run.reports.to_pylist()[-1]
    assert last["best"] == lowest(costs)
    assert last["evaluations"] <= 600
    assert {"random_search", "greedy_swaps", "annealing", "descent"} <= set(last)


def test_a_soft_cost_serves_the_relaxed_estimators(costs, tmp_path):
    values = {"task": "own", "cost": f"{costs}:rows", "soft": f"{costs}:soft", "items": 6, "evaluations": 40}
    for estimator in ("relax_centred", "relaxation"):
        more = {"estimator": estimator, "reports": 1, "runs": 1, "controls": False}
        run = rb.train("permutations", {**values, **more}, storage=str(tmp_path), name=estimator, **HERE)
        assert run.reports.to_pylist()[-1]["relaxed_evaluations"] > 0
    cost = own_cost(f"{costs}:rows", f"{costs}:soft", 6, 1)
    matrix = torch.rand(1, 2, 6, 6, dtype=torch.float64).softmax(-1)
    value, gradient = cost.relaxed(matrix)
    step = 1e-6 * torch.rand_like(matrix)
    assert torch.allclose(cost.relaxed(matrix + step)[0] - value, (gradient * step).sum((-1, -2)), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("noisy", r"it is random\. Set repeats = 10"),
        ("shape", r"shape \(5, 2\) for 5 orders"),
        ("hole", r"costs must be finite"),
        ("raises", r"KeyError: 'no such job'"),
        ("absent", r"has no function absent; it has .*noisy"),
    ],
)
def test_costs_that_are_none(costs, tmp_path, name, message):
    values = {"task": "own", "cost": f"{costs}:{name}", "items": 6}
    with pytest.raises(DataError, match=message):
        rb.train("permutations", values, storage=str(tmp_path), name="r", **HERE)


def test_more_that_is_refused(costs):
    with pytest.raises(DataError, match="both must agree"):
        own_cost(f"{costs}:rows", f"{costs}:wrong_soft", 6, 1)
    with pytest.raises(DataError, match="there is no file"):
        own_cost("absent.py:cost", None, 6, 1)
    assert own_cost(f"{costs}:noisy", None, 6, 50)(torch.arange(6).reshape(1, 1, 6)).shape == (1, 1)
    for values, message in [({"task": "own"}, "needs cost = "), ({"cost": "a.py:b"}, "describe task = own")]:
        with pytest.raises(RaybayesError, match=message):
            rb.train("permutations", values, **HERE)


def weather(rng, rows=800):
    season = rng.normal(size=rows)
    rain = 0.9 * season + rng.normal(size=rows)
    sprinkler = -0.8 * season + rng.normal(size=rows)
    wet = rain + 0.9 * sprinkler + 0.7 * rng.normal(size=rows)
    slip = 1.1 * wet + rng.normal(size=rows)
    columns = {"season": season, "rain": rain, "sprinkler": sprinkler, "wet": wet, "slip": slip}
    return pa.table({name: (c - c.mean()) / c.std() for name, c in columns.items()})


EDGES = "cause,effect\nrain,wet\nsprinkler,wet\nwet,slip\nseason,rain\nseason,sprinkler\n"


def test_the_graph_of_a_table_of_ones_own(tmp_path):
    pq.write_table(weather(np.random.default_rng(0)), tmp_path / "causal.parquet")
    (tmp_path / "edges.csv").write_text(EDGES)
    values = {"task": "causal", "dataset": str(tmp_path / "causal.parquet"), "evaluations": 1000, "reports": 1,
              "runs": 2, "samples": 32}  # fmt: skip
    truth = {"causal.truth": str(tmp_path / "edges.csv")}
    run = rb.train("permutations", {**values, **truth}, storage=str(tmp_path), name="r", **HERE)
    last = run.reports.to_pylist()[-1]
    assert (last["skeleton_shd"], last["cpdag_shd"], last["excess"]) == (0, 0, 0)
    assert last["boss_skeleton_shd"] == 0
    marks = {(row["source"], row["target"]): row["class"] for row in run.table("graphs").to_pylist() if row["found"]}
    assert marks[("rain", "wet")] == marks[("sprinkler", "wet")] == marks[("wet", "slip")] == "->"
    assert sorted(marks.values()) == ["--", "--", "->", "->", "->"] or len(marks) > 5  # two runs may turn "--"
    bare = rb.train("permutations", {**values, "controls": False}, storage=str(tmp_path), name="bare", **HERE)
    assert "shd" not in bare.reports.column_names or bare.reports["shd"].null_count
    assert bare.reports.to_pylist()[-1]["edges"] == 5
    (tmp_path / "new.csv").write_text(_as_csv(weather(np.random.default_rng(1))))
    found = run.command("discover", [str(tmp_path / "new.csv")], {"truth": str(tmp_path / "edges.csv")})
    assert len(found.tables["edges"]) == 5
    assert found.tables["distance from the truth"].to_pylist()[0]["cpdag"] == 0


def _as_csv(table):
    lines = [",".join(table.column_names)]
    lines += [",".join(map(repr, row)) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    return "\n".join(lines) + "\n"


def test_discrete_columns_of_text(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 600), rng.integers(0, 3, 600)
    c = np.where(rng.random(600) < 0.9, a + b >= 2, rng.random(600) < 0.5).astype(int)
    words = np.array(["red", "green", "blue"])
    (tmp_path / "d.csv").write_text(
        "a,b,c\n" + "\n".join(f"{i},{words[j]},{k}" for i, j, k in zip(a, b, c, strict=True)) + "\n"
    )
    values = {"task": "causal", "dataset": str(tmp_path / "d.csv"), "evaluations": 40, "samples": 4, "reports": 1}
    run = rb.train("permutations", {**values, "runs": 1, "controls": False}, storage=str(tmp_path), name="r", **HERE)
    found = {(r["source"], r["target"], r["class"]) for r in run.table("graphs").to_pylist() if r["found"]}
    assert found == {("a", "c", "->"), ("b", "c", "->")}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": [1.0, 2.0, 3.0], "b": [1.0, None, 2.0]}, "empty cells in b"),
        ({"a": [1.0, 2.0, 3.5], "b": ["x", "y", "z"]}, "text in b beside numbers"),
        ({"a": [1.0, 2.0], "b": [2.0, 1.0]}, "2 rows of 2 columns"),
        ({"a": list(range(30)), "b": [0, 1] * 15}, "a has 30 different values"),
        ({"a": [1.0, 2.0, 3.0]}, "found 1 columns"),
    ],
)
def test_tables_without_a_graph(table, message):
    with pytest.raises(DataError, match=message):
        own.columns_of({"all": pa.table(table)}, (), "auto")


def test_constant_columns_and_edges_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match=r"constant columns \(b\)"):
        own.require_varied(np.array([[1.0, 2.0], [3.0, 2.0]]), ("a", "b"))
    for text, message in [
        ("cause,effect\na,b\nb,c\nc,a\n", "has the cycle"),
        ("cause,effect\na,d\n", "line 2: there is no column d"),
        ("cause,effect\na,a\n", "cannot cause itself"),
        ("a,b,c\n", "line 1: found"),
    ]:
        path = tmp_path / "edges.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            own.read_edges(str(path), ("a", "b", "c"))


def documents(rng, queries=20):
    lines = []
    for query in range(queries):
        for _ in range(6):
            x = rng.normal(size=3)
            grade = int(np.clip(round(x[0] - x[1] + 1.5), 0, 4))
            lines.append(f"{grade} qid:{query} " + " ".join(f"{i}:{v:.4f}" for i, v in enumerate(x, 1)) + " # text")
    return lines


def test_documents_of_ones_own_are_trained_on_and_ranked(tmp_path):
    (tmp_path / "r.svm").write_text("\n".join(documents(np.random.default_rng(0))) + "\n")
    values = {"task": "ranking", "dataset": str(tmp_path / "r.svm"), "evaluations": 640, "reports": 1, "runs": 2}
    run = rb.train("permutations", {**values, "controls": False}, storage=str(tmp_path), name="r", **HERE)
    assert run.reports.to_pylist()[-1]["test_ndcg10"] > 0.85
    (tmp_path / "new.svm").write_text("\n".join(documents(np.random.default_rng(1), 5)) + "\n")
    found = run.command("rank", [str(tmp_path / "new.svm")])
    rows = found.tables["documents"].to_pylist()
    assert len(rows) == 30
    first = sorted((row for row in rows if row["query_id"] == 0), key=lambda row: row["place"])
    assert [row["score"] for row in first] == sorted((row["score"] for row in first), reverse=True)
    assert found.tables["NDCG@10"].to_pylist()[0]["ndcg"] > 0.85


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-1 qid:9 1:0.5", "line 3: found the grade -1"),
        ("1 1:0.5", "line 3: found no qid"),
        ("1 qid:1 1:0.5", "line 3: qid:1 comes back"),
        ("1 qid:2 0:0.5", "line 3: found '0:0.5'"),
        ("1 qid:2 1:nan", "line 3: found '1:nan', which is not finite"),
    ],
)
def test_lines_of_svmlight_that_are_refused(tmp_path, line, message):
    path = tmp_path / "r.svm"
    path.write_text(f"0 qid:1 1:1 3:2\n1 qid:2 2:1\n{line}\n")
    with pytest.raises(DataError, match=message):
        data.load(str(path))
    path.write_text("0 qid:1 1:1 3:2\n1 qid:2 2:1\n")
    assert data.load(str(path))["all"]["features"].to_pylist() == [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
