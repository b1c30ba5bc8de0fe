"""Lays a preset over the shipped params.yaml: a preset holds only what differs from it.

usage: python -m nolabels.preset --list          a line for each preset
       python -m nolabels.preset --diff NAME     what would change in params.yaml
       python -m nolabels.preset NAME            writes params.yaml: the shipped file, the preset over it
       python -m nolabels.preset default         writes params.yaml as it was shipped

A preset (presets/NAME.yaml) has the form of params.yaml. Its sections are merged with the shipped ones key by key;
the value of a key replaces the shipped value whole, also where both are mappings: `dataset: {own: NAME}` leaves
nothing of a package. A section that is shipped empty (`assist: {}`) takes any keys. Comments of params.yaml stay; those above a key of the preset are added to them.

presets/shipped holds the id that Git gives to the content of the shipped params.yaml. A preset is always laid over
that content, never over another preset or an edit.
"""

import subprocess
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path

import yaml

from nolabels import params
from nolabels.stage import UserError, arguments, run, say

FOLDER, SHIPPED = Path("presets"), Path("presets/shipped")
DEFAULT = "default"  # the name of no preset at all


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


def merged(under, over):
    """The values of a params file with those of a preset over them, {section: {key: value}} both.

    Raises TypeError where a section of the preset is no mapping.
    """
    return under | {section: {**under.get(section, {}), **keys} for section, keys in over.items()}


def spans(text, whole):
    """{(section, key): (first line, line after the last)} of a params file; (section,): its line, twice.

    whole: sections that count as one: their keys have no entry, and (section,) spans all lines.
    """
    found = {}
    for section, keys in yaml.compose(text, Loader=yaml.SafeLoader).value:
        if section.value in whole:
            found[(section.value,)] = section.start_mark.line, end_of(keys)
            continue
        found[(section.value,)] = (section.start_mark.line,) * 2
        if isinstance(keys, yaml.MappingNode):
            for key, value in keys.value:
                found[section.value, key.value] = key.start_mark.line, end_of(value)
    return found


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
            if under[section] and key not in under[section]:
                raise UserError(f"{path}: {section}.{key}: is no key of params.yaml")


def lay(under, over, path):
    """The text of a params file with the text of a preset over it; path: of the preset, for messages.

    Lines are replaced, nothing is written anew: all else stays byte for byte, with its comments. What comes out
    is read again and compared with the merged values.
    """
    values, ours = (params.parse(text, place) for text, place in ((under, "params.yaml"), (over, path)))
    check_keys(values, ours, path)
    lines, added, top = under.splitlines(), over.splitlines(), len(header(over))
    empty = {section for section, keys in values.items() if keys == {}}
    there, here = spans(under, empty), spans(over, empty)
    known = here.keys() & there.keys()  # all, but for YAML's merge keys, which the comparison below refuses
    for place in sorted(known, key=there.get, reverse=True):  # from the end on, so that line numbers hold
        first, last = here[place]
        while first > top and added[first - 1].lstrip().startswith("#"):
            first -= 1
        lines[slice(*there[place])] = added[first:last]
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


def main(argv=None):
    parser = arguments(__doc__)
    parser.add_argument("name", nargs="?", help="of a preset, or default")
    parser.add_argument("--list", action="store_true", help="name the presets")
    parser.add_argument("--diff", action="store_true", help="show what would change, write nothing")
    parser.add_argument("--force", action="store_true", help="replace edits of your own, too")
    args = parser.parse_args(argv)
    if args.list == bool(args.name):
        parser.error("give the NAME of a preset, or --list")
    if args.list:
        say(f"{DEFAULT:<20}params.yaml as it was shipped")
        for name in names():
            first, *_ = header(read(FOLDER / f"{name}.yaml")) or [""]
            say(f"{name:<20}{first.lstrip('# ')}")
        return
    text = text_of(args.name)
    present = read(params.PATH) if params.PATH.exists() else ""
    if args.diff:
        lines = present.splitlines(), text.splitlines()
        shown = unified_diff(*lines, "params.yaml", args.name, lineterm="")
        say("\n".join(shown) or f"preset: params.yaml is {args.name} already")
        return
    if present and not args.force and is_edited(present):
        raise UserError(
            f"params.yaml: must be as shipped, or as a preset made it, found edits of your own; "
            f"--diff {args.name} shows what would change, --force replaces them"
        )
    write(params.PATH, text)
    say(f"preset: params.yaml is {args.name} now")


if __name__ == "__main__":
    run(main)
