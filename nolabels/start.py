"""Looks at a file with texts and writes what the pipeline needs for it; `dvc repro` does the rest.

    python -m nolabels.start messages.csv --classes "praise,complaint,question"

Copies the file to data/own, writes a preset (presets/messages.yaml: what differs from the shipped params.yaml) and lays
it over params.yaml, as `python -m nolabels.preset messages` does. It says what it took for granted, asks at a terminal
where it cannot know, and replaces nothing unless --force is given. The network is not used.
"""

from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data.lines import shown
from nolabels.setup import columns, draft, formats, head, presets, terminal
from nolabels.setup.checks import OWN, check_free, check_source, name_of, place
from nolabels.setup.classes import classes_of
from nolabels.setup.sizes import read_texts, sizes_of, tokens_of, told


def look(path, args, classes):
    """What `sample` needs to read the file, as keys of params.yaml, and how they were found, in lines."""
    form = formats.form_at(path)
    wanted = {name for name in (args.text, args.gold) if name is not None}
    first_rows = head.head_of(path, form, wanted, [item["name"] for item in classes], terminal.decide_header)
    for name in wanted:
        columns.check_column(path, first_rows, name)
    text, why = args.text, "as you said"
    if form != "txt" and text is None:
        text, why = columns.text_column(path, first_rows, args.gold, terminal.choose_text)
    gold = None if args.gold is None else {"column": args.gold, "names": True}
    lines = [f"{path.name}: read as {form}"]
    if form == "txt":
        lines.append("texts: one a line")
    else:
        lines.append(f"texts: column {shown(text)} ({why})")
    if form in ("csv", "tsv"):
        lines.append(
            f"row 1: {'names the columns' if first_rows.columns is None else 'a text, since it names no columns'}"
        )
    if gold is None:
        lines += [
            f"column {shown(name)}: names of the classes alone; with --gold {shown(name)} they would be the answers "
            "to measure against"
            for name in columns.answer_columns(first_rows, [item["name"] for item in classes], text)
        ]
    return {"format": form, "columns": first_rows.columns, "text": text, "gold": gold}, lines


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
