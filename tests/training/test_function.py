"""A callable as a project."""

import functools
import math

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from raybayes.errors import SpecError, TrialError
from raybayes.space import Float, Int, Space
from raybayes.training import current
from raybayes.training.function import project_of, reports_of

SPACE = Space({"lr": Float(0.1, 1.0), "swag.rank": Int(1, 9)})
MINIMIZE = {"loss": "minimize"}


def train_with(trial, train, values=None, constants=None, **more):
    project = project_of(train, SPACE, MINIMIZE, constants or {}, **more)
    project.train(project.Config(**(values or {"lr": 0.5})), trial)
    return trial.reports


class TestAnswers:
    @pytest.mark.parametrize(
        "train",
        [
            lambda config: config["lr"],
            lambda config: {"loss": config["lr"]},
            lambda config: np.float32(config["lr"]),
            lambda config: torch.tensor(config["lr"]),
            lambda config: [{"loss": config["lr"]}],
            lambda config: ({"loss": x} for x in [config["lr"]]),
            lambda config: current.report(loss=config["lr"]),
            lambda config: current.report({"loss": config["lr"]}),
            lambda config, ctx: ctx.report({"loss": config["lr"]}),
            lambda config, ctx=None: ctx.report({"loss": config["lr"]}),
            lambda config, scale=1.0: config["lr"] * scale,
        ],
    )
    def test_each_way_to_answer_is_one_report(self, trial, train):
        assert train_with(trial, train) == [{"loss": 0.5}]

    def test_a_generator_reports_as_it_goes(self, trial):
        def train(config):
            for epoch in range(3):
                assert len(trial.reports) == epoch
                yield {"loss": config["lr"] / (epoch + 1), "accuracy": 0.5}

        assert len(train_with(trial, train)) == 3
        assert trial.reports[2] == {"loss": 0.5 / 3, "accuracy": 0.5}

    @pytest.mark.parametrize(
        ("answer", "words"),
        [("0.5", "found '0.5'"), ([0.5], "found 0.5; a report is a mapping"), ({"loss": "low"}, "loss: found 'low'"),
         ({"loss": True}, "loss: found True"), (object(), "return a number")],
    )  # fmt: skip
    def test_another_answer_is_named(self, trial, answer, words):
        with pytest.raises(TypeError, match=words):
            train_with(trial, lambda config: answer)

    def test_nothing_reported_is_a_failure(self, trial):
        with pytest.raises(TrialError, match="returned None and reported nothing"):
            train_with(trial, lambda config: None)

    def test_an_objective_that_is_missing_says_what_was_there(self, trial):
        with pytest.raises(TrialError, match="objective loss was not reported; found accuracy, f1"):
            train_with(trial, lambda config: {"accuracy": 1.0, "f1": 0.5})

    def test_one_number_is_not_two_objectives(self):
        with pytest.raises(TypeError, match="for 2 objectives"):
            list(reports_of(0.5, ("loss", "size")))


class TestConfigurations:
    def test_a_dictionary_has_what_is_active_and_constant(self, trial):
        seen = []
        train_with(
            trial, lambda c: seen.append(c) or 1.0, {"lr": 0.2, "swag": {"rank": 3}}, {"epochs": 7, "layers": (1, 2)}
        )
        train_with(trial, lambda c: seen.append(c) or 1.0, {"lr": 0.2}, {"epochs": 7})
        assert seen == [{"lr": 0.2, "swag.rank": 3, "epochs": 7, "layers": (1, 2)}, {"lr": 0.2, "epochs": 7}]

    def test_a_model_stays_a_model(self, trial):
        class Config(BaseModel):
            lr: float = 0.3

        train_with(trial, lambda config: config.lr, {"lr": 0.25}, Config=Config)
        assert trial.reports == [{"loss": 0.25}]

    def test_the_projects_name_is_the_functions(self):
        def train_digits(config):
            """Train a small network."""

        project = project_of(train_digits, SPACE, MINIMIZE, {})
        assert (project.name, project.summary) == ("train_digits", "Train a small network.")
        assert project_of(lambda c: 1.0, SPACE, MINIMIZE, {}).name == "lambda"
        assert project_of(functools.partial(round, 1), SPACE, MINIMIZE, {}).name == "partial"


class TestRefusals:
    @pytest.mark.parametrize(
        ("train", "words"),
        [("train", "found 'train'"), (lambda: 1.0, "cannot be called with a configuration"),
         (lambda a, b, c: 1.0, "cannot be called with a configuration")],
    )  # fmt: skip
    def test_what_cannot_be_called_with_a_configuration(self, train, words):
        with pytest.raises(SpecError, match=words):
            project_of(train, SPACE, MINIMIZE, {})

    def test_an_objective_and_its_direction_are_needed(self):
        with pytest.raises(SpecError, match="objective: found none"):
            project_of(lambda config: 1.0, SPACE, {}, {})
        with pytest.raises(SpecError, match="found direction 'minimise'; give m"):
            project_of(lambda config: 1.0, SPACE, {"loss": "minimise"}, {})


class TestInside:
    def test_report_does_nothing_by_hand(self):
        current.report(loss=1.0)
        assert not current.should_stop()
        assert list(current.epochs(3)) == [1, 2, 3]

    def test_current_trial_needs_one(self, trial):
        with pytest.raises(SpecError, match="no trial is being trained"):
            current.current_trial()
        train_with(trial, lambda config: current.current_trial().report({"loss": 2.0}))
        assert trial.reports == [{"loss": 2.0}]

    @pytest.mark.parametrize(("arguments", "words"), [({}, "found no metric"), ({"loss": "x"}, "loss: found 'x'")])
    def test_what_is_no_metric_is_named(self, trial, arguments, words):
        with pytest.raises(TypeError, match=words):
            train_with(trial, lambda config: current.report(**arguments))

    def test_epochs_restore_model_and_generator(self, make_trial):
        def train(config):
            model = torch.nn.Linear(1, 1)
            for _ in current.epochs(5, model=model):
                with torch.no_grad():
                    model.weight += torch.rand(1)
                current.report(loss=model.weight.item())

        torch.manual_seed(0)
        whole = train_with(make_trial(), train)
        torch.manual_seed(0)
        first = make_trial()
        train_with(first, train)
        torch.manual_seed(99)
        rest = train_with(make_trial(state=first.states[2]), train)
        assert rest == whole[3:]
        assert all(math.isfinite(report["loss"]) for report in rest)

    def test_epochs_name_an_object_that_the_checkpoint_lacks(self, make_trial):
        def train(config, **objects):
            for _ in current.epochs(2, **objects):
                current.report(loss=1.0)

        first = make_trial()
        train_with(first, functools.partial(train, model=torch.nn.Linear(1, 1)))
        with pytest.raises(SpecError, match="no 'net', it has model"):
            train_with(make_trial(state=first.states[0]), functools.partial(train, net=torch.nn.Linear(1, 1)))
