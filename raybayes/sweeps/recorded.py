"""`rb.Recorded`: recorded learning curves in place of a training, for `rb.simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raybayes.engine.simulated import SECONDS
from raybayes.errors import SpecError
from raybayes.space import Choice, Space
from raybayes.space.values import as_key
from raybayes.sweeps.results import SweepResult


class Recorded:
    """Recorded curves in place of a training: a configuration gets the curve of the nearest recorded one.

    Args:
        table: one row per report: config.<name> for every parameter of the space, step, the metrics, and perhaps
            seconds of that report. Rows with the same configuration are one curve, ordered by step.
        space: its scales say what near is: a number's distance is a share of its range (of the logarithm, if the range
            is one), a choice that differs counts 1; conditional parameters are not supported.

    Raises:
        SpecError: a column is missing, or the space has conditions.
    """

    def __init__(self, table: pa.Table, space: Space) -> None:
        missing = [c for c in (*(f"config.{name}" for name in space), "step") if c not in table.column_names]
        if missing or space.conditional:
            reason = f"the table has no {', '.join(missing)}" if missing else "a conditional parameter has no distance"
            raise SpecError(f"recorded curves: {reason}; record a value of each parameter for each curve.")
        self.__name__ = "recorded"
        self._space = space
        self._curves: dict[tuple[Any, ...], list[dict[str, float]]] = {}
        for row in sorted(table.to_pylist(), key=lambda row: row["step"]):
            key = tuple(as_key(row[f"config.{name}"]) for name in space)
            self._curves.setdefault(key, []).append(
                {n: v for n, v in row.items() if n not in ("step", "run") and not n.startswith("config.")}
            )
        self._places = np.array([self._place(dict(zip(space, key, strict=True))) for key in self._curves])

    @classmethod
    def of(cls, sweep: SweepResult) -> Recorded:
        """The curves of a real sweep's complete trials (first seed), to be replayed with other search methods."""
        rows = sweep.trials.to_pylist()
        configs = {
            r["trial"]: {f"config.{name}": r[f"config.{name}"] for name in sweep.space}
            for r in rows if r["state"] == "COMPLETE"
        }  # fmt: skip
        names = [o["name"] for o in sweep.document["objectives"]]
        reports: list[dict[str, Any]] = []
        before: dict[int, float] = {}
        for row in sweep.reports.to_pylist():
            if row["trial"] in configs and row["repeat"] == 0:
                seconds = row["seconds"] - before.get(row["trial"], 0.0)
                before[row["trial"]] = row["seconds"]
                values = {name: row[name] for name in names}
                reports.append({**configs[row["trial"]], "step": row["step"], **values, SECONDS: seconds})
        return cls(pa.Table.from_pylist(reports), sweep.space)

    def __len__(self) -> int:
        return len(self._curves)

    @property
    def curves(self) -> dict[tuple[Any, ...], list[dict[str, float]]]:
        """Every curve by its configuration, values in the order of the space."""
        return self._curves

    def __call__(self, config: Mapping[str, Any]) -> list[dict[str, float]]:
        distances = np.abs(self._places - self._place(config)).sum(axis=1)
        return list(self._curves.values())[int(np.argmin(distances))]

    def _place(self, config: Mapping[str, Any]) -> NDArray[np.float64]:
        parts: list[float] = []
        for name in self._space:
            parameter = self._space[name]
            if isinstance(parameter, Choice):
                parts += [0.5 * (as_key(config[name]) == key) for key in parameter.keys]
            else:
                low, high, value = (
                    float(np.log(x) if parameter.log else x) for x in (parameter.low, parameter.high, config[name])
                )
                parts.append((value - low) / (high - low) if high > low else 0.0)
        return np.array(parts)
