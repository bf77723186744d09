"""How much of the machines is in use."""

import pytest

from raybayes.engine.on_ray.usage import local_load, mean_load


def test_load_is_the_mean_of_what_rays_agents_serve():
    page = (
        '# HELP ray_node_cpu_utilization x\nray_node_cpu_utilization{{ip="{0}",v="a b"}} {1}\n'
        'ray_node_mem_used{{ip="{0}"}} 2.0e+09\nray_node_mem_total{{ip="{0}"}} 8e9\n'
        'ray_node_gpus_utilization{{GpuIndex="0"}} 90\nray_node_gpus_utilization{{GpuIndex="1"}} 30\nother 3\n'
    )
    load = mean_load([page.format("n1", 50.0), page.format("n2", 100.0)])
    assert load == {"cpu": 75.0, "gpu": 60.0, "memory": pytest.approx(25.0)}
    assert mean_load([]) == {}


def test_the_load_of_this_machine_is_a_percentage():
    load = local_load()
    assert 0 <= load["cpu"] <= 100
    assert 0 < load["memory"] <= 100
