from raybayes.launch.config.hosts_file import Auth
from raybayes.launch.transport import ssh_command


def test_ssh_never_asks_and_expands_home_on_the_host():
    command = ssh_command(Auth(ssh_user="me", ssh_private_key="/k"), "h", ["ls", "~/a b"])
    assert command[-2:] == ["me@h", "ls ~'/a b'"]
    assert "BatchMode=yes" in command
