"""The benchmarks' own parts; what they measure is run by hand, on a quiet machine."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import speed


def test_in_turn_takes_the_median_of_calls_that_alternate():
    called, ticks = [], iter([0.0, 1, 1, 11, 11, 13, 13, 23, 23, 27, 27, 37])
    original, speed.time.perf_counter = speed.time.perf_counter, lambda: next(ticks)
    try:
        seconds = speed.in_turn(3, lambda: called.append("a"), lambda: called.append("b"))
    finally:
        speed.time.perf_counter = original
    assert called == ["a", "b"] * 4
    assert seconds == [2, 10]


@pytest.mark.parametrize(
    ("ours", "peer", "ratio", "wanted"),
    [(30.0, 6.0, None, 5.0), (0.4, None, 0.4, 0.4)],
    ids=["peer", "alone"],
)
def test_a_row(ours, peer, ratio, wanted):
    found = speed.row("name", ours, peer, "texts/s", ">= 5", ratio)
    assert found["ratio"] == wanted
    assert set(found) == {"name", "ours", "peer", "unit", "ratio", "asked"}


@pytest.mark.skipif(not speed.JSON.exists(), reason="not measured yet")
def test_the_page_holds_the_rows_of_the_json():
    rows = json.loads(speed.JSON.read_text(encoding="utf-8"))
    text = Path(speed.PAGE).read_text(encoding="utf-8")
    named = re.findall(r"^\| ([^|]+?) \|", text, flags=re.M)
    assert named == [row["name"] for row in rows]
    assert [row["part"] for row in rows] == sorted((row["part"] for row in rows), key=list(speed.PARTS).index)
