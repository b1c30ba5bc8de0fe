"""What `start` refuses: a file that cannot be copied, a name that cannot be a preset's, something that would be lost."""

import filecmp
import re
import shutil
from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data.lines import shown
from nolabels.setup import draft, presets

OWN = Path("data/own")


def name_of(path, given):
    """The name of the preset: as given, else from the file's name. Raises UserError where it cannot be one."""
    stem = path.name.removesuffix(".gz")
    name = given or re.sub(
        r"[^a-z0-9]+", "-", stem[: stem.rfind(".")].lower() if "." in stem else stem.lower()
    ).strip("-")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", name) or name == presets.DEFAULT:
        raise UserError(
            f"--name: must be a name for the preset, small letters, digits, - and _, and not {presets.DEFAULT}, "
            f"found {shown(given or path.name)!r}"
        )
    return name


def check_source(path):
    """Raises UserError where a file cannot be copied to data/own."""
    if not path.is_file():
        raise UserError(
            f"{path}: must be a file with texts, found {'a folder' if path.is_dir() else 'nothing'}"
        )
    if (
        not re.fullmatch(r"[^/\\.][^/\\]*", path.name)
        or not path.name.isprintable()
        or path.suffix == ".yaml"
    ):
        raise UserError(f"{path}: must have a name that does not begin with . nor end in .yaml")
    if path.name == "README.md":
        raise UserError(f"{path}: must have another name than the file that {OWN} has already")


def check_free(path, target, file, force):
    """Raises UserError where something would be lost: a file of texts, edits of params.yaml, a preset.

    target: where the file of texts goes; file: the preset. One that was not written here is never replaced.
    """
    if file.exists() and not "".join(presets.header(presets.read(file))[:1]).endswith(draft.MARK):
        raise UserError(
            f"{file}: must be free or of python -m nolabels.start, found another preset; --name gives a new name"
        )
    if force:
        return
    if target.exists() and not filecmp.cmp(path, target, shallow=False):
        raise UserError(f"{target}: must be free or the same file, found another; --force replaces it")
    if params.PATH.exists() and presets.is_edited(presets.read(params.PATH)):
        raise UserError(
            "params.yaml: must be as shipped, or as a preset made it, found edits of your own; "
            "--force replaces them"
        )


def place(path, target):
    """Copies a file to its place, whole or not at all."""
    if target.exists() and filecmp.cmp(path, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(path, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
