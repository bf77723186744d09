"""Which code a training ran with."""

import subprocess

from raybayes.training import digest


def tree(folder):
    (folder / "lib").mkdir()
    (folder / "train.py").write_text(
        "import lib.model\nimport json\nfrom helper import f\n\ndef train(c): return f()\n"
    )
    (folder / "helper.py").write_text("from lib import deep\ndef f(): return 1.0\n")
    (folder / "lib" / "__init__.py").write_text("")
    (folder / "lib" / "model.py").write_text("from . import deep\nfrom .deep import x\n")
    (folder / "lib" / "deep.py").write_text("x = 1\n")
    (folder / "other.py").write_text("unused = 1\n")


def test_a_file_and_all_that_it_imports_from_beside_it(tmp_path):
    tree(tmp_path)
    found = digest.file_digests([tmp_path / "train.py"], tmp_path)
    assert set(found) == {"train.py", "helper.py", "lib/__init__.py", "lib/model.py", "lib/deep.py"}


def test_a_change_is_named_by_its_file(tmp_path):
    tree(tmp_path)
    before = digest.file_digests([tmp_path / "train.py"], tmp_path)
    (tmp_path / "lib" / "deep.py").write_text("x = 2\n")
    (tmp_path / "other.py").write_text("unused = 2\n")
    after = digest.file_digests([tmp_path / "train.py"], tmp_path)
    assert digest.changed_sources(before, after) == ["lib/deep.py"]


def test_a_function_without_a_file_is_its_code():
    scope = {}
    exec("def f(config): return 1.0\ndef g(config): return 2.0", scope)
    one, other = (digest.function_digests(scope[name])[0] for name in "fg")
    assert list(one) == ["<f>"]
    assert list(one.values()) != list(other.values())


def test_a_stamp_has_commit_diff_sources_and_packages(tmp_path):
    tree(tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "helper.py").write_text("def f(): return 2.0\n")
    stamp = digest.code_stamp(digest.file_digests([tmp_path / "train.py"], tmp_path), tmp_path)
    assert len(stamp["commit"]) == 40
    assert "+def f(): return 2.0" in stamp["diff"]
    assert digest.package_versions()["torch"]
    assert "helper.py" in stamp["sources"]


def test_a_large_diff_is_cut_and_says_so(tmp_path):
    tree(tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "helper.py").write_text("x = 1\n" * 50_000)
    diff = digest.code_stamp({}, tmp_path)["diff"]
    assert len(diff) < digest.DIFF_LIMIT + 100
    assert diff.endswith("characters left out")


def test_without_git_there_is_no_commit(tmp_path):
    stamp = digest.code_stamp({}, tmp_path)
    assert stamp["commit"] is None
    assert stamp["diff"] is None
