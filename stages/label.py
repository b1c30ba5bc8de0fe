"""Turns the teachers' scores into calibrated probabilities and labels. Reads no gold, loads no model.

Everything is fitted on the pool's train split and applied unchanged to its valid split, to dev and to test.

usage: python -m stages.label data/pool.parquet data/scores data/labeled.parquet data/teacher_dev.parquet \\
           data/teacher_test.parquet metrics/label.json
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core import models, params
from nolabels.core.labels import certainty, class_shares, decide, per_class, to_column
from nolabels.core.schemas import labeled_schema
from nolabels.core.stage import arguments, run, say
from nolabels.core.tables import (
    about,
    fixed,
    is_in_split,
    read_table,
    rounded,
    write_json,
    write_predictions,
    write_table,
)
from nolabels.labeling.outputs import Said, read_pool, read_teachers
from nolabels.labeling.panel import fit_panel, untouched_panel
from nolabels.labeling.shares import unsure

PARTS = ("pool", "dev", "test")


def count_long(paths):
    """How many texts of tables of scores were longer than one reading of any teacher (cut, or read in parts)."""
    found = set()
    for path in paths:
        table = read_table(path, ["id", "cut"])
        found.update(table.filter(table["cut"])["id"].to_pylist())
    return len(found)


def drop_removed(folder, values):
    """Removes the scores of teachers that params.yaml has no more; DVC's cache keeps them.

    DVC leaves the outs of a stage that is gone, and this stage depends on the whole folder: what lies there would stand
    in dvc.lock, and the stage would run again on a machine that never had it.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in values.score:
            shutil.rmtree(path)
            say(f"label: {path} removed: params.yaml has no such teacher")


def without_groups(said, others):
    """{name: Said} of the pool without the embeddings of teachers that have none for all dev or test texts.

    others: a list of such dicts. Tables of very many texts hold none (stages/score.py, EMBEDDED_TEXTS).
    """
    lacking = {
        name for part in others for name, some in part.items() if some.embeddings is None and len(some.scores)
    }
    return {name: Said(some.scores) if name in lacking else some for name, some in said.items()}


def tell_precision(paths, values):
    """A line where scores are not in the arithmetic that `auto` means here, as they may be from DVC's cache.

    paths: {(teacher, part): table}. The precision asked for and the device are read for this line alone and change no
    result.
    """
    here = None
    others = []
    for (name, part), path in paths.items():
        score = values.score[name]
        if score.kind == "endpoint" or score.precision != "auto":
            continue
        here = here or models.pick_precision("auto", models.pick_device(values.runtime.device))
        made = about(path)["model"]["precision"]
        others += [f"{name}, {part} ({made})"] if made != here else []
    if others:
        say(
            f"label: note: this machine would ask in {here}, and takes over scores made in another precision: "
            f"{'; '.join(others)}"
        )


def model_of_all(found):
    """What all teachers together are, from the facts of each: {name: model}."""
    together = {"kind": " + ".join(model["kind"] for model in found.values())}
    for key in ("parameters", "megabytes"):
        each = [model[key] for model in found.values()]
        together[key] = None if None in each else sum(each)
    return together


def teacher_metrics(panel, found, said, given, task):
    """What stands of each teacher in the metrics: {name: its weight and its templates', what it says by itself}.

    found: {name: facts of its model}; said, given: of the pool's texts to learn from, the second N x L probabilities
    of all teachers together.
    """
    labels = decide(given, task)
    own = panel.each(said, task)
    return {
        name: {
            "weight": float(weight),
            "precision": found[name]["precision"],  # of the arithmetic in which the pool was read
            "refined": voice.groups is not None,
            "agreement": float((own[name] == labels).all(1).mean()),  # with the answer of all
            **per_class(task.labels, {"shares": class_shares(own[name], task.labels).values()}),
            "template_weight": {
                str(number + 1): float(share) for number, share in enumerate(voice.templates)
            },
        }
        for (name, voice), weight in zip(panel.voices.items(), panel.shares, strict=True)
    }


def write_labeled(path, pool, given, task):
    """The labeled pool; given: N x L probabilities."""
    columns = {
        "id": pool["id"],
        "split": pool["split"],
        "probabilities": fixed(rounded(given), np.float32),
        "labels": to_column(decide(given, task), task.labels),
        "confidence": pa.array(rounded(certainty(given, task))),
    }
    schema = labeled_schema(len(task.labels))
    write_table(path, pa.table(columns, schema=schema), classes=task.labels)


def write_answers(path, ids, said, panel, plain, task, model):
    """What the teachers together answer to dev or test: a table of predictions, the labels before calibration too."""
    given, raw = panel.probabilities(said, task), plain.probabilities(said, task)
    labels, raw_labels = (to_column(decide(found, task), task.labels) for found in (given, raw))
    each = {name: to_column(own, task.labels) for name, own in panel.each(said, task).items()}
    each = each if len(each) > 1 else None
    write_predictions(path, ids, given, labels, task.labels, raw_labels, each, model=model)


def label_metrics(panel, plain, said, train, task):
    """Shares and confidence of the pool's texts to learn from (train: N bool), before and after calibration."""
    raw, given = (
        found.probabilities({name: some.take(train) for name, some in said.items()}, task)
        for found in (plain, panel)
    )
    before, after = (class_shares(decide(found, task), task.labels) for found in (raw, given))
    metrics = {
        "shares": {"before": before, "after": after},
        "temperature": float(panel.fitted.temperature.mean()),
        "confidence": {
            "before": float(certainty(raw, task).mean()),
            "after": float(certainty(given, task).mean()),
        },
    }
    if task.reject is not None:
        metrics["reject"] = {"share": after[task.reject]}
        if panel.fitted.reject is not None:
            metrics["reject"]["threshold"] = panel.fitted.reject
    return metrics


def main(argv=None):
    parser = arguments(__doc__)
    for name, what in (
        ("pool", "pool texts, for their split"),
        ("scores", "folder of the teachers' scores: TEACHER/pool.parquet, dev.parquet, test.parquet"),
        ("labeled", "table to write: labeled pool"),
        ("teacher_dev", "table to write: the teachers' answers on the dev texts"),
        ("teacher_test", "table to write: the teachers' answers on the test texts"),
        ("metrics", "JSON to write"),
    ):
        parser.add_argument(name, type=Path, help=what)
    args = parser.parse_args(argv)
    values = params.load()
    task = values.task

    drop_removed(args.scores, values)
    pool, said = read_pool(args.pool, args.scores, values, ["id", "split"])
    others = {part: read_teachers(args.scores, part, values) for part in ("dev", "test")}
    said = without_groups(said, [some for _, some in others.values()])
    train = is_in_split(pool, "train")
    panel = fit_panel({name: some.take(train) for name, some in said.items()}, values)
    plain = untouched_panel(said, panel.fitted.reject)

    paths = {(name, part): args.scores / name / f"{part}.parquet" for name in said for part in PARTS}
    tell_precision(paths, values)
    found = {name: about(paths[name, "pool"])["model"] for name in said}
    given = panel.probabilities(said, task)
    write_labeled(args.labeled, pool, given, task)
    for part, path in (("dev", args.teacher_dev), ("test", args.teacher_test)):
        write_answers(path, *others[part], panel, plain, task, model_of_all(found))

    metrics = label_metrics(panel, plain, said, train, task)
    some = {name: own.take(train) for name, own in said.items()}
    metrics["teachers"] = teacher_metrics(panel, found, some, given[train], task)
    if panel.agreement is not None:  # of the encoders
        metrics["agreement"] = dict(zip(("before", "refined"), panel.agreement, strict=True))
    # texts that were longer than score.NAME.max_tokens: cut, or read in parts, as long_text says
    metrics["cut"] = {part: count_long(paths[name, part] for name in said) for part in PARTS}
    if panel.guess is not None or (values.label.prior == "estimated" and not task.multi_label):
        metrics["prior"] = dict(zip(task.names, map(float, panel.fitted.prior), strict=True))
    if panel.guess is not None:
        metrics["prior_found"] = panel.guess.why is None  # else the shares are taken as equal
        say(f"label: {unsure(panel.guess, task.names)}")
    write_json(args.metrics, metrics)
    if task.reject is not None and panel.fitted.reject is None:
        say("label: the pool's scores are not of two groups: no text is taken for none of the classes")
    before, after = (told(metrics["shares"][when]) for when in ("before", "after"))
    say(f"label: {len(pool)} texts; shares before calibration {before}; after {after}")


def told(found):
    return ", ".join(f"{name} {share:.1%}" for name, share in list(found.items())[:5])


if __name__ == "__main__":
    run(main)
