"""What each difference between nolabels/students/training.py and the Trainer's defaults brings, and what further ones
would: benchmarks/training.md.

usage: python -m benchmarks.training [--tasks NAME ...] [--texts N] [--seeds N ...] [--threads N]

Needs `python -m benchmarks.tasks prepare`. For each task a MiniLM similarity teacher labels N texts of the pool, as
`label` would (prior matching, equal shares, soft targets); the same base learns from them in each form and with each
seed, and is measured on up to 500 texts of dev. What is done is kept in .work/tasks/results, so a stopped run goes on.
"""

import json
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa

from benchmarks import task_texts, task_wording, tasks
from benchmarks.training_forms import FORMS
from nolabels.core import models, params
from nolabels.core.labels import decide, to_column
from nolabels.core.schemas import train_schema
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import fixed, read_table, rounded, write_json, write_table
from nolabels.data.texts import text_id
from nolabels.labeling.panel import fit_panel
from nolabels.students import dataset, trainer, training

TASKS = ("sst2", "trec", "financial-phrasebank")
DEV_TEXTS = 500
LEARNING = {
    "targets": "soft", "epochs": 3, "learning_rate": 1e-4, "batch_size": 32, "warmup": 0.1, "weight_decay": 0.01,
    "max_tokens": 128, "precision": "auto",
}  # fmt: skip
PAGE, JSON = Path("benchmarks/training.md"), Path("benchmarks/training.json")


def labeled(name, values, pool):
    """What MiniLM as a teacher says of the pool's texts: N x K probabilities."""
    found = {"encoder": tasks.output_of(name, values, "encoder", pool)[0]}
    return fit_panel(found, tasks.with_refine(values, "never")).probabilities(found, values.task)


def lesson(path, task, texts, probabilities):
    """Writes what `select` would: the texts with N x K probabilities."""
    given = rounded(probabilities)
    columns = {
        "id": [text_id(text) for text in texts],
        "text": texts,
        "split": ["train"] * len(texts),
        "probabilities": fixed(given, np.float32),
        "labels": to_column(decide(given, task), task.labels),
        "learn": np.ones(len(texts), bool),
        "source": ["teacher"] * len(texts),
    }
    write_table(path, pa.table(columns, schema=train_schema(len(task.labels))), classes=task.labels)
    return path


def trained(values, base, path, settings, dev, callbacks=()):
    """What a student that has learned says of dev: N x K probabilities, and the seconds of training."""
    import transformers

    device = models.pick_device(values.runtime.device)
    precision = models.pick_precision(settings.precision, device)
    transformers.set_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = training.load_base(base, values.task, device)
    names = values.task.labels
    with tempfile.TemporaryDirectory(dir=task_wording.WORK) as folder:
        train, valid = (
            dataset.read_dataset(path, split, tokenizer, names, settings, folder)
            for split in ("train", "valid")
        )
        started = time.perf_counter()
        training.fit(model, tokenizer, train, valid, settings, device, precision, folder, callbacks)
    return training.predict_proba(model, tokenizer, dev, settings), time.perf_counter() - started


def accuracy(probabilities, names, labels):
    """Share of N x K probabilities whose highest is the label."""
    found = probabilities.argmax(1)
    return float(np.mean([names[one] == label for one, label in zip(found, labels, strict=True)]))


def in_form(form, values, base, path, seed, dev, labels):
    """The figures of a student that has learned in one form."""

    def learned(path, seed, texts):
        settings = params.Learning(base="encoder", seed=seed, **LEARNING)
        return trained(values, base, path, settings, texts, [make() for make in form.callbacks])

    before = 0.0
    with mock.patch.multiple(trainer, **form.patches) if form.patches else nullcontext():
        if form.first:
            pool = read_table(path)["text"].to_pylist()
            said = [learned(path, 100 * seed + number, pool) for number in range(form.first)]
            before = sum(seconds for _, seconds in said)
            mean = np.mean([found for found, _ in said], axis=0)
            path = lesson(path.with_name("distilled.parquet"), values.task, pool, mean)
        found, seconds = learned(path, seed, dev)
    return {
        "accuracy": accuracy(found, values.task.labels, labels),
        "seconds": round(before + seconds, 1),
    }


def cells(name, count, seeds, folder, threads):
    """Yields (form, seed, figures) of a task, from WORK where they are there."""
    values = task_wording.whole(name)
    values = values.model_copy(update={"runtime": values.runtime.model_copy(update={"threads": threads})})
    models.use_threads(threads)
    zones = task_texts.read_zones(
        name, folder, task_wording.wording().zones, values.sample.seed, max(count, DEV_TEXTS)
    )
    (dev, labels), (pool, _) = zones["dev"], zones["pool"]
    dev, labels, pool = dev[:DEV_TEXTS], labels[:DEV_TEXTS], pool[:count]
    base, path = tasks.model_of(values.fetch.models["encoder"]), None
    with tempfile.TemporaryDirectory(dir=task_wording.WORK) as own:
        for seed in seeds:
            for number, form in enumerate(FORMS):
                kept = task_wording.WORK / "results" / f"training-{name}-{len(pool)}-{seed}-{number}.json"
                if not kept.exists():
                    if path is None:
                        path = lesson(
                            Path(own, "train.parquet"), values.task, pool, labeled(name, values, pool)
                        )
                    write_json(kept, in_form(FORMS[form], values, base, path, seed, dev, labels))
                yield (
                    form,
                    seed,
                    json.loads(kept.read_text(encoding="utf-8")) | {"texts": len(pool), "dev": len(dev)},
                )


def page(rows):
    """The table: for each form the mean accuracy of each task, its standard deviation, and the mean of the tasks."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    lines = [f"| form | {' | '.join(names)} | mean |", f"|---{'|---' * len(names)}|---|"]
    for form in FORMS:
        means, cells = [], []
        for name in names:
            found = [row["accuracy"] for row in rows if (row["form"], row["task"]) == (form, name)]
            means.append(np.mean(found))
            cells.append(f"{np.mean(found):.3f} ± {np.std(found, ddof=1) if len(found) > 1 else 0:.3f}")
        lines.append(f"| {form} | {' | '.join(cells)} | {np.mean(means):.3f} |")
    return "\n".join(lines)


def write_page(rows):
    texts = ", ".join(f"{row['task']} {row['texts']}" for row in {row["task"]: row for row in rows}.values())
    dev = ", ".join(f"{row['task']} {row['dev']}" for row in {row["task"]: row for row in rows}.values())
    seeds = sorted({row["seed"] for row in rows})
    head = PAGE.read_text(encoding="utf-8").split("<!-- table -->")[0]
    PAGE.write_text(
        f"{head}<!-- table -->\n{page(rows)}\n\nTexts to learn from: {texts}. Texts of dev: {dev}. "
        f"Mean and standard deviation over {len(seeds)} seeds.\n<!-- /table -->\n",
        encoding="utf-8",
    )


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), metavar="NAME")
    parser.add_argument("--texts", type=int, default=1000, help="to learn from, of each task")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)
    rows = []
    for name in args.tasks:
        for form, seed, found in cells(name, args.texts, args.seeds, task_wording.WORK, args.threads):
            rows.append({"task": name, "form": form, "seed": seed, **found})
            say(f"{name}, seed {seed}, {form}: {found['accuracy']:.3f} in {found['seconds']:.0f} s")
    write_json(JSON, rows)
    write_page(json.loads(JSON.read_text(encoding="utf-8")))


if __name__ == "__main__":
    run(main)
