"""The texts of a file as `start` counts them, and the sizes of test, dev and pool that fit."""

import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from nolabels.core.stage import UserError
from nolabels.data.gold import gold_classes
from nolabels.data.lines import shown
from nolabels.data.readers import read_rows
from nolabels.data.texts import draw_key, text_id, zone_place

ROWS, LETTERS = 100_000, 200_000_000  # of a file, as far as it is looked at
FEWEST = 50  # different texts
SMALL = 1000  # different texts, below which test and dev get larger zones
POOL, VALID = 1500, 50  # texts to learn from, and that watch the training
ANSWERED, UNANSWERED = 900, 400  # of test and dev each, with answers of people and without
TOKENS_A_WORD = 4 / 3  # of English in the shipped models, about


@dataclass(frozen=True)
class Texts:
    """The different texts of a file, as far as it was read.

    texts: {id: text}; answered: ids of those with an answer of people; answers: how often each class is one;
    rows: how many were read; empty: those without a text; whole: whether these are all rows.
    """

    texts: dict
    answered: set
    answers: Counter
    rows: int
    empty: int
    whole: bool


def read_texts(path, sample, gold, task):
    """The Texts of a file: its first ROWS rows, of LETTERS letters at most. Raises UserError as `sample` does.

    sample: params.Sample; gold: params.Gold or None; task: params.Task.
    """
    texts, answered, answers, rows, empty, letters = {}, set(), Counter(), 0, 0, 0
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


def parts_of(found, share, seed):
    """{"test", "dev", "pool"}: ids of the texts in each zone, in the order in which `sample` draws them."""
    parts = {"test": [], "dev": [], "pool": []}
    for identifier in sorted(found.texts, key=lambda identifier: draw_key(seed, identifier)):
        place = zone_place(identifier)
        parts["test" if place < share else "dev" if place < 2 * share else "pool"].append(identifier)
    return parts


def sizes_of(path, found, gold, shipped):
    """The sizes that fit: keys of `sample`, and how many texts each teacher reads, test and dev hold, and the student
    learns from.

    A size is null, all of the zone, where the zone holds no more than what would be taken. gold: params.Gold or None;
    shipped: params.Sample with the seed and the similarity. Raises UserError where there are too few texts.
    """
    from nolabels.data.duplicates import NearDuplicates

    different = len(found.texts)
    rule = f"{path}: must hold {FEWEST} different texts or more, found {different}"
    if different < FEWEST:
        raise UserError(f"{rule} in {found.rows} rows")
    share = 0.2 if different < SMALL else 0.1
    parts = parts_of(found, share, shipped.seed)
    wanted, unseen, sizes = ANSWERED if gold else UNANSWERED, [], {}
    for name in ("test", "dev"):
        able = [identifier for identifier in parts[name] if not gold or identifier in found.answered]
        if not able:
            answers = " with answers of people" if gold else ""
            raise UserError(f"{path}: must hold texts{answers} for {name}, found none in its share {share:g}")
        sizes[name] = wanted if len(able) > wanted else None
        unseen += able[:wanted]
    guard = NearDuplicates([found.texts[identifier] for identifier in unseen], shipped.similarity)
    usable = (identifier for identifier in parts["pool"] if not guard.resembles(found.texts[identifier]))
    held = sum(1 for _ in islice(usable, POOL + VALID))
    if held < FEWEST // 4:
        raise UserError(f"{rule}, of which {held} are no near-duplicates of those kept for test and dev")
    valid = VALID if held >= SMALL else min(20, held // 5)
    pool = POOL if held == POOL + VALID else None
    zones = {"test": share, "dev": share, "pool": round(1 - 2 * share, 1)}
    return {"zones": zones, "pool": pool, "valid": valid, **sizes}, (
        held + len(unseen),
        len(unseen),
        held - valid,
    )


def tokens_of(found):
    """Tokens that the student should read, 128 or 256, and the share of texts that are cut there (an estimate).

    The shorter where nine texts in ten fit.
    """
    tokens = sorted(len(text.split()) * TOKENS_A_WORD for text in found.texts.values())
    limit = 128 if tokens[int(0.9 * (len(tokens) - 1))] <= 128 else 256
    return limit, sum(count > limit for count in tokens) / len(tokens)


def told(found, gold, max_tokens, cut):
    """What was counted in the file, in lines."""
    words = statistics.median(len(text.split()) for text in found.texts.values())
    looked = "rows" if found.whole else "rows, the first of more: the others were not looked at"
    lines = [f"{found.rows:,} {looked}; {found.empty:,} empty, {len(found.texts):,} different texts"]
    lines += [
        f"length: {words:.0f} words in the median; the student reads up to {max_tokens} tokens, estimated from the words"
    ]
    if cut >= 0.01:
        first = f"the first {max_tokens} tokens" + (", teachers the first 256" if max_tokens < 256 else "")
        lines += [f"long texts: about {cut:.0%} are longer; of these the student reads {first}"]
    letters = sum(map(len, found.texts.values()))
    if sum(letters_beyond_ascii(text) for text in found.texts.values()) > 0.1 * letters:
        lines += ["language: many letters are not English, and the shipped models read English best"]
    if gold is None:
        return [*lines, "answers of people: none"]
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(found.answers.items()))
    return [
        *lines,
        f"answers of people: {len(found.answered):,} in column {shown(gold.column)}: {shown(counts)}",
    ]


def letters_beyond_ascii(text):
    return 0 if text.isascii() else sum(letter > "\x7f" for letter in text)
