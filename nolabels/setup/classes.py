"""The classes as a person gives them: in a list, or in a file with one a line."""

import csv
from collections import Counter
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.lines import shown
from nolabels.setup import presets, terminal


def classes_of(given: str | None) -> list[dict[str, str]]:
    """The classes of --classes: a list with commas, or the name of a file with one a line, or None.

    Returns [{name, words[, description]}], each written `name`, `name: words` or `name: words: description`; words
    that are not given are the name with spaces for its underscores. Raises UserError where they make no task.
    """
    if given is None:
        if not terminal.has_terminal():
            raise UserError(
                '--classes: must name the classes, as in --classes "praise,complaint", found none'
            )
        given = terminal.ask("The classes, with commas between them?")
    if not given.isprintable():
        raise UserError(f"--classes: must be text on one line, found {shown(given)!r}")
    path = Path(given)
    if given.endswith(".txt") or ("," not in given and path.is_file()):
        lines = presets.read(path).removeprefix("\ufeff").splitlines()
        items, origin = [line for line in lines if line.strip() and not line.startswith("#")], given
    else:
        items, origin = next(csv.reader([given], skipinitialspace=True), []), "--classes"
    classes = [_class_of(item, origin) for item in items]
    for key in ("name", "words"):
        for value, count in Counter(item[key] for item in classes).items():
            if count > 1:
                raise UserError(f"{origin}: each class needs {key} of its own, found {value!r} {count} times")
    if not 2 <= len(classes) <= 150:
        raise UserError(f"{origin}: must name 2 to 150 classes, found {shown(', '.join(items)) or 'none'}")
    return classes


def _class_of(item: str, origin: str) -> dict[str, str]:
    """One class from its line. origin: where it stands, for messages. Raises UserError."""
    parts = [part.strip() for part in item.split(":", 2)]
    if not all(parts):
        raise UserError(
            f"{origin}: a class must be name, name: words or name: words: description, found {item!r}"
        )
    if not item.isprintable() or {"{", "}"} & set(item):
        raise UserError(f"{origin}: a class must be one line without braces, found {shown(item)!r}")
    if len(parts) == 1:
        parts.append(parts[0].replace("_", " "))
    return dict(zip(("name", "words", "description"), parts, strict=False))
