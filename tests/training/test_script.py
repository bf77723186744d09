"""A command as a project: its words, its metrics, its end."""

import json
import os
import re
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from raybayes.contract import Stop
from raybayes.errors import SpecError, TrialError
from raybayes.space import Choice, Float, Space
from raybayes.training.command_words import Template, patterns_of
from raybayes.training.script import ScriptTraining, project_of

SPACE = Space({"lr": Float(0.1, 1.0), "layers": Choice("64", "64,64"), "nesterov": Choice(True, False)})
MINIMIZE = {"val_loss": "minimize"}


class TestTemplate:
    def test_values_take_the_place_of_names(self):
        words = Template(("python", "t.py", "--lr", "{lr}", "--layers={layers}", "--tag", "{{lr}}"))
        filled = words.fill({"lr": 0.001, "layers": (64, 64)})
        assert filled == ["python", "t.py", "--lr", "0.001", "--layers=64,64", "--tag", "{lr}"]

    def test_a_float_keeps_all_its_digits(self):
        assert Template(("{lr}",)).fill({"lr": 0.1 + 0.2}) == ["0.30000000000000004"]

    def test_a_flag_is_there_or_not(self):
        words = Template(("t", "{nesterov:--nesterov}", "--end"))
        assert words.fill({"nesterov": True}) == ["t", "--nesterov", "--end"]
        assert words.fill({"nesterov": False}) == ["t", "--end"]

    def test_an_inactive_parameter_takes_its_option_with_it(self):
        words = Template(("t", "--rank", "{swag.rank}", "--decay={decay}", "--end"))
        assert words.fill({"swag.rank": None, "decay": None}) == ["t", "--end"]

    def test_dotted_names_are_names(self):
        assert Template(("--rank={swag.rank}",)).names() == ["swag.rank"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ((), "command: found none"),
            (("no-such-program-here", "{lr}"), "no program 'no-such-program-here'"),
            ((sys.executable, "nowhere.py", "{lr}"), "nowhere.py does not exist"),
            ((sys.executable, "-c", "1", "{lr}"), "has no {layers}"),
            ((sys.executable, "-c", "1", "{lr}", "{rate}"), "{rate} has no parameter"),
            ((sys.executable, "-c", "1", "{lr"), "expected '}'"),
            ((sys.executable, "-c", "1", "{lr:--lr}", "{layers}", "{nesterov}"), "lr must be true|false"),
        ],
    )
    def test_a_command_that_cannot_work(self, words, sentence):
        with pytest.raises(SpecError, match=re.escape(sentence)):
            project_of(words, SPACE, MINIMIZE, {}, {})

    @pytest.mark.parametrize("text", ["loss", "loss=x", "loss=(a)(b)", "loss=("])
    def test_a_pattern_needs_one_group(self, text):
        with pytest.raises(SpecError, match="write NAME=PATTERN"):
            patterns_of([text])


def training(tmp_path, text, **more):
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(text))
    return ScriptTraining(Template((sys.executable, str(file), "{lr}")), ("val_loss",), **more)


def config(lr=0.5):
    return project_of((sys.executable, "-c", "1", "{lr}"), Space({"lr": Float(0.1, 1.0)}), MINIMIZE, {}, {}).Config(
        lr=lr
    )


PRINTS = """
    import json, sys, time
    for epoch in range(1, 6):
        print("working")
        print(json.dumps({"epoch": epoch, "val_loss": float(sys.argv[1]) / epoch, "name": "x"}), flush=True)
        time.sleep(SLEEP)
"""


class TestMetrics:
    def test_lines_of_json_that_hold_the_objective(self, tmp_path, trial):
        training(tmp_path, PRINTS.replace("SLEEP", "0"))(config(), trial)
        assert trial.reports == [{"epoch": float(e), "val_loss": 0.5 / e} for e in range(1, 6)]
        assert trial.states[-1] == {"reported": 5, "step": 5.0}
        assert trial.lines[0] == "working"
        assert json.loads(trial.lines[-1])["epoch"] == 5

    def test_patterns_complete_each_other(self, tmp_path, trial):
        text = "print('acc 0.9'); print('loss: 1.5'); print('loss: 1.25'); print('acc 0.8')"
        found = patterns_of([r"val_loss=loss: (\S+)", r"accuracy=acc (\S+)"])
        training(tmp_path, text, patterns=found)(config(), trial)
        assert trial.reports == [{"accuracy": 0.9, "val_loss": 1.5}, {"val_loss": 1.25}]

    def test_a_call_of_report(self, tmp_path, trial):
        text = """
            import raybayes.training.current as current
            for epoch in range(3):
                current.report(val_loss=epoch)
            print('{"val_loss": 7}')
        """
        training(tmp_path, text)(config(), trial)
        assert trial.reports == [{"val_loss": 0.0}, {"val_loss": 1.0}, {"val_loss": 2.0}]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("print('nothing to see')", "printed no metric val_loss; it ended with: nothing to see"),
            ('print(\'{"loss": 1, "epoch": 2}\')', "its JSON lines hold loss, epoch"),
            ("import sys; print('oh no'); sys.exit(3)", "ended with exit code 3"),
            ("print('x')\nraise ValueError('too small')", "ValueError: too small"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with exit code 137"),
        ],
    )
    def test_a_script_without_a_metric_fails_with_its_last_lines(self, tmp_path, trial, text, words):
        with pytest.raises(TrialError, match=words):
            training(tmp_path, text)(config(), trial)


def alive(marker):
    """Processes with a word in their command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if marker in " ".join(p.info["cmdline"] or [])]


class TestEnd:
    def test_a_stopped_script_ends_early_and_leaves_no_process(self, tmp_path, make_trial):
        trial = make_trial(stop_at=2)
        with pytest.raises(Stop):
            training(tmp_path, PRINTS.replace("SLEEP", "30"))(config(), make_trial(stop_at=1))
        with pytest.raises(Stop):
            training(tmp_path, PRINTS.replace("SLEEP", "0.2"))(config(), trial)
        assert len(trial.reports) == 2
        assert alive(str(tmp_path / "script.py")) == []

    def test_what_it_leaves_behind_is_ended(self, tmp_path, trial):
        text = """
            import subprocess, sys
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600) # left-MARK"], start_new_session=True)
            print('{"val_loss": 1}')
        """
        marker = f"left-{os.getpid()}"
        training(tmp_path, text.replace("left-MARK", marker))(config(), trial)
        assert trial.reports == [{"val_loss": 1.0}]
        assert alive(marker) == []

    def test_a_script_that_asks_leaves_by_itself(self, tmp_path, make_trial):
        text = """
            import pathlib, sys, time
            import raybayes.training.current as current
            for epoch in range(100):
                current.report(val_loss=epoch)
                if current.should_stop():
                    time.sleep(3)
                    pathlib.Path(sys.argv[0] + ".left").touch()
                    break
        """
        trial = make_trial(stop_at=3)
        with pytest.raises(Stop):
            training(tmp_path, text)(config(), trial)
        assert len(trial.reports) == 3
        assert Path(tmp_path / "script.py.left").exists()

    def test_a_script_whose_sweep_is_killed_ends(self, tmp_path):
        """The process that trains is killed with no chance to say so: the keeper sees its pipe close."""
        import subprocess

        marker = f"orphan-{os.getpid()}"
        keeper = [sys.executable, "-m", "raybayes.training.processes", "1", "--", sys.executable, "-c"]
        sleeper = f"import time; time.sleep(600)  # {marker}"
        start = (
            f"import subprocess, time; subprocess.Popen({[*keeper, sleeper]!r}, stdin=subprocess.PIPE); time.sleep(600)"
        )
        parent = subprocess.Popen([sys.executable, "-c", start])
        deadline = time.monotonic() + 20
        while len(alive(marker)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        parent.kill()
        parent.wait()
        while alive(marker) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert alive(marker) == []


class TestResume:
    def test_a_script_that_starts_again_repeats_no_report(self, tmp_path, make_trial):
        trial = make_trial(state={"reported": 3, "step": 3.0})
        training(tmp_path, PRINTS.replace("SLEEP", "0"))(config(), trial)
        assert [report["epoch"] for report in trial.reports] == [4.0, 5.0]
        assert trial.states[-1] == {"reported": 5, "step": 5.0}

    def test_one_that_counts_nothing_is_counted(self, tmp_path, make_trial):
        trial = make_trial(state={"reported": 2, "step": None})
        training(tmp_path, "for i in range(5): print('{\"val_loss\": %d}' % i)")(config(), trial)
        assert [report["val_loss"] for report in trial.reports] == [2.0, 3.0, 4.0]

    def test_one_that_keeps_files_continues(self, tmp_path, make_trial):
        trial = make_trial(state={"reported": 2, "step": None})
        (trial.trial_dir() / "checkpoint").touch()
        training(tmp_path, "for i in range(2, 5): print('{\"val_loss\": %d}' % i)")(config(), trial)
        assert [report["val_loss"] for report in trial.reports] == [2.0, 3.0, 4.0]

    def test_one_line_makes_a_loop_that_resumes(self, tmp_path, make_trial):
        text = """
            import torch
            from raybayes.training.current import epochs
            model = torch.nn.Linear(1, 1)
            torch.manual_seed(0)
            for epoch in epochs(6, model=model):
                with torch.no_grad():
                    model.weight += torch.rand(1)
                print('{"val_loss": %.17g}' % model.weight.item(), flush=True)
        """
        whole = make_trial()
        training(tmp_path, "import torch; torch.manual_seed(1)\n" + textwrap.dedent(text))(config(), whole)
        for file in whole.trial_dir().iterdir():
            file.unlink()
        first = make_trial(stop_at=3)
        with pytest.raises(Stop):
            training(tmp_path, "import torch; torch.manual_seed(1)\n" + textwrap.dedent(text), checkpoint_every=0.0)(
                config(), first
            )
        second = make_trial(state=first.states[-1])
        training(tmp_path, "import torch; torch.manual_seed(1)\n" + textwrap.dedent(text))(config(), second)
        done = len(first.reports)
        assert done >= 2
        assert second.reports == whole.reports[6 - len(second.reports) :]
        assert len(second.reports) < 6
