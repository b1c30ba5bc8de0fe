"""Near-duplicates of test and dev texts: found, counted, and left out of the pool."""

import json
import random

import pytest

from nolabels.data.duplicates import NearDuplicates, jaccard, shingles
from tests import sampling

LONG = "The film is a quiet and careful study of two brothers who have not spoken for a year."


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Abcdef", {b"abcde", b"bcdef"}),
        ("A  b", {b"a b"}),
        ("", {b""}),
        ("電影很好看嗎", {"電影很好看".encode(), "影很好看嗎".encode()}),
        ("\N{GRINNING FACE}", {"\N{GRINNING FACE}".encode()}),
    ],
)
def test_shingles(text, wanted):
    assert shingles(text) == wanted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LONG, True),
        (LONG.upper().replace(" ", "  "), True),
        (LONG.replace("year", "decade"), True),
        (LONG + " See it.", True),
        ("The film is about two sisters who have not spoken for a year.", False),
        (LONG[:40], False),
        ("", False),
        ("Entirely other words.", False),
    ],
)
def test_a_changed_word_is_a_near_duplicate(text, found):
    guard = NearDuplicates(["Something else altogether, and long enough.", LONG], 0.8)
    assert guard.resembles(text) is found


def test_hardly_one_is_missed():
    """Every pair is compared exactly beside; texts with one to four of twenty words changed."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(3000)]
    tests = [draw.choices(words, k=20) for _ in range(300)]
    guard = NearDuplicates([" ".join(text) for text in tests], 0.7)
    there = missed = 0
    for text in tests:
        changed = list(text)
        for place in draw.sample(range(20), draw.randint(1, 4)):
            changed[place] = draw.choice(words)
        near = jaccard(shingles(" ".join(changed)), shingles(" ".join(text))) >= 0.7
        there += near
        missed += near and not guard.resembles(" ".join(changed))
        assert near or not guard.resembles(" ".join(changed))
    assert there > 100 and missed <= there * 0.02


def files(count=150):
    """Rows of which each third is the one before with another last word; the first 60 have gold."""
    rows = ["text,label"]
    for number in range(count):
        words = random.Random(number // 3).choices(
            ["alder", "birch", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel"], k=14
        )
        end = "positive" if number < 60 else ""
        rows.append(f"{' '.join(words)} number {number // 3} {'xyz'[number % 3]},{end}")
    return {"a.csv": "\n".join(rows).encode()}


def run(folder, monkeypatch, **keys):
    data = sampling.run(
        folder, monkeypatch, files(), **{"gold": sampling.NAMES, "test": 5, "dev": 5, "pool": 50} | keys
    )
    return data, json.loads((folder / "metrics/sample.json").read_text(encoding="utf-8"))


def test_near_duplicates_are_counted_or_left_out(tmp_path, monkeypatch, capsys):
    kept, counted = run(tmp_path / "keep", monkeypatch)
    assert counted["near_duplicates"] > 0 and counted["near_duplicates_removed"] == 0
    assert f"{counted['near_duplicates']} pool texts are near-duplicates" in capsys.readouterr().out
    cleaned, left = run(tmp_path / "remove", monkeypatch, near_duplicates="remove")
    assert left["near_duplicates"] == 0 < left["near_duplicates_removed"]
    assert "near-duplicates of test and dev texts left out" in capsys.readouterr().out
    unseen = {name: [shingles(text) for text in sampling.texts(cleaned, name)] for name in ("test", "dev")}
    for name in unseen:
        assert sampling.texts(cleaned, name) == sampling.texts(kept, name)

    def near(text, names=("test", "dev")):
        return any(jaccard(shingles(text), other) >= 0.8 for name in names for other in unseen[name])

    for name in unseen:  # each has some of its own
        assert any(near(text, [name]) for text in sampling.texts(kept))
    assert sum(map(near, sampling.texts(kept))) == counted["near_duplicates"]
    assert not any(map(near, sampling.texts(cleaned)))
    # the others stay, in their order, and the next ones of the draw follow
    stay = [text for text in sampling.texts(kept) if not near(text)]
    assert len(sampling.texts(cleaned)) == 50 and list(sampling.texts(cleaned))[: len(stay)] == stay


def test_pools_without_near_duplicates_are_nested(tmp_path, monkeypatch):
    small, _ = run(tmp_path / "small", monkeypatch, near_duplicates="remove", pool=10)
    large, _ = run(tmp_path / "large", monkeypatch, near_duplicates="remove", pool=30)
    assert list(sampling.texts(large))[:10] == list(sampling.texts(small))


def test_what_is_left_may_be_too_little(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, monkeypatch, near_duplicates="remove", pool=78)
    assert "sample.pool + sample.valid: must be at most the" in capsys.readouterr().err
