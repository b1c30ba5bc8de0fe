"""Lays a preset over the shipped params.yaml: a preset holds only what differs from it.

usage: python -m nolabels.preset --list          a line for each preset
       python -m nolabels.preset --diff NAME     what would change in params.yaml
       python -m nolabels.preset NAME            writes params.yaml: the shipped file, the preset over it
       python -m nolabels.preset default         writes params.yaml as it was shipped

nolabels/setup/merging.py says how the two are merged.
"""

from collections.abc import Sequence
from difflib import unified_diff

from nolabels.core import params
from nolabels.core.stage import UserError, arguments, run, say
from nolabels.setup.merging import header
from nolabels.setup.presets import DEFAULT, FOLDER, is_edited, names, read, text_of, write


def main(argv: Sequence[str] | None = None) -> None:
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
