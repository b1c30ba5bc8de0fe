"""The draw of test, dev and pool: each from a zone of the hash range of its own, in hash order."""

import random
from collections.abc import Mapping

import numpy as np

from nolabels.core.params import Sample, Zones
from nolabels.core.stage import UserError
from nolabels.data.source import BLOCK_ROWS
from nolabels.data.texts import draw_key, hash_position

ZONES = ("test", "dev", "pool")  # in the order in which they divide the hash range


def draw_order(ids: np.ndarray, seed: int) -> np.ndarray:
    """Indices in draw order: by a hash of seed and id, whatever else the source holds.

    Parameters
    ----------
    ids : np.ndarray
        N x 16 bytes.
    seed : int
        params: sample.seed.

    Returns
    -------
    np.ndarray
        N indices.
    """
    keys = np.empty(len(ids), "V8")
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        joined = b"".join(draw_key(seed, identifier.tobytes().hex()) for identifier in block)
        keys[start : start + len(block)] = np.frombuffer(joined, "V8")
    return np.argsort(keys.view(">u8"), kind="stable")


def zones_of(ids: np.ndarray, zones: Zones) -> np.ndarray:
    """The zone of each id.

    Parameters
    ----------
    ids : np.ndarray
        N x 16 bytes.
    zones : Zones
        The shares of the hash range.

    Returns
    -------
    np.ndarray
        N int8, indices of ZONES.
    """
    ends = np.cumsum([zones.test, zones.dev])
    positions = np.empty(len(ids))
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        hashes = [hash_position(identifier.tobytes().hex()) for identifier in block]
        positions[start : start + len(block)] = hashes
    return np.searchsorted(ends, positions, side="right").astype(np.int8)


def draw(
    ids: np.ndarray,
    golds: np.ndarray,
    sample: Sample,
    answered: Mapping[str, np.ndarray],
    from_test: np.ndarray | None = None,
    left_out: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Draws each part from its own zone.

    Test and dev are the first texts with gold (all texts where the source has no gold), and those that people
    answered.

    Parameters
    ----------
    ids : np.ndarray
        N x 16 bytes, each once.
    golds : np.ndarray
        N numbers of answers, -1 for none.
    sample : Sample
        Zones, sizes and seed.
    answered : mapping
        {"test", "dev"}: N bool, the texts that people answered there.
    from_test : np.ndarray, optional
        N bool, the texts of the test file, which is then the zone of the test; None where there is no such file.
    left_out : np.ndarray, optional
        N bool, texts that the pool must not hold.

    Returns
    -------
    dict
        {"test", "dev", "valid", "train", "more", "clusters"}: indices in draw order.

    Raises
    ------
    UserError
        Where a zone holds too little.
    """
    order = draw_order(ids, sample.seed)
    assert sample.zones is not None  # only the draw of the notebook has none: Sample sees to it
    zone = zones_of(ids, sample.zones)
    if from_test is not None:
        zone[from_test] = ZONES.index("test")
    parts = {}
    for number, name in enumerate(("test", "dev")):
        inside = order[zone[order] == number]
        parts[name] = _draw_part(inside, golds, sample, name, answered[name])
    rest = order[zone[order] == ZONES.index("pool")]
    return parts | _draw_pool(rest if left_out is None else rest[~left_out[rest]], sample)


def _draw_pool(rest: np.ndarray, sample: Sample) -> dict[str, np.ndarray]:
    """valid, train, more and clusters: the first of the indices `rest`, in this order."""
    what = f"texts in {_zone_text(sample, 'pool')}"
    if sample.pool is None and len(rest) <= sample.valid:
        raise UserError(
            f"params.yaml: sample.valid: must be below the {len(rest)} {what}, found {sample.valid}"
        )
    _check_enough(rest, sample.valid + (sample.pool or 0), "sample.pool + sample.valid", what)
    train = rest[sample.valid :][: sample.pool]
    further = rest[sample.valid + len(train) :]
    _check_enough(further, sample.more or 0, "sample.more", f"further {what}")
    more = further[: sample.more]
    clusters = further[len(more) :][: sample.clusters]
    return {"valid": rest[: sample.valid], "train": train, "more": more, "clusters": clusters}


def draw_as_notebook(
    ids: np.ndarray,
    golds: np.ndarray,
    sample: Sample,
    answered: Mapping[str, np.ndarray],
    from_test: np.ndarray | None,
    left_out: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Draws the rows that `random.seed(42); random.sample(train_sentences, 1000)` picks, in that order.

    The pick depends on seed and count alone. Nothing is left out: neither texts that stand twice nor
    those that the test set holds too. The test texts are the first ones of the test file in draw order, and those
    that people answered.

    Parameters
    ----------
    ids, golds, sample, answered, from_test
        As for draw.
    left_out : np.ndarray, optional
        Not looked at; it stands here so that both draws are called alike.

    Returns
    -------
    dict
        As draw does.

    Raises
    ------
    UserError
        Where there are too few texts.
    """
    assert sample.pool is not None and from_test is not None  # the parameters of method notebook ask for it
    train, test = np.flatnonzero(~from_test), np.flatnonzero(from_test)
    _check_enough(train, sample.pool, "sample.pool", "texts outside the test file")
    picked = random.Random(sample.seed).sample(range(len(train)), sample.pool)
    inside = test[draw_order(ids[test], sample.seed)]
    none = np.zeros(0, np.int64)
    parts = {"test": _draw_part(inside, golds, sample, "test", answered["test"]), "dev": none}
    return {**parts, "valid": none, "train": train[picked], "more": none, "clusters": none}


def _draw_part(
    inside: np.ndarray, golds: np.ndarray, sample: Sample, name: str, answered: np.ndarray
) -> np.ndarray:
    """The first `sample.test` (or dev) of the indices `inside` that have gold, and those answered by people."""
    able = inside[golds[inside] >= 0] if sample.gold else inside
    size = getattr(sample, name)
    what = f"{'texts with gold' if sample.gold else 'texts'} in {_zone_text(sample, name)}"
    if size is None and name == "test" and not len(able):
        raise UserError(f"params.yaml: sample.test: null needs {what}, found none")
    _check_enough(able, size or 0, f"sample.{name}", what)
    taken = answered.copy()
    taken[able[:size]] = True
    return inside[taken[inside]]


def _zone_text(sample: Sample, name: str) -> str:
    """Where the texts of a part come from, for messages."""
    if name == "test" and sample.test_file is not None:
        return "the test file"
    return f"their zone (sample.zones.{name}: {getattr(sample.zones, name):g})"


def _check_enough(texts: np.ndarray, need: int, keys: str, what: str) -> None:
    if len(texts) < need:
        raise UserError(f"params.yaml: {keys}: must be at most the {len(texts)} {what}, found {need}")
