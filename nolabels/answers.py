"""What the answer store holds, and what of it no params file in the history of Git asks for.

usage: python -m nolabels.answers            a line for each teacher that was asked
       python -m nolabels.answers --prune    removes parts that no params.yaml and no preset would read, of any
                                             commit of any branch, tag or experiment, or in the workspace

A preset of a commit counts as what it makes of the params.yaml of that commit.
A part is kept where any of its templates together with any of its class words is asked for in the same way (kind
of teacher, length of a reading). Which teacher gave an answer is not compared: params files name a teacher by
where it comes from, the store by its weights.
Of a params file that this version cannot read nobody knows for sure what it asks. Parts whose wording it holds in any place
are kept; where it is no YAML, all are.
"""

import json
import re
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.setup.presets import FOLDER, git, merged
from nolabels.teachers.store import asker_settings, canonical_json, is_part, read_about, template_json
from nolabels.teachers.store_folders import open_folder, store_root


@dataclass(frozen=True)
class Part:
    """One file of the store. way: asker_settings as JSON; size: in bytes."""

    name: str
    way: str
    templates: tuple
    words: tuple
    texts: int
    size: int


def parts_of(folder):
    """The Parts of a teacher's folder; a file that is no table is left to `score`, which notices."""
    asker = read_about(folder).get("asker", {})
    way = canonical_json(asker_settings(asker))
    for name, content in folder.read([name for name in folder.names() if is_part(name)]):
        try:
            meta = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        except pa.ArrowInvalid:
            continue
        about = json.loads(meta.schema_arrow.metadata[b"about"])
        yield Part(
            name, way, tuple(about["templates"]), tuple(about["words"]), meta.metadata.num_rows, len(content)
        )


parsed = cache(yaml.safe_load)


def asked_for(text, preset=None):
    """{way: {(template, words)}} that a params file asks for, with a preset over it (the texts of both).

    Raises ValueError where it is no params file.
    """
    try:
        values = parsed(text) if preset is None else merged(parsed(text), parsed(preset))
        words = [str(item["words"]) for item in values["task"]["classes"]]
        found = {}
        for score in teachers_of(values["score"]):
            templates = [template_json(params.Template.model_validate(item)) for item in score["templates"]]
            pairs = found.setdefault(canonical_json(asker_settings(score)), set())
            pairs.update((template, word) for template in templates for word in words)
    except (yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return found


def teachers_of(score):
    """The settings of each teacher; before there could be several, the section held those of one."""
    return [score] if isinstance(score.get("templates"), list) else list(score.values())


def history():
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
    for path in sorted(FOLDER.glob("*.yaml")):
        yield str(path), text, path.read_text(encoding="utf-8")


def words_of(text):
    """The words of a text, one space between two."""
    return " ".join(re.findall(r"\w+", text))


def texts_in(value):
    """Every text inside what YAML holds, keys too."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [str(value)]


def all_words(text, preset):
    """The words of everything in a params file that cannot be read; None where it is no YAML."""
    try:
        return words_of(" ".join(texts_in([parsed(text), preset and parsed(preset)])))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def is_mentioned(template, unclear):
    """Whether a file of `unclear` (see wanted) may ask this: its longest run of words between {text} and {class}."""
    pieces = [
        words_of(piece)
        for wording in json.loads(template).values()
        for piece in re.split(r"\{\w+\}", wording)
    ]
    return any(words is None or max(pieces, key=len) in words for words in unclear)


def wanted():
    """{way: {(template, words)}} that any params file asks for, and all_words of each that cannot be read."""
    found, unclear = {}, []
    for where, text, preset in history():
        try:
            for way, pairs in asked_for(text, preset).items():
                found.setdefault(way, set()).update(pairs)
        except ValueError as error:
            say(f"answers: {where} is no params file of this version ({error}); what it may ask for is kept")
            unclear.append(all_words(text, preset))
    return found, unclear


def describe(folder, parts):
    """One line: who was asked, and how much is kept."""
    asker = read_about(folder).get("asker", {})
    templates = {template for part in parts for template in part.templates}
    words = {word for part in parts for word in part.words}
    answers = sum(part.texts * len(part.templates) * len(part.words) for part in parts)
    size = sum(part.size for part in parts) / 1e6
    return (
        f"{asker.get('kind', 'unknown')}  teacher {str(asker.get('teacher', ''))[:8]}  {asker.get('precision', '')}  "
        f"{len(parts)} parts  {len(templates)} templates  {len(words)} class words  {answers} answers  {size:.1f} MB"
    )


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("--prune", action="store_true", help="remove what no params file asks for")
    args = parser.parse_args(argv)
    root = store_root(params.load().runtime.store)
    names = [name.rstrip("/") for name in open_folder(root).names() if name.endswith("/")]
    asked, unclear = wanted() if args.prune else ({}, [])
    removed = freed = 0
    for name in names:
        folder = open_folder(root, name)
        parts = list(parts_of(folder))
        if parts:
            say(describe(folder, parts))
        if not args.prune:
            continue
        with folder.locked():
            for part in parts:
                pairs = asked.get(part.way, set())
                if any((template, word) in pairs for template in part.templates for word in part.words):
                    continue
                if any(is_mentioned(template, unclear) for template in part.templates):
                    continue
                folder.remove(part.name)
                removed, freed = removed + 1, freed + part.size
    if not names:
        say(f"answers: {root} holds none")
    if args.prune:
        say(f"answers: {removed} parts removed, {freed / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
