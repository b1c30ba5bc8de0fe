"""The draw of test, dev and pool: each from a zone of the hash range of its own, in hash order."""

import random

import numpy as np

from nolabels.core.stage import UserError
from nolabels.data.source import BLOCK_ROWS
from nolabels.data.texts import draw_key, zone_place

ZONES = ("test", "dev", "pool")  # in the order in which they divide the hash range


def draw_order(ids, seed):
    """Indices in draw order: by a hash of seed and id, whatever else the source holds."""
    keys = np.empty(len(ids), "V8")
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        joined = b"".join(draw_key(seed, identifier.tobytes().hex()) for identifier in block)
        keys[start : start + len(block)] = np.frombuffer(joined, "V8")
    return np.argsort(keys.view(">u8"), kind="stable")


def zones_of(ids, zones):
    """The number in ZONES of each id's zone: N int8. ids: N x 16 bytes; zones: params.Zones."""
    ends = np.cumsum([zones.test, zones.dev])
    places = np.empty(len(ids))
    for start in range(0, len(ids), BLOCK_ROWS):
        block = ids[start : start + BLOCK_ROWS]
        places[start : start + len(block)] = [zone_place(identifier.tobytes().hex()) for identifier in block]
    return np.searchsorted(ends, places, side="right").astype(np.int8)


def draw(ids, golds, sample, answered, from_test=None, left_out=None):
    """Indices of each part, in draw order; ids: N x 16 bytes, each once; golds: N, -1 for none.

    Each part is drawn from its own zone. test and dev: the first texts with gold (all texts where the source
    has no gold), and those that people answered. answered: {"test", "dev"}, each N bool. from_test: N bool,
    which texts are of the test file, which is then the zone of the test; None: there is no such file. left_out:
    N bool, texts that the pool must not hold, or None. Returns {"test", "dev", "valid", "train", "more"}. Raises
    UserError where a zone holds too little.
    """
    order = draw_order(ids, sample.seed)
    zone = zones_of(ids, sample.zones)
    if from_test is not None:
        zone[from_test] = ZONES.index("test")
    parts = {}
    for number, name in enumerate(("test", "dev")):
        inside = order[zone[order] == number]
        parts[name] = draw_part(inside, golds, sample, name, answered[name])
    rest = order[zone[order] == ZONES.index("pool")]
    if left_out is not None:
        rest = rest[~left_out[rest]]
    what = f"texts in {zone_told(sample, 'pool')}"
    if sample.pool is None and len(rest) <= sample.valid:
        raise UserError(
            f"params.yaml: sample.valid: must be below the {len(rest)} {what}, found {sample.valid}"
        )
    enough(rest, sample.valid + (sample.pool or 0), "sample.pool + sample.valid", what)
    parts["valid"] = rest[: sample.valid]
    parts["train"] = rest[sample.valid :][: sample.pool]
    further = rest[sample.valid + len(parts["train"]) :]
    enough(further, sample.more or 0, "sample.more", f"further texts in {zone_told(sample, 'pool')}")
    parts["more"] = further[: sample.more]
    return parts


def draw_part(inside, golds, sample, name, answered):
    """The first `sample.test` (or dev) of the indices `inside` that have gold, and those answered by people."""
    able = inside[golds[inside] >= 0] if sample.gold else inside
    size = getattr(sample, name)
    what = "texts with gold" if sample.gold else "texts"
    where = zone_told(sample, name)
    if size is None and name == "test" and not len(able):
        raise UserError(f"params.yaml: sample.test: null needs {what} in {where}, found none")
    enough(able, size or 0, f"sample.{name}", f"{what} in {where}")
    taken = answered.copy()
    taken[able[:size]] = True
    return inside[taken[inside]]


def zone_told(sample, name):
    """Where the texts of a part come from, for messages."""
    if name == "test" and sample.test_file is not None:
        return "the test file"
    return f"their zone (sample.zones.{name}: {getattr(sample.zones, name):g})"


def enough(found, need, keys, what):
    if len(found) < need:
        raise UserError(f"params.yaml: {keys}: must be at most the {len(found)} {what}, found {need}")


def draw_as_notebook(ids, golds, sample, answered, from_test, left_out):
    """The rows that `random.seed(42); random.sample(train_sentences, 1000)` picks, in that order.

    The pick depends on seed and count alone. Nothing is left out: neither texts that stand twice nor
    those that the test set holds too; `left_out` is there for the same call as `draw`. The test texts are the first
    ones of the test file in draw order, and those that people answered.
    """
    train, test = np.flatnonzero(~from_test), np.flatnonzero(from_test)
    enough(train, sample.pool, "sample.pool", "texts outside the test file")
    picked = random.Random(sample.seed).sample(range(len(train)), sample.pool)
    inside = test[draw_order(ids[test], sample.seed)]
    none = np.zeros(0, np.int64)
    parts = {"test": draw_part(inside, golds, sample, "test", answered["test"]), "dev": none}
    return {**parts, "valid": none, "train": train[picked], "more": none}


def places_of(parts):
    """Where each table's rows stand when the parts are put together: {"pool", "more", "test", "dev"}, slices."""
    sizes = {"pool": len(parts["valid"]) + len(parts["train"])}
    sizes |= {name: len(parts[name]) for name in ("more", "test", "dev")}
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}
