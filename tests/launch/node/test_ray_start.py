from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.node.ports import PortBlock
from raybayes.launch.node.ray_start import RayNode, node_environment, start_command


def node(**changes):
    given = {"ip": "10.0.0.5", "head": None, "scratch": "/tmp/rb1000-abc/r", "block": PortBlock(20000, 100)}
    return RayNode(**{**given, "cpus": 4, "gpus": 0, **changes})


def test_a_head_gets_every_port_from_its_block():
    words = start_command("/opt/python", node(object_store_mb=80))
    assert words == [
        "/opt/python", "-m", "ray.scripts.scripts", "start", "--head", "--port=20001", "--dashboard-host=10.0.0.5",
        "--dashboard-port=20009", "--ray-client-server-port=20008", "--node-ip-address=10.0.0.5",
        "--node-manager-port=20002", "--object-manager-port=20003", "--runtime-env-agent-port=20004",
        "--dashboard-agent-grpc-port=20005", "--dashboard-agent-listen-port=20006", "--metrics-export-port=20007",
        "--min-worker-port=20020", "--max-worker-port=20099", "--temp-dir=/tmp/rb1000-abc/r", "--num-cpus=4",
        "--num-gpus=0", '--resources={"trial_slot": 4}', "--object-store-memory=83886080", "--disable-usage-stats",
        "--block",
    ]  # fmt: skip


def test_a_worker_joins_with_ports_of_its_own():
    words = start_command("/opt/python", node(head="10.0.0.1:30001", gpus=2))
    assert "--address=10.0.0.1:30001" in words
    assert "--num-gpus=2" in words
    assert not [word for word in words if word.startswith(("--head", "--port", "--dashboard-port"))]


class TestEnvironment:
    def made(self, tmp_path, given, ip="10.0.0.5"):
        folder = ClusterFolder(tmp_path)
        return node_environment(given, folder, node(ip=ip), "lab-1/0", "/opt/venv/bin/python", "/nfs/runs")

    def test_the_token_is_on_for_every_node_whatever_the_shell_says(self, tmp_path):
        made = self.made(tmp_path, {"RAY_AUTH_MODE": "disabled"})
        assert made["RAY_AUTH_MODE"] == "token"
        assert made["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")

    def test_the_first_autoscaler_is_used(self, tmp_path):
        assert self.made(tmp_path, {"RAY_enable_autoscaler_v2": "1"})["RAY_enable_autoscaler_v2"] == "0"

    def test_python_of_an_entry_point_is_ours(self, tmp_path):
        assert self.made(tmp_path, {"PATH": "/usr/bin"})["PATH"] == "/opt/venv/bin:/usr/bin"

    def test_threads_are_left_to_ray_and_devices_to_slurm(self, tmp_path):
        made = self.made(tmp_path, {"OMP_NUM_THREADS": "40", "MKL_NUM_THREADS": "40", "CUDA_VISIBLE_DEVICES": "2,3"})
        assert "OMP_NUM_THREADS" not in made
        assert "MKL_NUM_THREADS" not in made
        assert made["CUDA_VISIBLE_DEVICES"] == "2,3"

    def test_another_cluster_of_the_shell_is_forgotten(self, tmp_path):
        assert "RAY_ADDRESS" not in self.made(tmp_path, {"RAY_ADDRESS": "10.9.9.9:1"})

    def test_collectives_use_the_interface_of_the_address(self, tmp_path):
        made = self.made(tmp_path, {}, ip="127.0.0.1")
        assert made["GLOO_SOCKET_IFNAME"] == made["NCCL_SOCKET_IFNAME"] == "lo"
        assert self.made(tmp_path, {"NCCL_SOCKET_IFNAME": "ib0"}, ip="127.0.0.1")["NCCL_SOCKET_IFNAME"] == "ib0"

    def test_heads_on_one_machine_do_not_share_metric_ports(self, tmp_path):
        made = self.made(tmp_path, {})
        assert (made["AUTOSCALER_METRIC_PORT"], made["DASHBOARD_METRIC_PORT"]) == ("20010", "20011")
