"""Looks at a file with texts and writes what the pipeline needs for it; `dvc repro` does the rest.

    python -m nolabels.start messages.csv --classes "praise,complaint,question"

Copies the file to data/own, writes a preset (presets/messages.yaml: what differs from the shipped params.yaml) and lays
it over params.yaml, as `python -m nolabels.preset messages` does. It says what it took for granted, asks at a terminal
where it cannot know, and replaces nothing unless --force is given. The network is not used.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.data.lines import shown
from nolabels.setup import draft, presets, terminal
from nolabels.setup.checks import OWN, check_free, check_source, copy_whole, preset_name
from nolabels.setup.classes import classes_of
from nolabels.setup.columns import answer_columns, check_column, text_column
from nolabels.setup.formats import form_at
from nolabels.setup.head import read_head
from nolabels.setup.merging import lay
from nolabels.setup.sizes import Sizes, count_texts, fit_max_tokens, fit_sizes, summary_lines


def read_layout(
    path: Path, args: Namespace, classes: Sequence[Mapping[str, str]]
) -> tuple[dict[str, Any], list[str]]:
    """What `sample` needs to read the file, as keys of params.yaml, and in lines how each was decided.

    classes: [{name, words[, description]}]. Raises UserError.
    """
    form = form_at(path)
    wanted = {name for name in (args.text, args.gold) if name is not None}
    names = [item["name"] for item in classes]
    head = read_head(path, form, wanted, names, terminal.decide_header)
    for name in wanted:
        check_column(path, head, name)
    text, why = args.text, "as you said"
    if form != "txt" and text is None:
        text, why = text_column(path, head, args.gold, terminal.choose_text)
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
            for name in answer_columns(head, names, text)
        ]
    return {"format": form, "columns": head.columns, "text": text, "gold": gold}, lines


def say_next(name: str, sizes: Sizes, gold: params.Gold | None) -> None:
    """Says what `dvc repro` will do. name: of the preset."""
    say(f"params.yaml is {name} now; presets/{name}.yaml holds what differs from the shipped file")
    say(
        "next: dvc repro, which downloads three models where they are not there yet (580 MB), asks a language model"
    )
    say(
        f"  and two sentence encoders about {sizes.asked:,} texts ({sizes.unseen:,} of them for test and dev), and trains a student"
    )
    say(
        f"  on {sizes.learned:,}; {sizes.asked - sizes.unseen - sizes.learned:,} more only show how the training goes"
    )
    if gold is None:
        say("then: answer some of data/review_dev.csv, to see how good it is (data/README.md says how)")
    else:
        say("then: reports/index.html says how good it is")


def read_arguments(argv: Sequence[str] | None) -> Namespace:
    parser: ArgumentParser = arguments(__doc__)
    parser.add_argument("file", type=Path, help="csv, tsv, jsonl, parquet or txt (one text a line), also .gz")
    parser.add_argument(
        "--classes",
        help="the classes with commas between them, or a file with one a line; each `name`, `name: words` or "
        "`name: words: description`, where the words that teachers read are others than the name",
    )
    parser.add_argument("--text", help="column of the texts")
    parser.add_argument("--gold", help="column with answers of people, which are names of the classes")
    parser.add_argument("--about", default="texts", help="what the texts are: customer messages")
    parser.add_argument("--name", help="of the preset; by itself that of the file")
    parser.add_argument("--force", action="store_true", help="replace what stands there, your own edits too")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = read_arguments(argv)
    path = args.file
    check_source(path)
    name = preset_name(path, args.name)
    target, preset = OWN / path.name, presets.FOLDER / f"{name}.yaml"
    check_free(path, target, preset, args.force)
    if not args.about.strip() or not args.about.isprintable() or {"{", "}"} & set(args.about):
        raise UserError(f"--about: must say what the texts are, without braces, found {shown(args.about)!r}")
    base = presets.shipped()
    shipped = params.check(params.parse(base, params.PATH), params.PATH)
    classes = classes_of(args.classes)

    keys, lines = read_layout(path, args, classes)
    gold = keys["gold"] and params.Gold(**keys["gold"])
    sample = shipped.sample.model_copy(update=keys)
    task = shipped.task.model_copy(update={"classes": [params.Class(**item) for item in classes]})
    counted = count_texts(path, sample, gold, task)
    sizes = fit_sizes(path, counted, gold, shipped.sample)
    max_tokens, cut = fit_max_tokens(counted)
    lines += summary_lines(counted, gold, max_tokens, cut)
    keys |= {"test_file": None, **sizes.keys, "near_duplicates": "remove"}

    text = draft.preset_text(path.name, classes, args.about.strip(), keys, max_tokens, lines)
    if preset.exists() and not args.force and presets.read(preset) != text:
        raise UserError(f"{preset}: must be free or the same preset, found another; --force replaces it")
    laid = lay(base, text, preset)
    params.check(params.parse(laid, preset), preset)
    copy_whole(path, target)
    presets.write(preset, text)
    presets.write(params.PATH, laid)
    for line in lines:
        say(line)
    say_next(name, sizes, gold)


if __name__ == "__main__":
    run(main)
