import subprocess

import pytest

from raybayes.errors import SpecError
from raybayes.launch.jobs.working_dir import select_files


def test_what_stays_at_home(tmp_path):
    for name in ("a.py", "runs/x.parquet", ".venv/bin/python", "b/__pycache__/c.pyc", "b/d.py", "big.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    chosen = select_files(tmp_path, ["*.npz"])
    assert [name for name, _ in chosen.files] == ["a.py", "b/d.py"]
    chosen.copy_to(tmp_path / "runs" / "copy")
    assert (tmp_path / "runs/copy/b/d.py").read_text() == "x"


def test_git_decides_what_is_part_of_the_work(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("secret\n")
    for name in ("secret", "new.py"):
        (tmp_path / name).write_text("x")
    assert [name for name, _ in select_files(tmp_path).files] == [".gitignore", "new.py"]


def test_too_large_names_the_ten_largest(tmp_path):
    for i in range(12):
        (tmp_path / f"f{i:02d}").write_bytes(b"0" * (1000 + i) * 100)
    with pytest.raises(SpecError) as error:
        select_files(tmp_path, limit_mb=1)
    lines = str(error.value).splitlines()
    assert "has 1.2 MB in 12 files, and the limit is 1 MB" in lines[0]
    assert [line.split()[-1] for line in lines[1:11]] == [f"f{i:02d}" for i in range(11, 1, -1)]
    assert "--exclude" in lines[11]
