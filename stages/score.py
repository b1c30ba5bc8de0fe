"""Asks one teacher for the raw score of every class, for every text and template. Decides nothing.

Answers that the store holds are not asked again; a stopped run goes on behind its last finished part.

usage: python -m stages.score teacher data/pool.parquet models/teacher data/scores/teacher/pool.parquet
"""

import numpy as np
import pyarrow as pa

from nolabels.core import models, params, speed
from nolabels.core.memory import give_back_tables, keep_few_kernels
from nolabels.core.stage import UserError, path_arguments, run, say
from nolabels.core.tables import read_values
from nolabels.data.texts import answer_key
from nolabels.teachers import asking, engines, kinds
from nolabels.teachers.known_answers import first_occurrences
from nolabels.teachers.score_table import write_scores
from nolabels.teachers.store import AnswerStore, template_json
from nolabels.teachers.store_folders import store_root

PATHS = {
    "key": "of the teacher, under `score`",
    "texts": "table with id and text",
    "teacher": "the teacher's folder",
    "out": "table of scores to write",
}


def read_texts(path, kind):
    """The ids of a table, the answer key of each text, and the texts; the table clusters is for encoders alone."""
    texts = read_values(path, "text") if path.stem != "clusters" or kind == "similarity" else []
    ids = pa.array(read_values(path, "id"), pa.string())[: len(texts)]
    return ids, np.fromiter(map(answer_key, texts), "S16", len(texts)), texts


def where_it_runs(score, runtime):
    """The device and the precision of a teacher."""
    if score.kind == "endpoint":
        return "served", score.precision
    device = models.pick_device(runtime.device)
    keep_few_kernels(runtime.threads)
    models.use_threads(runtime.threads)
    return device, models.pick_precision(score.precision, device)


def ask_missing(args, values, texts, keys, store, missing, total, device, precision):
    """Has the teacher answer what the store misses: `total` questions about some of the texts."""
    score, own_machine = values.score[args.key], device != "served"
    if own_machine:
        models.versions("torch", "transformers")
    given = {"served": values.runtime.endpoint, "descriptions": values.task.descriptions}
    given |= {"name": args.key, "device": device, "precision": precision}
    engine = engines.start(values.runtime, score, args.teacher, **given)
    store.remember(parameters=engine.parameters)
    wording = score.templates, values.task.words
    if own_machine:  # where an answer may cost money, none is asked for twice
        asking.say_time_left(engine, texts, missing[0][0], *wording, total)
    asked = asking.questions(texts, *wording, missing, kinds.PART_TEXTS[score.kind])
    options = {"embedded": asking.keeps_embeddings(score, texts), "max_minutes": values.runtime.max_minutes}
    seconds = asking.ask_and_keep(engine, asked, store, keys, total=total, **options)
    engine.close()
    part, count = args.texts.stem, total / len(score.templates)
    speed.record(f"score_{args.key}_{part}", count, seconds, device, questions=total)
    taken = asking.format_duration(seconds)
    say(f"score: {args.key}, {part}: asked {total} questions in {taken}, {total / seconds:.1f} a second")


def read_arguments(argv):
    """The arguments and the parameters. Raises UserError where there is no such teacher."""
    args = path_arguments(__doc__, PATHS, argv)
    values = params.load()
    if args.key not in values.score:
        raise UserError(f"params.yaml: score.{args.key}: must be there, found {', '.join(values.score)}")
    return args, values


def main(argv=None):
    args, values = read_arguments(argv)
    score, words = values.score[args.key], values.task.words
    device, precision = where_it_runs(score, values.runtime)
    ids, keys, texts = read_texts(args.texts, score.kind)
    give_back_tables()
    first, text_of = first_occurrences(keys)  # a text that stands twice is asked once
    keys, texts = keys[first], [texts[row] for row in first]
    templates = [template_json(template) for template in score.templates]
    sha256 = models.folder_sha256(args.teacher)
    asker = asking.asker_facts(score, sha256, precision, values.task.descriptions)
    store = AnswerStore(store_root(values.runtime.store), asker)
    wanted = keys, templates, words, asking.keeps_embeddings(score, texts)
    with store.locked():
        known = store.read(*wanted)
        missing = known.missing()
        total = sum(len(rows) * len(asked) for rows, asked, _ in missing)
        every = len(texts) * len(templates)
        say(
            f"score: {args.key}, {args.texts.stem}: {len(texts)} texts x {len(templates)} templates = {every} "
            f"questions, {every - total} known, {total} to ask ({score.kind}, {precision}, {device})"
        )
        if missing:
            ask_missing(args, values, texts, keys, store, missing, total, device, precision)
            del texts, known  # the answers take their place
            known = store.read(*wanted)
            if lost := sum(len(rows) for rows, _, _ in known.missing()):
                raise UserError(
                    f"{values.runtime.store}: must hold what was just answered, found {lost} of {len(keys)} texts "
                    "without; run dvc repro again"
                )
        facts = store.facts() if len(ids) else {}  # else it would depend on which table was asked first
    model = {"kind": score.kind, "precision": precision, "sha256": sha256}
    model |= {"parameters": facts.get("parameters"), "megabytes": models.megabytes(args.teacher) or None}
    about = {"classes": values.task.names, "words": words, "templates": templates, "model": model}
    if not wanted[-1]:
        known.embeddings = None
    write_scores(args.out, ids, known if len(ids) == len(keys) else known.take(text_of), about)


if __name__ == "__main__":
    run(main)
