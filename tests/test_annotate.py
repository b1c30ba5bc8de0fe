"""Label Studio's tasks and configuration, and its answers back in the right file."""

import copy
import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels import annotate
from nolabels.core import params, schemas, tables
from nolabels.core.labels import decide, margins, to_column
from nolabels.core.stage import UserError
from nolabels.data.annotations import read_answers
from nolabels.data.texts import text_id
from tests import tiny
from tests.labelstudio import LabelStudio

SIZES = {"pool": 12, "dev": 6, "test": 6}
FILES = {"pool": "data/corrections.csv", "dev": "data/dev_labels.csv", "test": "data/test_labels.csv"}
HEADER = "id,text,label\n"


def make(folder, sizes=SIZES, *, reject=None, multi_label=False, names=("negative", "positive"), seed=0):
    """params.yaml and the tables of a finished run, in the present folder; {part: list of texts}."""
    values = tiny.one_teacher(yaml.safe_load(params.PATH.read_text(encoding="utf-8")))
    values["task"].update(reject=reject, multi_label=multi_label)
    values["task"]["classes"] = [
        {"name": name, "words": f"word {number}"} for number, name in enumerate(names)
    ]
    values["select"]["review"], values["sample"]["gold"] = 4, None
    values["label"]["prior"] = dict.fromkeys(names, 0.5) if multi_label else "uniform"
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    task = params.load(folder / "params.yaml").task
    texts = [text for _, text in tiny.sentences(sum(sizes.values()), seed)]
    texts[:4] = ['=1+1, "quoted"', "zwei\nZeilen", "☂ Ünïcode 𝄞", "<b>&amp;</b>"]
    found, first = {}, 0
    for part, size in sizes.items():
        found[part] = texts[first : first + size]
        first += size
        columns = {"id": list(map(text_id, found[part])), "text": found[part], "row": list(range(size))}
        schema = schemas.TEXTS
        if part == "pool":
            columns, schema = columns | {"split": ["train"] * size}, schemas.POOL
        tables.write_table(folder / f"data/{part}.parquet", pa.table(columns, schema=schema))
    labels = len(task.labels)
    draw = np.random.default_rng(seed)
    given = (
        draw.random((sizes["pool"], labels)) if multi_label else draw.dirichlet([1] * labels, sizes["pool"])
    )
    given = tables.rounded(given)
    columns = {
        "id": list(map(text_id, found["pool"])),
        "split": ["train"] * sizes["pool"],
        "probabilities": tables.fixed(given, "float32"),
        "labels": to_column(decide(given, task), task.labels),
        "confidence": given.max(1),
    }
    table = pa.table(columns, schema=schemas.labeled_schema(labels))
    tables.write_table(folder / "data/labeled.parquet", table, classes=task.labels)
    for path in FILES.values():
        (folder / path).write_text(HEADER, encoding="utf-8")
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the tables of a finished run; the texts of each part."""
    texts = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return texts


def export(count=None, out="out"):
    """Runs `export`; {part: tasks}."""
    annotate.main(["export", out, *([] if count is None else ["--count", str(count)])])
    return {part: json.loads(Path(out, f"{part}.json").read_text(encoding="utf-8")) for part in SIZES}


def answered(task, *answers, **more):
    """An exported task as Label Studio writes it. answers: lists of classes, or None for skipped; more: of each
    annotation."""
    annotations = []
    for names in answers:
        value = {"choices": names}
        chosen = {"from_name": "label", "to_name": "text", "type": "choices", "value": value}
        result = [chosen] if names else []
        annotations.append({"result": result, "was_cancelled": names is None, "prediction": {}} | more)
    return copy.deepcopy(task) | {
        "annotations": annotations,
        "predictions": [1] if "predictions" in task else [],
    }


def take(items, *words, name="export.json"):
    Path(name).write_text(json.dumps(items), encoding="utf-8")
    annotate.main(["import", name, *words])


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answers_in(part):
    """{text: label} of an answer file."""
    return {row["id"]: row["label"] for row in rows(FILES[part])}


def test_pool_tasks_are_the_least_certain_first_with_the_teacher_s_answer(folder):
    found = export(count=12)["pool"]
    labeled = tables.read_table("data/labeled.parquet").to_pylist()
    margin = margins(np.array([row["probabilities"] for row in labeled]), params.load().task)
    assert [task["data"]["text_id"] for task in found] == [labeled[row]["id"] for row in np.argsort(margin)]
    said = {row["id"]: row for row in labeled}
    assert {task["data"]["text"] for task in found} == set(folder["pool"])
    for task in found:
        (given,) = task["predictions"]
        row = said[task["data"]["text_id"]]
        assert given["score"] == pytest.approx(row["confidence"], abs=1e-6)
        assert given["model_version"].startswith("teacher-")
        value = {"choices": row["labels"]}
        assert given["result"] == [
            {"from_name": "label", "to_name": "text", "type": "choices", "value": value}
        ]


def test_dev_and_test_tasks_are_in_draw_order_and_hide_the_teacher_s_answer(folder):
    found = export()
    for part in ("dev", "test"):
        assert [task["data"]["text"] for task in found[part]] == folder[part][:4]  # select.review
        assert all(set(task) == {"data"} for task in found[part])
        assert {task["data"]["part"] for task in found[part]} == {part}


def test_what_is_answered_is_not_asked_again(folder):
    for part, path in FILES.items():
        Path(path).write_text(f"{HEADER}{text_id(folder[part][1])},,positive\n", encoding="utf-8")
    found = export(count=100)
    for part, texts in folder.items():
        assert {task["data"]["text"] for task in found[part]} == set(texts) - {texts[1]}


@pytest.mark.parametrize(
    ("task", "choices", "choice"),
    [
        ({}, ["negative", "positive"], "single"),
        ({"reject": "other"}, ["negative", "positive", "other"], "single"),
        ({"multi_label": True}, ["negative", "positive", "(none)"], "multiple"),
        ({"names": ('a "b"', "<c> & 'd'", "é\n☂")}, ['a "b"', "<c> & 'd'", "é\n☂"], "single"),
    ],
    ids=["one label", "reject", "several labels", "letters of XML"],
)
def test_the_configuration_names_the_classes(tmp_path, monkeypatch, task, choices, choice):
    make(tmp_path, **task)
    monkeypatch.chdir(tmp_path)
    found = export()
    view = ET.fromstring(Path("out/labeling_config.xml").read_text(encoding="utf-8"))
    (text,), (box,) = view.findall("Text"), view.findall("Choices")
    assert [item.get("value") for item in box] == choices
    assert (box.get("choice"), box.get("toName"), text.get("value")) == (choice, text.get("name"), "$text")
    for item in found["pool"]:
        (result,) = item["predictions"][0]["result"]
        assert (result["from_name"], result["to_name"]) == (box.get("name"), text.get("name"))
        assert result["value"]["choices"] and set(result["value"]["choices"]) <= set(choices)


def test_a_class_that_no_xml_can_hold_is_refused(tmp_path, monkeypatch):
    make(tmp_path, names=("good", "b\x01d"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"task\.classes: 'b\\x01d' must hold letters of XML alone, found '\\x01'"
    ):
        export()
    assert not Path("out").exists()


@pytest.mark.parametrize("form", ["JSON", "JSON-MIN"])
def test_answers_land_in_the_file_of_their_part(folder, capsys, form):
    found = export()
    items, expected = [], {}
    for part, tasks in found.items():
        expected[part] = {}
        for number, task in enumerate(tasks):
            name = ["negative", "positive"][number % 2]
            expected[part][task["data"]["text_id"]] = name
            items.append(
                answered(task, [name]) if form == "JSON" else task["data"] | {"id": number, "label": name}
            )
    capsys.readouterr()
    take(items[::-1])
    for part in SIZES:
        assert answers_in(part) == expected[part]
        assert [row["text"] for row in rows(FILES[part])] != [""] * 4
    assert capsys.readouterr().out.splitlines() == [
        *(f"{path}: 4 added" for path in FILES.values()),
        "12 of 12 texts answered; next: dvc repro",
    ]
    # what the stages read from it
    ids = {part: pa.chunked_array([list(map(text_id, texts))]) for part, texts in folder.items()}
    for part, path in FILES.items():
        others = {FILES[other]: ids[other] for other in SIZES if other != part}
        read = read_answers(path, params.load().task, ids[part], others)
        assert read == {given: (name,) for given, name in expected[part].items()}
    before = {path: Path(path).read_bytes() for path in FILES.values()}
    take(items)
    assert before == {path: Path(path).read_bytes() for path in FILES.values()}
    assert "data/dev_labels.csv: 4 the same as before" in capsys.readouterr().out


def test_a_text_that_a_spreadsheet_would_run_is_written_as_in_the_review_files(folder):
    item = next(task for task in export(count=12)["pool"] if task["data"]["text"].startswith("="))
    take([answered(item, ["positive"])])
    (row,) = rows(FILES["pool"])
    assert row == {"id": text_id(folder["pool"][0]), "text": "'" + folder["pool"][0], "label": "positive"}


def test_several_labels_and_none(tmp_path, monkeypatch, capsys):
    make(tmp_path, multi_label=True)
    monkeypatch.chdir(tmp_path)
    one, two, three, four = export()["dev"]
    contradiction = answered(three, ["(none)", "positive"])
    take(
        [
            answered(one, ["positive", "negative"]),
            answered(two, ["(none)"]),
            contradiction,
            answered(four, []),
        ]
    )
    assert list(answers_in("dev").values()) == ["negative; positive", "(none)"]
    out = capsys.readouterr().out
    assert f"not taken: 1 with classes that exclude each other (first: {three['data']['text_id']})" in out
    assert f"not taken: 1 without a class (first: {four['data']['text_id']})" in out
    take([one["data"] | {"label": {"choices": ["positive", "negative"]}}, two["data"] | {"label": "(none)"}])
    assert "data/dev_labels.csv: 2 the same as before" in capsys.readouterr().out


def test_what_is_not_taken_is_counted_by_its_reason(folder, capsys):
    found = export()
    pool, dev, test = (found[part] for part in SIZES)
    gone = {"data": {"text": "gone", "text_id": text_id("gone"), "part": "pool"}}
    moved = {"data": dev[1]["data"] | {"part": "pool"}}
    edited = {"data": pool[3]["data"] | {"text": "Another text."}}
    capsys.readouterr()
    take(
        [
            answered(pool[0], ["negative"], ["positive"]),
            answered(pool[1], None),
            answered(pool[2], []),
            answered(edited, ["negative"]),
            answered(gone, ["negative"]),
            answered(moved, ["negative"]),
            answered(dev[0], ["negative"], prediction={"id": 1}),
            answered(test[0], ["negative"], parent_prediction=5),
            answered(test[1]),
            answered(test[2], ["positive"], None),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    expected = {
        "unanswered": test[1]["data"]["text_id"],
        "skipped": pool[1]["data"]["text_id"],
        "empty": pool[2]["data"]["text_id"],
        "disagree": pool[0]["data"]["text_id"],
        "unknown": text_id("gone"),
        "moved": dev[1]["data"]["text_id"],
        "edited": pool[3]["data"]["text_id"],
    }
    assert lines == [
        "data/test_labels.csv: 1 added",
        *(f"not taken: 1 {annotate.LEFT[reason]} (first: {given})" for reason, given in expected.items()),
        f"not taken: 2 {annotate.LEFT['shown']} (first: {dev[0]['data']['text_id']})",
        "1 of 10 texts answered; next: dvc repro",
    ]
    assert answers_in("pool") == answers_in("dev") == {}


def test_several_annotators(folder):
    """They agree, in one export or in two; or one of them has the last word."""
    one, two, three, four = export()["pool"]
    marked = answered(three, ["negative"], ["positive"])
    marked["annotations"][1]["ground_truth"] = True
    Path("other.json").write_text(json.dumps([answered(two, ["negative"]), answered(four, ["negative"])]))
    take([answered(one, ["negative"], ["negative"]), answered(two, ["negative"]), marked], "other.json")
    expected = dict.fromkeys((task["data"]["text_id"] for task in (one, two, four)), "negative")
    assert answers_in("pool") == expected | {three["data"]["text_id"]: "positive"}
    Path("other.json").write_text(json.dumps([answered(four, ["positive"])]))
    take([answered(four, ["negative"])], "other.json")  # two exports that disagree
    assert answers_in("pool")[four["data"]["text_id"]] == "negative"


def test_another_answer_than_the_one_there_needs_a_word(folder, capsys):
    tasks = export()
    one, two = tasks["pool"][:2]
    given = one["data"]["text_id"]
    own = f"note,label,id\nmine,negative,{given}\nkept,,\nold,positive,{text_id('gone')}\n"
    Path(FILES["pool"]).write_text(own, encoding="utf-8")
    items = [
        answered(one, ["positive"]),
        answered(two, ["positive"]),
        answered(tasks["dev"][0], ["positive"]),
    ]
    with pytest.raises(UserError) as error:
        take(items)
    assert str(error.value) == (
        f"data/corrections.csv: answers must be those that it holds already, found 1 other ({given}: 'negative', "
        "now 'positive'); nothing was written; --replace takes the new ones"
    )
    assert Path(FILES["pool"]).read_text(encoding="utf-8") == own
    assert answers_in("dev") == {}
    take(items, "--replace")
    assert Path(FILES["pool"]).read_text(encoding="utf-8").splitlines() == [
        "note,label,id",
        f"mine,positive,{given}",
        "kept,,",
        f"old,positive,{text_id('gone')}",
        f",positive,{two['data']['text_id']}",
    ]
    assert len(answers_in("dev")) == 1


def test_a_file_by_texts_gets_ids_and_a_row_that_waits_its_answer(folder):
    """What people made of review.csv: rows without an answer yet, and without ids."""
    one, two = export()["dev"][:2]
    with Path(FILES["dev"]).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], [one["data"]["text"], ""], ["mine", "negative"]])
    take([answered(one, ["positive"]), answered(two, ["negative"])])
    found = [(row["id"], row["text"], row["label"]) for row in rows(FILES["dev"])]
    assert found == [
        ("", one["data"]["text"], "positive"),
        ("", "mine", "negative"),
        (two["data"]["text_id"], two["data"]["text"], "negative"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "export.json: line 1: must be JSON"),
        ('{"a": 1}', "export.json: must be a list of tasks, as Label Studio's JSON and JSON-MIN exports are"),
        ("[3]", "export.json: task 1: must be an object with data, found 3"),
        ('[{"data": {"x": 1}}]', "export.json: task 1: must hold text_id or text, found x"),
        ('[{"data": {"text": 5}}]', "export.json: task 1: text must be text, found 5"),
        ('[{"data": {"text": "\\ud800"}}]', r"export.json: task 1: row 1: text must be UTF-8, found \\ud800 alone"),
        ('[{"data": {"text": "a"}, "annotations": 1}]', "task 1: annotations must be a list of objects"),
        ('[{"text": "a", "label": "neutral"}]', 'label must be one of negative, positive, found "neutral"'),
        ('[{"text": "a", "label": {"choices": [["x"]]}}]', r'must be one of negative, positive, found \["x"\]'),
        (b"\xff", "export.json: must be UTF-8, found byte 0xff"),
        ("[" * 100_000, "must be a list of tasks, found JSON too deep"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_one_line(folder, content, message):
    Path("export.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = {path: Path(path).read_bytes() for path in FILES.values()}
    with pytest.raises(UserError, match=message):
        annotate.main(["import", "export.json"])
    assert before == {path: Path(path).read_bytes() for path in FILES.values()}


def test_tables_of_another_run_are_refused(folder):
    changed = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    changed["task"]["classes"][0]["name"] = "bad"
    Path("params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    with pytest.raises(UserError, match="must be of bad, positive, found negative, positive; run dvc repro"):
        export()
    pool = tables.read_table("data/pool.parquet")
    tables.write_table("data/pool.parquet", pool.slice(1))
    with pytest.raises(UserError, match=r"labeled\.parquet: must hold the texts of data/pool\.parquet"):
        export()


def test_a_disk_that_fills_leaves_all_files_as_they_were(folder, monkeypatch):
    tasks = export()
    before = {path: Path(path).read_bytes() for path in FILES.values()}
    whole = Path.open

    def full(path, *words, **more):
        if path.name == ".test_labels.csv.partial":
            raise OSError(28, "No space left on device", str(path))
        return whole(path, *words, **more)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "open", full)
        take([answered(tasks[part][0], ["negative"]) for part in SIZES])
    assert before == {path: Path(path).read_bytes() for path in FILES.values()}
    assert not [path for path in Path("data").iterdir() if path.name.endswith(".partial")]


def annotate_all(server, project, draw, labels):
    """Accepts some predictions, changes others, skips some, leaves some: {text_id: class name, or None}."""
    tasks = server.ask("GET", f"tasks?project={project}&page_size=1000&fields=all")["tasks"]
    draw.shuffle(tasks)
    expected = {}
    for number, task in enumerate(tasks):
        said = task["predictions"]
        assert bool(said) == (task["data"]["part"] == "pool")
        given, more = task["data"]["text_id"], {}
        if number >= 220:  # nobody gets to these
            continue
        if number >= 200:
            expected[given], body = None, {"result": [], "was_cancelled": True}
        else:
            name = str(draw.choice(labels))
            if said and number % 2:
                name, more = said[0]["result"][0]["value"]["choices"][0], {"parent_prediction": said[0]["id"]}
            chosen = {
                "from_name": "label",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": [name]},
            }
            expected[given], body = name, {"result": [chosen]} | more
        server.ask("POST", f"tasks/{task['id']}/annotations/", body)
    return expected


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_two_hundred_answers_come_back_from_a_real_label_studio(tmp_path, monkeypatch, capsys):
    """Configuration, tasks, annotations and export by its REST API; it checks predictions against the configuration."""
    work = tmp_path / "work"
    names = ('very "good"', "so <so> & so", "schlecht ☂")
    texts = make(work, {"pool": 200, "dev": 90, "test": 90}, reject="other", names=names)
    monkeypatch.chdir(work)
    tasks = export(count=80)
    labels = params.load().task.labels
    part_of = {text_id(text): part for part, some in texts.items() for text in some}
    with LabelStudio(tmp_path / "server") as server:
        setup = Path("out/labeling_config.xml").read_text(encoding="utf-8")
        project = server.ask("POST", "projects/", {"title": "answers", "label_config": setup})["id"]
        for part, some in tasks.items():
            told = server.ask("POST", f"projects/{project}/import", some)
            predictions = len(some) if part == "pool" else 0
            assert (told["task_count"], told["prediction_count"]) == (len(some), predictions)
        expected = annotate_all(server, project, np.random.default_rng(0), labels)
        for form in ("JSON", "JSON_MIN"):
            found = server.ask("GET", f"projects/{project}/export?exportType={form}&download_all_tasks=true")
            Path(f"{form}.json").write_text(json.dumps(found), encoding="utf-8")
    answered = {given: name for given, name in expected.items() if name is not None}
    assert len(answered) == 200 and len(expected) == 220
    capsys.readouterr()
    for form in ("JSON", "JSON_MIN"):
        for path in FILES.values():
            Path(path).write_text(HEADER, encoding="utf-8")
        annotate.main(["import", f"{form}.json"])
        for part in SIZES:
            assert answers_in(part) == {
                given: name for given, name in answered.items() if part_of[given] == part
            }
        out = capsys.readouterr().out
        # JSON-MIN holds a skipped text as one without a class
        assert f"not taken: 20 {annotate.LEFT['skipped' if form == 'JSON' else 'empty']} (first: " in out
        assert out.count("not taken") == (2 if form == "JSON" else 1)
        with capsys.disabled():
            print(f"{form}: {sum(len(answers_in(part)) for part in SIZES)} of 200 answers right")
