"""Asks one teacher for the raw score of every class, for every text and template. Decides nothing.

Answers that the store holds are not asked again; a run that was stopped goes on behind its last
finished part.

usage: python -m stages.score teacher data/pool.parquet models/teacher data/scores/teacher/pool.parquet
"""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nolabels.core import models, params, speed
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.core.tables import read_table
from nolabels.data.texts import answer_key
from nolabels.teachers import engines, kinds
from nolabels.teachers.asking import ask, clock, foretell, questions
from nolabels.teachers.known_answers import distinct
from nolabels.teachers.score_table import write_scores
from nolabels.teachers.store import AnswerStore, spelled, way_of
from nolabels.teachers.store_folders import place

# texts of a table up to which the embeddings of a sentence encoder are kept: 1.5 kB a text with 768 numbers
EMBEDDED_TEXTS = 100_000


@contextmanager
def of_teacher(name):
    """Names the teacher in a message about the section `score`; its module does not know what it is called."""
    try:
        yield
    except UserError as error:
        raise UserError(
            str(error).replace("params.yaml: score.", f"params.yaml: score.{name}.", 1)
        ) from error


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("name", help="of the teacher, a key under `score`")
    parser.add_argument("texts", type=Path, help="table with id and text")
    parser.add_argument("teacher", type=Path, help="the teacher's folder")
    parser.add_argument("out", type=Path, help="table of scores to write")
    args = parser.parse_args(argv)
    values = params.load()
    if args.name not in values.score:
        raise UserError(f"params.yaml: score.{args.name}: must be there, found {', '.join(values.score)}")
    with of_teacher(args.name):
        score_texts(args, values)


def score_texts(args, values):
    score, words, name = values.score[args.name], values.task.words, f"{args.name}, {args.texts.stem}"
    if score.kind == "endpoint":
        device, precision = "served", score.precision
    else:
        device = models.pick_device(values.runtime.device)
        precision = models.pick_precision(score.precision, device)
        models.use_threads(values.runtime.threads)

    table = read_table(args.texts, ["id", "text"])
    ids, texts = table["id"].combine_chunks(), table["text"].to_pylist()
    del table  # the texts are not held twice
    keys = np.array([answer_key(text) for text in texts], "S16")
    first, place_of = distinct(keys)  # a text that stands twice is asked once
    keys, texts = keys[first], [texts[row] for row in first]
    spelling = [spelled(template) for template in score.templates]
    sha256 = models.folder_sha256(args.teacher)
    asker = {
        **way_of(score.model_dump(include={"kind", "max_tokens", "long_text", "stride"})),
        "revision": kinds.REVISION[score.kind],
        "teacher": sha256,
        "precision": precision,
    }
    descriptions = values.task.descriptions
    if any(template.described for template in score.templates):
        asker["descriptions"] = descriptions
    if score.kind == "similarity":
        asker["text"] = score.templates[0].text  # embeddings depend on it
    embedded = score.kind == "similarity" and len(texts) <= EMBEDDED_TEXTS
    store = AnswerStore(place(values.runtime.store), asker)
    with store.locked():
        known = store.read(keys, spelling, words, embedded)
        missing = known.missing()
        total = sum(len(rows) * len(asked) for rows, asked, _ in missing)
        everything = len(texts) * len(spelling)
        say(
            f"score: {name}: {len(texts)} texts x {len(spelling)} templates = {everything} questions, "
            f"{everything - total} known, {total} to ask ({score.kind}, {precision}, {device})"
        )
        if missing:
            if score.kind != "endpoint":
                models.versions("torch", "transformers")
            engine = engines.start(
                values.runtime,
                score,
                args.teacher,
                device=device,
                precision=precision,
                served=values.runtime.endpoint,
                descriptions=descriptions,
            )
            store.remember(parameters=engine.parameters)
            if score.kind != "endpoint":  # where an answer may cost money, none is asked for twice
                foretell(engine, texts, missing[0][0], score.templates, words, total)
            size = kinds.PART_TEXTS[score.kind]
            asked = questions(texts, score.templates, words, missing, size)
            seconds = ask(store, engine, asked, total, keys, values.runtime.max_minutes, embedded)
            engine.close()
            speed.record(
                f"score_{args.name}_{args.texts.stem}",
                total / len(spelling),
                seconds,
                device,
                questions=total,
            )
            say(f"score: {name}: asked {total} questions in {clock(seconds)}, {total / seconds:.1f} a second")
            known = store.read(keys, spelling, words, embedded)
            if lost := sum(len(rows) for rows, _, _ in known.missing()):
                raise UserError(
                    f"{values.runtime.store}: must hold what was just answered, found {lost} of {len(texts)} texts "
                    "without; run dvc repro again"
                )
        facts = store.facts()
    if not embedded:
        known.embeddings = None
    about = {
        "classes": values.task.names,
        "words": words,
        "templates": spelling,
        "model": {"kind": score.kind, "precision": precision, "sha256": sha256}
        | {"parameters": facts.get("parameters"), "megabytes": models.megabytes(args.teacher) or None},
    }
    write_scores(args.out, ids, known if len(ids) == len(keys) else known.take(place_of), about)


if __name__ == "__main__":
    run(main)
