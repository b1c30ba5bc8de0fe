"""docs/parameters.md, from the comments of params.yaml.

usage: python -m tests.parameters     writes it
"""

import re
from pathlib import Path

import yaml

SOURCE, PAGE = Path("params.yaml"), Path("docs/parameters.md")
HEAD = """# What can be set?

Every value that decides a result is in `params.yaml`, with the comment that this page shows (`python -m tests.parameters` writes it).
`python -m nolabels.preset --list` names prepared sets of values. A bad value ends a run before any work, with one line that names
the key, the rule and the value found.
"""
LONGEST = 60  # of a value that the page shows


def comment_above(lines, row):
    """The comment lines directly above a line, as deep as it is, without their mark."""
    depth = re.match(r" *", lines[row])[0]
    first = row
    while first and lines[first - 1].startswith(f"{depth}#"):
        first -= 1
    return [line[len(depth) + 1 :].removeprefix(" ") for line in lines[first:row]]


def escaped(text):
    """Text for Markdown: no mark outside of code means anything."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([*<|])", r"\\\1", part) for part in parts)


def paragraphs(comment):
    """Markdown of comment lines: what is indented or numbered stays as it is, all else is one paragraph."""
    found, kept = [], []
    for line in comment:
        verbatim = bool(re.match(r"  |\d\. ", line))
        if not kept or kept[-1][0] != verbatim:
            kept.append((verbatim, []))
        kept[-1][1].append(line)
    for verbatim, lines in kept:
        found.append("```text\n" + "\n".join(lines) + "\n```" if verbatim else escaped(" ".join(lines)))
    return "\n\n".join(found)


def shown(node):
    """The shipped value in a line, or None where it is too long for one."""
    value = yaml.safe_load(yaml.serialize(node))
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True, sort_keys=False)
    text = text.removesuffix("\n...\n").strip()
    return text if len(text) <= LONGEST else None


def keys(node, path=()):
    """(path, key, value) of all keys of a mapping and of the mappings inside it; nodes of YAML."""
    for key, value in node.value:
        place = (*path, key.value)
        yield place, key, value
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from keys(value, place)


def page(text):
    """docs/parameters.md of the text of a params.yaml."""
    lines, parts = text.splitlines(), [HEAD]
    for path, key, value in keys(yaml.compose(text, Loader=yaml.SafeLoader)):
        comment = comment_above(lines, key.start_mark.line)
        if len(path) == 1:
            parts.append(f"## {path[0]}\n")
        elif comment:
            value = shown(value)
            given = f"Shipped: `{value}`" if value is not None else "Shipped: see `params.yaml`"
            parts.append(f"### {'.'.join(path)}\n\n{given}\n")
        if comment:
            parts.append(paragraphs(comment) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
