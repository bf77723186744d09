from pathlib import Path

import pytest

from raybayes.launch.config.cluster_spec import LocalCluster, SlurmCluster, parse_time, read_cluster
from raybayes.launch.registry import launcher_for

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", sorted((ROOT / "cluster").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_files_are_right_and_begin_with_their_command(path):
    spec = read_cluster(str(path))
    first = path.read_text().splitlines()[0]
    assert first.startswith("# raybayes ")
    assert f"cluster/{path.name}" in first
    if path.name != "local.yaml":
        assert spec.name if hasattr(spec, "name") else spec.metadata.name
    assert launcher_for(spec, str(path)).render()


def test_every_key_has_a_meaning():
    for model in (LocalCluster, SlurmCluster):
        for name, field in model.model_fields.items():
            assert name == "kind" or field.description, name


def test_no_yaml_says_line_and_column(refused):
    assert refused("kind: local\nname: [a\n").startswith("c.yaml:3:1: not valid YAML")


def test_no_kind_lists_them(refused):
    assert "write kind: local or kind: slurm" in refused("name: a\n")
    assert refused("name: a\nkind: pbs\n").startswith("c.yaml:2: found kind 'pbs'")


def test_an_unknown_key_names_the_line_the_nearest_and_all_with_their_defaults(refused):
    said = refused("kind: slurm\nname: a\ntime: 10\npartitoin: cpu\n")
    assert said.startswith("c.yaml:4: unknown key 'partitoin'; did you mean 'partition'?")
    for part in ("time (required)", "signal_lead_s (default 180)", "ports (default (20000, 30000))"):
        assert part in said


def test_a_missing_key_is_named(refused):
    assert "time is missing" in refused("kind: slurm\nname: a\n")
    assert "name is missing" in refused("kind: local\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("name: -x", "start with a letter or digit"),
        ("ports: [30000, 20000]", "between 1024 and 65535"),
        ("python: python3", "absolute path"),
        ("nodes: 0", "greater than or equal to 1"),
        ("memory: 64 GB", "write a number with K, M, G or T"),
        ("time: 2h", "write minutes, HH:MM:SS"),
        ("extra: [exclusive]", "'exclusive' is not an sbatch option"),
        ("signal_lead_s: 600", "signal_lead_s: 600 s must be shorter than the wall time of 10"),
    ],
)
def test_wrong_values(refused, line, words):
    key = line.partition(":")[0]
    given = {"kind": "kind: slurm", "name": "name: a", "time": "time: 10", key: line}
    assert words in refused("\n".join(given.values()))


def test_a_time_without_quotes_is_a_time(slurm):
    assert slurm(time="12:00:00").time == "12:00:00"
    assert slurm(time="90").time == "90"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90", 5400), ("30:00", 1800), ("01:30:00", 5400), ("1-12", 129600), ("2-00:00:10", 172810)],
)
def test_times_as_slurm_reads_them(text, wanted):
    assert parse_time(text) == wanted
