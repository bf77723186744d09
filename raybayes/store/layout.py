"""All paths of a sweep's folder. No other module builds one."""

from __future__ import annotations

from dataclasses import dataclass

from raybayes.store.filesystem import Storage


@dataclass(frozen=True)
class Layout:
    """The files and folders of one sweep or run.

    All paths are relative to `storage`, the folder of the sweep, as its methods take them;
    `layout.storage.local_path(layout.journal)` is the file for a library that wants a path of the disk.

    Args:
        storage: the sweep's own folder, e.g. `open_storage("runs").child("ensembles-lr")`.
    """

    storage: Storage

    @property
    def name(self) -> str:
        """The sweep's name: that of its folder."""
        return self.storage.root.rstrip("/").rpartition("/")[2]

    @property
    def spec(self) -> str:
        """The resolved specification with all defaults."""
        return "sweep.yaml"

    @property
    def journal(self) -> str:
        """Optuna's journal."""
        return "study.journal"

    @property
    def warm_start(self) -> str:
        """The warm start: what the sweep took from earlier sweeps at its first start."""
        return "prior.json"

    def confirmation(self, number: int) -> str:
        """Folder of a confirmation, itself laid out like a sweep; numbers count from 1."""
        return f"confirm-{number}"

    @property
    def events(self) -> str:
        """The events of a simulated sweep."""
        return "events.parquet"

    @property
    def lock(self) -> str:
        """The lock: which burst works on the sweep now."""
        return "burst.lock"

    @property
    def usage(self) -> str:
        """The use of the machines, as the running burst last measured it."""
        return "usage.json"

    @property
    def tensorboard(self) -> str:
        """Folder of TensorBoard's event files, one folder per trial."""
        return "tensorboard"

    def event_file(self, trial: int, repeat: int, burst: int) -> str:
        """What one trial reported in one burst, as TensorBoard reads it."""
        return f"{self.tensorboard}/{self._trial_name(trial, repeat)}/events.out.tfevents.{burst:04d}.raybayes"

    def event_mark(self, burst: int) -> str:
        """Marks that the event files of a burst are complete."""
        return f"{self.tensorboard}/.burst-{burst:04d}"

    @property
    def reports(self) -> str:
        """Folder of the reports."""
        return "reports"

    def report_log(self, burst: int) -> str:
        """The log of a burst that is running (or died)."""
        return f"{self.reports}/burst-{burst:04d}.jsonl"

    def report_part(self, burst: int, part: int) -> str:
        """One part of the log of a burst on an object store."""
        return f"{self.reports}/burst-{burst:04d}-part-{part:06d}.parquet"

    def report_table(self, burst: int) -> str:
        """All reports of a finished burst."""
        return f"{self.reports}/burst-{burst:04d}.parquet"

    @property
    def profiles(self) -> str:
        """Folder of the profiles."""
        return "profile"

    def profile(self, burst: int) -> str:
        """How the slots spent their time in one burst."""
        return f"{self.profiles}/burst-{burst:04d}.jsonl"

    @property
    def trials(self) -> str:
        """The table of trials, one row per trial."""
        return "trials.parquet"

    @property
    def checkpoints(self) -> str:
        """Folder of all checkpoints."""
        return "checkpoints"

    def trial(self, trial: int, repeat: int) -> str:
        """Folder of one trial's checkpoints: `00012`, and `00012-r1` for the second seed."""
        return f"{self.checkpoints}/{self._trial_name(trial, repeat)}"

    def checkpoint(self, trial: int, repeat: int, step: int) -> str:
        """Folder of one checkpoint."""
        return f"{self.trial(trial, repeat)}/{step:08d}"

    def unpublished(self, trial: int, repeat: int, step: int) -> str:
        """Where the ranks write a checkpoint before it is published: not random, because all ranks must know it."""
        if self.storage.local:
            return f"{self.trial(trial, repeat)}/.{step:08d}.part"
        return self.checkpoint(trial, repeat, step)

    @property
    def attempts(self) -> str:
        """The table of attempts, one row for each start of a run."""
        return "attempts.parquet"

    @property
    def attempt_logs(self) -> str:
        """Folder of the attempts of bursts that run (or died)."""
        return "attempts"

    def attempt_log(self, burst: int) -> str:
        """The attempts of a burst that runs (or died)."""
        return f"{self.attempt_logs}/burst-{burst:04d}.jsonl"

    @property
    def tables(self) -> str:
        """Folder of the tables that trials saved."""
        return "tables"

    def table(self, name: str) -> str:
        """Folder of one table, a partitioned pyarrow data set."""
        return f"{self.tables}/{name}"

    def table_part(self, name: str, part: str, trial: int, repeat: int) -> str:
        """One file of a table."""
        return f"{self.table(name)}/trial={trial:05d}/repeat={repeat}/{part}.parquet"

    def log(self, trial: int, repeat: int) -> str:
        """What one trial printed."""
        return f"logs/{self._trial_name(trial, repeat)}.txt"

    def trial_files(self, trial: int, repeat: int) -> str:
        """Folder of a trial's own files."""
        return f"files/{self._trial_name(trial, repeat)}"

    def code_stamp(self, burst: int) -> str:
        """Which code a burst ran with."""
        return f"bursts/{burst:04d}.yaml"

    def spec_copy(self, burst: int) -> str:
        """The specification as a burst found it: what `raybayes check --repair` restores a damaged one from."""
        return f"bursts/{burst:04d}-sweep.yaml"

    def spec_copies(self) -> list[str]:
        """Those that there are, oldest first."""
        return [f"bursts/{name}" for name in self.storage.list("bursts") if name.endswith("-sweep.yaml")]

    def _trial_name(self, trial: int, repeat: int) -> str:
        return f"{trial:05d}{f'-r{repeat}' if repeat else ''}"

    @property
    def figures(self) -> str:
        """Folder of the report's figures."""
        return "figures"

    def figure(self, name: str, suffix: str) -> str:
        """One figure, e.g. `figure("history", "svg")`."""
        return f"{self.figures}/{name}.{suffix}"

    @property
    def report_page(self) -> str:
        """The report page."""
        return "report.html"
