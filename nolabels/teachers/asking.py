"""Asking a teacher what the store does not know, part by part."""

import time
from dataclasses import replace

import numpy as np

from nolabels.core.stage import UserError, progress, say
from nolabels.teachers import engines
from nolabels.teachers.known_answers import parts
from nolabels.teachers.store import spelled

PROBE_TEXTS = 24  # texts that are asked to measure the rate before the work starts


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
