"""The student's training: what it reads, how it answers, and several processes that learn together."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from nolabels.core import models, params, schemas, tables
from nolabels.students import dataset, training
from tests import tiny

NAMES = ["negative", "positive"]


def write_lesson(path, count):
    """A table as `select` leaves it: every fourth text is of the valid split, every fifth is not to be learned."""
    sure = np.linspace(0.02, 0.98, count)
    columns = {
        "id": [f"{number:032x}" for number in range(count)],
        "text": [text for _, text in tiny.sentences(count)],
        "split": ["train" if number % 4 else "valid" for number in range(count)],
        "probabilities": tables.fixed(np.stack([1 - sure, sure], 1), np.float32),
        "labels": [[NAMES[int(one > 0.5)]] for one in sure],
        "learn": np.arange(count) % 5 > 0,
        "source": ["teacher"] * count,
    }
    tables.write_table(path, pa.table(columns, schema=schemas.train_schema(2)), classes=NAMES)


def test_what_is_learned_is_read_from_a_file(tmp_path):
    import transformers

    tiny.base_model(tmp_path / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "base")
    write_lesson(tmp_path / "train.parquet", 3000)
    settings = params.load().train.model_copy(update={"max_tokens": 24})
    whole = tables.read_table(tmp_path / "train.parquet")
    for split, left in (("train", 1), ("valid", 0)):
        found = dataset.read_dataset(tmp_path / "train.parquet", split, tokenizer, NAMES, settings, tmp_path)
        rows = [row for row in range(3000) if (row % 4 > 0) == left and row % 5]
        ids = dataset.encode(tokenizer, [whole["text"][row].as_py() for row in rows], 24)
        assert found["input_ids"][:] == ids
        assert found["length"][:] == [len(one) for one in ids]
        wanted = dataset.targets(whole.take(rows), NAMES, settings.targets)
        assert np.array_equal(np.array(found["labels"][:], np.float32), wanted)
        assert all(Path(file["filename"]).is_relative_to(tmp_path) for file in found.cache_files)
    assert (
        len(dataset.read_dataset(tmp_path / "train.parquet", "no such", tokenizer, NAMES, settings, tmp_path))
        == 0
    )


def test_answers_do_not_depend_on_the_block(tmp_path, monkeypatch):
    import transformers

    tiny.base_model(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    task, settings = params.load().task, params.load().train
    model, texts = training.load_base(tmp_path, task, "cpu"), [text for _, text in tiny.sentences(300)]
    whole = training.predict_proba(model, tokenizer, texts, settings)
    monkeypatch.setattr(training, "PREDICT_BLOCK", 70)
    assert np.allclose(training.predict_proba(model, tokenizer, texts, settings), whole, atol=1e-6)
    assert training.predict_proba(model, tokenizer, [], settings).shape == (0, 2)


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_a_student_keeps_no_weight_that_it_does_not_read(tmp_path, family):
    """MPNet's base has a pooler that the classifier leaves out; BERT's classifier reads it."""
    import safetensors.torch
    import torch
    import transformers

    tiny.nli_model(tmp_path / "nli", family)
    base = transformers.AutoModel.from_pretrained(tmp_path / "nli")
    assert base.pooler is not None
    base.save_pretrained(tmp_path / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "nli")
    model = training.load_base(tmp_path / "base", params.load().task, "cpu")
    models.save_model(model, tokenizer, tmp_path / "student", "a card")
    model(**tokenizer(["A warm film."], return_tensors="pt")).logits[0, 0].backward()
    read = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert (tmp_path / "student/README.md").read_text() == "a card"
    kept = safetensors.torch.load_file(tmp_path / "student/model.safetensors")
    assert set(kept) == read
    assert {weight.dtype for weight in kept.values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.thorough
def test_several_processes_train_one_student(tmp_path):
    tiny.base_model(tmp_path / "base")
    write_lesson(tmp_path / "train.parquet", 320)
    columns = {"id": ["a", "b"], "text": ["A warm film.", "Dull."], "row": [0, 1]}
    tables.write_table(tmp_path / "test.parquet", pa.table(columns, schema=schemas.TEXTS))
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    values["train"].update(batch_size=8, epochs=1, precision="float32", warmup=0.5)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    words = [
        "stages.train",
        "train.parquet",
        "base",
        "test.parquet",
        "student",
        "test_out.parquet",
        "curve.csv",
        "live",
    ]
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            *words,
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    # of 320 texts 64 are left out and a quarter is valid: 192, in steps of 2 x 8
    assert "train: 192 texts x 1 epochs, 12 steps" in ended.stdout
    curve = list(csv.DictReader((tmp_path / "curve.csv").open()))
    losses = [float(row["loss"]) for row in curve if row["loss"]]
    assert all(0.55 < loss < 0.85 for loss in losses)  # about log 2, and not twice that
    rates = [float(row["learning_rate"]) for row in curve if row["learning_rate"]]
    assert max(rates) == pytest.approx(values["train"]["learning_rate"], rel=0.2)
    assert len(tables.read_table(tmp_path / "test_out.parquet")) == 2
    assert list((tmp_path / ".work/lesson").iterdir()) == []
