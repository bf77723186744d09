"""Objectives, label splits, batches, data, and what users do wrong."""

import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import raybayes as rb
from raybayes import catalog
from raybayes.cli.main import main
from raybayes.data import load as load_tables
from raybayes.errors import DataError, SpecError, TrialError
from trainables.flows import PROJECT, Config, load_trained
from trainables.flows.config import without_effect
from trainables.flows.controls import logistic_regression, nearest_label
from trainables.flows.data.examples import fresh
from trainables.flows.data.files import own_examples
from trainables.flows.data.labels import check_labels, choose_labelled
from trainables.flows.data.streams import Stream, shifted
from trainables.flows.data.toys import points, true_log_joint
from trainables.flows.evaluation import inverse_error, score
from trainables.flows.guard import first_non_finite
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import Terms
from trainables.flows.objectives import loss
from trainables.flows.progress import make_optimiser, step_size
from trainables.flows.sampling import pictures_from
from trainables.flows.training import Means, Run, _require_inverse, update

CPU = torch.device("cpu")


def terms(seed=0):
    generator = torch.Generator().manual_seed(seed)
    labelled = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    unlabelled = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    return Terms(labelled.gather(1, labels[:, None])[:, 0], labelled, unlabelled), labels


def by_hand(objective, labels, found, guessed, progress):
    """Loops over examples, straight from the definitions; weights as in `config` below."""
    p = [row.exp() / row.exp().sum() for row in found.unlabelled]
    marginal = [row.exp().sum().log() for row in found.unlabelled]
    total = -(sum(found.joint) + sum(marginal)) / 10
    entropy = -sum((row * row.log()).sum() for row in p) / 6
    if objective == "weighted":
        return -(3 * sum(found.joint) + sum(marginal)) / (3 * 4 + 6)
    if objective == "hybrid":
        rows = [row.exp() / row.exp().sum() for row in found.labelled]
        return total - 5 * sum(row[y].log() for row, y in zip(rows, labels, strict=True)) / 4
    if objective == "entropy":
        return total + 2 * entropy
    if objective == "kl-balance":
        mean = sum(p) / 6
        return total + 4 * (mean * (mean / (1 / 3)).log()).sum() + 0.5 * entropy
    if objective == "flowgmm-cons":
        return (
            total - 0.7 * min(1, progress / 0.3) * sum(r[y] for r, y in zip(found.unlabelled, guessed, strict=True)) / 6
        )
    return total


@pytest.mark.parametrize("objective", ["generative", "weighted", "hybrid", "entropy", "kl-balance", "flowgmm-cons"])
@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_objectives_are_their_definitions(objective, progress):
    weights = {"label": 3, "ce": 5, "entropy": 2, "balance": 4, "balance_entropy": 0.5, "consistency": 0.7}
    config = Config(objective=objective, loss=weights, input_noise=0.1)
    found, labels = terms()
    guessed = torch.tensor([0, 1, 2, 0, 1, 2])
    value = loss(config, found, labels, guessed, progress, torch.full((3,), -math.log(3), dtype=torch.float64))
    assert value.item() == pytest.approx(by_hand(objective, labels, found, guessed, progress).item(), abs=1e-9)


def test_labels_only_needs_no_unlabelled_term():
    found, labels = terms()
    alone = found._replace(unlabelled=found.unlabelled[:0])
    value = loss(Config(labelled_share=1.0), alone, labels, None, 0.0, torch.zeros(3))
    assert value.item() == pytest.approx(-found.joint.mean().item())


def test_balanced_and_proportional_splits_count_right():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    for split, expected in (("balanced", [4, 4, 3]), ("proportional", [7, 3, 1])):
        rows = choose_labelled(labels, 11, "abc", split, 5, "mine")
        assert labels[rows].bincount().tolist() == expected
        assert len(set(rows.tolist())) == 11
        assert torch.equal(rows, choose_labelled(labels, 11, "abc", split, 5, "mine"))
        assert not torch.equal(rows, choose_labelled(labels, 11, "abc", split, 6, "mine"))
    partly = torch.tensor([0, -1, 1, -1])
    assert choose_labelled(partly, 0, "ab", "balanced", 0, "mine").tolist() == [0, 2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check_labels(torch.tensor([0, 3]), 3, "mine"), r"row 1 has label 3; labels must be 0 to 2"),
        (lambda: check_labels(torch.tensor([0, -2]), 3, "mine"), r"row 1 has label -2"),
        (lambda: check_labels(torch.tensor([0, 0]), 1, "mine"), r"found 1 class; a semi-conditional flow needs 2"),
        (
            lambda: choose_labelled(torch.tensor([0, 0, 2]), 0, "012", "balanced", 0, "mine"),
            r"no labelled example of class 1",
        ),
        (
            lambda: choose_labelled(torch.tensor([0] * 99 + [1]), 5, "01", "proportional", 0, "mine"),
            r"example of class 1",
        ),
        (
            lambda: choose_labelled(torch.tensor([0, 0, 1]), 4, "01", "balanced", 0, "mine"),
            r"class 1 has 1 labelled examples",
        ),
    ],
)
def test_labels_that_cannot_be_used_are_refused(call, words):
    with pytest.raises(DataError, match=words):
        call()


@pytest.mark.parametrize("splits", [("all",), ("train", "test")])
def test_a_file_without_a_single_label_is_refused(splits):
    for examples in ({"x": [0.1, 0.2, 0.3, 0.4]}, {"features": [[0.1], [0.2], [0.3], [0.4]]}):
        rows = pa.table({**examples, "label": pa.array([None] * 4, pa.int64())})
        with pytest.raises(DataError, match="column 'label' is empty in every row; label some examples"):
            own_examples(Config(dataset="mine.parquet"), dict.fromkeys(splits, rows))


def test_batches_have_fixed_counts_and_depend_on_the_step_alone(alone):
    config = Config(points=100, validation=20, batch=12)
    data = fresh(config, None, CPU)
    stream = Stream(config, data, alone)
    one, again, other = stream.batch(3), stream.batch(3), stream.batch(4)
    assert torch.equal(one.x, again.x)
    assert not torch.equal(one.x, other.x)
    assert len(one.x) == 12
    assert len(one.labels) == 4
    known = {tuple(x.tolist()): int(y) for x, y in zip(data.train.x, data.train.labels, strict=True)}
    shown = {tuple(data.train.x[row].tolist()) for row in data.labelled}
    for x, y in zip(one.x[:4], one.labels, strict=True):
        assert known[tuple(x.tolist())] == y
        assert tuple(x.tolist()) in shown
    assert not {tuple(x.tolist()) for x in one.x[4:]} & shown


def test_workers_share_the_batch_of_one(alone):
    config = Config(points=100, validation=20, batch=12, input_noise=0.3)
    data = fresh(config, None, CPU)
    whole = Stream(config, data, alone).batch(0)
    parts = []
    for rank in range(2):
        worker = type(alone)()
        worker.rank, worker.world_size = rank, 2
        parts.append(Stream(config, data, worker).batch(0))
    assert torch.equal(torch.cat([part.labels for part in parts]).sort().values, whole.labels.sort().values)
    mine = torch.cat([part.x for part in parts])
    assert torch.equal(mine[mine[:, 0].argsort()], whole.x[whole.x[:, 0].argsort()])


def test_a_batch_that_workers_cannot_share_is_refused(alone):
    config = Config(points=100, validation=20, batch=12)
    data = fresh(config, None, CPU)
    alone.world_size = 3
    with pytest.raises(SpecError, match=r"12 with labelled_share .* 4 labelled examples per step, which 3 workers"):
        Stream(config, data, alone)


def test_shifted_pictures_are_windows_of_the_padded_picture():
    pictures = torch.arange(1, 19, dtype=torch.uint8).view(2, 1, 3, 3)
    moved = shifted(pictures, 1, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(pictures, [1] * 4)
    for picture, around in zip(moved, padded, strict=True):
        windows = [around[:, i : i + 3, j : j + 3] for i in range(3) for j in range(3)]
        assert any(torch.equal(picture, window) for window in windows)


@pytest.mark.parametrize(("name", "entropy"), [("moons", 1.001), ("circles", 0.796)])
def test_the_truth_of_a_toy(name, entropy):
    """Its density integrates to 1, and its entropy is the published Monte-Carlo value."""
    middle = torch.linspace(-2.5, 3.5, 121, dtype=torch.float64)
    joint = true_log_joint(name, 0.1, torch.cartesian_prod(middle, middle))
    assert joint.exp().sum().item() * 0.05**2 == pytest.approx(1, abs=1e-3)
    x, labels = points(name, 4000, 0.1, torch.Generator().manual_seed(0))
    joint = true_log_joint(name, 0.1, x)
    assert -joint.logsumexp(1).mean().item() == pytest.approx(entropy, abs=0.05)
    assert (joint.argmax(1) != labels).float().mean() < 0.003
    assert labels.bincount().tolist() == [2000, 2000]


def test_components_are_those_of_the_covariance_and_lead_back():
    config = Config(dataset="mnist-sample", preset="pca32", pca=20)
    data = fresh(config, load_tables("mnist-sample"), CPU)
    x = data.train.x.double()
    assert x.shape[1] == 20
    covariance = torch.cov(x.T, correction=0)
    variance = covariance.diagonal()
    assert (covariance - variance.diag()).abs().max() < 1e-4, "components do not correlate"
    assert variance.mean().item() == pytest.approx(1, abs=1e-4)
    raw = data.train.raw.flatten(1).double() / 255
    exact = torch.linalg.eigvalsh(torch.cov(raw.T, correction=0)).flip(0)[:20]
    torch.testing.assert_close(variance / variance[0], (exact / exact[0]).sqrt(), rtol=1e-3, atol=0)
    again = data.projection(data.projection.inverse(data.train.x[:50]))
    torch.testing.assert_close(again, data.train.x[:50], atol=1e-4, rtol=1e-4)


def test_validation_labelled_and_unlabelled_examples_are_apart():
    config = Config(dataset="mnist-sample", preset="cpu-16x16")
    data = fresh(config, load_tables("mnist-sample"), CPU)
    assert data.shape == (1, 16, 16)
    assert len(data.val) == config.validation
    assert len(data.labelled) == 100
    assert data.train.labels[data.labelled].bincount().tolist() == [10] * 10
    assert not set(data.labelled.tolist()) & set(data.unlabelled.tolist())
    assert len(data.train) + len(data.val) == 2000
    picture = data.train.raw[0].float().view(14, 2, 14, 2).mean((1, 3)).round()
    assert torch.equal(data.train.x[0, 0, 1:15, 1:15].float(), picture)
    assert data.train.x[:, :, 0].max() == 0, "black edge"


def test_controls_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(40, 6, generator=generator), torch.randint(0, 3, (40,), generator=generator)
    queries = torch.randn(200, 6, generator=generator)
    weight, bias = logistic_regression(x, labels, 3)
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(x.double().numpy(), labels.numpy())
    mine = (queries.double() @ weight.T + bias).softmax(1)
    np.testing.assert_allclose(mine.numpy(), theirs.predict_proba(queries.double().numpy()), atol=1e-4)
    nearest = KNeighborsClassifier(1).fit(x.numpy(), labels.numpy()).predict(queries.numpy())
    assert nearest_label(x, labels, queries).tolist() == nearest.tolist()


def test_step_sizes_rise_then_fall():
    config = Config(steps=100, warmup=10, lr=1.0, schedule="linear")
    sizes = [step_size(config, step) for step in range(100)]
    assert sizes[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(sizes) == sizes[9] == sizes[10] == 1.0
    assert sizes[55] == pytest.approx(0.5)
    assert 0 < sizes[99] < 0.02
    cosine = Config(steps=100, schedule="cosine", lr=1.0)
    assert step_size(cosine, 50) == pytest.approx(0.5)


def test_weight_decay_spares_all_but_matrices():
    config = Config()
    flow = build_flow(config, (2,), 2, torch.Generator().manual_seed(0))
    decayed, spared = make_optimiser(config, flow).param_groups
    assert {value.dim() for value in decayed["params"]} == {2}
    assert {value.dim() for value in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (config.weight_decay, 0.0)
    shift = build_flow(Config(head={"kind": "shift"}), (2,), 2, torch.Generator().manual_seed(0))
    assert any(
        value is shift.head.levels[0][0].means for value in make_optimiser(config, shift).param_groups[1]["params"]
    )


def test_a_layer_that_breaks_is_named(perturbed, alone):
    flow, x = perturbed("toy", torch.float32)
    assert first_non_finite(flow, x) is None
    with torch.no_grad():
        flow.trunk.layers[5].log_scale.fill_(200.0)
    assert first_non_finite(flow, x) == "layer trunk.layers.5 (ActNorm): output is not finite"
    with torch.no_grad():
        flow.trunk.layers[5].log_scale[0] = math.nan
    assert first_non_finite(flow, x) == "parameter trunk.layers.5.log_scale is not finite"
    x[3, 1] = math.inf
    assert "parameter" in first_non_finite(flow, x)
    config = Config(points=100, validation=20, batch=12)
    stream = Stream(config, fresh(config, None, CPU), alone)
    with pytest.raises(TrialError, match=r"update 0: no finite gradient .* parameter trunk.layers.5.log_scale"):
        update(Run(config, flow), flow, stream.batch(0), Means(CPU), alone)


def test_scores_are_those_of_the_density_whatever_the_workers(perturbed, alone):
    flow, _ = perturbed("toy", torch.float32)
    examples = fresh(Config(points=100, validation=20), None, CPU).test
    found = score(flow, examples, 1, alone)
    with torch.no_grad():
        assert found.nll == pytest.approx(-flow.log_marginal(examples.x).mean().item(), rel=1e-5)
        assert found.error == (flow.log_posterior(examples.x).argmax(1) != examples.labels).double().mean().item()
    assert found.bpd == pytest.approx(found.nll / (2 * math.log(2)))


CONFIGS = {
    "batch=1": "batch",
    "batch=2 -s labelled_share=0.9": "leaves no unlabelled examples",
    "classes=3": "classes = 3 has no effect: moons has 2 classes",
    "dataset=mnist-sample -s classes=1": "classes = 1 is too few",
    "labels=1": "labels = 1 is less than one per class \\(2 classes\\)",
    "dataset=mnist-sample -s trunk.levels=4": "halves pictures 3 times, which 28 x 28 does not allow .* fit: 1, 2, 3",
    "dataset=mnist-sample -s shrink=3": "shrink = 3 does not divide pictures of 28 x 28",
    "dataset=mnist-sample -s head.levels=6 -s trunk.kind=identity -s shrink=7 -s pad=0": "at most .* fit",
    "head.levels=2": "head.levels = 2 leaves 1 dimension",
    "dataset=mnist-sample -s pca=900": "pca = 900 is above the 784 pixel values",
    "dataset=mnist-sample -s input_noise=0.1": "input_noise applies to vectors",
    "dataset=letters-sample": "is not a labelled image data set; use moons, circles, ",
    "trunk.kind=glow": "trunk.kind = glow needs pictures",
    "dataset=mnist-sample -s trunk.kind=couplings": "needs vectors, found pictures",
    "dataset=mnist-sample -s pca=20 -s trunk.kind=ode": "at most 8 dimensions",
    "objective=flowgmm-cons": "compares two augmentations",
    "objective=entropy -s labelled_share=1": "needs unlabelled examples",
    "reports=900": "reports = 900 is above steps = 800",
    "warmup=800": "warmup = 800 must be below steps = 800",
    "crop=1": "crop shifts pictures",
    "preset=huge": "preset: found 'huge'",
}


@pytest.mark.parametrize("settings", CONFIGS)
def test_wrong_settings_are_refused_before_any_compute(settings, tmp_path, capsys):
    words = settings.split()
    code = main(["train", "flows", "--local", "--storage", str(tmp_path), "-s", *words])
    said = capsys.readouterr().err.replace("\n", " ")
    assert code == 2
    assert __import__("re").search(CONFIGS[settings], said), said
    assert not list(tmp_path.iterdir())


def write(folder, **columns):
    path = folder / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def vectors(n=120, d=4):
    generator = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return generator.normal(size=(n, d)) + 3 * labels[:, None], [
        int(y) if i % 4 else None for i, y in enumerate(labels)
    ]


SMALL = {
    "steps": 4,
    "warmup": 0,
    "reports": 2,
    "batch": 12,
    "validation": 20,
    "labels": 6,
    "trunk.width": 8,
    "head.width": 8,
}


def run(path, folder, **settings):
    config = {"dataset": path, **SMALL, "head.levels": 1, **settings}
    return rb.train("flows", config, storage=str(folder), name="run", executor="local")


def test_a_users_vectors_train_with_gaps_in_the_labels(tmp_path):
    x, labels = vectors()
    path = write(tmp_path, a=x[:, 0], b=x[:, 1], c=x[:, 2], d=x[:, 3], label=pa.array(labels, pa.int64()))
    found = run(path, tmp_path)
    assert math.isfinite(found.reports["error"].to_pylist()[-1])
    trained = load_trained(found)
    assert trained.flow.classes == 3
    raw = trained.projection.inverse(trained.flow.sample(5, torch.Generator().manual_seed(0)))
    assert raw.shape == (5, 4)


def test_a_users_pictures_train(tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for _ in range(90):
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 255, (12, 12), np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    path = write(tmp_path, png=files, label=[i % 3 for i in range(90)])
    with pytest.raises(DataError, match=r"holds pictures, but preset = vectors is for vectors"):
        run(path, tmp_path)
    small = {"preset": "cpu", "trunk.checkerboards": 1, "trunk.steps": 1, "head.steps": 1, "head.blocks": 1}
    found = rb.train("flows", {"dataset": path, **SMALL, **small}, storage=str(tmp_path), name="ok", executor="local")
    assert pictures_from(found.table("samples")).shape == (30, 1, 12, 12)
    with pytest.raises(DataError, match=r"halves pictures 3 times, which 12 x 12 does not allow .* fit: 1, 2, 3"):
        rb.train("flows", {"dataset": path, **SMALL, **small, "trunk.levels": 4}, storage=str(tmp_path), name="no",
                 executor="local")  # fmt: skip


def test_a_picture_that_does_not_decode_is_named_by_file_and_row():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    table = pa.table({"image": [buffer.getvalue()] * 9 + [b"no picture"], "label": [0, 1] * 5})
    said = r"^mine\.parquet: column 'image', row 9: the picture cannot be decoded \(unknown format\); replace it"
    with pytest.raises(DataError, match=said):
        own_examples(Config(dataset="mine.parquet", preset="cpu"), {"all": table})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x, y: (x, [7 if i == 5 else v for i, v in enumerate(y)]), r"row \d+ has label 7; .* 0 to 2"),
        (lambda x, y: (x, [-3 if i == 5 else v for i, v in enumerate(y)]), r"found label -3; labels must be 0 or more"),
        (lambda x, y: (x, [None if v == 1 else v for v in y]), r"class 1 has 0 labelled examples"),
        (lambda x, y: (x, [None if v is None else 0 for v in y]), r"found 1 class"),
        (lambda x, y: (np.where(np.arange(4) == 2, 1.0, x), y), r"column\(s\) c are constant"),
        (
            lambda x, y: (np.where(np.arange(480).reshape(120, 4) == 9, np.nan, x), y),
            r"is nan; values must be finite",
        ),
        (lambda x, y: (x[:25], y[:25]), r"validation = 20 of \d+ labelled training examples leaves none"),
    ],
)
def test_a_users_bad_data_are_refused_with_a_sentence(spoil, words, tmp_path):
    x, labels = spoil(*vectors())
    columns = {name: x[:, i] for i, name in enumerate("abcd")}
    path = write(tmp_path, **columns, label=pa.array(labels, pa.int64()))
    classes = {} if "found 1" in words else {"classes": 3}
    with pytest.raises(DataError, match=words):
        run(path, tmp_path, **classes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["train"], ["sweep", "--trials", "4"]])
def test_a_users_bad_file_is_refused_once_and_nothing_is_written(command, tmp_path, capsys):
    path = write(tmp_path, a=[0.1, 0.2], label=[-1, 0])
    where = ["--storage", str(tmp_path / "runs"), "--name", "r"]
    assert main([command[0], "flows", *command[1:], "--local", "-s", f"dataset={path}", *where]) == 2
    said = capsys.readouterr().err
    assert said.count("found label -1; labels must be 0 or more; an empty cell means no label.") == 1
    assert not (tmp_path / "runs").exists()


def test_a_users_file_with_labels_alone_is_refused_where_unlabelled_examples_are_wanted(tmp_path):
    x, _ = vectors()
    path = write(tmp_path, **{name: x[:, i] for i, name in enumerate("abcd")}, label=[i % 3 for i in range(120)])
    with pytest.raises(DataError, match="all training examples are labelled; set labelled_share = 1, or lower labels"):
        run(path, tmp_path, labels=0)
    assert not (tmp_path / "run").exists()


def test_presets_fill_in_and_what_is_given_wins():
    assert Config().preset == "toy"
    assert Config(dataset="mnist-sample").preset == "cpu"
    assert Config(dataset="mnist-sample", pca=32).preset == "pca32"
    assert Config(dataset="mnist-sample", shrink=2).preset == "cpu-16x16"
    config = Config(preset="paper", trunk={"width": 16})
    assert (config.trunk.width, config.trunk.blocks, config.head.width, config.batch) == (16, 4, 256, 256)
    assert config.steps == 117_500
    assert Config(**config.model_dump()) == config, "a whole configuration stays as it is"


@pytest.mark.parametrize("space", sorted(catalog.load_spaces("flows")))
def test_the_presets_values_lie_in_the_spaces_that_name_them(space):
    found = catalog.load_space(PROJECT, space)
    defaults = catalog.filled(PROJECT, found.constants())
    assert found.outside({name: defaults[name] for name in found.active(defaults)}) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss": {"ce": 3.0}}, ["loss.ce = 3.0 has no effect with objective = generative"]),
        ({"trunk": {"levels": 2}}, ["trunk.levels = 2 has no effect with trunk.kind = couplings"]),
        ({"head": {"kind": "shift", "steps": 9}}, ["head.steps = 9 has no effect with head.kind = shift"]),
        ({"dataset": "mnist-sample", "points": 50}, ["points = 50 has no effect: a data set has its own examples"]),
        ({"objective": "hybrid", "loss": {"ce": 3.0}, "trunk": {"steps": 2}}, []),
        ({"preset": "pca32"}, []),
    ],
)
def test_values_that_change_nothing_are_said(values, said):
    assert without_effect(Config(**values)) == said


def test_a_flow_without_an_inverse_stops_the_run(alone):
    config = Config(points=100, validation=20)
    data = fresh(config, None, CPU)
    flow = build_flow(config, data.shape, 2, torch.Generator().manual_seed(0)).eval()
    flow.initialise(data.train.x)
    assert inverse_error(flow, data.test) < 1e-5
    _require_inverse(Run(config, flow), data)
    with torch.no_grad():
        flow.trunk.layers[2].log_scale.fill_(-60.0)  # an ActNorm: 1e-26, and what its shift takes off stays off
        flow.trunk.layers[5].shift.fill_(1e6)
    assert inverse_error(flow, data.test) > 0.1
    with pytest.raises(TrialError, match=r"not invertible: .* misses them by .* use bound = half"):
        _require_inverse(Run(config, flow), data)
