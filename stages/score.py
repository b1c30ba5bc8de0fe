"""Asks one teacher for the raw score of every class, for every text and template. Decides nothing.

Answers that the store holds are not asked again; a run that was stopped goes on behind its last
finished part.

usage: python -m stages.score teacher data/pool.parquet models/teacher data/scores/teacher/pool.parquet
"""

import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from nolabels.core import models, params, speed
from nolabels.core.schemas import scores_schema
from nolabels.core.stage import UserError, arguments, progress, run, say
from nolabels.core.tables import fixed, read_table, table_writer
from nolabels.data.texts import answer_key
from nolabels.teachers import engines, kinds
from nolabels.teachers.store import AnswerStore, distinct, parts, place, spelled, way_of

PROBE_TEXTS = 24  # texts that are asked to measure the rate before the work starts
CHUNK_TEXTS = 16_384  # texts to a row group of the out
# texts of a table up to which the embeddings of a sentence encoder are kept: 1.5 kB a text with 768 numbers
EMBEDDED_TEXTS = 100_000


def questions(texts, templates, words, missing, size):
    """What is missing (see Known.missing) as engines.Question, parts of `size` texts."""
    lengths = np.array([len(text) for text in texts])
    for rows, asked, classes in missing:
        some, some_words = [templates[index] for index in asked], [words[index] for index in classes]
        for part in parts(rows, lengths, size):
            yield engines.Question(part, [texts[row] for row in part], some, some_words)


def foretell(engine, texts, rows, templates, words, total):
    """Says how long it will take, from how long some of the texts (numbers) of about the median length do."""
    lengths = np.array([len(texts[row]) for row in rows])
    order = rows[np.argsort(lengths, kind="stable")]
    start = max(0, (len(order) - PROBE_TEXTS) // 2)
    probe = [texts[row] for row in order[start : start + PROBE_TEXTS]]
    rate = engine.rate(engines.Question(order[:0], probe, templates, words))
    say(f"score: {rate:.0f} questions a second, about {clock(total / rate)} to go")


def ask(store, engine, asked, total, keys, max_minutes, embedded):
    """Has the engine answer the questions `asked`, and keeps each part in the store before the next is awaited.

    total: texts x templates that they make; keys: the answer keys of all texts; embedded: whether embeddings are
    kept. Returns the seconds that it took. Raises UserError where max_minutes (or None) have gone by before all are answered.
    """
    started = time.perf_counter()
    with progress(total, "question") as bar:
        done = 0
        for question, answers in engine.answers(asked):
            spelling = [spelled(template) for template in question.templates]
            answers = answers if embedded else replace(answers, embeddings=None)
            store.write(keys[question.rows], spelling, question.words, answers)
            count = len(question.rows) * len(spelling)
            bar.update(count)
            done += count
            seconds = time.perf_counter() - started
            if max_minutes is not None and seconds > 60 * max_minutes and done < total:
                raise UserError(
                    f"runtime.max_minutes: {max_minutes:g} have gone by; {done} of {total} questions are "
                    "answered and kept, the next dvc repro goes on from there"
                )
    return time.perf_counter() - started


def clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )


def write_scores(path, ids, known, about):
    """The out: a row for each text and template, texts in the order of their table."""
    count, templates, classes = known.scores.shape
    embeddings = known.embeddings
    schema = scores_schema(classes, None if embeddings is None else embeddings.shape[1])
    with table_writer(path, schema, **about) as writer:
        for start in range(0, count, CHUNK_TEXTS):
            rows = slice(start, min(start + CHUNK_TEXTS, count))
            size = rows.stop - rows.start
            against = known.against[rows].reshape(-1, classes)
            absent = np.isnan(against).all(1)
            columns = {
                "id": ids.slice(start, size).take(pa.array(np.repeat(np.arange(size), templates))),
                "template": pa.array(np.tile(np.arange(templates, dtype=np.int16), size)),
                "score": fixed(known.scores[rows].reshape(-1, classes), np.float32),
                "against": pa.nulls(len(absent), schema.field("against").type)
                if absent.all()
                else fixed(against, np.float32),
                "tokens": pa.array(known.tokens[rows].reshape(-1)),
                "cut": pa.array(known.cut[rows].reshape(-1)),
            }
            if embeddings is not None:
                columns["embedding"] = first_rows(embeddings[rows], templates)
            writer.write_table(pa.table(columns).cast(writer.schema))


def first_rows(embeddings, templates):
    """N x D embeddings as bytes, each in the first of its text's T rows."""
    made = np.full((len(embeddings), templates), None, object)
    made[:, 0] = [row.tobytes() for row in np.ascontiguousarray(embeddings)]
    return pa.array(made.reshape(-1), pa.binary(embeddings.itemsize * embeddings.shape[1]))


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
