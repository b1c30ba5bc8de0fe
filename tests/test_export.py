"""The student as people ship it: the same answers, a folder that needs nothing of the project."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from nolabels.core import models
from nolabels.core.stage import UserError
from nolabels.students import predict
from nolabels.students.student import facts, labels_of
from stages import export
from tests import tiny

TEXTS = [text for _, text in tiny.sentences(40)] + ["", "film", " ".join(["dull"] * 60), "Ünïcode ☂ film"]
FILES = ["classes.json", "model.onnx", "predict.py", "tokenizer.json"]


def answers_of_torch(folder, texts, act=lambda logits: logits.softmax(-1), max_tokens=24, change=None):
    """N x K probabilities, one text at a time. change: called with the model before it answers."""
    import torch

    model, tokenizer = models.load_model(folder, "SequenceClassification", device="cpu", precision="float32")
    if change:
        change(model)
    found = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")["input_ids"]
            found.append(act(model(input_ids=ids).logits)[0].numpy())
    return np.array(found)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A tiny BERT and the folder that people ship."""
    root = tmp_path_factory.mktemp("shipped")
    tiny.student(root / "student")
    export.write_model(root / "student", root / "onnx", "int8")
    return root


def cpu_without_vnni(read_text):
    """Path.read_text on a processor whose 8-bit products overflow, for which weights are converted."""
    return lambda path, *more, **options: (
        "flags: avx2" if path == Path("/proc/cpuinfo") else read_text(path, *more, **options)
    )


@pytest.mark.parametrize("family", tiny.STUDENTS)
def test_the_graph_answers_as_torch_does(tmp_path, family, monkeypatch):
    student = tiny.student(tmp_path / "student", family, labels=("a", "b", "c"))
    expected = answers_of_torch(student, TEXTS)
    export.write_model(student, tmp_path / "float32", "float32")
    exact = predict.Model(tmp_path / "float32", 1)
    np.testing.assert_allclose(exact.predict_proba(TEXTS), expected, atol=1e-4)
    alone = np.concatenate([exact.predict_proba([text]) for text in TEXTS])  # where nothing is padded
    np.testing.assert_allclose(alone, expected, atol=1e-4)
    export.write_model(student, tmp_path / "int8", "int8")
    found = predict.Model(tmp_path / "int8", 1).predict_proba(TEXTS)
    assert np.abs(found - expected).mean() < 0.03
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.9
    monkeypatch.setattr(Path, "read_text", cpu_without_vnni(Path.read_text))
    converted = predict.Model(tmp_path / "int8", 1).predict_proba(TEXTS)
    np.testing.assert_allclose(converted, found, atol=0.02)
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("float32", "int8")]
    assert sizes[1] < 0.8 * sizes[0]


def test_attention_reads_the_mask_where_a_text_is_padded(tmp_path):
    student = tiny.student(tmp_path / "student", "mpnet")
    export.write_model(student, tmp_path / "onnx", "float32")
    model = predict.Model(tmp_path / "onnx", 1)
    ids = np.array([[5, 6, 7, 8], [9, 10, 11, 12]], np.int64)

    def answers(mask):
        given = {"input_ids": ids, "attention_mask": np.array(mask, np.int64)}
        return model.session.run(["logits"], given)[0]

    whole, padded = answers([[1] * 4, [1] * 4]), answers([[1] * 4, [1, 1, 1, 0]])
    np.testing.assert_allclose(padded[0], whole[0], atol=1e-5)
    assert np.abs(padded[1] - whole[1]).max() > 1e-5
    nodes = onnx.load(tmp_path / "onnx" / "model.onnx").graph.node
    found = {one.name: one.g.node for node in nodes if node.op_type == "If" for one in node.attribute}
    assert {name: bool(some[0].input[4]) for name, some in found.items()} == {
        "then_branch": False,
        "else_branch": True,
    }


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_linear_layers_read_no_padding(tmp_path, precision):
    """Texts of 5, 2 and 1 tokens in one batch: the layers give 8 rows, the last ones a row for each text."""
    student = tiny.student(tmp_path / "student", "mpnet")
    export.write_model(student, tmp_path / "onnx", precision)
    path = tmp_path / "onnx" / "model.onnx"
    graph = onnx.load(path)
    products = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type in ("MatMul", "Gemm", "DynamicQuantizeMatMul")
    ]
    graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in products)
    onnx.save(graph, path)
    mask = np.array([[1] * 5, [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], np.int64)
    session = predict.Model(tmp_path / "onnx", 1).session
    found = session.run(products, {"input_ids": mask * 7, "attention_mask": mask})
    rows = [value.size // value.shape[-1] for value in found]
    assert set(rows) == {8, 3} and rows.count(8) > rows.count(3)


def test_deberta_reads_texts_longer_than_the_one_it_is_exported_with(tmp_path):
    student = tiny.student(tmp_path / "student", "deberta", max_tokens=90)
    texts = ["", "dull film " * 10, "a warm and funny film " * 30]
    expected = answers_of_torch(student, texts, max_tokens=90)
    export.write_model(student, tmp_path / "onnx", "float32")
    found = predict.Model(tmp_path / "onnx", 1).predict_proba(texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_relative_positions_count_at_any_length(tmp_path):
    """Texts of 2 to 160 tokens in one batch: distances in every bucket of MPNet's, the last begins at 91 tokens."""
    student = tiny.student(tmp_path / "student", "mpnet", max_tokens=160)
    texts = ["", "film", "a warm film", "film " * 20, "dull film " * 30, "a warm and funny film " * 40]
    expected = answers_of_torch(student, texts, max_tokens=160)
    for place in ("before", "behind"):  # the test is worth nothing where these do not count

        def without(model, place=place):
            half = model.mpnet.encoder.relative_attention_bias.weight.data.chunk(2)
            half[place == "behind"].zero_()

        assert (
            np.abs(answers_of_torch(student, texts, max_tokens=160, change=without) - expected).max() > 0.01
        )
    export.write_model(student, tmp_path / "onnx", "float32")
    model = predict.Model(tmp_path / "onnx", 1)
    rows = [row.ids for row in model.tokenizer.encode_batch(texts)]
    assert [len(row) for row in rows][::5] == [2, 160]
    np.testing.assert_allclose(model.batch(model.session, rows), expected, atol=1e-4)
    for row, answer in zip(rows, expected, strict=True):
        np.testing.assert_allclose(model.batch(model.session, [row])[0], answer, atol=1e-4)


@pytest.mark.parametrize("family", ["electra", "mpnet"])
def test_what_int8_is_spared_leaves_the_sums_as_they_are(tmp_path, family):
    """In torch, where activations stay float32, what was scaled gives the same answers."""
    import torch

    from nolabels.onnx import bert_encoder, int8

    student = tiny.student(tmp_path / "student", family)
    model, tokenizer = models.load_model(student, "SequenceClassification", device="cpu", precision="float32")
    around = tokenizer("")["input_ids"]
    ids = int8.calibration_ids(model, around)
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).logits
        spread = int8.smooth(model, around)
        assert max(float(part.max()) for part in spread) > 1
        torch.testing.assert_close(
            bert_encoder.Encoder(model, spread)(ids, mask), expected, atol=1e-4, rtol=1e-4
        )


def test_equal_students_give_equal_bytes(shipped, tmp_path):
    export.write_model(shipped / "student", tmp_path / "again", "int8")
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (shipped / "onnx" / name).read_bytes(), name
    assert str(shipped).encode() not in (shipped / "onnx/model.onnx").read_bytes()


def test_the_order_and_the_company_of_texts_do_not_matter(shipped):
    model = predict.Model(shipped / "onnx", 1)
    found = model.predict_proba(TEXTS)
    np.testing.assert_allclose(model.predict_proba(TEXTS[::-1])[::-1], found, atol=0.1)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert model.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("size", "shortest", "longest", "full"),
    [
        pytest.param(16, 30, 31, True, id="tokens"),
        pytest.param(16, 30, 30, False, id="room"),
        pytest.param(9, 30, 31, True, id="padding"),
        pytest.param(8, 30, 31, False, id="few tokens"),
    ],
)
def test_a_batch_ends_where_it_is_large_or_would_be_padding(size, shortest, longest, full):
    assert predict.is_full(size, shortest, longest) == full


@pytest.mark.parametrize("labels", [("negative", "positive"), ("warm", "dull", "none of these")])
def test_it_answers_as_classifiers_of_scikit_learn_do(tmp_path, labels):
    """Also with a class for texts that are none of the others: that is a class like them."""
    from sklearn.metrics import accuracy_score, log_loss

    export.write_model(tiny.student(tmp_path / "student", labels=labels), tmp_path / "onnx", "float32")
    model = predict.Model(tmp_path / "onnx", 1)
    assert isinstance(model.classes_, np.ndarray) and model.classes_.tolist() == list(labels)
    shares, found = model.predict_proba(TEXTS), model.predict(TEXTS)
    assert shares.shape == (len(TEXTS), len(labels)) and shares.dtype == np.float32
    assert found.tolist() == model.classes_[shares.argmax(1)].tolist() and found.shape == (len(TEXTS),)
    assert accuracy_score(found.tolist(), found) == 1
    assert 0 < log_loss(found.tolist(), shares, labels=sorted(labels)) < 10
    np.testing.assert_array_equal(model.predict_proba(np.array(TEXTS)), shares)
    assert model.predict("film") == model.predict(["film"])


def test_it_abstains_below_a_threshold(shipped):
    model = predict.Model(shipped / "onnx", 1)
    sure, found = model.predict_proba(TEXTS).max(1), model.predict(TEXTS)
    middle = float(np.median(sure))
    kept = model.predict(TEXTS, threshold=middle)
    assert 0 < sum(label is None for label in kept) < len(TEXTS)
    assert kept.tolist() == [label if p >= middle else None for label, p in zip(found, sure, strict=True)]
    assert model.predict(TEXTS, threshold=0).tolist() == found.tolist()
    assert model.predict([], threshold=0.5).tolist() == []


def test_a_threshold_on_the_command_line(shipped):
    model = predict.Model(shipped / "onnx", 1)
    texts = TEXTS[:9]
    sure, found = model.predict_proba(texts).max(1), model.predict(texts)
    middle = round(float(np.median(sure)), 3)
    result = run_alone(shipped / "onnx", "--threshold", str(middle), entered="\n".join(texts))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{label if p >= middle else ''}\t{p:.4f}" for label, p in zip(found, sure, strict=True)
    ]
    for wrong, told in (("2", "must be 0 to 1, found 2.0"), ("x", "invalid float value: 'x'")):
        result = run_alone(shipped / "onnx", "--threshold", wrong)
        assert result.returncode == 2 and told in result.stderr.splitlines()[-1]


def run_alone(folder, *words, entered=""):
    """predict.py as a command, elsewhere, where only what it says it needs can be imported."""
    code = (
        "import runpy, sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'nolabels', 'pyarrow', 'pydantic', 'onnx'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, folder / "predict.py", *words],
        cwd=folder.parent,
        input=entered,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_the_folder_works_alone(shipped, tmp_path, way):
    folder = tmp_path / "elsewhere/model"
    shutil.copytree(shipped / "onnx", folder)
    (tmp_path / "texts.txt").write_text("A warm film.\r\n\nDull.\n", encoding="utf-8")
    result = (
        run_alone(folder, tmp_path / "texts.txt")
        if way == "file"
        else run_alone(folder, entered="A warm film.\n\nDull.")
    )
    assert result.returncode == 0, result.stderr
    model, texts = predict.Model(shipped / "onnx"), ["A warm film.", "", "Dull."]
    pairs = zip(model.predict(texts), model.predict_proba(texts).max(1), strict=True)
    assert result.stdout.splitlines() == [f"{label}\t{p:.4f}" for label, p in pairs]
    assert result.stderr == ""


def test_several_labels(tmp_path):
    student = tiny.student(
        tmp_path / "student",
        labels=("news", "sports", "arts, film"),
        problem_type="multi_label_classification",
        threshold=0.4,
    )
    export.write_model(student, tmp_path / "onnx", "float32")
    model = predict.Model(tmp_path / "onnx", 1)
    expected = answers_of_torch(student, TEXTS, lambda logits: logits.sigmoid())
    found = model.predict_proba(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    labels = [labels_of(row, model.classes_, 0.4) for row in found.tolist()]
    np.testing.assert_array_equal(model.predict(TEXTS), found >= 0.4)
    np.testing.assert_array_equal(model.predict(TEXTS, threshold=0.6), found >= 0.6)
    assert [model.classes_[row == 1].tolist() for row in model.predict(TEXTS)] == labels
    line = run_alone(tmp_path / "onnx", entered=TEXTS[0]).stdout.rstrip("\n").split("\t")
    assert line[::2] == labels[0] or (line == [""] and not labels[0])
    unsure = run_alone(tmp_path / "onnx", "--threshold", "1", entered="\n".join(TEXTS[:5]))
    assert unsure.stdout == "\n" * 5


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("tokenizer.json", {"truncation": None}, "must say where texts are cut"),
        ("config.json", {"problem_type": "multi_label_classification"}, "must hold a threshold, found none"),
        ("config.json", None, "must be there, found nothing"),
    ],
)
def test_a_folder_that_is_no_student_is_refused(shipped, tmp_path, file, change, message):
    folder = tmp_path / "student"
    shutil.copytree(shipped / "student", folder)
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
    with pytest.raises(UserError, match=message):
        facts(folder)


def test_predict_py_is_short_and_imports_little():
    text = Path(predict.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 105
    assert "nolabels" not in text


@pytest.mark.slow
def test_an_artifact_of_a_tagged_commit_classifies(project, tmp_path):
    """`dvc artifacts get` of a tag into an empty folder, from the cache of the repository."""
    project.git("tag", "-a", "student@v1.0.0", "-m", "The first student")
    got = tmp_path / "got"
    got.mkdir()
    result = project.run(
        [sys.executable, "-m", "dvc", "artifacts", "get", ".", "student", "-o", str(got / "model")]
    )
    assert result.returncode == 0, result.stdout
    assert sorted(path.name for path in (got / "model").iterdir()) == sorted(
        ["README.md", "profile.json", *FILES]
    )
    found = run_alone(got / "model", entered="A warm film.\nDull.\n")
    assert found.returncode == 0, found.stderr
    assert {line.split("\t")[0] for line in found.stdout.splitlines()} <= {"negative", "positive"}
    assert len(found.stdout.splitlines()) == 2
