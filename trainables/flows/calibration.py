"""How far the confidence of a flow is from how often it is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

_BINS = 10


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> pa.Table:
    """One row per tenth of confidence that occurs: n, mean confidence, share of right labels."""
    p, hits = np.asarray(confidence, float), np.asarray(right, float)
    number = np.minimum((p * _BINS).astype(int), _BINS - 1)
    rows = [
        {
            "confidence": f"{k / _BINS:.1f} to {(k + 1) / _BINS:.1f}",
            "n": int((number == k).sum()),
            "mean confidence": float(p[number == k].mean()),
            "right": float(hits[number == k].mean()),
        }
        for k in np.unique(number).tolist()
    ]
    return pa.Table.from_pylist(rows)


def calibration_error(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error (Guo et al. 2017): mean |right - confidence| over tenths of confidence."""
    table = reliability(confidence, right).to_pylist()
    total = sum(row["n"] for row in table)
    return float(sum(row["n"] / total * abs(row["right"] - row["mean confidence"]) for row in table))
