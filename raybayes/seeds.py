"""One rule for every random draw: a seed is a hash of where it is used, so no two uses share or shift a stream."""

import hashlib


def derive(seed: int, *where: str | int) -> int:
    """A 63-bit seed for the place named by `where`, e.g. `derive(sweep_seed, "trial", 12, "repeat", 0)`.

    The parts are joined with their types, so that ("a", 1) and ("a1",) differ.
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in where)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
