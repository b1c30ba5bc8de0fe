"""Texts, ids and the draw: a text stays in its part, whatever rows, sizes and answers come."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from nolabels.core import params
from nolabels.data.draw import ZONES, draw, draw_order, zones_of
from nolabels.data.texts import draw_key, normal_form, text_id
from tests import sampling


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
    small = {"zones": {"test": 0.2, "dev": 0.2, "pool": 0.6}, "test": 20, "dev": 10, "valid": 5, "pool": 30}
    small["clusters"] = 40
    return params.Sample.model_validate(data | small | sizes)


def identifiers(count):
    return np.array([bytes.fromhex(text_id(f"text {number}")) for number in range(count)], "V16")


def nobody(count):
    return {name: np.zeros(count, bool) for name in ("test", "dev")}


GOLD = np.random.default_rng(1).integers(-1, 2, 200).astype(np.int16)


def drawn(**sizes):
    return draw(identifiers(200), GOLD, settings(**sizes), nobody(200))


def test_parts_are_disjoint_and_neutrals_only_in_the_pool():
    parts = drawn()
    assert {name: len(rows) for name, rows in parts.items()} == {
        "test": 20,
        "dev": 10,
        "valid": 5,
        "train": 30,
        "more": 0,
        "clusters": 40,
    }
    assert len(set(np.concatenate(list(parts.values())))) == 105
    assert (GOLD[parts["test"]] >= 0).all() and (GOLD[parts["dev"]] >= 0).all()
    assert (GOLD[parts["train"]] == -1).any()


def test_encoders_read_what_is_left_of_the_pool_s_zone():
    """For clusters at most so many, behind the pool and what an assistant labels."""
    few, rest = drawn(more=10), drawn(more=10, clusters=10_000)
    assert (few["clusters"] == rest["clusters"][:40]).all()
    assert len(drawn(more=None)["clusters"]) == 0
    zone = np.concatenate([rest[name] for name in ("valid", "train", "more", "clusters")])
    assert sorted(zone) == sorted(drawn(more=None, pool=1)["more"].tolist() + zone[:6].tolist())


def test_pools_are_nested_and_null_takes_the_zone():
    small, large, whole = (drawn(pool=pool, test=None, dev=None) for pool in (30, 90, None))
    assert (small["train"] == large["train"][:30]).all() and (large["train"] == whole["train"][:90]).all()
    assert (small["test"] == large["test"]).all() and (small["valid"] == large["valid"]).all()
    # what is in none of the parts has no gold, in a zone where gold is asked for
    left = np.setdiff1d(np.arange(200), np.concatenate(list(whole.values())))
    assert len(left) and (GOLD[left] == -1).all()


def test_the_order_depends_on_seed_and_text_alone():
    ids = identifiers(200)
    assert len({draw_key(1, text_id(f"text {number}")) for number in range(200)}) == 200
    first, other = drawn(), drawn(seed=43)
    assert set(first["test"]) != set(other["test"])
    turned = draw(ids[::-1], GOLD[::-1], settings(), nobody(200))
    assert [bytes(ids[row]) for row in first["train"]] == [bytes(ids[::-1][row]) for row in turned["train"]]


def test_zones_are_as_large_as_their_shares_and_independent_of_the_order():
    zones = params.Zones(test=0.1, dev=0.3, pool=0.6)
    ids = identifiers(20_000)
    found = zones_of(ids, zones)
    counts = np.bincount(found, minlength=3)
    assert ZONES == ("test", "dev", "pool")
    assert np.abs(counts / len(ids) - [0.1, 0.3, 0.6]).max() < 0.01  # 3 standard errors
    # of the first half of the draw order each zone holds its share too
    assert np.abs(np.bincount(found[draw_order(ids, 42)[:10_000]]) / 10_000 - [0.1, 0.3, 0.6]).max() < 0.015


ROWS = [(f"Review number {number}", ("negative", "positive", "")[number % 3]) for number in range(500)]
SIZES = {"zones": {"test": 0.2, "dev": 0.2, "pool": 0.6}, "test": 30, "dev": 30, "pool": 100, "valid": 20}
SIZES |= {"gold": sampling.NAMES}
CHANGES = {  # rows of the file, keys of `sample`
    "a tenth more rows": (440, {}),
    "ten times as many rows": (4000, {}),
    "twice as many rows": (800, {}),
    "a tenth fewer rows": (360, {}),
    "a larger test": (400, {"test": 45}),
    "a smaller test": (400, {"test": 5}),
    "all of the test's zone": (400, {"test": None}),
    "a larger dev": (400, {"dev": 45}),
    "no dev": (400, {"dev": 0}),
    "all of the dev's zone": (400, {"dev": None}),
    "a larger pool": (400, {"pool": 200}),
    "a smaller pool": (400, {"pool": 10}),
    "all of the pool's zone": (400, {"pool": None}),
    "no validation": (400, {"valid": 0}),
    "more validation": (400, {"valid": 60}),
    "another seed": (400, {"seed": 2}),
    "no gold any more": (400, {"gold": None}),
    "all at once": (480, {"seed": 3, "test": 10, "dev": None, "pool": None, "valid": 0}),
}


def csv_of(count):
    rows = [ROWS[number % 500] for number in range(min(count, 500))]
    rows += [(f"Review number {number}", "positive") for number in range(500, count)]
    return {"a.csv": "".join(f"{text},{label}\n" for text, label in [("text", "label"), *rows]).encode()}


@pytest.mark.parametrize("change", CHANGES)
def test_no_text_changes_its_part_and_no_answered_text_leaves(tmp_path, monkeypatch, change):
    """Through the stage, with answers given before in both files."""
    count, keys = CHANGES[change]
    before = sampling.run(tmp_path / "before", monkeypatch, csv_of(400), **SIZES)
    answered = {name: list(sampling.texts(before, name))[:8] for name in ("dev", "test")}
    after = sampling.run(tmp_path / "after", monkeypatch, csv_of(count), answered, **SIZES | keys)
    parts = {
        (when, name): set(sampling.texts(folder, name))
        for when, folder in (("before", before), ("after", after))
        for name in ("pool", "dev", "test")
    }
    for name, other in itertools.permutations(("pool", "dev", "test"), 2):
        assert not parts["before", name] & parts["after", other]
    there = {f"Review number {number}" for number in range(count)}
    for name, texts in answered.items():
        assert parts["before", name] and set(texts) & there <= parts["after", name]
        size = (SIZES | keys)[name]
        assert size is None or size <= len(parts["after", name]) <= size + 8
    assert parts["after", "pool"] - parts["before", "pool"] <= there


def test_answers_move_no_other_text(tmp_path, monkeypatch):
    """Those of texts that the sizes take anyway change nothing; those beyond are added behind."""
    small = SIZES | {"test": 10, "dev": 10}
    large, plain = (
        sampling.run(tmp_path / name, monkeypatch, csv_of(400), **keys)
        for name, keys in (("large", SIZES), ("plain", small))
    )
    wider = {name: list(sampling.texts(large, name)) for name in ("dev", "test")}
    answered = {name: [*texts[:3], texts[20], texts[25]] for name, texts in wider.items()}
    found = sampling.run(tmp_path / "found", monkeypatch, csv_of(400), answered, **small)
    assert sampling.texts(found) == sampling.texts(plain)
    for name, texts in wider.items():
        assert list(sampling.texts(plain, name)) == texts[:10]
        assert list(sampling.texts(found, name)) == [*texts[:10], texts[20], texts[25]]


def test_an_answered_text_without_gold_counts(tmp_path, monkeypatch):
    without = sampling.run(tmp_path / "a", monkeypatch, csv_of(400), **SIZES | {"gold": None, "test": None})
    text = next(text for text in sampling.texts(without, "test") if int(text.split()[-1]) % 3 == 2)
    plain = sampling.run(tmp_path / "b", monkeypatch, csv_of(400), **SIZES | {"test": None})
    assert text not in sampling.texts(plain, "test")
    answered = sampling.run(
        tmp_path / "c", monkeypatch, csv_of(400), {"test": [text]}, **SIZES | {"test": None}
    )
    assert set(sampling.texts(answered, "test")) == {*sampling.texts(plain, "test"), text}
    assert text not in sampling.answers(answered), "what a person answered is read by evaluate alone"


def test_an_answer_in_a_file_of_another_part_draws_nothing_into_it(tmp_path, monkeypatch):
    plain = sampling.run(tmp_path / "a", monkeypatch, csv_of(400), **SIZES)
    pool, test = list(sampling.texts(plain)), list(sampling.texts(plain, "test"))
    found = sampling.run(
        tmp_path / "b", monkeypatch, csv_of(400), {"dev": pool[:3] + test[:3], "test": pool[:3]}, **SIZES
    )
    for name in ("pool", "dev", "test"):
        assert sampling.texts(found, name) == sampling.texts(plain, name)


@pytest.mark.parametrize(
    ("method", "zones"),
    [("draw", {"test": 0, "dev": 0, "pool": 1}), ("notebook", None)],
    ids=["draw", "notebook"],
)
def test_answers_about_a_test_file_stay_in(tmp_path, monkeypatch, method, zones):
    """Its texts are the test wherever their hash stands."""
    rows = csv_of(400)["a.csv"].splitlines(keepends=True)
    files = {"test.csv": b"".join(rows[:300]), "train.csv": b"".join([rows[0], *rows[300:]])}
    keys = SIZES | {
        "test_file": "test.csv",
        "method": method,
        "zones": zones,
        "valid": 0,
        "dev": 0,
        "pool": 50,
    }
    wide = list(
        sampling.texts(sampling.run(tmp_path / "a", monkeypatch, files, **keys | {"test": 40}), "test")
    )
    found = sampling.run(tmp_path / "b", monkeypatch, files, {"test": [wide[30]]}, **keys | {"test": 10})
    assert list(sampling.texts(found, "test")) == [*wide[:10], wide[30]]
