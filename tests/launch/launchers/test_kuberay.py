import pytest

from raybayes.errors import ClusterError
from raybayes.launch.config.cluster_spec import read_cluster
from raybayes.launch.launchers.kuberay import KubeRayLauncher
from raybayes.launch.node.checks import Finding


@pytest.fixture
def launcher(tmp_path):
    """The launcher of a manifest."""

    def make(text):
        path = tmp_path / "k.yaml"
        path.write_text(text)
        return KubeRayLauncher(read_cluster(str(path)), str(path))

    return make


def test_the_version_and_the_token_are_checked(launcher, kuberay_text):
    assert [finding.level for finding in launcher(kuberay_text).check()] == ["ok"]
    older = launcher(kuberay_text.replace('"2.60.0"', '"2.50.0"')).check()
    assert Finding("error", "rayVersion is 2.50.0, but Ray 2.60.0 is installed here; use one.") in older
    open_to_all = launcher(kuberay_text.replace("mode: token  ", "mode: disabled")).check()
    assert any("authOptions.mode must be token" in finding.text for finding in open_to_all)


def test_starting_is_left_to_kubectl(launcher, kuberay_text):
    with pytest.raises(ClusterError, match="kubectl apply -f"):
        launcher(kuberay_text).up(print)
