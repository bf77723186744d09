"""Whether a sweep's study is whole: readers fall back on what is left of a damaged one, a burst refuses it."""

from __future__ import annotations

import functools
import logging

from raybayes.errors import StoreError
from raybayes.search.study.journal import JournalError
from raybayes.search.study.rebuild import trials_ahead
from raybayes.search.study.study import Study
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.store.logs.reports import BrokenReports, trials_of_bursts
from raybayes.sweeps.damage import Damage, Inspection

_LOG = logging.getLogger("raybayes.sweeps")


@functools.cache
def warn_of_damage(path: str, what: str) -> None:
    """Say once in this process that a sweep is damaged, and that what is read is what is whole."""
    _LOG.warning(
        "%s: damaged: %s. Shown is what is whole; raybayes check %s names the damage, --repair mends it.",
        path,
        what,
        path,
    )


def readable_study(layout: Layout, inspection: Inspection, journal: str) -> Study:
    """The study to be read; of a damaged one what its journal and the tables still say, with one warning.

    Args:
        inspection: of the sweep's folder.
        journal: the journal as a file of this machine.
    """
    rows = (
        inspection.rows if isinstance(inspection.rows, dict) else {}
    )  # before the journal, which a burst writes first
    try:
        study = Study(journal, inspection.space, inspection.objectives, writer=False)
        known = study.ended()
        reported = () if known or not layout.storage.exists(layout.reports) else inspection.reported
        ahead = trials_ahead(known, rows, reported)
        what = f"{layout.journal} knows {len(known)} trials, the tables know more" if ahead else ""
    except JournalError as error:
        what = str(error).partition(";")[0]
    if not what:
        return study
    warn_of_damage(layout.storage.display, what)
    return Study(inspection.rebuilt().trials, inspection.space, inspection.objectives, writer=False)


def require_whole_study(layout: Layout, inspection: Inspection, journal: str) -> None:
    """Refuse to work on a damaged study; says which incomplete last lines a crash has left.

    Raises:
        StoreError: the journal is damaged or knows less than the tables; with the command that mends it.
    """
    if BurstLock(layout).find_living() is not None:  # the lock refuses it
        return
    path, broken = layout.storage.display, list[BrokenReports]()
    try:
        known = Study(journal, inspection.space, inspection.objectives, writer=False).ended()
        rows = inspection.rows if isinstance(inspection.rows, dict) else {}
        reported = {trial for trials in trials_of_bursts(layout, broken).values() for trial in trials}
        ahead = trials_ahead(known, rows, reported)
        worst = Damage(layout.journal, None, f"it knows {len(known)} trials, the tables know more", tuple(ahead))
        what = str(worst) if ahead else ""
    except JournalError as error:
        what = str(error).partition(";")[0].removeprefix(f"{path}/")
    what = what or next((str(Damage(each.path, each.line, each.what)) for each in broken if not each.torn), "")
    if what:
        raise StoreError(
            f"{path}: the sweep is damaged: {what}. To go on would lose or repeat trials; mend it first: "
            f"raybayes check {path} --repair."
        )
    torn = [each.path for each in broken] + [layout.journal] * _is_torn(layout)
    for file in torn:
        _LOG.warning("%s/%s: its last line is incomplete, as a crash leaves it; that line is dropped.", path, file)


def _is_torn(layout: Layout) -> bool:
    if not layout.storage.exists(layout.journal):
        return False
    with layout.storage.reading(layout.journal) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")
