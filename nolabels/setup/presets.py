"""Presets: params.yaml as it was shipped, with the values that differ for another task laid over it.

A preset (presets/NAME.yaml) has the form of params.yaml; merging.py says how the two are merged.

presets/shipped holds the id that Git gives to the content of the shipped params.yaml. A preset is always laid over
that content, never over another preset or an edit.
"""

from contextlib import suppress
from pathlib import Path

import yaml

from nolabels.core import params
from nolabels.core.git import git
from nolabels.core.stage import UserError
from nolabels.setup.merging import lay

FOLDER, SHIPPED = Path("presets"), Path("presets/shipped")
DEFAULT = "default"  # the name of no preset at all


def names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def shipped() -> str:
    """The text of params.yaml as it was shipped. Raises UserError where Git does not hold it."""
    name = SHIPPED.read_text(encoding="utf-8").strip()
    try:
        return git("cat-file", "blob", name)
    except UserError as error:
        raise UserError(
            f"{SHIPPED}: must be the id of a params.yaml that Git holds, found {name} ({error}); git fetch "
            f"--unshallow may bring it, git hash-object -w params.yaml > {SHIPPED} takes the present file instead"
        ) from error


def _laid_over(base: str, name: str) -> str:
    """`lay` for the preset of a name. base: the text of the shipped params.yaml."""
    path = FOLDER / f"{name}.yaml"
    return lay(base, read(path), path)


def read(path: Path) -> str:
    """The text of a file. Raises UserError where it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: must be UTF-8 text ({error})") from error


def text_of(name: str) -> str:
    """params.yaml as a preset makes it, checked whole. Raises UserError where there is none, or it is not valid."""
    if name == DEFAULT:
        return shipped()
    if name not in names():
        raise UserError(f"{FOLDER}: must hold {name}.yaml, found {', '.join([DEFAULT, *names()])}")
    text = _laid_over(shipped(), name)
    params.check(yaml.safe_load(text), FOLDER / f"{name}.yaml")
    return text


def params_of(name: str) -> params.Params:
    """The Params of a preset. Raises as text_of."""
    return params.Params.model_validate(yaml.safe_load(text_of(name)))


def is_edited(text: str) -> bool:
    """Whether params.yaml (its text) is neither as shipped nor as a preset makes it."""
    base = shipped()
    if text == base:
        return False
    for name in names():
        with suppress(UserError):  # a broken preset has made nothing
            if text == _laid_over(base, name):
                return False
    return True


def write(path: Path, text: str) -> None:
    """Writes a text file whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    text : str
        What it holds.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
