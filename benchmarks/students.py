"""What students reach on the eight tasks: from the teachers' labels, and beside that from gold answers.

usage: python -m benchmarks.students [--tasks NAME ...] [--texts 2000] [--gold 100 1000] [--seeds 1 2 3] [--threads N]

Needs `python -m benchmarks.tasks prepare`. The panel of the shipped teachers labels pool texts of each task as `label`
does; a student of each size learns from these labels, with the settings of params.yaml (109 M parameters) and of
presets/reviews-small.yaml (22.7 M), and so does TF-IDF with logistic regression. The same students learn from gold
answers of the pool, which nothing else here does. All are measured on dev. Writes benchmarks/students.json and the table
of benchmarks/tasks.md, where the rows of tasks that are not named stay. What is done is kept in .work/tasks/results, so
a stopped run goes on.
"""

import hashlib
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import task_tables, task_texts, task_wording, tasks, training
from nolabels.core import models, params
from nolabels.core.labels import decide, one_hot
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import write_json
from nolabels.labeling.panel import fit_panel
from nolabels.labeling.tfidf import fit_predict
from nolabels.setup import presets

JSON = Path("benchmarks/students.json")
DEV_TEXTS = 1000
SIZES = {"base": "109 M", "encoder": "22.7 M"}


def settings_of(base, seed):
    """How a student of a size learns: as shipped, or as the preset for small ones does from its assistant."""
    train = params.load().train if base == "base" else presets.params_of("reviews-small").train
    return params.Learning(**train.model_dump(exclude={"labels"}) | {"base": base, "seed": seed})


class Task:
    """The texts of a task and what the teachers say of them."""

    def __init__(self, name, count, gold, threads):
        shipped = task_wording.whole(name)
        runtime = shipped.runtime.model_copy(update={"threads": threads})
        self.name, self.values = name, shipped.model_copy(update={"runtime": runtime})
        zones = task_texts.read_zones(
            name,
            task_wording.WORK,
            task_wording.wording().zones,
            shipped.sample.seed,
            max(count, DEV_TEXTS, *gold),
        )
        (dev, dev_labels), (pool, pool_labels) = zones["dev"], zones["pool"]
        self.dev, self.dev_labels = dev[:DEV_TEXTS], dev_labels[:DEV_TEXTS]
        self.pool, self.asked = pool, pool[:count]
        names = self.values.task.names
        self.gold = one_hot([names.index(label) for label in pool_labels], len(names))

    def taught(self):
        """What the panel says: of the pool texts that it was asked about and of dev, N x K probabilities each."""
        given = [
            {name: tasks.output_of(self.name, self.values, name, texts)[0] for name in task_wording.TEACHERS}
            for texts in (self.asked, self.dev)
        ]
        panel = fit_panel(given[0], self.values)
        return [panel.probabilities(found, self.values.task) for found in given]

    def accuracy(self, probabilities):
        return training.accuracy(probabilities, self.values.task.labels, self.dev_labels)


def lessons(task, labels, gold):
    """{what is learned from: (texts, N x K probabilities)}; gold: numbers of answers."""
    found = {"teachers": (task.asked, labels)}
    for count in gold:
        found[f"{count} gold"] = task.pool[:count], task.gold[:count].astype(float)
    return found


def kept(task, *what):
    """Where a figure is kept; what: all that decides it."""
    decides = json.dumps([task.name, task.asked, task.dev, *map(str, what)])
    return (
        task_wording.WORK
        / "results"
        / f"student-{task.name}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}.json"
    )


def rows_of(name, count, gold, seeds, threads):
    """Yields the rows of a task: learner, from, seed, texts, accuracy."""
    task = Task(name, count, gold, threads)
    models.use_threads(threads)
    labels, of_dev = task.taught()
    yield {
        "learner": "teachers",
        "from": "",
        "seed": 0,
        "texts": len(task.asked),
        "accuracy": task.accuracy(of_dev),
    }
    answers = decide(labels, task.values.task)
    found = fit_predict(task.asked, answers, task.dev, task.values.task)
    yield {
        "learner": "TF-IDF",
        "from": "teachers",
        "seed": 0,
        "texts": len(task.asked),
        "accuracy": task.accuracy(found),
    }
    for source, (texts, wanted) in lessons(task, labels, gold).items():
        for base in SIZES:
            for seed in seeds:
                settings = settings_of(base, seed)
                path = kept(task, source, settings.model_dump_json(), np.asarray(wanted).round(4).tolist())
                if not path.exists():
                    write_json(path, {"accuracy": learned(task, base, settings, texts, wanted)})
                accuracy = json.loads(path.read_text(encoding="utf-8"))["accuracy"]
                yield {
                    "learner": base,
                    "from": source,
                    "seed": seed,
                    "texts": len(texts),
                    "accuracy": accuracy,
                }


def learned(task, base, settings, texts, wanted):
    """Accuracy on dev of a student that has learned texts with N x K probabilities."""
    folder = tasks.model_of(task.values.fetch.models[base])
    with tempfile.TemporaryDirectory(dir=task_wording.WORK) as own:
        path = training.lesson(Path(own, "train.parquet"), task.values.task, texts, wanted)
        found, _ = training.trained(task.values, folder, path, settings, task.dev)
    return task.accuracy(found)


def cells_of(own, columns):
    """Of the rows of a task: the mean accuracy in each column, as a number or None, and as text with its deviation."""
    means, texts = [], []
    for column in columns:
        found = [row["accuracy"] for row in own if (row["learner"], row["from"]) == column]
        spread = f" ± {np.std(found, ddof=1):.3f}" if len(found) > 1 else ""
        means.append(float(np.mean(found)) if found else None)
        texts.append(f"{means[-1]:.3f}{spread}" if found else "")
    return means, texts


def table(rows):
    """A row for each task: teachers, students from them and what they gain, then students from gold; and the means."""
    columns = [("teachers", ""), ("base", "teachers"), ("encoder", "teachers"), ("TF-IDF", "teachers")]
    gold = list(dict.fromkeys(row["from"] for row in rows if row["from"].endswith("gold")))
    columns += [(base, source) for source in gold for base in SIZES]
    heads = [
        "task",
        "texts",
        "teachers",
        "109 M",
        "22.7 M",
        "TF-IDF",
        "109 M − teachers",
        "22.7 M − teachers",
    ]
    heads += [f"{SIZES[base]}, {source}" for source in gold for base in SIZES]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    known, families = task_wording.wording().tasks, {}
    for name in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == name]
        means, cells = cells_of(own, columns)
        gains = [None if mean is None else mean - means[0] for mean in means[1:3]]
        family = task_wording.family_of(name, known[name].family)
        families.setdefault(family, []).append([*means[:4], *gains, *means[4:]])
        cells = [*cells[:4], *("" if gain is None else f"{gain:+.3f}" for gain in gains), *cells[4:]]
        lines.append(f"| {known[name].title} | {own[0]['texts']} | {' | '.join(cells)} |")
    cells = []
    for number, column in enumerate(zip(*itertools.chain(*families.values()), strict=True)):
        every = (
            [np.mean([row[number] for row in some]) for some in families.values()]
            if None not in column
            else []
        )
        sign = "+" if "−" in heads[number + 2] else ""
        cells.append(f"**{np.mean(every):{sign}.3f}**" if every else "")
    return "\n".join([*lines, f"| **mean over families** | | {' | '.join(cells)} |"])


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(task_wording.wording().tasks), metavar="NAME")
    parser.add_argument(
        "--texts", type=int, default=2000, help="that the teachers label, at most, of each task"
    )
    parser.add_argument(
        "--gold", nargs="*", type=int, default=[100, 1000], metavar="N", help="answers to learn from"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)
    rows = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    for name in args.tasks:
        rows = [row for row in rows if row["task"] != name]
        for row in rows_of(name, args.texts, args.gold, args.seeds, args.threads):
            rows.append({"task": name, **row})
            say(f"{name}: {row['learner']} from {row['from'] or 'nothing'}: {row['accuracy']:.3f}")
        write_json(JSON, sorted(rows, key=lambda row: list(task_wording.wording().tasks).index(row["task"])))
    task_tables.write_block("students", table(json.loads(JSON.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    run(main)
