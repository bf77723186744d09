"""Words to chunk tags, one tag per word, from a user's Parquet file: no such corpus is embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from raybayes.data import Column
from raybayes.data.files.tables import conform
from raybayes.errors import DataError
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.tasks.data import Data, Split, Vocabulary, split_of, token_source

COLUMNS = (
    Column("tokens", pa.list_(pa.string()), "words"),
    Column("tags", pa.list_(pa.string()), "O, B-<type> or I-<type>, one per word"),
)


def load(tables: Mapping[str, pa.Table], where: str) -> Data:
    """From columns split, tokens and tags.

    Raises:
        DataError: a column or a split is missing; words and tags differ in number; a tag does not occur in training.
    """
    parts = {}
    for name in ("train", "val", "test"):
        rows = conform(split_of(tables, name, where), COLUMNS, where).to_pylist()
        for row, found in enumerate(rows):
            if len(found["tokens"]) != len(found["tags"]):
                raise DataError(
                    f"{where}: row {row} of {name!r} has {len(found['tokens'])} words but {len(found['tags'])} tags; "
                    f"give each word one tag."
                )
        parts[name] = [(found["tokens"], found["tags"]) for found in rows]
    names = sorted({tag for _, tags in parts["train"] for tag in tags})
    words = Vocabulary(Counter(word for tokens, _ in parts["train"] for word in tokens), 2)
    rules = Rules(len(names), fixed=True)
    splits: list[Split] = []
    for name, rows in parts.items():
        if unknown := sorted({tag for _, tags in rows for tag in tags} - set(names)):
            raise DataError(
                f"{where}: split {name!r} has the tag {unknown[0]!r}, which split 'train' lacks; add it there."
            )
        here = f"{where}, split {name!r}"
        source = token_source([words.numbers(tokens) for tokens, _ in rows], len(words), here)
        refs = References.of([[names.index(tag) for tag in tags] for _, tags in rows], rules.eos, here)
        splits.append(Split(source, refs, Limits(rules, refs.length, refs.length + 1), [tags for _, tags in rows]))
    train, val, test = splits
    return Data(train, val, test, names, len(words), True, rules, " ", tags=Tags.of(names))
