"""New texts against a student's profile, and what the profile tells of the texts it was made from."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import drift as benchmark
from nolabels import drift
from nolabels.core import params, schemas, tables
from nolabels.data.texts import text_id
from nolabels.reporting import shift
from nolabels.students import profile
from nolabels.students.predict import Model
from stages import export
from tests import tiny

TEXTS = [text for _, text in tiny.sentences(1200)]
random.Random(0).shuffle(TEXTS)
KNOWN, NEW = TEXTS[:600], TEXTS[600:]
OTHERS = [
    f"ORDER {number}: WHERE IS MY PARCEL, IT SHOULD HAVE BEEN HERE A WEEK AGO!!" for number in range(300)
]


def ship(folder, texts=KNOWN, **config):
    """A tiny student as people ship it, with a profile of texts."""
    tiny.student(folder / "student", **config)
    export.write_model(folder / "student", folder / "onnx", "float32")
    model = Model(folder / "onnx", 1)
    tables.write_json(
        folder / "onnx/profile.json", profile.profile_of(model, texts, model.predict_proba(texts))
    )
    return folder / "onnx"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return ship(tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A student whose texts may have several labels."""
    config = {"problem_type": "multi_label_classification", "threshold": 0.5}
    return ship(tmp_path_factory.mktemp("several"), labels=("news", "sports; arts", "film"), **config)


def run(folder, path, texts, *words, capsys):
    """Runs the command on texts; its exit code and lines."""
    path.write_text("".join(f"{json.dumps({'message': text})}\n" for text in texts), encoding="utf-8")
    try:
        drift.main([str(folder), str(path), "--text", "message", "--threads", "1", *words])
        code = 0
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out.splitlines()


def drifted(lines):
    """The signals whose row says yes."""
    return [line.split()[0] for line in lines if re.search(r"\d  yes ", line)]


@pytest.mark.parametrize("student", ["shipped", "several"])
def test_texts_of_the_same_source_have_not_drifted(student, request, tmp_path, capsys):
    folder = request.getfixturevalue(student)
    code, lines = run(folder, tmp_path / "new.jsonl", NEW, capsys=capsys)
    assert (code, drifted(lines)) == (0, [])
    assert lines[0] == "600 texts beside the 600 of the profile; passed over: 0 blank, 0 repeated, 0 broken"
    assert [line.split()[0] for line in lines[2:6]] == list(profile.SIGNALS)
    assert lines[-1] == "drift: none (above 0.1 and not by chance, p < 0.01)"


@pytest.mark.parametrize("student", ["shipped", "several"])
def test_other_texts_have_drifted(student, request, tmp_path, capsys):
    folder = request.getfixturevalue(student)
    code, lines = run(folder, tmp_path / "new.jsonl", OTHERS, capsys=capsys)
    assert code == 1
    assert {"confidence", "length", "vocabulary"} <= set(drifted(lines))
    assert lines[-1].startswith(f"drift: {', '.join(drifted(lines))} (above 0.1")


def test_one_signal_alone(shipped, tmp_path, capsys):
    """The same words, the texts twice as long."""
    long = [f"{one} {two}" for one, two in zip(NEW[:300], NEW[300:], strict=True)]
    code, lines = run(shipped, tmp_path / "new.jsonl", long, capsys=capsys)
    assert code == 1 and "length" in drifted(lines)
    assert run(shipped, tmp_path / "new.jsonl", long, "--bar", "0.99", capsys=capsys)[0] == 0


def test_a_shift_of_the_labels_is_seen(shipped, tmp_path, capsys):
    model = Model(shipped, 1)
    labels = model.predict_proba(NEW).argmax(1)
    kept = [text for text, label in zip(NEW, labels, strict=True) if label == np.bincount(labels).argmin()]
    kept = (kept + [text for text in NEW if text not in kept])[: 2 * len(kept)]
    known = Counter(profile.label_sets(model, model.predict_proba(KNOWN)))
    code, lines = run(shipped, tmp_path / "new.jsonl", kept, capsys=capsys)
    row = next(line for line in lines if line.startswith("labels"))
    moved = abs(known[min(known, key=known.get)] / 600 - 0.5)
    assert float(row.split()[1]) == pytest.approx(moved, abs=0.001)
    assert ("labels" in drifted(lines)) == (moved > 0.15)
    assert moved > 0.15 and code == 1


def test_blank_repeated_and_broken_rows_are_passed_over(shipped, tmp_path, capsys):
    path = tmp_path / "new.csv"
    rows = ["id,text", *(f"{number},{text}" for number, text in enumerate(NEW[:300])), "300"]
    rows += [f"301, {NEW[0].upper()} ", "302,"]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    drift.main([str(shipped), str(path)])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "300 texts beside the 600 of the profile; passed over: 1 blank, 1 repeated, 1 broken"


def test_few_texts_say_that_they_are_few(shipped, tmp_path, capsys):
    code, lines = run(shipped, tmp_path / "new.jsonl", NEW[:25], capsys=capsys)
    assert code == 0
    (line,) = [line for line in lines if line.startswith("so few texts")]
    assert 0.1 < float(re.search(r"above (\S+) alone", line)[1]) < 0.5


def harmed(name):
    def harm(folder):
        known = json.loads((folder / "profile.json").read_text())
        content = {
            "no JSON": "{",
            "a list": "[]",
            "another form": json.dumps(known | {"buckets": [1]}),
            "few texts": json.dumps(known | {"texts": 3}),
        }[name]
        (folder / "profile.json").write_text(content)

    return harm


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda folder: (folder / "profile.json").unlink(),
            "profile.json: must be there, found nothing; dvc repro",
        ),
        (harmed("no JSON"), "profile.json: must be a profile that export wrote, found another form"),
        (harmed("a list"), "profile.json: must be a profile that export wrote, found another form"),
        (harmed("another form"), "profile.json: must be a profile that export wrote, found another form"),
        (harmed("few texts"), "profile.json: must be of 10 texts or more, found 3"),
        (lambda folder: Path("new.csv").write_text("text\n\n"), "new.csv: must hold texts, found none"),
        (lambda folder: Path("new.csv").write_text("message\nA.\n"), "row 1: must have a column 'text'"),
        (lambda folder: Path("new.csv").unlink(), "new.csv: must be a file, found nothing"),
        (
            lambda folder: (folder / "model.onnx").unlink(),
            "model: must be a folder that export wrote, found no model.onnx",
        ),
    ],
    ids=[
        "no profile",
        "no JSON",
        "a list",
        "another form",
        "few texts",
        "blank",
        "no column",
        "no file",
        "no model",
    ],
)
def test_what_is_wrong_is_told_apart_from_a_drift(shipped, tmp_path, monkeypatch, capsys, harm, message):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    for path in shipped.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    Path("new.csv").write_text("text\nA warm film.\n", encoding="utf-8")
    harm(folder)
    with pytest.raises(SystemExit) as stop:
        drift.main(["model", "new.csv"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--bar", "2"], ["--bar", "x"], []], ids=["large", "no number", "no file"])
def test_a_wrong_command(shipped, words):
    with pytest.raises(SystemExit) as stop:
        drift.main([str(shipped), *(["new.csv", *words] if words else [])])
    assert stop.value.code == 2


def test_a_profile_holds_no_text_and_no_number_of_few_texts(shipped):
    """A word of four texts leaves no trace in the buckets, one of five does."""
    model = Model(shipped, 1)
    content = (shipped / "profile.json").read_text(encoding="utf-8")
    assert set(re.findall("[A-Za-z]+", content)) == {
        "texts", "labels", "rest", "confidence", "length", "vocabulary", "edges", "counts", "buckets",
        *model.classes_,
    }  # fmt: skip
    known = json.loads(content)
    for signal in ("confidence", "length", "vocabulary"):
        assert min(known[signal]["counts"]) >= profile.FEWEST
        assert sum(known[signal]["counts"]) == known["texts"] == 600
        assert len(known[signal]["edges"]) == len(known[signal]["counts"]) - 1 > 5
    assert sum(known["labels"].values()) + known["rest"] == 600
    assert min(known["labels"].values()) >= profile.FEWEST
    buckets = np.array(known["buckets"])
    assert len(buckets) == profile.BUCKETS and not ((buckets > 0) & (buckets < profile.FEWEST)).any()
    (rare,) = profile.buckets_of(model, ["Žluťoučký kůň"])
    rare = [one for one in rare if buckets[one] == 0]
    assert rare
    for times, trace in ((profile.FEWEST - 1, False), (profile.FEWEST, True)):
        texts = KNOWN + [f"Žluťoučký kůň {number}" for number in range(times)]
        again = profile.profile_of(model, texts, model.predict_proba(texts))
        assert (
            bool(np.array(again["buckets"])[rare].all())
            == bool(np.array(again["buckets"])[rare].any())
            == trace
        )


def test_a_profile_does_not_depend_on_the_order(shipped):
    model = Model(shipped, 1)
    turned = KNOWN[::-1]
    again = profile.profile_of(model, turned, model.predict_proba(KNOWN)[::-1])
    assert again == profile.profile_of(model, KNOWN, model.predict_proba(KNOWN))


@pytest.mark.parametrize(
    "values", [[0.5] * 50, [0.1] * 40 + [0.2] * 4, list(range(7)), [1, 1, 2, 2] * 20, []]
)
def test_no_bar_holds_few(values):
    made = profile.histogram(np.array(values, float))
    assert sum(made["counts"]) == len(values)
    assert len(made["counts"]) == 1 or min(made["counts"]) >= profile.FEWEST
    assert made["edges"] == sorted(set(made["edges"]))


def test_p_is_that_of_dealing_out_the_texts_anew():
    """3 and 1 texts against 1 and 3: 34 of the 70 ways to deal out eight differ as much."""
    distance, chances = shift.permuted(np.array([3, 1]), np.array([1, 3]), True, np.random.default_rng(0))
    assert distance == pytest.approx(0.5)
    assert (chances >= 0.5 - 1e-12).mean() == pytest.approx(34 / 70, abs=0.02)


def test_distances():
    old, new = np.array([4, 4, 2]), np.array([2, 1, 2])
    assert shift.distances(old, new, ordered=False) == pytest.approx(0.2)
    assert shift.distances(np.array([5, 0, 5]), np.array([0, 10, 0]), ordered=True) == pytest.approx(0.5)
    assert shift.distances(np.array([5, 0, 5]), np.array([0, 10, 0]), ordered=False) == pytest.approx(1)


def test_holm():
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")."""
    assert shift.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert shift.holm([0.5, 0.9]) == [1, 1]


def test_chance_alone_is_seldom_a_drift():
    """Histograms of one distribution, bar 0: at most the share that SIGNIFICANCE allows, and a good deal above it."""
    draw, false = np.random.default_rng(0), 0
    known = {"labels": {"a": 300, "b": 200}, "rest": 0}
    for signal in profile.SIGNALS[1:]:
        known[signal] = {"edges": [1.0, 2.0, 3.0], "counts": [0] * 4}
    for _ in range(60):
        counts = {"labels": Counter(dict(zip("ab", draw.multinomial(100, [0.6, 0.4]).tolist(), strict=True)))}
        known["labels"] = dict(zip("ab", draw.multinomial(500, [0.6, 0.4]).tolist(), strict=True))
        for signal in profile.SIGNALS[1:]:
            known[signal]["counts"] = draw.multinomial(500, [0.25] * 4).tolist()
            counts[signal] = Counter(dict(enumerate(draw.multinomial(100, [0.25] * 4).tolist())))
        false += any(one.is_past(0.0) for one in shift.compare(known, counts))
    assert false <= 3


def test_export_writes_the_profile_of_dev_and_test(tmp_path, monkeypatch, capsys):
    params_text = params.PATH.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params_text, encoding="utf-8")
    tiny.student(tmp_path / "student")
    for part, texts in (("dev", KNOWN[:200]), ("test", KNOWN[200:600])):
        columns = {"id": list(map(text_id, texts)), "text": texts, "row": list(range(len(texts)))}
        tables.write_table(f"{part}.parquet", pa.table(columns, schema=schemas.TEXTS))
        labels = pa.array([["negative"]] * len(texts), pa.list_(pa.string()))
        given = np.tile([[0.9, 0.1]], (len(texts), 1))
        about = {"model": {"parameters": 1000}}
        tables.write_predictions(
            f"student_{part}.parquet", columns["id"], given, labels, ["negative", "positive"], **about
        )
    answers = ["student_dev.parquet", "student_test.parquet"]
    written = ["onnx", "onnx_dev.parquet", "onnx_test.parquet", "export.json"]
    export.main(["student", "dev.parquet", "test.parquet", *answers, *written])
    model = Model("onnx", 1)
    given = np.concatenate([model.predict_proba(KNOWN[:200]), model.predict_proba(KNOWN[200:])])
    assert json.loads(Path("onnx/profile.json").read_text()) == profile.profile_of(model, KNOWN, given)
    code, lines = run("onnx", tmp_path / "new.jsonl", NEW, capsys=capsys)
    assert code == 0, lines
    assert len(tables.read_table("onnx_dev.parquet")) == 200


def test_the_benchmark_s_page_holds_its_json():
    result = json.loads(benchmark.JSON.read_text(encoding="utf-8"))
    assert f"<!-- table -->\n{benchmark.page(result)}\n<!-- /table -->" in benchmark.PAGE.read_text(
        encoding="utf-8"
    )


def test_the_benchmark_sees_three_shifts_and_hardly_one_where_there_is_none():
    rows = json.loads(benchmark.JSON.read_text(encoding="utf-8"))["rows"]
    shifts = {
        row["of"]: row["drift"] for row in rows if row["kind"] == "shift"
    }  # the last of each: all texts
    splits = [row["drift"] for row in rows if row["kind"] == "split"]
    assert set(shifts) == set(benchmark.SHIFTS) and all(shifts.values())
    assert len(splits) >= 10 and sum(map(bool, splits)) <= len(splits) // 10
