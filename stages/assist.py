"""Trains the assistant, a larger student, and has it label the pool and texts that no teacher reads.

Progressive distillation (Mirzadeh et al. 2020, "Improved Knowledge Distillation via Teacher Assistant"): the assistant
learns from the teacher's labels, and the student from the assistant's. No text is labeled by a model that has learned
from it: one model is trained for each fold, on the other folds, and a label is the mean of the models that have not
seen the text (cross-fitting). What people answered stays as it is.

usage: python -m stages.assist large data/teacher_train.parquet data/more.parquet models/assistant data/dev.parquet \\
           data/test.parquet data/assistant_train.parquet data/assistant_dev.parquet data/assistant_test.parquet
"""

import time

from nolabels.core import models, params, speed
from nolabels.core.labels import decide, to_column
from nolabels.core.stage import path_arguments, run, say
from nolabels.core.tables import read_table, write_predictions, write_table
from nolabels.students.assistant import assistant_table, cross_fit, is_learned

PATHS = {
    "key": "under `assist`",
    "table": "what to learn from",
    "more": "texts that no teacher reads",
    "base": "folder of the model to fine-tune",
    "dev": "dev texts, without answers",
    "test": "test texts, without answers",
    "out": "table to write: what the student learns from",
    "dev_answers": "table to write: the assistant's answers on dev",
    "test_answers": "table to write: the assistant's answers on test",
}


def main(argv=None):
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    task, names, settings = values.task, values.task.labels, values.assist[args.key]

    versions = models.versions("torch", "transformers")
    models.use_threads(values.runtime.threads)
    table = read_table(args.table)
    more, dev, test = (read_table(path, ["id", "text"]) for path in (args.more, args.dev, args.test))
    unseen = {name: part["text"].to_pylist() for name, part in (("more", more), ("dev", dev), ("test", test))}
    started = time.perf_counter()
    of_table, others = cross_fit(table, unseen, args.base, values, settings)
    seconds = time.perf_counter() - started
    write_table(args.out, assistant_table(table, more, of_table, others["more"], task), classes=names)
    device = models.pick_device(values.runtime.device)
    facts = {
        "kind": "assistant",
        "megabytes": models.megabytes(args.base),
        "precision": models.pick_precision(settings.precision, device),
        "versions": versions,
    }
    for part, answers, path in (("dev", dev, args.dev_answers), ("test", test, args.test_answers)):
        labels = to_column(decide(others[part], task), names)
        write_predictions(path, answers["id"], others[part], labels, names, model=facts)
    speed.record("assist", int(is_learned(table).sum()), seconds, device)
    say(
        f"assist: {len(table)} pool texts and {len(more)} further ones labeled by {settings.folds} models in {seconds:.0f} s"
    )


if __name__ == "__main__":
    run(main)
