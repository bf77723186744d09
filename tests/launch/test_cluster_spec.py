from pathlib import Path

import pytest

from raybayes.errors import SpecError
from raybayes.launch.config.cluster_spec import LocalCluster, SlurmCluster, read_cluster, seconds
from raybayes.launch.interface import launcher_for
from raybayes.launch.node.checks import Finding

ROOT = Path(__file__).parent.parent.parent
HOSTS = (ROOT / "cluster" / "hosts.yaml").read_text()
KUBERAY = (ROOT / "cluster" / "kuberay.yaml").read_text()


def refused(tmp_path, text):
    """The sentence with which a file is refused, its folder taken off."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        read_cluster(str(path))
    return str(error.value).replace(f"{tmp_path}/", "")


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


class TestOurOwnFiles:
    def test_no_yaml_says_line_and_column(self, tmp_path):
        assert refused(tmp_path, "kind: local\nname: [a\n").startswith("c.yaml:3:1: this is no YAML")

    def test_no_kind_lists_them(self, tmp_path):
        assert "write kind: local or kind: slurm" in refused(tmp_path, "name: a\n")
        assert refused(tmp_path, "name: a\nkind: pbs\n").startswith("c.yaml:2: found kind 'pbs'")

    def test_an_unknown_key_names_the_line_the_nearest_and_all_with_their_defaults(self, tmp_path):
        said = refused(tmp_path, "kind: slurm\nname: a\ntime: 10\npartitoin: cpu\n")
        assert said.startswith("c.yaml:4: unknown key 'partitoin'; did you mean 'partition'?")
        for part in ("time (required)", "signal_lead_s (default 180)", "ports (default (20000, 30000))"):
            assert part in said

    def test_a_missing_key_is_named(self, tmp_path):
        assert "time is missing" in refused(tmp_path, "kind: slurm\nname: a\n")
        assert "name is missing" in refused(tmp_path, "kind: local\n")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("name: -x", "letters, digits"),
            ("ports: [30000, 20000]", "between 1024 and 65535"),
            ("python: python3", "absolute path"),
            ("nodes: 0", "greater than or equal to 1"),
            ("memory: 64 GB", "write a number with K, M, G or T"),
            ("time: 2h", "write minutes, HH:MM:SS"),
            ("extra: [exclusive]", "'exclusive' is no sbatch option"),
            ("signal_lead_s: 600", "signal_lead_s: 600 s before the wall time of 10 is before the start"),
        ],
    )
    def test_wrong_values(self, tmp_path, line, words):
        key = line.partition(":")[0]
        given = {"kind": "kind: slurm", "name": "name: a", "time": "time: 10", key: line}
        assert words in refused(tmp_path, "\n".join(given.values()))

    def test_a_time_without_quotes_is_a_time(self, slurm):
        assert slurm(time="12:00:00").time == "12:00:00"
        assert slurm(time="90").time == "90"

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [("90", 5400), ("30:00", 1800), ("01:30:00", 5400), ("1-12", 129600), ("2-00:00:10", 172810)],
    )
    def test_times_as_slurm_reads_them(self, text, wanted):
        assert seconds(text) == wanted


class TestRayUpFiles:
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("  type: local\n", "  typ: local\n", "unknown key 'provider.typ'; did you mean 'provider.type'?"),
            ("worker_ips:", "worker_ipss:", "unknown key 'provider.worker_ipss'; did you mean 'provider.worker_ips'?"),
            ("10.0.0.12]", "999.1.1]", "neither an address nor a host name"),
            ("10.0.0.12]", "10.0.0.10]", "10.0.0.10 is named more than once"),
            ("10.0.0.12]", "10.0.0.11]", "10.0.0.11 is named more than once"),
            ("min_workers: 2 ", "min_workers: 1 ", "write 2 for both"),
            ("max_workers: 2", "max_workers: two", "c.yaml:17: max_workers: found 'two'"),
            ("cluster_name: lab", "cluster_name: a/b", "letters, digits"),
            ("  ssh_user: me\n", "  ssh_usr: me\n", "unknown key 'auth.ssh_usr'; did you mean 'auth.ssh_user'?"),
            ("--head --detach", "--detach", "the head's command needs --head"),
            ("--worker --detach", "--detach", "the worker's command needs --worker"),
            ("--autoscaling-config ~/ray_bootstrap_config.yaml", "", "or it starts no workers"),
            ("/home/me/raybayes/.venv/bin/python", "python", "may be missing on the PATH"),
            ("--folder /home/me/.raybayes/lab --nodes", "--nodes", "--folder needs the absolute path"),
        ],
    )  # fmt: skip
    def test_what_ray_lets_through(self, tmp_path, old, new, words):
        assert old in HOSTS
        assert words in refused(tmp_path, HOSTS.replace(old, new))

    def test_ray_stop_is_refused_because_it_ends_other_clusters(self, tmp_path):
        text = HOSTS.replace("worker_start_ray_commands:\n", "worker_start_ray_commands:\n  - ray stop\n")
        said = refused(tmp_path, text)
        assert "worker_start_ray_commands: `ray stop` ends every Ray of this user on the host" in said

    def test_plain_ray_start_is_refused_and_the_missing_token_mode_is_said(self, tmp_path):
        head, _, _ = HOSTS.partition("head_start_ray_commands:")
        text = head + "head_start_ray_commands: [ray start --head]\nworker_start_ray_commands: [ray start]\n"
        said = refused(tmp_path, text)
        assert "RAY_AUTH_MODE=token" in said
        assert "private temp folder" in said

    def test_ray_itself_accepts_the_file(self):
        from ray.autoscaler._private.util import prepare_config, validate_config

        config = __import__("yaml").safe_load(HOSTS)
        validate_config(prepare_config(config))


class TestManifests:
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("headGroupSpec:", "headGroup:", "unknown key 'spec.headGroup'; did you mean 'spec.headGroupSpec'?"),
            ("name: raybayes\n", "name: Ray_Bayes\n", "small letters, digits and '-'"),
            ("replicas: 2\n      min", "replicas: 5\n      min", "replicas: 5 is not between minReplicas 2"),
            ("ray.io/v1", "ray.io/v1alpha1", "apiVersion"),
            ("mode: token", "mode: tokn", "spec.authOptions.mode"),
        ],
    )
    def test_wrong_manifests(self, tmp_path, old, new, words):
        assert old in KUBERAY
        assert words in refused(tmp_path, KUBERAY.replace(old, new))

    def check(self, tmp_path, text):
        path = tmp_path / "k.yaml"
        path.write_text(text)
        return launcher_for(read_cluster(str(path)), str(path)).check()

    def test_the_version_and_the_token_are_looked_at(self, tmp_path):
        assert [finding.level for finding in self.check(tmp_path, KUBERAY)] == ["ok"]
        older = self.check(tmp_path, KUBERAY.replace('"2.60.0"', '"2.50.0"'))
        assert Finding("error", "rayVersion is 2.50.0, and here Ray 2.60.0 is installed.") in older
        open_to_all = self.check(tmp_path, KUBERAY.replace("mode: token  ", "mode: disabled"))
        assert any("authOptions.mode must be token" in finding.text for finding in open_to_all)

    def test_starting_is_left_to_kubectl(self, tmp_path):
        from raybayes.errors import ClusterError

        path = tmp_path / "k.yaml"
        path.write_text(KUBERAY)
        launcher = launcher_for(read_cluster(str(path)), str(path))
        with pytest.raises(ClusterError, match="kubectl apply -f"):
            launcher.up(print)
