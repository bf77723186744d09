import json

from raybayes.launch.node import teardown


def test_the_private_key_that_ray_up_copies_is_removed_for_this_cluster_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config, key = tmp_path / "ray_bootstrap_config.yaml", tmp_path / "ray_bootstrap_key.pem"
    config.write_text(json.dumps({"cluster_name": "lab", "x": 1}))
    key.touch()
    teardown.remove_ray_up_files("other")
    assert key.exists()
    teardown.remove_ray_up_files("lab")
    assert not key.exists()
    assert not config.exists()
