"""The parts of benchmarks.speed about students, and `dvc repro` itself: each yields rows."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import tasks
from benchmarks.measuring import clock, in_turn, largest, row, sorted_texts, teacher, texts_of
from nolabels.core import models, params
from nolabels.core.tables import read_table


def training(repeats):
    """One epoch on 320 texts, against transformers' Trainer with all texts padded to the longest, float32."""
    import transformers
    from datasets import Dataset

    from nolabels.students import dataset
    from nolabels.students import training as train

    values = params.load()
    task, settings = values.task, values.train.model_copy(update={"epochs": 1})
    table = read_table("data/teacher_train.parquet").slice(values.sample.valid, 320)
    tokenizer = transformers.AutoTokenizer.from_pretrained("models/base")
    texts = table["text"].to_pylist()
    wanted = dataset.targets(table, task.labels, settings.targets)
    ids = dataset.encode(tokenizer, texts, settings.max_tokens)
    given = {"input_ids": ids, "labels": wanted.tolist(), "length": [len(row) for row in ids]}
    given, none = Dataset.from_dict(given), Dataset.from_dict({"input_ids": [], "labels": []})
    padded = tokenizer(texts, truncation=True, max_length=settings.max_tokens, padding=True)
    answers = Dataset.from_dict({**padded, "labels": wanted.argmax(1).tolist()})
    precision = models.pick_precision(settings.precision, "cpu")

    def ours():
        with tempfile.TemporaryDirectory() as folder:
            model = train.load_base("models/base", task, "cpu")
            train.fit(model, tokenizer, given, none, settings, "cpu", precision, folder)

    def plain():
        with tempfile.TemporaryDirectory() as folder:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                "models/base", num_labels=len(task.labels)
            )
            arguments = transformers.TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                save_strategy="no",
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                logging_strategy="no",
            )
            trainer = transformers.Trainer(model=model, args=arguments, train_dataset=answers)
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()

    mine, peer = in_turn(repeats, ours, plain)
    yield row(f"training, {precision}", 320 / mine, 320 / peer, "texts/s", ">= 2.5")


def student(repeats):
    """The shipped student against the torch one, as `pipeline` runs it."""
    yield from shipped(repeats, "student", "models/student", "models/student-onnx", (6, 3.5))
    yield size_row("size of the shipped student", Path("models/student-onnx"), 120)


def size_row(name, folder, most):
    """Megabytes of a folder's files."""
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return row(name, size, None, "MB", f"<= {most}", size)


def small(repeats):
    """The same of a student of 22.7 M parameters with a new head, since the weights decide no time."""
    import transformers

    from nolabels.setup.presets import params_of
    from nolabels.students import training as train
    from stages.export import write_model

    values = params_of("reviews-small")
    base = tasks.model_of(values.fetch.models["encoder"])
    with tempfile.TemporaryDirectory() as folder:
        torch_form, onnx_form = Path(folder, "student"), Path(folder, "student-onnx")
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        tokenizer("", truncation=True, max_length=values.train.max_tokens)
        models.save_model(train.load_base(base, values.task, "cpu"), tokenizer, torch_form, "")
        write_model(torch_form, onnx_form, values.export.precision)
        yield from shipped(repeats, "small student", torch_form, onnx_form, (7, 4))
        yield size_row("size of the small shipped student", onnx_form, 30)
        yield against_teacher(repeats, "small student, ONNX, against the teacher, four templates", onnx_form)


def shipped(repeats, name, torch_form, onnx_form, asked):
    """An ONNX student against the torch one, whose texts are unsorted or sorted; asked: of both."""
    import transformers

    from nolabels.students.predict import Model

    texts = texts_of("test", None)
    model = Model(onnx_form)
    peer = transformers.pipeline("text-classification", model=str(torch_form), device="cpu")
    short = sorted_texts(texts)
    mine, *theirs = in_turn(
        repeats,
        lambda: model.predict(texts),
        lambda: peer(texts, batch_size=64, truncation=True),
        lambda: peer(short, batch_size=64, truncation=True),
    )
    for order, seconds, ratio in zip(("unsorted", "sorted"), theirs, asked, strict=True):
        count = len(texts)
        yield row(
            f"{name}, ONNX, against torch {order}", count / mine, count / seconds, "texts/s", f">= {ratio}"
        )


def against_teacher(repeats, name, onnx_form):
    """An ONNX student against the default teacher in `score`'s engine, which is asked about fewer texts."""
    from nolabels.students.predict import Model

    values = params.load()
    texts, few = texts_of("test", None), sorted_texts(texts_of("test", 64))
    model, asked = Model(onnx_form), values.score["teacher"]
    engine = teacher("likelihood", "models/teacher", models.pick_precision(asked.precision, "cpu"))
    mine, theirs = in_turn(
        repeats,
        lambda: model.predict(texts),
        lambda: engine.ask(few, asked.templates, values.task.words),
    )
    return row(name, len(texts) / mine, len(few) / theirs, "texts/s", ">= 12")


def classify(repeats):
    """The command on a csv of 100,000 rows against the student's own speed, and on one text."""
    import csv

    from nolabels.students.predict import Model

    texts = texts_of("pool", None) + texts_of("test", None)
    many = [f"{texts[n % len(texts)]} {n}" for n in range(100_000)]
    shipped = Model("models/student-onnx")
    with tempfile.TemporaryDirectory() as folder:
        path, one = Path(folder, "many.csv"), Path(folder, "one.txt")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([text] for text in many)
        one.write_text("A warm and funny film.\n", encoding="utf-8")

        def command(given):
            before = [sys.executable, "-m", "nolabels.classify", "models/student-onnx", str(given)]
            subprocess.run(before, check=True, stdout=subprocess.DEVNULL)

        # the student's own speed on a fifth of the rows, which are as long as the others
        rounds = [
            (clock(lambda: command(path)), clock(lambda: shipped.predict_proba(many[::5])) * 5)
            for _ in range(min(repeats, 3))
        ]
        seconds, own = (statistics.median(column) for column in zip(*rounds, strict=True))
        start = statistics.median(clock(lambda: command(one)) for _ in range(repeats))
        memory = largest(Path.cwd(), "nolabels.classify", "models/student-onnx", path)
    yield row("classify, a csv of 100,000 rows", len(many) / seconds, len(many) / own, "texts/s", ">= 0.85")
    yield row("memory of classify", memory, None, "MiB", "< 600", memory)
    yield row("classify, one text, process start included", start, None, "s", "< 1.0", start)


def reruns(repeats):
    """`dvc repro` where nothing has changed."""
    command = [sys.executable, "-m", "dvc", "repro", "-q"]
    seconds = statistics.median(clock(lambda: subprocess.run(command, check=True)) for _ in range(repeats))
    yield row("dvc repro, nothing to do", seconds, None, "s", "< 2", seconds)
