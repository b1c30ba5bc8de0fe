"""What `start` refuses: a file that cannot be copied, a name that cannot be a preset's, something that would be lost."""

import filecmp
import re
import shutil
from pathlib import Path

from nolabels.core import params
from nolabels.core.stage import UserError
from nolabels.data.lines import shown
from nolabels.setup import draft, merging, presets

OWN = Path("data/own")


def preset_name(path: Path, given: str | None) -> str:
    """The name of the preset for a file.

    Parameters
    ----------
    path : Path
        The file; its name makes that of the preset where none is given.
    given : str or None
        The value of --name.

    Returns
    -------
    str

    Raises
    ------
    UserError
        Where it cannot be the name of a preset.
    """
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


def check_source(path: Path) -> None:
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


def check_free(path: Path, target: Path, preset: Path, force: bool) -> None:
    """Refuses to lose something: a file of texts, edits of params.yaml, a preset.

    Parameters
    ----------
    path : Path
        The file of texts.
    target : Path
        Where it is copied to.
    preset : Path
        The preset to write. One that `start` did not write is never replaced.
    force : bool
        Whether everything else may be replaced.

    Raises
    ------
    UserError
        Naming what stands there.
    """
    if preset.exists() and not "".join(merging.header(presets.read(preset))[:1]).endswith(draft.MARK):
        raise UserError(
            f"{preset}: must be free or of python -m nolabels.start, found another preset; --name gives a new name"
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


def copy_whole(path: Path, target: Path) -> None:
    """Copies a file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    target : Path
        Where to; nothing is done where the same file stands there already.
    """
    if target.exists() and filecmp.cmp(path, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(path, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
