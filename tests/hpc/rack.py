"""Three hosts and a login node on one machine, in namespaces that vanish with this process.

`python rack.py login FOLDER` must be process 1 of new network, mount, process, IPC and host-name namespaces. It makes a
bridge, three hosts with network, processes and /mnt of their own, sshd on each, munge, slurmctld, and slurmd on each.
It prints one line of JSON when all of it is up, and ends, with everything in it, when its standard input closes.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOSTS = ("h0", "h1", "h2")
USER = "student"
UID = 7001
LOGIN = "10.77.0.1"
ADDRESS = {name: f"10.77.0.{10 + i}" for i, name in enumerate(HOSTS)}

SLURM = """
ClusterName=rack
SlurmctldHost=login({login})
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=4
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/slurmctld
SlurmdSpoolDir=/mnt/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/mnt/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
KillWait=15
InactiveLimit=0
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
PlugStackConfig=/dev/null
NodeName=h[0-2] NodeAddr=10.77.0.1[0-2] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=h[0-2] Default=YES MaxTime=01:00:00 State=UP OverSubscribe=NO
PartitionName=down Nodes=h[0-2] MaxTime=01:00:00 State=DOWN
"""
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n"


def run(*command, **options):
    """Run, or raise with what the command said."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stderr.strip()}")
    return ran.stdout


def spawn(folder, name, *command):
    """Start a service with its output in a file."""
    with (folder / f"{name}.out").open("wb") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def private(folder, name):
    """Host name, own /run and /mnt, names of all hosts, and a home of its own for root."""
    run("hostname", name)
    run("mount", "--make-rprivate", "/")
    for place in ("/run", "/mnt"):
        run("mount", "-t", "tmpfs", "tmpfs", place)
    Path("/mnt/home").mkdir(mode=0o700)
    Path("/mnt/student").mkdir(mode=0o700)
    os.chown("/mnt/student", UID, UID)
    Path("/run/sshd").mkdir(mode=0o755)
    lines = ["127.0.0.1 localhost", f"{LOGIN} login", *(f"{address} {host}" for host, address in ADDRESS.items())]
    hosts, passwd = Path("/run/hosts"), Path("/run/passwd")
    hosts.write_text("\n".join(lines) + "\n")
    users = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    homes = [[*u[:5], "/mnt/home", "/bin/bash"] if u[0] == "root" else u for u in users]
    homes.append([USER, "x", str(UID), str(UID), "", "/mnt/student", "/bin/bash"])
    passwd.write_text("".join(":".join(u) + "\n" for u in homes))
    run("mount", "--bind", str(hosts), "/etc/hosts")
    run("mount", "--bind", str(passwd), "/etc/passwd")
    os.environ["HOME"] = "/mnt/home"
    run("ip", "link", "set", "lo", "up")


def open_to_users(*paths):
    """Make folders reachable for other users than root, in this mount namespace: closed ones above them are covered."""
    held = {}
    for number, path in enumerate(dict.fromkeys(Path(path).resolve() for path in paths)):
        closed = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001]
        if closed:
            place = Path(f"/run/held/{number}")
            place.mkdir(parents=True)
            run("mount", "--bind", str(path), str(place))
            held[path] = (place, closed[0])
    for cover in {cover for _, cover in held.values()}:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(cover))
    for path, (place, _) in held.items():
        path.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(place), str(path))


def login(folder):
    private(folder, "login")
    open_to_users(sys.base_prefix, sys.prefix, os.environ["PYTHONPATH"])
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "addr", "add", f"{LOGIN}/24", "dev", "br0")
    run("ip", "link", "set", "br0", "up")
    for key in ("id", "hostkey", "wrong"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
    authorized = folder / "authorized_keys"
    authorized.write_text((folder / "id.pub").read_text())
    authorized.chmod(0o600)
    (folder / "slurmctld").mkdir()
    (folder / "slurm.conf").write_text(SLURM.format(folder=folder, login=LOGIN))
    (folder / "cgroup.conf").write_text(CGROUP)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    munge(folder)
    pids = {}
    for host in HOSTS:
        new = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child")
        outer = spawn(folder, host, *new, sys.executable, __file__, "host", str(folder), host)
        inner = until(lambda outer=outer: child_of(outer.pid), f"{host} did not start")
        wire(host, inner)
        pids[host] = inner
    spawn(folder, "slurmctld", "/usr/sbin/slurmctld", "-D")
    until(lambda: idle_nodes() == len(HOSTS), "slurmd did not register on all hosts")
    for address in ADDRESS.values():
        until(lambda address=address: reached(folder, address), f"sshd on {address} does not answer")
    print(json.dumps({"hosts": pids}), flush=True)


def host(folder, name):
    private(folder, name)
    until(lambda: Path("/sys/class/net/eth0").exists() or "eth0" in run("ip", "link"), "no network")
    until(lambda: ADDRESS[name] in run("ip", "addr"), "no address")
    Path("/mnt/slurmd").mkdir()
    options = {
        "PidFile": "none", "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no",
        "PermitRootLogin": "yes", "UsePAM": "no", "MaxSessions": "100", "MaxStartups": "100",
    }  # fmt: skip
    # As if raybayes were installed there; and Ray must not end a trial because others fill the real machine's memory.
    options["SetEnv"] = f"PYTHONPATH={os.environ['PYTHONPATH']} RAY_memory_monitor_refresh_ms=0"
    flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    spawn(folder, f"sshd-{name}", "/usr/sbin/sshd", "-D", "-e", "-h", str(folder / "hostkey"), *flags)
    spawn(folder, f"slurmd-{name}", "/usr/sbin/slurmd", "-D", "-N", name)


def munge(folder):
    key = folder / "munge.key"
    run("mungekey", "--create", f"--keyfile={key}")
    folder.chmod(0o755)
    spawn(
        folder, "munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}",
        "--pid-file=/run/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
    )  # fmt: skip
    until((folder / "munge.socket").exists, "munged did not start")


def wire(name, pid):
    """A cable from the bridge to a host."""
    run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "set", f"v{name}", "master", "br0", "up")
    inside = ("nsenter", "-t", str(pid), "--net")
    run(*inside, "ip", "addr", "add", f"{ADDRESS[name]}/24", "dev", "eth0")
    run(*inside, "ip", "link", "set", "eth0", "up")
    run(*inside, "ip", "route", "add", "default", "via", LOGIN)


def child_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def idle_nodes():
    shown = subprocess.run(
        ["sinfo", "-h", "-p", "debug", "-t", "idle", "-o", "%D"], capture_output=True, text=True, check=False
    )
    return int(shown.stdout.strip() or 0)


def reached(folder, address):
    options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes")
    command = ("ssh", "-i", str(folder / "id"), *options, "-o", "LogLevel=ERROR", f"root@{address}", "true")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def until(condition, complaint, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise SystemExit(complaint)


def reap(forever):
    """What process 1 does: collect the orphans until it is over."""
    while not forever():
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.2)


def stdin_closed():
    import select

    return bool(select.select([sys.stdin], [], [], 0)[0]) and not os.read(0, 1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    where = Path(sys.argv[2])
    if sys.argv[1] == "login":
        login(where)
        reap(stdin_closed)
    else:
        host(where, sys.argv[3])
        reap(lambda: False)
