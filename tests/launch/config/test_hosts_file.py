import pytest
import yaml


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  type: local\n", "  typ: local\n", "unknown key 'provider.typ'; did you mean 'provider.type'?"),
        ("worker_ips:", "worker_ipss:", "unknown key 'provider.worker_ipss'; did you mean 'provider.worker_ips'?"),
        ("10.0.0.12]", "999.1.1]", "neither an IP address nor a host name"),
        ("10.0.0.12]", "10.0.0.10]", "10.0.0.10 is named more than once"),
        ("10.0.0.12]", "10.0.0.11]", "10.0.0.11 is named more than once"),
        ("min_workers: 2 ", "min_workers: 1 ", "set both to 2"),
        ("max_workers: 2", "max_workers: two", "c.yaml:17: max_workers: found 'two'"),
        ("cluster_name: lab", "cluster_name: a/b", "letters, digits"),
        ("  ssh_user: me\n", "  ssh_usr: me\n", "unknown key 'auth.ssh_usr'; did you mean 'auth.ssh_user'?"),
        ("--head --detach", "--detach", "the command of the head must contain --head"),
        ("--worker --detach", "--detach", "the command of the worker must contain --worker"),
        ("--autoscaling-config ~/ray_bootstrap_config.yaml", "", "without it no worker starts"),
        ("/home/me/raybayes/.venv/bin/python", "python", "may not be on the PATH"),
        ("--folder /home/me/.raybayes/lab --nodes", "--nodes", "set --folder to the absolute path"),
    ],
)  # fmt: skip
def test_what_ray_accepts(hosts_text, refused, old, new, words):
    assert old in hosts_text
    assert words in refused(hosts_text.replace(old, new))


def test_ray_stop_is_refused_because_it_ends_other_clusters(hosts_text, refused):
    text = hosts_text.replace("worker_start_ray_commands:\n", "worker_start_ray_commands:\n  - ray stop\n")
    said = refused(text)
    assert "worker_start_ray_commands: `ray stop` ends every Ray of this user on the host" in said


def test_plain_ray_start_is_refused_and_the_missing_token_mode_is_named(hosts_text, refused):
    head, _, _ = hosts_text.partition("head_start_ray_commands:")
    text = head + "head_start_ray_commands: [ray start --head]\nworker_start_ray_commands: [ray start]\n"
    said = refused(text)
    assert "RAY_AUTH_MODE=token" in said
    assert "private temporary folder" in said


def test_ray_itself_accepts_the_file(hosts_text):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(hosts_text)
    validate_config(prepare_config(config))
