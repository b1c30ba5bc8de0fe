"""Turns the teachers' scores into calibrated probabilities and labels. Reads no gold, loads no model.

Everything is fitted on the pool's train split, clusters also on the texts that encoders alone read, and applied
unchanged to its valid split, to dev and to test.

usage: python -m stages.label data/pool.parquet data/scores data/labeled.parquet data/teacher_dev.parquet \\
           data/teacher_test.parquet metrics/label.json
"""

import shutil

from nolabels.core import params
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import about, is_in_split, write_json
from nolabels.labeling.label_messages import label_lines, precision_note
from nolabels.labeling.label_metrics import combined_model, label_metrics
from nolabels.labeling.label_tables import write_answers, write_labeled
from nolabels.labeling.outputs import (
    count_long_texts,
    drop_partial_embeddings,
    read_further,
    read_pool,
    read_teachers,
    take_texts,
)
from nolabels.labeling.panel import fit_panel, uncalibrated_panel

PARTS = ("pool", "dev", "test")
PATHS = {
    "pool": "pool texts, for their split",
    "scores": "folder of the teachers' scores: TEACHER/pool.parquet, clusters.parquet, dev.parquet, test.parquet",
    "labeled": "table to write: labeled pool",
    "teacher_dev": "table to write: the teachers' answers on the dev texts",
    "teacher_test": "table to write: the teachers' answers on the test texts",
    "metrics": "JSON to write",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    task = values.task

    remove_old_teachers(args.scores, values)
    pool, outputs = read_pool(args.pool, args.scores, values, ["id", "split"])
    others = {part: read_teachers(args.scores, part, values) for part in ("dev", "test")}
    outputs = drop_partial_embeddings(outputs, [part for _, part in others.values()])
    train = take_texts(outputs, is_in_split(pool, "train"))
    panel = fit_panel(train, values, read_further(args.scores, values))
    uncalibrated = uncalibrated_panel(outputs, panel.final_fit.reject)

    paths = {(name, part): args.scores / name / f"{part}.parquet" for name in outputs for part in PARTS}
    if note := precision_note(paths, values):
        say(note)
    models = {name: about(paths[name, "pool"])["model"] for name in outputs}
    write_labeled(args.labeled, pool, panel.probabilities(outputs, task), task)
    for part, path in (("dev", args.teacher_dev), ("test", args.teacher_test)):
        write_answers(path, *others[part], (panel, uncalibrated), task, combined_model(models))

    cut = {part: count_long_texts(paths[name, part] for name in outputs) for part in PARTS}
    metrics = label_metrics(panel, uncalibrated, train, models, cut, values)
    write_json(args.metrics, metrics)
    for line in label_lines(panel, metrics, len(pool), values):
        say(line)


def remove_old_teachers(folder, values):
    """Removes the scores of teachers that params.yaml no longer has; DVC's cache keeps them.

    DVC leaves the outs of a stage that is gone, and this stage depends on the whole folder: what lies there would stand
    in dvc.lock, and the stage would run again on a machine that never had it.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in values.score:
            shutil.rmtree(path)
            say(f"label: {path} removed: params.yaml has no such teacher")


if __name__ == "__main__":
    run(main)
