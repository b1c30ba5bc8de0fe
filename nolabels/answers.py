"""Lists what the answer store holds, and removes answers that no params file in the history of Git asks for.

usage: python -m nolabels.answers            a line for each teacher that was asked
       python -m nolabels.answers --prune    removes parts that no params.yaml and no preset would read, of any
                                             commit of any branch, tag or experiment, or in the workspace

A preset of a commit counts as what it makes of the params.yaml of that commit.
A part is kept where any of its templates together with any of its class words is asked for in the same way (kind
of teacher, length of a reading). Which teacher gave an answer is not compared: params files name a teacher by
where it comes from, the store by its weights.
What a params file asks that this version cannot read is not known for sure. Parts whose wording stands anywhere in it
are kept; where it is no YAML, all parts are.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from nolabels.core import params
from nolabels.core.git import git
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.setup.merging import merged
from nolabels.setup.presets import FOLDER
from nolabels.teachers import store
from nolabels.teachers.store_folders import open_folder, store_root


@dataclass(frozen=True)
class Part:
    """One file of the store.

    Attributes
    ----------
    name : str
        The file's name.
    way : str
        How the teacher was asked: store.asker_settings as JSON.
    templates, words : tuple of str
        The templates and the class words of its answers.
    texts : int
        How many texts were asked about.
    size : int
        In bytes.
    """

    name: str
    way: str
    templates: tuple[str, ...]
    words: tuple[str, ...]
    texts: int
    size: int


def _parts_of(folder: Any) -> Iterator[Part]:
    """The Parts of a teacher's folder; a file that is no table is left to `score`, which notices."""
    asker = store.read_about(folder).get("asker", {})
    way = store.canonical_json(store.asker_settings(asker))
    for name, content in folder.read([name for name in folder.names() if store.is_part(name)]):
        try:
            meta = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        except pa.ArrowInvalid:
            continue
        about = json.loads(meta.schema_arrow.metadata[b"about"])
        yield Part(
            name, way, tuple(about["templates"]), tuple(about["words"]), meta.metadata.num_rows, len(content)
        )


_parse = cache(yaml.safe_load)


def _asked_for(text: str, preset: str | None = None) -> dict[str, set[tuple[str, str]]]:
    """{way: {(template, words)}} that a params file asks for, with a preset over it (the texts of both).

    Raises ValueError where it is no params file.
    """
    try:
        values = _parse(text) if preset is None else merged(_parse(text), _parse(preset))
        words = [str(item["words"]) for item in values["task"]["classes"]]
        asked: dict[str, set[tuple[str, str]]] = {}
        for score in _teachers_of(values["score"]):
            templates = [
                store.template_json(params.Template.model_validate(item)) for item in score["templates"]
            ]
            pairs = asked.setdefault(store.canonical_json(store.asker_settings(score)), set())
            pairs.update((template, word) for template in templates for word in words)
    except (yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return asked


def _teachers_of(score: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings of each teacher; before there could be several, the section held those of one."""
    return [score] if isinstance(score.get("templates"), list) else list(score.values())


def _history() -> Iterator[tuple[str, str, str | None]]:
    """Yields (where, text, preset) of every params.yaml in every commit and in the workspace: preset is None, and
    then the text of each preset beside it. Each pair once."""
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise UserError("git: must hold the whole history, found a shallow clone; git fetch --unshallow")
    seen = set()
    content = cache(lambda blob: git("cat-file", "blob", blob))
    # what DVC's experiments are is below refs/exps, which --all walks too
    for commit in git("rev-list", "--all").split():
        listed = git("ls-tree", "-r", commit, "--", "params.yaml", "presets").splitlines()
        blobs = {path: about.split()[2] for about, path in (line.split("\t", 1) for line in listed)}
        under = blobs.get("params.yaml")
        for path, blob in blobs.items() if under else ():
            if path.endswith(".yaml") and (under, blob) not in seen:
                seen.add((under, blob))
                yield f"{commit[:7]}:{path}", content(under), None if blob == under else content(blob)
    text = params.PATH.read_text(encoding="utf-8")
    yield str(params.PATH), text, None
    for file in sorted(FOLDER.glob("*.yaml")):
        yield str(file), text, file.read_text(encoding="utf-8")


def _words_of(text: str) -> str:
    """The words of a text, one space between two."""
    return " ".join(re.findall(r"\w+", text))


def _texts_in(value: Any) -> list[str]:
    """Every text inside what YAML holds, keys too."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        return [text for item in value for text in _texts_in(item)]
    return [str(value)]


def _all_words(text: str, preset: str | None) -> str | None:
    """The words of everything in a params file that cannot be read; None where it is no YAML."""
    try:
        return _words_of(" ".join(_texts_in([_parse(text), preset and _parse(preset)])))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _is_mentioned(template: str, unreadable: Iterable[str | None]) -> bool:
    """Whether a file that cannot be read may ask this: it holds the longest run of words between {text} and {class}.

    unreadable: _all_words of each such file.
    """
    pieces = [
        _words_of(piece)
        for wording in json.loads(template).values()
        for piece in re.split(r"\{\w+\}", wording)
    ]
    return any(words is None or max(pieces, key=len) in words for words in unreadable)


def _asked_anywhere() -> tuple[dict[str, set[tuple[str, str]]], list[str | None]]:
    """{way: {(template, words)}} that any params file asks for, and _all_words of each that cannot be read."""
    asked: dict[str, set[tuple[str, str]]] = {}
    unreadable: list[str | None] = []
    for where, text, preset in _history():
        try:
            for way, pairs in _asked_for(text, preset).items():
                asked.setdefault(way, set()).update(pairs)
        except ValueError as error:
            say(f"answers: {where} is no params file of this version ({error}); what it may ask for is kept")
            unreadable.append(_all_words(text, preset))
    return asked, unreadable


def _describe(folder: Any, parts: Sequence[Part]) -> str:
    """One line: who was asked, and how much is kept."""
    asker = store.read_about(folder).get("asker", {})
    templates = {template for part in parts for template in part.templates}
    words = {word for part in parts for word in part.words}
    answers = sum(part.texts * len(part.templates) * len(part.words) for part in parts)
    size = sum(part.size for part in parts) / 1e6
    return (
        f"{asker.get('kind', 'unknown')}  teacher {str(asker.get('teacher', ''))[:8]}  {asker.get('precision', '')}  "
        f"{len(parts)} parts  {len(templates)} templates  {len(words)} class words  {answers} answers  {size:.1f} MB"
    )


def _is_asked(
    part: Part, asked: Mapping[str, set[tuple[str, str]]], unreadable: Sequence[str | None]
) -> bool:
    """Whether a params file asks for a part, or may. asked, unreadable: as _asked_anywhere gives them."""
    pairs = asked.get(part.way, set())
    if any((template, word) in pairs for template in part.templates for word in part.words):
        return True
    return any(_is_mentioned(template, unreadable) for template in part.templates)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--prune", action="store_true", help="remove what no params file asks for")
    args = parser.parse_args(argv)
    root = store_root(params.load().runtime.store)
    names = [name.rstrip("/") for name in open_folder(root).names() if name.endswith("/")]
    asked, unreadable = _asked_anywhere() if args.prune else ({}, [])
    removed = freed = 0
    for name in names:
        folder = open_folder(root, name)
        parts = list(_parts_of(folder))
        if parts:
            say(_describe(folder, parts))
        if not args.prune:
            continue
        with folder.locked():
            for part in parts:
                if not _is_asked(part, asked, unreadable):
                    folder.remove(part.name)
                    removed, freed = removed + 1, freed + part.size
    if not names:
        say(f"answers: {root} holds none")
    if args.prune:
        say(f"answers: {removed} parts removed, {freed / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
