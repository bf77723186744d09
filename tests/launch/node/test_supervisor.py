import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import Head
from raybayes.launch.node.supervisor import count_visible_gpus, require_same_versions


@pytest.mark.parametrize(("visible", "count"), [("0,1,2,3", 4), ("2", 1), ("", 0), ("-1", 0), ("NoDevFiles", 0)])
def test_what_the_batch_system_gave_counts(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_visible_gpus() == count


@pytest.mark.parametrize(("python", "ray"), [("3.12.1", "2.60.0"), ("3.11.7", "2.59.0")])
def test_a_node_of_another_version_names_both(python, ray):
    head = Head("c-1", "h0", "10.0.0.1", 1, 2, "3.11.7", "2.60.0")
    require_same_versions(head, "3.11.7", "2.60.0")
    both = f"this node has Python {python} and Ray {ray}; the head h0 has Python 3.11.7 and Ray 2.60.0"
    with pytest.raises(ClusterError, match=both):
        require_same_versions(head, python, ray)
