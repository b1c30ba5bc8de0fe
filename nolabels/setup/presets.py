"""Presets: params.yaml as it was shipped, with the values that differ for another task laid over it.

A preset (presets/NAME.yaml) has the form of params.yaml. Its sections are merged with the shipped ones key by key;
the value of a key replaces the shipped value whole, also where both are mappings: `dataset: {own: NAME}` leaves
nothing of a package. The models under fetch.models and the teachers under score are merged by name, and null takes
one out, with the comments inside it. A section that is shipped empty (`assist: {}`) takes any keys. All other
comments of params.yaml stay; those above a key of the preset are added to them.

presets/shipped holds the id that Git gives to the content of the shipped params.yaml. A preset is always laid over
that content, never over another preset or an edit.
"""

import subprocess
from contextlib import suppress
from pathlib import Path

import yaml

from nolabels.core import params
from nolabels.core.stage import UserError

FOLDER, SHIPPED = Path("presets"), Path("presets/shipped")
DEFAULT = "default"  # the name of no preset at all
# where the keys of params.yaml are names that people choose: of models, and of teachers
NAMED = (("fetch", "models"), ("score",))


def git(*words):
    """What a Git command prints. Raises UserError where it fails."""
    result = subprocess.run(["git", *words], capture_output=True, encoding="utf-8")
    if result.returncode:
        raise UserError(f"git {words[0]}: must work here, found {result.stderr.strip() or 'an error'}")
    return result.stdout


def names():
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def shipped():
    """The text of params.yaml as it was shipped. Raises UserError where Git does not hold it."""
    name = SHIPPED.read_text(encoding="utf-8").strip()
    try:
        return git("cat-file", "blob", name)
    except UserError as error:
        raise UserError(
            f"{SHIPPED}: must be the id of a params.yaml that Git holds, found {name} ({error}); git fetch "
            f"--unshallow may bring it, git hash-object -w params.yaml > {SHIPPED} takes the present file instead"
        ) from error


def header(text):
    """The lines of the comment that a preset begins with; the first says in one line what it is."""
    lines = text.splitlines()
    length = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:length]


def is_opened(path):
    """Whether the value at a path is merged key by key; the value of any other key is replaced whole."""
    return len(path) == 1 or path in NAMED or (path[:1] == ("score",) and len(path) == 2)


def merged(under, over, path=()):
    """The values of a params file with those of a preset over them, nested mappings both.

    null in the place of a model or a teacher takes it out. Raises TypeError where a section of the preset is no
    mapping.
    """
    found = dict(under)
    for key, value in over.items():
        place = (*path, key)
        if value is None and path in NAMED:
            found.pop(key, None)
        elif not path or (is_opened(place) and isinstance(found.get(key), dict) and isinstance(value, dict)):
            found[key] = merged(found.get(key, {}), {**value}, place)
        else:
            found[key] = value
    return found


def spans(text, whole):
    """{path: (first line, line after the last)} of the keys of a params file, and the paths among them that are opened.

    whole: sections that count as one: their keys have no entry.
    """
    found, opened = {}, set()

    def walk(node, path):
        for key, value in node.value:
            place = (*path, key.value)
            found[place] = key.start_mark.line, end_of(value)
            block = isinstance(value, yaml.MappingNode) and value.value and not value.flow_style
            if block and is_opened(place) and key.value not in whole:
                opened.add(place)
                walk(value, place)

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return found, opened


def end_of(node):
    """The line after the last one that a value stands on; comments behind it are not its own."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]  # a block ends with its last item
        return end_of(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.line + (node.end_mark.column > 0)


def check_keys(under, over, path):
    """Raises UserError where a preset holds what is no key of a section of params.yaml."""
    for section, keys in over.items():
        if not isinstance(under.get(section), dict):
            raise UserError(f"{path}: {section}: is no section of params.yaml")
        if not isinstance(keys, dict):
            raise UserError(f"{path}: {section}: must hold keys, found {keys!r}")
        for key in keys:
            if under[section] and key not in under[section] and (section,) not in NAMED:
                raise UserError(f"{path}: {section}.{key}: is no key of params.yaml")
    for place in NAMED:
        there, ours = value_at(under, place), value_at(over, place)
        for name, value in ours.items() if isinstance(ours, dict) else ():
            if value is None and name not in there:
                raise UserError(
                    f"{path}: {'.'.join(place)}.{name}: must be one that params.yaml has, to take it out with null"
                )


def value_at(values, path):
    """What stands at a path of nested mappings; None where there is nothing."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def lay(under, over, path):
    """The text of a params file with the text of a preset over it; path: of the preset, for messages.

    Lines are replaced, nothing is written anew: all else stays byte for byte, with its comments. What comes out
    is read again and compared with the merged values.
    """
    values, ours = (params.parse(text, place) for text, place in ((under, "params.yaml"), (over, path)))
    check_keys(values, ours, path)
    lines, added, top = under.splitlines(), over.splitlines(), len(header(over))
    empty = {section for section, keys in values.items() if keys == {}}
    (there, opened), (here, inner) = spans(under, empty), spans(over, empty)
    edits = []
    for place in here.keys() - (inner & opened):
        first, last = here[place]
        if place[:-1] in NAMED and value_at(ours, place) is None:
            last = first  # taken out; comments above it stay
        while first > top and added[first - 1].lstrip().startswith("#"):
            first -= 1
        if place in there:
            edits.append((*there[place], first, last))
        elif place[:-1] in opened:  # a new name: behind the others
            end = there[place[:-1]][1]
            edits.append((end, end, first, last))
    for start, end, first, last in sorted(edits, reverse=True):  # from the end on, so that line numbers hold
        lines[start:end] = added[first:last]
    found = "\n".join([f"# preset: {path.stem}", *added[:top], "", *lines, ""])
    try:
        same = yaml.safe_load(found) == merged(values, ours)
    except yaml.YAMLError:
        same = False
    if not same:
        raise UserError(
            f"{path}: must be written as params.yaml is: a key once, on a line of its own, two spaces in"
        )
    return found


def over(base, name):
    """lay, for the preset of a name. base: the text of the shipped params.yaml."""
    path = FOLDER / f"{name}.yaml"
    return lay(base, read(path), path)


def read(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text ({error})") from error


def text_of(name):
    """params.yaml as a preset makes it, checked whole. Raises UserError where there is none, or it is not valid."""
    if name == DEFAULT:
        return shipped()
    if name not in names():
        raise UserError(f"{FOLDER}: must hold {name}.yaml, found {', '.join([DEFAULT, *names()])}")
    text = over(shipped(), name)
    params.check(yaml.safe_load(text), FOLDER / f"{name}.yaml")
    return text


def load(name):
    """The Params of a preset. Raises as text_of."""
    return params.Params.model_validate(yaml.safe_load(text_of(name)))


def is_edited(text):
    """Whether params.yaml (its text) is neither as shipped nor what a preset makes of that."""
    base = shipped()
    if text == base:
        return False
    for name in names():
        with suppress(UserError):  # a broken preset has made nothing
            if text == over(base, name):
                return False
    return True


def write(path, text):
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
