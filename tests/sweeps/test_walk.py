"""The way of a spec from the command line to the study is straight: few files, and none of them twice."""

import sys
from pathlib import Path

import raybayes
from raybayes.cli.main import main

ROOT = Path(raybayes.__file__).parent
WALK = [
    "cli/main.py",  # the command line
    "cli/sweep.py",
    "cli/specfile.py",  # flags over the spec file
    "spec/sweep_spec.py",  # checked
    "api.py",
    "sweeps/preparation.py",  # prepared once:
    "catalog.py",  # what it names,
    "search/plan.py",  # and the rules of the search
    "sweeps/execution.py",
    "engine/run.py",  # a burst
    "engine/controller/controller.py",
    "search/study/study.py",
]
# What answers a question and returns, wherever it is asked.
ANSWERS = ("spec/", "store/", "data/", "space/", "contract.py", "clock.py", "seeds.py", "hardware.py", "wording.py",
           "cli/command.py", "cli/options.py", "reporting/", "cli/printing.py", "search/", "sweeps/warm_start.py",
           "sweeps/code.py", "training/", "engine/")  # fmt: skip


def file_of(frame):
    """The file of raybayes that a frame is in; "" for every other one, and for what only answers."""
    name = frame.f_code.co_filename
    file = str(Path(name).relative_to(ROOT)) if name.startswith(str(ROOT)) else ""
    if frame.f_code.co_name in ("resources", "reuse"):  # properties of the record
        return ""
    return "" if file not in WALK and file.startswith(ANSWERS) else file


def sender(frame):
    """The file from which a call came, over what only answers."""
    while (frame := frame.f_back) is not None:
        if file := file_of(frame):
            return file
    return ""


def walked(*arguments):
    """The files that a command line enters from another file, in order, up to the first line in the study."""
    entered, previews = [], []

    def trace(frame, event, _):
        if event == "return" and frame in previews:
            previews.remove(frame)
        elif (
            event == "call" and frame.f_code.co_name == "preview_configurations"
        ):  # draws configurations on a study in memory
            previews.append(frame)
        elif event == "call" and not previews and (file := file_of(frame)) and sender(frame) != file:
            entered.append(file)
            if file == WALK[-1]:
                sys.setprofile(None)

    sys.setprofile(trace)
    try:
        assert main(list(arguments)) == 0
    finally:
        sys.setprofile(None)
    return [file for i, file in enumerate(entered) if i == 0 or entered[i - 1] != file]


def test_a_spec_passes_twelve_files_and_comes_back_to_none(tmp_path, capsys):
    arguments = ("sweep", "parabola", "--trials", "1", "-s", "steps=1", "--local", "--storage", str(tmp_path))
    walked(*arguments, "--name", "first")  # imports are done with
    found = walked(*arguments, "--name", "second")
    assert len(WALK) <= 12
    assert found.count("catalog.py") == 1
    assert found == WALK
