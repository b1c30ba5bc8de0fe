"""Texts, ids and the draw."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from nolabels import params
from nolabels.texts import draw_key, normal_form, text_id
from stages.sample import draw


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("A  film\t!\n", "a film !", True),
        ("Straße", "STRASSE", True),
        ("caf\u0065\u0301", "caf\u00e9", True),
        ("a film", "a film.", False),
        ("", "  \n", True),
    ],
)
def test_ids_see_through_case_spaces_and_composition(left, right, same):
    assert (text_id(left) == text_id(right)) is same
    assert text_id(left) == hashlib.sha256(normal_form(left).encode()).hexdigest()[:32]


def settings(**sizes):
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["sample"]
    data["gold"]["ranges"] = {name: tuple(item) for name, item in data["gold"]["ranges"].items()}
    return params.Sample.model_validate(data | {"test": 20, "dev": 10, "valid": 5, "pool": 30} | sizes)


def identifiers(count):
    return np.array([bytes.fromhex(text_id(f"text {number}")) for number in range(count)], "V16")


GOLD = np.random.default_rng(1).integers(-1, 2, 200).astype(np.int16)


def test_parts_are_disjoint_and_neutrals_only_in_the_pool():
    parts = draw(identifiers(200), GOLD, settings())
    assert {name: len(rows) for name, rows in parts.items()} == {
        "test": 20,
        "dev": 10,
        "valid": 5,
        "train": 30,
    }
    assert len(set(np.concatenate(list(parts.values())))) == 65
    assert (GOLD[parts["test"]] >= 0).all() and (GOLD[parts["dev"]] >= 0).all()
    assert (GOLD[parts["train"]] == -1).any()


def test_pools_are_nested():
    small, large = (draw(identifiers(200), GOLD, settings(pool=pool)) for pool in (30, 120))
    assert (small["train"] == large["train"][:30]).all()
    assert (small["test"] == large["test"]).all() and (small["valid"] == large["valid"]).all()


def test_the_order_depends_on_seed_and_text_alone():
    ids = identifiers(200)
    assert len({draw_key(1, text_id(f"text {number}")) for number in range(200)}) == 200
    first, other = draw(ids, GOLD, settings()), draw(ids, GOLD, settings(seed=43))
    assert set(first["test"]) != set(other["test"])
    turned = draw(ids[::-1], GOLD[::-1], settings())
    assert [bytes(ids[row]) for row in first["train"]] == [bytes(ids[::-1][row]) for row in turned["train"]]


def test_rows_that_come_later_keep_the_order_of_the_others():
    ids, gold = identifiers(260), np.concatenate([GOLD, np.full(60, -1, np.int16)])
    before, after = draw(ids[:200], GOLD, settings(pool=100)), draw(ids, gold, settings(pool=100))
    assert (before["test"] == after["test"]).all()
    kept = [row for row in after["train"] if row < 200]
    assert [row for row in before["train"] if row in set(kept)] == [
        row for row in kept if row in set(before["train"])
    ]
