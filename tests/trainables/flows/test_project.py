"""The project as a whole: workers stay equal, resumed runs are not set up anew, samples come from what was stored."""

import math
import statistics

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import raybayes as rb
from raybayes import catalog
from raybayes.cli.main import main
from raybayes.engine.worker.process_group import TorchProcessGroup
from raybayes.seeds import derive
from trainables.flows import PROJECT, Config, load_trained
from trainables.flows.analysis.comparison import mean_and_error
from trainables.flows.data.examples import fresh
from trainables.flows.data.streams import Stream
from trainables.flows.layers import ActNorm
from trainables.flows.models.build import build_flow
from trainables.flows.training import Means, Run, update

TINY = {"steps": 6, "reports": 3, "batch": 24, "points": 100, "validation": 50, "trunk.steps": 1, "head.steps": 1}


class _Worker:
    """The context of one of two workers, on the engine's own group."""

    def __init__(self, group):
        self.group, self.rank, self.world_size, self.device = group, group.rank, group.size, torch.device("cpu")

    def rng(self, name):
        return torch.Generator().manual_seed(derive(0, name))

    def gather(self, value):
        return self.group.gather(value)


def _three_steps(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    ctx = _Worker(TorchProcessGroup(torch.device("cpu")))
    config = Config(points=100, validation=20, batch=24, objective="hybrid", input_noise=0.1)
    data = fresh(config, None, ctx.device)
    stream = Stream(config, data, ctx)
    flow = build_flow(config, data.shape, data.classes, ctx.rng("weights"))
    flow.initialise(stream.first())
    wrapped = ctx.group.wrap(flow)
    run, means = Run(config, flow), Means(ctx.device)
    for run.step in range(3):
        update(run, wrapped, stream.batch(run.step), means, ctx)
    torch.save({**flow.state_dict(), "own": stream.batch(9).x}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_stay_bit_equal_after_the_set_up_of_actnorm(tmp_path):
    mp.spawn(_three_steps, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert not torch.equal(one.pop("own"), other.pop("own")), "each worker has its own share"
    largest = max((one[name].double() - other[name].double()).abs().max().item() for name in one)
    assert largest == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("flows"))
    return rb.train("flows", TINY, storage=folder, name="run", executor="local")


def test_the_continuous_flow_trains_and_samples(tmp_path):
    """Both parts as ODEs, lowering -log p(x) of the two moons from that of its start."""
    field = {"kind": "ode", "width": 8, "blocks": 1}
    config = {**TINY, "trunk": field, "head": field, "steps": 6, "reports": 2, "lr": 0.05, "controls": False}
    del config["trunk.steps"], config["head.steps"]
    found = rb.train("flows", config, storage=str(tmp_path), name="ode", executor="local")
    losses = found.reports["nll"].to_pylist()
    assert losses[-1] < losses[0]
    flow = load_trained(found).flow
    drawn = flow.sample(torch.tensor([0, 1, 1]), torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 2)
    assert drawn.isfinite().all()


def test_a_loaded_flow_is_not_set_up_again(finished):
    trained = load_trained(finished)
    assert trained.flow.initialised
    before = {name: value.clone() for name, value in trained.flow.state_dict().items()}
    assert trained.flow.initialise(torch.randn(300, 2, generator=torch.Generator().manual_seed(0))) == {}
    assert all(torch.equal(value, before[name]) for name, value in trained.flow.state_dict().items())
    assert sum(isinstance(module, ActNorm) for module in trained.flow.modules()) > 2


def test_a_stored_flow_has_the_densities_that_the_run_reported(finished):
    trained = load_trained(finished)
    data = fresh(trained.config, None, torch.device("cpu"))
    with torch.no_grad():
        found = trained.flow.log_marginal(data.test.x)
    stored = torch.tensor(finished.table("predictions")["log_density"].to_pylist())
    torch.testing.assert_close(found, stored, atol=1e-4, rtol=1e-4)
    assert -found.mean().item() == pytest.approx(finished.reports["test_nll"].to_pylist()[-1], abs=1e-4)


def test_new_samples_come_from_the_command_line(finished, tmp_path, capsys):
    file, folder = str(tmp_path / "samples.parquet"), str(tmp_path / "pictures")
    settings = ["-s", "per_class=7", "-s", "seed=3"]
    assert main(["rescore", finished.path, *settings, "--parquet", file, "--figures", folder]) == 0
    table = pq.read_table(file)
    assert table["label"].to_pylist() == [0] * 7 + [1] * 7
    drawn = torch.tensor(table["values"].to_pylist())
    expected = load_trained(finished).flow.sample(torch.arange(2).repeat_interleave(7),
                                                  torch.Generator().manual_seed(3))  # fmt: skip
    torch.testing.assert_close(drawn, expected)
    assert [path.suffix for path in (tmp_path / "pictures").iterdir()] == [".png"]
    first, *_, last = finished.findings().figures
    assert first.startswith("Validation error and bits/dim over training")
    assert last.startswith("Density and samples")
    left, right, *_ = finished.findings().figures[last].axes
    assert right.images[0].get_clim() == (0, 1), "a probability's colours do not depend on the run"
    first, second, ringed = (len(drawn.get_offsets()) for drawn in left.collections)
    assert (first + second, ringed) == (100, 10), "the labelled points are ringed"
    assert main(["rescore", finished.path, "--csv", str(tmp_path / "x.csv")]) == 2
    assert "CSV cannot hold the column 'values'" in capsys.readouterr().err
    assert main(["rescore", finished.path, "-s", "trial=4"]) == 2
    assert "trial 4, repeat 0, stored no weights" in capsys.readouterr().err


def test_a_grid_of_splits_becomes_one_line_with_its_error(tmp_path):
    config = {**TINY, "steps": 2, "reports": 1, "dataset": "moons"}
    found = rb.sweep("flows", space="COMPARE_TOYS", sampler="grid", trials=10, config=config, storage=str(tmp_path),
                     name="grid", executor="local")  # fmt: skip
    assert found.document["objectives"][1]["name"] == "bpd", "two objectives unless the user names others"
    title, *_ = found.findings().tables
    rows = found.findings().tables[title].to_pylist()
    error, bits = next(iter(found.findings().figures.values())).axes
    assert [axes.get_ylabel() for axes in (error, bits)] == ["validation error", "bits/dim"]
    means = [line.get_ydata()[-1] for line in error.lines]
    assert means == sorted(means)
    mine = [one["error"] for one in found.table("run").to_pylist()
            if (one["labelled_share"] == 1) == (rows[0]["method"] == "labels only")]  # fmt: skip
    assert means[0] == pytest.approx(statistics.fmean(mine))
    assert [row["method"] for row in rows[2:]] == ["logistic regression", "nearest neighbour", "truth"]
    assert sorted(row["method"] for row in rows[:2]) == ["flow", "labels only"]
    assert all(row["n"] == 5 for row in rows)
    runs = found.table("run").to_pylist()
    mine = [row["test_error"] for row in runs if row["labelled_share"] == 1]
    line = next(row for row in rows if row["method"] == "labels only")
    assert (line["test error"], line["test error.se"]) == mean_and_error(mine)
    mean = sum(mine) / 5
    assert line["test error.se"] == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in mine) / 4 / 5))


def test_the_configuration_of_a_trial_keeps_its_preset(tmp_path):
    space = catalog.load_space(PROJECT, "PCA32")
    assert space.constants() == {"preset": "pca32", "dataset": "mnist", "steps": 3000, "objective": "hybrid"}
    filled = catalog.filled(PROJECT, space.constants())
    assert (filled["trunk.width"], filled["head.width"], filled["batch"]) == (128, 96, 96)


def test_a_scheduler_says_how_to_name_one_objective(capsys):
    assert main(["sweep", "flows", "--scheduler", "median", "--dry-run"]) == 2
    refusal = capsys.readouterr().err.replace("\n", " ")
    assert "use --scheduler asha or hyperband or none, or --objective error." in refusal
    assert main(["sweep", "flows", "--scheduler", "median", "--objective", "error", "--dry-run"]) == 0
