"""Documents by query: read, split, scored by NDCG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from raybayes.errors import DataError

PADDING = -1e4  # logit of an absent document: no Gumbel noise lifts it, and sums with it keep 12 digits


@dataclass(frozen=True)
class Queries:
    """Documents by query, padded. Queries without a relevant document are dropped: all their rankings are equally good.

    Args:
        features: (Q, n, F).
        relevance: (Q, n), 0 .. 4; 0 at padding.
        mask: (Q, n), False at padding.
    """

    features: Tensor
    relevance: Tensor
    mask: Tensor

    @classmethod
    def of(cls, table: pa.Table, like: Tensor, length: int | None = None) -> Queries:
        """From a table with query_id, relevance and features.

        Raises:
            DataError: no query has a relevant document, or two documents.
        """
        ids = table["query_id"].to_numpy(zero_copy_only=False)
        grades = table["relevance"].to_numpy()
        features = np.stack(table["features"].to_numpy())
        groups = [np.flatnonzero(ids == query) for query in np.unique(ids)]
        groups = [rows for rows in groups if grades[rows].max() > 0]
        longest = max((len(rows) for rows in groups), default=0)
        if longest < 2:
            raise DataError(
                "no query has a relevant document and a second document to rank it against; check the table."
            )
        n = length or longest
        mask = torch.zeros(len(groups), n, dtype=torch.bool)
        relevance = torch.zeros(len(groups), n, dtype=torch.float64)
        padded = torch.zeros(len(groups), n, features.shape[1], dtype=torch.float64)
        for query, rows in enumerate(groups):
            mask[query, : len(rows)] = True
            relevance[query, : len(rows)] = torch.from_numpy(grades[rows].astype(np.float64))
            padded[query, : len(rows)] = torch.from_numpy(features[rows].astype(np.float64))
        return cls(padded.to(like), relevance.to(like), mask.to(like.device))

    def __len__(self) -> int:
        return len(self.mask)


def split_queries(tables: Mapping[str, pa.Table]) -> Mapping[str, pa.Table]:
    """Tables `train` and `test`. A user's file without splits gives every fifth query, drawn at random, to the test.

    Raises:
        DataError: splits of other names, columns that are missing, grades below 0, fewer than 5 queries.
    """
    if set(tables) != {"all"}:
        if not {"train", "test"} <= set(tables):
            raise DataError(f"found the splits {', '.join(tables)}; ranking needs train and test.")
        return {name: document_table(tables[name]) for name in ("train", "test")}
    table = document_table(tables["all"])
    queries = np.unique(table["query_id"].to_numpy(zero_copy_only=False))
    if len(queries) < 5:
        raise DataError(f"found {len(queries)} queries; a test set needs at least 5, or splits train and test.")
    held = np.random.default_rng(0).permutation(queries)[: len(queries) // 5]
    test = np.isin(table["query_id"].to_numpy(zero_copy_only=False), held)
    return {"train": table.filter(pa.array(~test)), "test": table.filter(pa.array(test))}


def document_table(table: pa.Table) -> pa.Table:
    """query_id, relevance, features; other numeric columns become the features where there is no column `features`."""
    if missing := [name for name in ("query_id", "relevance") if name not in table.column_names]:
        raise DataError(f"there is no column {missing[0]}; ranking needs query_id, relevance and features, or a column"
                        f" for each feature; found {', '.join(table.column_names)}.")  # fmt: skip
    grades = table["relevance"]
    if grades.null_count or not (pa.types.is_integer(grades.type) or pa.types.is_floating(grades.type)):
        raise DataError("relevance must be a number of 0 or more in every row.")
    lowest = pc.min(grades).as_py()
    if lowest is None or not math.isfinite(lowest) or lowest < 0 or pc.max(grades).as_py() > 31:
        raise DataError(f"found a grade of {lowest} to {pc.max(grades).as_py()}; grades are 0 (irrelevant) to 31.")
    if "features" in table.column_names:
        return table.select(["query_id", "relevance", "features"])
    names = [name for name in table.column_names if name not in ("query_id", "relevance")]
    numeric = [n for n in names if pa.types.is_integer(table[n].type) or pa.types.is_floating(table[n].type)]
    if text := [name for name in names if name not in numeric]:
        raise DataError(f"the columns {', '.join(text)} are no numbers; remove them.")
    if not numeric or any(table[name].null_count for name in numeric):
        raise DataError("found no feature column, or empty cells in one; fill them, or give a column features.")
    values = np.stack([table[name].to_numpy().astype(np.float64) for name in numeric], 1)
    return pa.table({"query_id": table["query_id"], "relevance": grades, "features": list(values)})


def gains(relevance: Tensor) -> Tensor:
    """2^grade - 1."""
    return 2.0**relevance - 1


def discounts(n: int, k: int, like: Tensor) -> Tensor:
    """1 / log2(rank + 1) for the first k ranks, 0 after."""
    ranks = torch.arange(1, n + 1, dtype=like.dtype, device=like.device)
    return torch.where(ranks <= k, 1 / torch.log2(ranks + 1), torch.zeros_like(ranks))


def ndcg(order: Tensor, relevance: Tensor, k: int) -> Tensor:
    """NDCG@k (...) of orders (..., n) with relevance (..., n); Järvelin, Kekäläinen 2002, exponential gain."""
    gain = gains(relevance)
    discount = discounts(order.shape[-1], k, relevance)
    ideal = (gain.sort(-1, descending=True).values * discount).sum(-1)
    return (gain.expand(order.shape).gather(-1, order) * discount).sum(-1) / ideal
