"""The program `raybayes`: its commands, and how errors become one sentence and an exit code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from raybayes.cli import (
    check,
    cluster,
    collection,
    confirm,
    dashboard,
    data,
    export,
    importing,
    jobs,
    logs,
    new,
    projects,
    show,
    sweep,
    train,
    watch,
)
from raybayes.cli.command import Nouns
from raybayes.errors import Interrupted, RaybayesError, SpecError
from raybayes.spec.options import unknown_option

# Typer carries its own copy of click, whose errors it does not export: this is the base class of the one that it does.
ClickError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="raybayes",
    cls=Nouns,
    help="Distributed training and hyperparameter search for Bayesian deep learning, on Ray and Optuna.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing it with rich would take longer than all else that --help does
    context_settings={"help_option_names": ["-h", "--help"]},
)
TRAINING = ("sweep", "train")  # what takes `-- COMMAND`
_PLACE = re.compile(r"\{[A-Za-z_][\w.]*(:--?[\w-]+)?\}")  # {lr}, {nesterov:--nesterov}
app.command("projects")(projects.projects)
app.command("new")(new.new)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("resume")(sweep.resume)
app.command("extend")(sweep.extend)
app.command("confirm")(confirm.confirm)
app.command("show")(show.show)
app.command("rescore")(show.rescore)
app.command("report")(show.report)
app.command("list")(collection.list_)
app.command("compare")(collection.compare)
app.command("rm")(collection.remove)
app.command("watch")(watch.watch)
app.command("logs")(logs.logs)
app.command("export")(export.export)
app.command("import")(importing.import_)
app.command("check")(check.check)
app.command("dashboard")(dashboard.dashboard)
app.add_typer(data.app, name="data")
app.add_typer(cluster.app, name="cluster")
app.command("submit")(jobs.submit)
app.add_typer(jobs.app, name="jobs")


def main(arguments: Sequence[str]) -> int:
    """Run a command line.

    Returns:
        The exit code: 0 done, 1 failed trials, 2 wrong input, 3 cluster, 75 out of time, 130 interrupted.
    """
    own, command = split_command(arguments)
    as_json = "--json" in own
    try:
        if own and own[0] in TRAINING and not command:
            _require_dashes(own)
        answer = app(list(own), standalone_mode=False, prog_name="raybayes", obj=command)
        if answer == Interrupted.exit_code:  # what typer makes of a KeyboardInterrupt
            raise KeyboardInterrupt
        return answer if isinstance(answer, int) else 0
    except RaybayesError as error:
        return _fail(str(error), error.exit_code, as_json)
    except ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return 2
        return _fail(f"{_sentence(error)} See --help.", 2, as_json)
    except (typer.Abort, KeyboardInterrupt):
        return _fail(
            "interrupted at once; everything reported so far is stored. Resume with: raybayes resume PATH", 130, as_json
        )


def _sentence(error: Any) -> str:
    """What typer says of a wrong command line; of an unknown option what Python says of an unknown argument."""
    if type(error).__name__ == "NoSuchOption" and error.ctx is not None:
        flags = [flag for parameter in error.ctx.command.params for flag in parameter.opts if flag.startswith("--")]
        return unknown_option(error.option_name, flags, error.ctx.command.name)
    message: str = error.format_message()
    return message if message.endswith((".", "?", "!")) else f"{message}."


def split_command(arguments: Sequence[str]) -> tuple[Sequence[str], tuple[str, ...]]:
    """The words before `--`, and the command to train after it; only where a command can be trained."""
    if not arguments or arguments[0] not in TRAINING or "--" not in arguments:
        return arguments, ()
    at = list(arguments).index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def _require_dashes(arguments: Sequence[str]) -> None:
    """SpecError if there is a command to train among the words, and no `--` before it."""
    scripts = [word for word in arguments if word.endswith(".py") and "=" not in word]
    if scripts or any(_PLACE.search(word) for word in arguments):
        script = scripts[0] if scripts else "train.py"
        raise SpecError(
            f"{arguments[0]}: found a command to train without -- before it; write it last, for example: raybayes "
            f"{arguments[0]} --param lr=log:1e-4..1 --objective loss:minimize -- python {script} --lr {{lr}}, or name "
            f"a function of the file: {script}:train."
        )


def _fail(message: str, code: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}))
    else:
        print(f"raybayes: {message}", file=sys.stderr)
    return code


def run() -> NoReturn:
    """The entry point of the console script."""
    sys.exit(main(sys.argv[1:]))
