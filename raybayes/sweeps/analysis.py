"""What a project makes of a sweep: its findings, its scores recomputed, and the commands that it offers on its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from raybayes import catalog
from raybayes.contract import Findings, Finished, Project
from raybayes.errors import RaybayesError, SpecError, TrialError
from raybayes.reporting.figures.style import figure_style
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build, nest, refused


class Analysed(Finished, Protocol):
    """A sweep or run that knows its path and spec beside what a project reads of it."""

    @property
    def path(self) -> str:
        """Its folder or URI."""
        ...

    @property
    def spec(self) -> SweepSpec:
        """What was asked for."""
        ...


def findings(found: Analysed) -> Findings:
    """What the project makes of the whole sweep: short tables and figures; empty if it makes nothing of it.

    Raises:
        RaybayesError: the project says why it cannot.
        TrialError: the project's own function failed.
    """
    if found.spec.kind == "replay" or found.spec.training is not None:  # a user's own function or command
        return Findings()
    project = catalog.load_project(found.spec.project)
    if project.findings is None:
        return Findings()
    return _made(found, project, "findings", project.findings)


def rescore(found: Analysed, settings: Mapping[str, Any]) -> Findings:
    """The results recomputed from the stored tables alone, without training; `.results` is the long table.

    Args:
        found: the sweep or run.
        settings: values of the project's `Rescore.Settings`, by name.

    Raises:
        SpecError: the project cannot rescore, or a setting is wrong.
        RaybayesError: the stored tables do not allow it; the message says why.
    """
    project = _project_of(found, "rescore")
    rescoring = project.rescore
    if rescoring is None:
        raise SpecError(f"{project.name} has nothing to rescore; raybayes show {found.path} prints its trials.")
    checked = build(rescoring.Settings, nest(settings), f"rescore {found.path}")
    return _made(found, project, "rescore", lambda finished: rescoring.compute(finished, checked))


def run_command(found: Analysed, name: str, inputs: Sequence[str], settings: Mapping[str, Any]) -> Findings:
    """Do with a run what its project offers under that name.

    Args:
        found: the run or sweep.
        name: of one of the project's commands.
        inputs: what the command works on, file names as a rule.
        settings: values of the command's `Settings`, by name.

    Raises:
        SpecError: the project has no such command, or a setting is wrong.
        RaybayesError: the project says why it cannot.
    """
    project = _project_of(found, name)
    offered = {command.name: command for command in project.commands}
    if name not in offered:
        listed = ", ".join(offered) or "none"
        raise SpecError(f"{found.path} is a run of {project.name}, which has no command {name!r}; it has {listed}.")
    command = offered[name]
    checked = build(command.Settings, nest(settings), name)
    return _made(found, project, name, lambda finished: command.run(finished, list(inputs), checked))


def _project_of(found: Analysed, what: str) -> Project:
    if found.spec.training is not None:
        raise SpecError(
            f"{found.path}: {what} is for projects of the catalogue; this sweep trains {found.spec.project}."
        )
    return catalog.load_project(found.spec.project)


def _made(found: Analysed, project: Project, what: str, by: Callable[[Analysed], Findings]) -> Findings:
    """What a function of the project returns; whatever it raises is one sentence."""
    try:
        with figure_style():
            return by(found)
    except RaybayesError:
        raise
    except ValidationError as error:  # what was asked for makes a Config that the project refuses
        raise refused(error, project.Config, what) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise TrialError(f"{found.path}: {what} of {project.name} failed: {reason}") from error
