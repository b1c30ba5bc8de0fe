"""Writes the student in the form that people ship: an ONNX graph, and a predict.py that runs it.

The folder needs numpy, onnxruntime and tokenizers, and nothing of this project. Its answers on the dev and
test texts are those that `evaluate` measures; a profile of them, without the texts, is what `nolabels.drift` compares with.

usage: python -m stages.export models/student data/dev.parquet data/test.parquet data/student_dev.parquet \\
           data/student_test.parquet models/student-onnx data/onnx_dev.parquet data/onnx_test.parquet \\
           metrics/export.json
"""

import json
import shutil
import time
from itertools import chain

import numpy as np
import pyarrow as pa

from nolabels.core import models, params, speed
from nolabels.core.stage import UserError, path_arguments, run, say
from nolabels.core.tables import about, read_table, write_json, write_predictions
from nolabels.students.student import facts, labels_of

PATHS = {
    "student": "folder of the trained student",
    "dev": "dev texts, without answers",
    "test": "test texts, without answers",
    "student_dev": "the student's answers on dev, to compare with",
    "student_test": "the student's answers on test, to compare with",
    "folder": "folder to write: the student as people ship it",
    "onnx_dev": "table to write: its answers on dev",
    "onnx_test": "table to write: its answers on test",
    "metrics": "JSON to write",
}
FILES = ("model.onnx", "tokenizer.json", "classes.json", "predict.py")


def write_model(student, folder, precision):
    """Writes what people ship: model.onnx, tokenizer.json, classes.json, predict.py; returns their size in bytes.

    The folder may hold more, which other stages write.
    """
    from nolabels.onnx.graph import write_graph
    from nolabels.students import predict

    known = facts(student)
    model, tokenizer = models.load_model(student, "SequenceClassification", device="cpu", precision="float32")
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(model, folder / "model.onnx", tokenizer("")["input_ids"], precision)
    shutil.copyfile(student / "tokenizer.json", folder / "tokenizer.json")
    text = json.dumps(known, indent=2, ensure_ascii=False) + "\n"
    (folder / "classes.json").write_text(text, encoding="utf-8")
    shutil.copyfile(predict.__file__, folder / "predict.py")
    return sum((folder / name).stat().st_size for name in FILES)


def read_pair(texts, answers):
    """The texts of a split and the student's answers on them, two tables. Raises UserError where they differ."""
    table, before = read_table(texts, ["id", "text"]), read_table(answers)
    if not table["id"].equals(before["id"]):
        raise UserError(f"{answers}: must hold answers on {texts}; run dvc repro")
    return table, before


def answer(args, part, model, known):
    """Answers the texts of a part and writes the table of it. known: facts about the model, but its parameters.

    Returns the texts, N x K probabilities, of each text whether its labels are the student's, and the seconds.
    """
    table, before = read_pair(getattr(args, part), getattr(args, f"student_{part}"))
    texts = table["text"].to_pylist()
    started = time.perf_counter()
    probabilities = model.predict_proba(texts)
    seconds = time.perf_counter() - started
    classes = model.classes_.tolist()
    labels = [labels_of(row, classes, model.threshold) for row in probabilities.tolist()]
    column = pa.array(labels, pa.list_(pa.string()))
    known = known | {"parameters": about(before)["model"]["parameters"]}
    path = getattr(args, f"onnx_{part}")
    write_predictions(path, table["id"], probabilities, column, classes, model=known)
    same = [set(one) == set(two) for one, two in zip(labels, before["labels"].to_pylist(), strict=True)]
    return texts, probabilities, same, seconds


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()

    from nolabels.students.predict import Model
    from nolabels.students.profile import profile_of

    versions = models.versions("torch", "transformers", "onnx", "onnxruntime")
    models.use_threads(values.runtime.threads)
    size = write_model(args.student, args.folder, values.export.precision) / 1e6

    model = Model(args.folder, values.runtime.threads)
    known = {"kind": "onnx", "megabytes": models.megabytes(args.folder), "versions": versions}
    answered = [answer(args, part, model, known) for part in ("dev", "test")]
    texts, answers, same, seconds = zip(*answered, strict=True)
    profile = profile_of(model, list(chain(*texts)), np.concatenate(answers))
    write_json(args.folder / "profile.json", profile)
    same = list(chain(*same))
    speed.record("export", len(same), sum(seconds), "cpu")
    agreement = sum(same) / len(same)
    write_json(args.metrics, {"agreement": agreement, "megabytes": size})
    say(
        f"export: {values.export.precision}, {size:.1f} MB, the same labels as the student's "
        f"for {agreement:.1%} of {len(same)} dev and test texts"
    )


if __name__ == "__main__":
    run(main)
