"""How a preset is laid over params.yaml: the values merged key by key, the text line by line.

The value of a key replaces the shipped value whole, also where both are mappings: `dataset: {own: NAME}` leaves
nothing of a package. The models under fetch.models and the teachers under score are merged by name, and null takes
one out, with the comments inside it. A section that is shipped empty (`assist: {}`) takes any keys. All other
comments of params.yaml stay; those above a key of the preset are added to them.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from nolabels.core import params
from nolabels.core.stage import UserError

# where the keys of params.yaml are names that people choose: of models, and of teachers
NAMED = (("fetch", "models"), ("score",))


def header(text: str) -> list[str]:
    """The lines of the comment that a preset begins with; the first says in one line what it is."""
    lines = text.splitlines()
    length = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:length]


def _is_opened(path: tuple[str, ...]) -> bool:
    """Whether the value at a path is merged key by key; the value of any other key is replaced whole."""
    return len(path) == 1 or path in NAMED or (path[:1] == ("score",) and len(path) == 2)


def merged(under: Mapping[str, Any], over: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a params file with those of a preset over them.

    Parameters
    ----------
    under : mapping
        The values of the params file, nested mappings.
    over : mapping
        Those of the preset; null for a model or a teacher takes it out.
    path : tuple of str
        The keys that lead to both; empty for whole files.

    Returns
    -------
    dict

    Raises
    ------
    TypeError
        Where a section of the preset is no mapping.
    """
    values = dict(under)
    for key, value in over.items():
        inner = (*path, key)
        if value is None and path in NAMED:
            values.pop(key, None)
        elif not path or (
            _is_opened(inner) and isinstance(values.get(key), dict) and isinstance(value, dict)
        ):
            values[key] = merged(values.get(key, {}), {**value}, inner)
        else:
            values[key] = value
    return values


def spans(
    text: str, whole: Collection[str]
) -> tuple[dict[tuple[str, ...], tuple[int, int]], set[tuple[str, ...]]]:
    """{path: (first line, line after the last)} of the keys of a params file, and the paths among them that are opened.

    whole: sections that count as one: their keys have no entry.
    """
    lines, opened = {}, set()

    def walk(node, path):
        for key, value in node.value:
            inner = (*path, key.value)
            lines[inner] = key.start_mark.line, _end_of(value)
            block = isinstance(value, yaml.MappingNode) and value.value and not value.flow_style
            if block and _is_opened(inner) and key.value not in whole:
                opened.add(inner)
                walk(value, inner)

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return lines, opened


def _end_of(node: yaml.Node) -> int:
    """The line after the last one that a value stands on; comments behind it are not its own."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]  # a block ends with its last item
        return _end_of(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.line + (node.end_mark.column > 0)


def _check_keys(under: Mapping[str, Any], over: Mapping[str, Any], path: Path) -> None:
    """Raises UserError where a preset holds what is no key of a section of params.yaml."""
    for section, keys in over.items():
        if not isinstance(under.get(section), dict):
            raise UserError(f"{path}: {section}: is no section of params.yaml")
        if not isinstance(keys, dict):
            raise UserError(f"{path}: {section}: must hold keys, found {keys!r}")
        for key in keys:
            if under[section] and key not in under[section] and (section,) not in NAMED:
                raise UserError(f"{path}: {section}.{key}: is no key of params.yaml")
    for named in NAMED:
        there, ours = _value_at(under, named), _value_at(over, named)
        for name, value in ours.items() if isinstance(ours, dict) else ():
            if value is None and name not in there:
                raise UserError(
                    f"{path}: {'.'.join(named)}.{name}: must be one that params.yaml has, to take it out with null"
                )


def _value_at(values: Any, path: tuple[str, ...]) -> Any:
    """The value at a path of nested mappings; None where there is nothing."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def lay(under: str, over: str, path: Path) -> str:
    """The text of a params file with the text of a preset over it.

    Lines are replaced, nothing is written anew: all else stays byte for byte, with its comments. The result
    is read again and compared with the merged values.

    Parameters
    ----------
    under, over : str
        The texts of the params file and of the preset.
    path : Path
        The preset's file, for messages.

    Returns
    -------
    str
        The text of a params file.

    Raises
    ------
    UserError
        Where the preset holds what is no key of params.yaml, or is not written as params.yaml is.
    """
    base_values, preset_values = params.parse(under, "params.yaml"), params.parse(over, path)
    _check_keys(base_values, preset_values, path)
    lines = _merged_lines(under, over, base_values, preset_values)
    text = "\n".join([f"# preset: {path.stem}", *header(over), "", *lines, ""])
    try:
        same = yaml.safe_load(text) == merged(base_values, preset_values)
    except yaml.YAMLError:
        same = False
    if not same:
        raise UserError(
            f"{path}: must be written as params.yaml is: a key once, on a line of its own, two spaces in"
        )
    return text


def _merged_lines(
    under: str, over: str, base_values: Mapping[str, Any], preset_values: Mapping[str, Any]
) -> list[str]:
    """The lines of a params file with those of a preset's keys over them; the values are those of both texts."""
    lines, added, top = under.splitlines(), over.splitlines(), len(header(over))
    empty = {section for section, keys in base_values.items() if keys == {}}
    (base_lines, base_opened), (preset_lines, preset_opened) = spans(under, empty), spans(over, empty)
    edits = []
    for key in preset_lines.keys() - (preset_opened & base_opened):
        first, last = preset_lines[key]
        if key[:-1] in NAMED and _value_at(preset_values, key) is None:
            last = first  # taken out; comments above it stay
        while first > top and added[first - 1].lstrip().startswith("#"):
            first -= 1
        if key in base_lines:
            edits.append((*base_lines[key], first, last))
        elif key[:-1] in base_opened:  # a new name: behind the others
            end = base_lines[key[:-1]][1]
            edits.append((end, end, first, last))
    for start, end, first, last in sorted(edits, reverse=True):  # from the end on, so that line numbers hold
        lines[start:end] = added[first:last]
    return lines
