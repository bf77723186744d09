import pytest

from raybayes.launch.slurm.partition import check_partition


def errors(spec):
    return [finding.text for finding in check_partition(spec) if finding.level == "error"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"partition": "cup"}, "unknown partition 'cup'; valid partitions: cpu, gpu"),
        ({"nodes": 11}, "it has 10 nodes, but 11 are requested"),
        ({"cpus_per_task": 17}, "no node has 17 CPUs"),
        ({"memory": "65G"}, "no node has 65G of memory"),
        ({"gpus_per_node": 1}, "no node has 1 GPUs"),
        ({"partition": "gpu", "nodes": 2, "gpus_per_node": 5}, "no node has 5 GPUs"),
        ({"partition": "gpu", "nodes": 2, "gpus_per_node": 1, "gpu_type": "a100"}, "1 GPUs of type a100"),
        ({"time": "2-00:00:00"}, "the time 2-00:00:00 is above its limit of 1-00:00:00"),
    ],
)
def test_requests_that_can_never_be_met(slurm, queue, changes, words):
    queue("")
    [error] = errors(slurm(**changes))
    assert words in error


def test_what_fits(slurm, queue):
    queue("")
    assert errors(slurm()) == []
    assert errors(slurm(partition="gpu", nodes=2, gpus_per_node=4, gpu_type="v100", time="9-00")) == []
