"""The texts of a file as `start` counts them, and the sizes of test, dev and pool that fit."""

import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from nolabels.core.params import Gold, Sample, Task
from nolabels.core.stage import UserError
from nolabels.data.gold import gold_classes
from nolabels.data.lines import shown
from nolabels.data.readers import read_rows
from nolabels.data.texts import draw_key, hash_position, text_id

ROWS, LETTERS = 100_000, 200_000_000  # of a file, as far as it is looked at
FEWEST = 50  # different texts
SMALL = 1000  # different texts, below which test and dev get larger zones
POOL, VALID = 1200, 50  # texts to learn from, and that watch the training
ANSWERED, UNANSWERED = 600, 400  # of test and dev each, with answers of people and without
TOKENS_A_WORD = 4 / 3  # of English in the shipped models, about


@dataclass(frozen=True)
class Sizes:
    """The sizes that fit a file.

    Attributes
    ----------
    keys : dict
        Keys of `sample`: zones, pool, valid, clusters, test, dev. A size is null, all of the zone, where the zone holds
        no more than would be taken.
    asked : int
        How many texts each teacher reads.
    unseen : int
        How many of them are test and dev.
    learned : int
        How many the student learns from.
    """

    keys: dict[str, Any]
    asked: int
    unseen: int
    learned: int


@dataclass(frozen=True)
class Texts:
    """The different texts of a file, as far as it was read.

    Attributes
    ----------
    texts : dict
        {id: text}.
    answered : set of str
        Ids of the texts with an answer of people.
    answers : Counter
        How many answers name each class.
    rows : int
        How many rows were read.
    empty : int
        How many of them have no text.
    whole : bool
        Whether these are all rows of the file.
    """

    texts: dict[str, str]
    answered: set[str]
    answers: Counter
    rows: int
    empty: int
    whole: bool


def count_texts(path: Path, sample: Sample, gold: Gold | None, task: Task) -> Texts:
    """Reads the first ROWS rows of a file, LETTERS letters at most.

    Parameters
    ----------
    path : Path
        The file.
    sample, gold, task : Sample, Gold or None, Task
        Its format and columns, the column with answers of people, and the classes.

    Returns
    -------
    Texts

    Raises
    ------
    UserError
        As the stage `sample` does.
    """
    texts: dict[str, str] = {}
    answered: set[str] = set()
    answers: Counter[str] = Counter()
    rows = empty = letters = 0
    to_classes, reader = gold_classes(path, gold, task), read_rows(path, sample, gold)
    for row, text, value in islice(reader, ROWS):
        rows, letters = rows + 1, letters + len(text)
        answer = to_classes(row, value)
        identifier = text_id(text)
        if not text.strip():
            empty += 1
        elif identifier not in texts:
            texts[identifier] = text
            if answer is not None:
                answered.add(identifier)
                answers.update(task.names[number] for number in answer)
        if letters > LETTERS:
            break
    return Texts(texts, answered, answers, rows, empty, next(reader, None) is None)


def fit_sizes(path: Path, counted: Texts, gold: Gold | None, shipped: Sample) -> Sizes:
    """The sizes of test, dev and pool that fit a file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    counted : Texts
        Its texts.
    gold : Gold or None
        The column with answers of people.
    shipped : Sample
        The seed and the similarity.

    Returns
    -------
    Sizes

    Raises
    ------
    UserError
        Where there are too few texts.
    """
    different = len(counted.texts)
    rule = f"{path}: must hold {FEWEST} different texts or more, found {different}"
    if different < FEWEST:
        raise UserError(f"{rule} in {counted.rows} rows")
    share = 0.2 if different < SMALL else 0.1
    zones = _zones_of(counted, share, shipped.seed)
    wanted, unseen, sizes = ANSWERED if gold else UNANSWERED, [], {}
    for name in ("test", "dev"):
        able = [identifier for identifier in zones[name] if not gold or identifier in counted.answered]
        if not able:
            answers = " with answers of people" if gold else ""
            raise UserError(f"{path}: must hold texts{answers} for {name}, found none in its share {share:g}")
        sizes[name] = wanted if len(able) > wanted else None
        unseen += able[:wanted]
    held = _count_usable(counted, zones["pool"], unseen, shipped.similarity)
    if held < FEWEST // 4:
        raise UserError(f"{rule}, of which {held} are no near-duplicates of those kept for test and dev")
    valid = VALID if held >= SMALL else min(20, held // 5)
    pool = POOL if held == POOL + VALID else None
    shares = {"test": share, "dev": share, "pool": round(1 - 2 * share, 1)}
    keys = {"zones": shares, "pool": pool, "valid": valid, "clusters": 0, **sizes}
    return Sizes(keys, asked=held + len(unseen), unseen=len(unseen), learned=held - valid)


def _zones_of(counted: Texts, share: float, seed: int) -> dict[str, list[str]]:
    """{"test", "dev", "pool"}: ids of the texts in each zone, in the order in which `sample` draws them."""
    zones: dict[str, list[str]] = {"test": [], "dev": [], "pool": []}
    for identifier in sorted(counted.texts, key=lambda identifier: draw_key(seed, identifier)):
        position = hash_position(identifier)
        zones["test" if position < share else "dev" if position < 2 * share else "pool"].append(identifier)
    return zones


def _count_usable(counted: Texts, pool: list[str], unseen: list[str], similarity: float) -> int:
    """How many ids of the pool are no near-duplicates of the unseen ones; no more than POOL + VALID are looked for."""
    from nolabels.data.duplicates import NearDuplicates

    guard = NearDuplicates([counted.texts[identifier] for identifier in unseen], similarity)
    usable = (identifier for identifier in pool if not guard.resembles(counted.texts[identifier]))
    return sum(1 for _ in islice(usable, POOL + VALID))


def fit_max_tokens(counted: Texts) -> tuple[int, float]:
    """Tokens that the student should read, 128 or 256, and the share of texts that are cut there (an estimate).

    The shorter where nine texts in ten fit.
    """
    tokens = sorted(len(text.split()) * TOKENS_A_WORD for text in counted.texts.values())
    limit = 128 if tokens[int(0.9 * (len(tokens) - 1))] <= 128 else 256
    return limit, sum(count > limit for count in tokens) / len(tokens)


def summary_lines(counted: Texts, gold: Gold | None, max_tokens: int, cut: float) -> list[str]:
    """What was counted in a file, for the person.

    Parameters
    ----------
    counted : Texts
        The texts of the file.
    gold : Gold or None
        The column with answers of people.
    max_tokens : int
        How many tokens the student reads.
    cut : float
        Share of texts that are longer, 0..1.

    Returns
    -------
    list of str
    """
    words = statistics.median(len(text.split()) for text in counted.texts.values())
    looked = "rows" if counted.whole else "rows, the first of more: the others were not looked at"
    lines = [f"{counted.rows:,} {looked}; {counted.empty:,} empty, {len(counted.texts):,} different texts"]
    lines += [
        f"length: {words:.0f} words in the median; the student reads up to {max_tokens} tokens, estimated from the words"
    ]
    if cut >= 0.01:
        first = f"the first {max_tokens} tokens" + (", teachers the first 256" if max_tokens < 256 else "")
        lines += [f"long texts: about {cut:.0%} are longer; of these the student reads {first}"]
    letters = sum(map(len, counted.texts.values()))
    if sum(_letters_beyond_ascii(text) for text in counted.texts.values()) > 0.1 * letters:
        lines += ["language: many letters are not English, and the shipped models read English best"]
    if gold is None:
        return [*lines, "answers of people: none"]
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(counted.answers.items()))
    return [
        *lines,
        f"answers of people: {len(counted.answered):,} in column {shown(gold.column)}: {shown(counts)}",
    ]


def _letters_beyond_ascii(text: str) -> int:
    return 0 if text.isascii() else sum(letter > "\x7f" for letter in text)
