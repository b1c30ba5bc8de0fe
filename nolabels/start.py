"""Looks at a file with texts and writes what the pipeline needs for it; `dvc repro` does the rest.

    python -m nolabels.start messages.csv --classes "praise,complaint,question"

Copies the file to data/own, writes a preset (presets/messages.yaml: what differs from the shipped params.yaml) and lays
it over params.yaml, as `python -m nolabels.preset messages` does. It says what it took for granted, asks at a terminal
where it cannot know, and replaces nothing unless --force is given. The network is not used.
"""

import csv
import filecmp
import re
import shutil
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data.readers import gold_classes, read_rows, shown
from nolabels.data.texts import draw_key, text_id, zone_place
from nolabels.setup import draft, guess, presets

OWN = Path("data/own")
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


def has_terminal():
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question):
    """What a person at the terminal answers. Raises UserError where the input ends."""
    try:
        return input(f"{question} ").strip()
    except EOFError as error:
        raise UserError(f"{question} must be answered, found the end of the input") from error


def decide_header(first):
    """Whether a first row names the columns, where it may be both; without a terminal it does."""
    return not has_terminal() or not ask(f"Does row 1 name the columns ({first})? [Y/n]").lower().startswith(
        "n"
    )


def choose_text(names):
    """The column of the texts among several with texts of like length; None without a terminal."""
    if not has_terminal():
        return None
    told = ", ".join(f"{number} {shown(name)}" for number, name in enumerate(names, 1))
    answer = ask(f"Which column holds the texts: {told}? [1]") or "1"
    if answer in names:
        return answer
    if not answer.isdecimal() or not 1 <= int(answer) <= len(names):
        raise UserError(f"--text: must be one of {shown(', '.join(names))}, found {shown(answer)!r}")
    return names[int(answer) - 1]


def classes_of(given):
    """The classes of --classes: a list with commas, or the name of a file with one a line, or None.

    Returns [{name, words[, description]}], each written `name`, `name: words` or `name: words: description`; words
    that are not given are the name with spaces for its underscores. Raises UserError where they make no task.
    """
    if given is None:
        if not has_terminal():
            raise UserError(
                '--classes: must name the classes, as in --classes "praise,complaint", found none'
            )
        given = ask("The classes, with commas between them?")
    if not given.isprintable():
        raise UserError(f"--classes: must be text on one line, found {shown(given)!r}")
    path = Path(given)
    if given.endswith(".txt") or ("," not in given and path.is_file()):
        lines = presets.read(path).removeprefix("\ufeff").splitlines()
        items, place = [line for line in lines if line.strip() and not line.startswith("#")], given
    else:
        items, place = next(csv.reader([given], skipinitialspace=True), []), "--classes"
    found = [class_of(item, place) for item in items]
    for key in ("name", "words"):
        for value, count in Counter(item[key] for item in found).items():
            if count > 1:
                raise UserError(f"{place}: each class needs {key} of its own, found {value!r} {count} times")
    if not 2 <= len(found) <= 150:
        raise UserError(f"{place}: must name 2 to 150 classes, found {shown(', '.join(items)) or 'none'}")
    return found


def class_of(item, place):
    """One class from its line. Raises UserError."""
    parts = [part.strip() for part in item.split(":", 2)]
    if not all(parts):
        raise UserError(
            f"{place}: a class must be name, name: words or name: words: description, found {item!r}"
        )
    if not item.isprintable() or {"{", "}"} & set(item):
        raise UserError(f"{place}: a class must be one line without braces, found {shown(item)!r}")
    if len(parts) == 1:
        parts.append(parts[0].replace("_", " "))
    return dict(zip(("name", "words", "description"), parts, strict=False))


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


def name_of(path, given):
    """The name of the preset: as given, else from the file's name. Raises UserError where it cannot be one."""
    stem = path.name.removesuffix(".gz")
    name = given or re.sub(
        r"[^a-z0-9]+", "-", stem[: stem.rfind(".")].lower() if "." in stem else stem.lower()
    ).strip("-")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", name) or name == presets.DEFAULT:
        raise UserError(
            f"--name: must be a name for the preset, small letters, digits, - and _, and not {presets.DEFAULT}, "
            f"found {shown(given or path.name)!r}"
        )
    return name


def check_source(path):
    """Raises UserError where a file cannot be copied to data/own."""
    if not path.is_file():
        raise UserError(
            f"{path}: must be a file with texts, found {'a folder' if path.is_dir() else 'nothing'}"
        )
    if (
        not re.fullmatch(r"[^/\\.][^/\\]*", path.name)
        or not path.name.isprintable()
        or path.suffix == ".yaml"
    ):
        raise UserError(f"{path}: must have a name that does not begin with . nor end in .yaml")
    if path.name == "README.md":
        raise UserError(f"{path}: must have another name than the file that {OWN} has already")


def check_free(path, target, file, force):
    """Raises UserError where something would be lost: a file of texts, edits of params.yaml, a preset.

    target: where the file of texts goes; file: the preset. One that was not written here is never replaced.
    """
    if file.exists() and not "".join(presets.header(presets.read(file))[:1]).endswith(draft.MARK):
        raise UserError(
            f"{file}: must be free or of python -m nolabels.start, found another preset; --name gives a new name"
        )
    if force:
        return
    if target.exists() and not filecmp.cmp(path, target, shallow=False):
        raise UserError(f"{target}: must be free or the same file, found another; --force replaces it")
    if params.PATH.exists() and presets.is_edited(presets.read(params.PATH)):
        raise UserError(
            "params.yaml: must be as shipped, or as a preset made it, found edits of your own; "
            "--force replaces them"
        )


def place(path, target):
    """Copies a file to its place, whole or not at all."""
    if target.exists() and filecmp.cmp(path, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(path, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def look(path, args, classes):
    """What `sample` needs to read the file, as keys of params.yaml, and how they were found, in lines."""
    form = guess.form_at(path)
    wanted = {name for name in (args.text, args.gold) if name is not None}
    head = guess.head_of(path, form, wanted, [item["name"] for item in classes], decide_header)
    for name in wanted:
        guess.check_column(path, head, name)
    text, why = args.text, "as you said"
    if form != "txt" and text is None:
        text, why = guess.text_column(path, head, args.gold, choose_text)
    gold = None if args.gold is None else {"column": args.gold, "names": True}
    lines = [f"{path.name}: read as {form}"]
    if form == "txt":
        lines.append("texts: one a line")
    else:
        lines.append(f"texts: column {shown(text)} ({why})")
    if form in ("csv", "tsv"):
        lines.append(
            f"row 1: {'names the columns' if head.columns is None else 'a text, since it names no columns'}"
        )
    if gold is None:
        lines += [
            f"column {shown(name)}: names of the classes alone; with --gold {shown(name)} they would be the answers "
            "to measure against"
            for name in guess.answer_columns(head, [item["name"] for item in classes], text)
        ]
    return {"format": form, "columns": head.columns, "text": text, "gold": gold}, lines


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


def say_next(name, counts, gold):
    """What `dvc repro` will do; counts: as sizes_of gives them."""
    asked, kept, learned = counts
    say(f"params.yaml is {name} now; presets/{name}.yaml holds what differs from the shipped file")
    say(
        "next: dvc repro, which downloads three models where they are not there yet (580 MB), asks a language model"
    )
    say(
        f"  and two sentence encoders about {asked:,} texts ({kept:,} of them for test and dev), and trains a student"
    )
    say(f"  on {learned:,}")
    if gold is None:
        say("then: answer some of data/review_dev.csv, to see how good it is (data/README.md says how)")
    else:
        say("then: reports/index.html says how good it is")


def parser():
    found = arguments(__doc__)
    found.add_argument("file", type=Path, help="csv, tsv, jsonl, parquet or txt (one text a line), also .gz")
    found.add_argument(
        "--classes",
        help="the classes with commas between them, or a file with one a line; each `name`, `name: words` or "
        "`name: words: description`, where the words that teachers read are others than the name",
    )
    found.add_argument("--text", help="column of the texts")
    found.add_argument("--gold", help="column with answers of people, which are names of the classes")
    found.add_argument("--about", default="texts", help="what the texts are: customer messages")
    found.add_argument("--name", help="of the preset; by itself that of the file")
    found.add_argument("--force", action="store_true", help="replace what stands there, your own edits too")
    return found


def main(argv=None):
    args = parser().parse_args(argv)
    path = args.file
    check_source(path)
    name = name_of(path, args.name)
    target, file = OWN / path.name, presets.FOLDER / f"{name}.yaml"
    check_free(path, target, file, args.force)
    if not args.about.strip() or not args.about.isprintable() or {"{", "}"} & set(args.about):
        raise UserError(f"--about: must say what the texts are, without braces, found {shown(args.about)!r}")
    base = presets.shipped()
    shipped = params.check(params.parse(base, params.PATH), params.PATH)
    classes = classes_of(args.classes)

    keys, lines = look(path, args, classes)
    gold = keys["gold"] and params.Gold(**keys["gold"])
    sample = shipped.sample.model_copy(update=keys)
    task = shipped.task.model_copy(update={"classes": [params.Class(**item) for item in classes]})
    found = read_texts(path, sample, gold, task)
    sizes, counts = sizes_of(path, found, gold, shipped.sample)
    max_tokens, cut = tokens_of(found)
    lines += told(found, gold, max_tokens, cut)
    keys |= {"test_file": None, **sizes, "near_duplicates": "remove"}

    text = draft.preset_text(path.name, classes, args.about.strip(), keys, max_tokens, lines)
    if file.exists() and not args.force and presets.read(file) != text:
        raise UserError(f"{file}: must be free or the same preset, found another; --force replaces it")
    laid = presets.lay(base, text, file)
    params.check(params.parse(laid, file), file)
    place(path, target)
    presets.write(file, text)
    presets.write(params.PATH, laid)
    for line in lines:
        say(line)
    say_next(name, counts, gold)


if __name__ == "__main__":
    run(main)
