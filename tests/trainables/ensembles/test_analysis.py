"""The study in small: what must hold among the methods on 2,000 MNIST images, with margins. About half a minute."""

import pytest

from trainables.ensembles import Config, train
from trainables.ensembles.metrics.dee import deep_ensemble_equivalent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a minute of training where nothing else runs

SIZE = 5
METHODS = {
    "deep_ensemble": {"method": "deep_ensemble"},
    "single": {"method": "single"},
    "tta": {"method": "single", "tta": True},
    "snapshot": {"method": "snapshot"},
    "fge": {"method": "fge"},
    "swag": {"method": "swag"},
}


@pytest.fixture(scope="module")
def study(run_in_memory):
    """method -> metric -> size -> value on the test images; "cll" is the calibrated, "ll" the raw log-likelihood."""

    def curve(values):
        result = run_in_memory(train, Config.model_validate({"members": SIZE, "validation": 0.05, **values}))
        found: dict = {"cll": {}, "ll": {}, "error": {}, "temperature": {}}
        for row in result.tables["curve"].to_pylist():
            if row["split"] == "test" and row["metric"] == "ll":
                found["cll" if row["calibrated"] else "ll"][row["n_samples"]] = row["value"]
                if row["calibrated"]:
                    found["temperature"][row["n_samples"]] = row["temperature"]
            if row["split"] == "test" and row["metric"] == "error" and not row["calibrated"]:
                found["error"][row["n_samples"]] = row["value"]
        return found

    return {name: curve(values) for name, values in METHODS.items()}


def test_deep_ensembles_gain_with_size_and_beat_every_other_method(study):
    deep = study["deep_ensemble"]["cll"]
    assert deep[SIZE] > deep[3] > deep[1]
    assert study["deep_ensemble"]["error"][SIZE] < 0.8 * study["single"]["error"][1]
    for name in ("tta", "snapshot", "fge", "swag"):
        for size in range(3, SIZE + 1):
            assert deep[size] > study[name]["cll"][size], (name, size)


def test_temperature_falls_with_size_and_crosses_one(study):
    temperature = study["deep_ensemble"]["temperature"]
    assert temperature[1] > 1 > temperature[SIZE]


def test_snapshots_and_augmentation_improve_with_size(study):
    for name in ("snapshot", "tta"):
        assert study[name]["cll"][SIZE] > study[name]["cll"][1] + 0.01
    assert study["tta"]["cll"][1] < study["single"]["cll"][1]  # one draw of the augmentation only hurts
    assert study["tta"]["cll"][SIZE] > study["single"]["cll"][1] - 0.01


def test_one_trajectory_is_worth_more_than_one_network_and_far_less_than_its_size(study):
    curve = study["deep_ensemble"]["cll"]
    for name in ("fge", "swag"):
        assert 1 <= deep_ensemble_equivalent(study[name]["cll"][SIZE], curve).value < 3, name


def test_calibration_helps_but_for_noise(study):
    for name, curves in study.items():
        for size, cll in curves["cll"].items():
            assert cll > curves["ll"][size] - 0.02, (name, size)
