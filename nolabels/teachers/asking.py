"""Asking a teacher what the store does not know: what decides an answer, the parts, how long it takes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nolabels.core.params import Score, Template
from nolabels.core.stage import UserError, progress, say
from nolabels.teachers import kinds
from nolabels.teachers.engines import Local, Question, Ray
from nolabels.teachers.store import AnswerStore, asker_settings, template_json

# texts that are asked to measure the rate before the work starts: at most so many, and at most this share of all
PROBE_TEXTS, PROBE_SHARE = 24, 0.05
# texts of a table up to which the embeddings of a sentence encoder are kept: 1.5 kB a text with 768 numbers
EMBEDDED_TEXTS = 100_000


def asker_facts(score: Score, sha256: str, precision: str, descriptions: dict[str, str]) -> dict[str, Any]:
    """Everything that decides a teacher's answer but the question itself: the key of its store.

    Parameters
    ----------
    score : Score
        The teacher's settings.
    sha256 : str
        Of its model's folder.
    precision : str
        Of its weights.
    descriptions : dict of str to str
        Descriptions of the classes by their words. They count only where a template asks for them.

    Returns
    -------
    dict
        JSON-able, for AnswerStore.
    """
    asker = {
        **asker_settings(score.model_dump(include={"kind", "max_tokens", "long_text", "stride"})),
        "revision": kinds.REVISION[score.kind],
        "teacher": sha256,
        "precision": precision,
    }
    if any(template.described for template in score.templates):
        asker["descriptions"] = descriptions
    if score.kind == "similarity":
        asker["text"] = score.templates[0].text  # embeddings depend on it
    return asker


def keeps_embeddings(score: Score, texts: list[str]) -> bool:
    """Whether the embeddings of a table's texts are kept beside the scores.

    Parameters
    ----------
    score : Score
        The teacher's settings; only a sentence encoder has embeddings.
    texts : list of str
        The different texts of the table.
    """
    return score.kind == "similarity" and len(texts) <= EMBEDDED_TEXTS


def questions(
    texts: list[str],
    templates: list[Template],
    words: list[str],
    missing: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    size: int,
) -> Iterator[Question]:
    """The missing answers as questions, a part of the store each.

    Parameters
    ----------
    texts : list of str
        N texts.
    templates : list of Template
        All T templates.
    words : list of str
        The words of all K classes.
    missing : list of (texts, templates, classes)
        Index arrays, see KnownAnswers.missing.
    size : int
        Texts in a question.
    """
    lengths = np.array([len(text) for text in texts])
    for rows, template_numbers, classes in missing:
        some_templates = [templates[index] for index in template_numbers]
        some_words = [words[index] for index in classes]
        for part in parts_by_length(rows, lengths, size):
            yield Question(part, [texts[row] for row in part], some_templates, some_words)


def parts_by_length(rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Cuts texts into parts of about one length, longest first.

    The cut depends on nothing but which texts are asked. So a run that was killed goes on with the
    same parts, and ends in the same bytes.

    Parameters
    ----------
    rows : numpy.ndarray, M ints
        The texts, as indices.
    lengths : numpy.ndarray, N ints
        Of all texts, in characters.
    size : int
        Texts in a part.
    """
    order = rows[np.lexsort((rows, -lengths[rows]))]
    return [order[start : start + size] for start in range(0, len(order), size)]


def say_time_left(
    engine: Local | Ray,
    texts: list[str],
    rows: np.ndarray,
    templates: list[Template],
    words: list[str],
    total: int,
) -> None:
    """Says how long the work will take, estimated from a few texts of about the median length.

    Parameters
    ----------
    engine : Local or Ray
        Which answers.
    texts : list of str
        N texts.
    rows : numpy.ndarray
        Indices of those that are to be asked.
    templates, words : list
        What they are asked.
    total : int
        Texts x templates that are to be asked.
    """
    lengths = np.array([len(texts[row]) for row in rows])
    order = rows[np.argsort(lengths, kind="stable")]
    count = max(1, min(PROBE_TEXTS, int(PROBE_SHARE * len(order))))
    start = (len(order) - count) // 2
    probe = [texts[row] for row in order[start : start + count]]
    rate = engine.rate(Question(order[:0], probe, templates, words))
    say(f"score: {rate:.0f} questions a second, about {format_duration(total / rate)} to go")


def ask_and_keep(
    engine: Local | Ray,
    asked: Iterable[Question],
    store: AnswerStore,
    keys: np.ndarray,
    *,
    total: int,
    max_minutes: float | None,
    embedded: bool,
) -> float:
    """Has an engine answer questions, and keeps each answer in the store before the next is awaited.

    Parameters
    ----------
    engine, asked, store
        Which answers; what (see `questions`); and where the answers go.
    keys : numpy.ndarray, N
        The answer keys of all texts.
    total : int
        Texts x templates of all questions.
    max_minutes : float or None
        After so long no further question is asked.
    embedded : bool
        Whether embeddings are kept.

    Returns
    -------
    float
        The seconds that it took.

    Raises
    ------
    UserError
        Where max_minutes have gone by before all is answered.
    """
    started, done = time.perf_counter(), 0
    with progress(total, "question") as bar:
        for question, answers in engine.answers(asked):
            templates = [template_json(template) for template in question.templates]
            answers = answers if embedded else replace(answers, embeddings=None)
            store.write(keys[question.rows], templates, question.words, answers)
            bar.update(question.count)
            done += question.count
            seconds = time.perf_counter() - started
            if max_minutes is not None and seconds > 60 * max_minutes and done < total:
                raise UserError(
                    f"runtime.max_minutes: {max_minutes:g} have gone by; {done} of {total} questions are "
                    "answered and kept, the next dvc repro goes on from there"
                )
    return time.perf_counter() - started


def format_duration(seconds: float) -> str:
    """Seconds for people: 2 h 5 min, 5 min 3 s, 3 s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
