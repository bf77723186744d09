"""`raybayes submit` into Slurm's queue, against stand-ins for Slurm's commands."""

import json
import re

from raybayes.cli.main import main
from raybayes.launch.jobs.slurm_job import SlurmJobs


def submit(file, *more):
    return main(["submit", "--cluster", file, *more, "--", "train", "parabola", "--name", "a"])


def test_one_job_is_submitted_and_its_id_printed(slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    queue("", joins=0)
    assert submit(slurm_file(), "--no-wait") == 0
    job = capsys.readouterr().out.strip()
    assert re.fullmatch(r"a-\d{4}-\d{6}", job)
    script = (tmp_path / "shared" / "jobs" / job / "job.sbatch").read_text()
    assert script.rstrip().endswith(f"-- train parabola --name a --storage {tmp_path}/runs")
    assert f"#SBATCH --chdir={tmp_path}" in script


def test_followed_to_its_end_with_its_exit_code(slurm_file, queue, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = """
folder = Path(sys.argv[-1]).parent
(folder / "logs" / "job.log").write_text("12:00:00 a: starting\\n")
(folder / "result.json").write_text('{"exit_code": 1, "starts": 3}')
print(42)"""
    queue("PENDING|BeginTime|", "RUNNING|None|h0", "", joins=0, sbatch=body)
    assert submit(slurm_file()) == 1
    output = capsys.readouterr().out
    assert "12:00:00 a: starting" in output
    assert "job 42 is pending (BeginTime)" in output
    queue("")
    assert main(["jobs", "list", "--cluster", slurm_file(), "--json"]) == 0
    [line] = json.loads(capsys.readouterr().out)
    assert (line["state"], line["exit_code"], line["where"]) == ("FAILED", 1, "Slurm job 42")
    assert main(["jobs", "logs", "--cluster", slurm_file(), line["id"]]) == 0
    assert capsys.readouterr().out == "12:00:00 a: starting\n"


def test_cancelled_behind_our_back(slurm_file, queue, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    queue("CANCELLED|None|", joins=0)
    assert submit(slurm_file()) == 3
    assert "has ended: cancelled, without a result" in capsys.readouterr().err


def test_ctrl_c_detaches(slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    queue("RUNNING|None|h0", joins=0)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SlurmJobs, "follow", interrupted)
    assert submit(slurm_file()) == 130
    assert "the job continues" in capsys.readouterr().err
    assert not [call for call in programs.calls() if call.startswith("scancel")]


def test_stop_asks_the_batch_program_alone(slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    queue("", joins=0)
    submit(slurm_file(), "--no-wait")
    job = capsys.readouterr().out.strip()
    queue("RUNNING|None|h0", joins=0)
    assert main(["jobs", "stop", "--cluster", slurm_file(), job]) == 0
    assert "scancel --batch --signal=TERM 42" in programs.calls()


def test_a_wrong_sweep_never_reaches_the_queue(slurm_file, queue, programs, capsys):
    queue("", joins=0)
    arguments = ["submit", "--cluster", slurm_file(), "--", "sweep", "ensembles", "--trials", "0"]
    assert main(arguments) == 2
    assert "trials: found 0" in capsys.readouterr().err
    assert not [call for call in programs.calls() if call.startswith("sbatch")]
