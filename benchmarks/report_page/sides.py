"""What each process does: make the sweep, draw raybayes' report of it, draw Optuna's figures of it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import raybayes as rb
from raybayes import catalog

NAME = "sweep"


def make(folder: str, trials: str, reports: str) -> None:
    """A sweep in the folder, by the random sampler, in this process."""
    rb.sweep(
        "curves",
        trials=int(trials),
        config={"reports": int(reports)},
        sampler="random",
        storage=folder,
        name=NAME,
        executor="local",
    )


def raybayes(folder: str) -> None:
    """Figures and page."""
    rb.open_sweep(f"{folder}/{NAME}").report()


def optuna(folder: str) -> None:
    """The figures that Optuna has for the same, as PNG of the same resolution."""
    import optuna as library
    from matplotlib import pyplot
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.visualization import matplotlib as drawing

    warnings.simplefilter("ignore")
    pyplot.switch_backend("agg")
    journal = JournalFileBackend(f"{folder}/{NAME}/study.journal")
    study = library.load_study(study_name=NAME, storage=JournalStorage(journal))
    for name in ("optimization_history", "intermediate_values", "param_importances", "slice", "parallel_coordinate"):
        getattr(drawing, f"plot_{name}")(study)
        pyplot.savefig(Path(folder) / f"{name}.png", dpi=200)
        pyplot.close("all")


def main(argv: list[str]) -> None:
    """`make FOLDER TRIALS REPORTS`, `raybayes FOLDER`, or the other side's name and FOLDER."""
    catalog.add_root(str(Path(__file__).parent.parent / "projects"))
    sides: dict[str, Callable[..., None]] = {
        "make": make,
        "raybayes": raybayes,
        "optuna.visualization.matplotlib": optuna,
    }
    sides[argv[0]](*argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
