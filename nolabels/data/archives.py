"""Files out of zip and tar archives, also nested ones; nothing is written outside the given folder."""

import bz2
import errno
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from nolabels.core.stage import UserError

UNPACKED = 2 << 30  # bytes of an archive's files; the index's packages and what parts make are far smaller
COMPRESSED: dict[bytes, Callable[[BinaryIO], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
# what broken archives raise, encrypted ones, those of an unknown compression and members without a name too
BROKEN = (
    EOFError, IndexError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
    lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def unpack(label: str, archive: Path, path: Sequence[str], name: str, out: Path) -> set[str]:
    """Writes the files at a path inside an archive into a folder.

    Only regular files below the path are written, so links and "../" lead nowhere.

    Parameters
    ----------
    label : str
        How messages name the archive.
    archive : Path
        The archive.
    path : sequence of str
        Names from the outermost archive inwards; the last is a file or a folder.
    name : str
        The asset's key in params.yaml, for messages.
    out : Path
        The folder.

    Returns
    -------
    set of str
        The names of the files in `out`.

    Raises
    ------
    UserError
        Where there is no such file or folder, or the archive is broken, or unpacks to more than UNPACKED bytes.
    """
    inner, *deeper = path
    if not deeper:
        return _extract(label, archive, inner, name, out)
    with tempfile.TemporaryDirectory() as folder:
        _extract(label, archive, inner, name, Path(folder))
        nested = only_file(Path(folder), f"{name}.path: {inner} must be one archive")
        return unpack(inner, nested, deeper, name, out)


def only_file(folder: Path, rule: str) -> Path:
    """The one file of a folder.

    Parameters
    ----------
    folder : Path
        The folder, looked through with all folders in it.
    rule : str
        How the message begins: the key of params.yaml and what it must name.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        Where there are several.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) > 1:
        raise UserError(f"params.yaml: {rule}, found {len(files)} files")
    return files[0]


def _extract(label: str, archive: Path, inner: str, name: str, out: Path) -> set[str]:
    """unpack for one archive; inner: the path in it."""
    wanted, names = PurePosixPath(inner), set()
    try:
        for member, opened in _members(archive):
            path = PurePosixPath(member)
            if ".." in path.parts or not path.is_relative_to(wanted):
                continue
            target = Path(out, path.name if path == wanted else path.relative_to(wanted))
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            names.add(target.relative_to(out).as_posix())
            if path == wanted:
                break
    except TooLarge as error:
        raise UserError(f"{name}: {label} must unpack to at most {UNPACKED} bytes, found more") from error
    except BROKEN as error:
        # other numbers are the disk's; EINVAL is a position before the file's start, which a broken archive names
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{name}: {label} must be a whole zip or tar archive ({error})") from error
    if not names:
        raise UserError(f"params.yaml: {name}.path: must name a file or folder of {label}, found {inner!r}")
    return names


def _members(path: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
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
        with tarfile.open(
            fileobj=cast(IO[bytes], Bounded(opener(file) if opener else file)), mode="r:"
        ) as archive:
            size = 0
            for member in archive:
                if member.isfile():
                    size += member.size  # a sparse file is larger than what stands in the archive
                    if size > UNPACKED:
                        raise TooLarge
                    yield member.name, cast(Callable[[], IO[bytes]], partial(archive.extractfile, member))


class TooLarge(Exception):
    """An archive unpacks to more than UNPACKED bytes."""


class Bounded:
    """A file whose first UNPACKED bytes can be read. Raises TooLarge behind them."""

    def __init__(self, file: BinaryIO | BufferedIOBase) -> None:
        self.file = file
        self.tell = file.tell

    def seek(self, position: int) -> int:
        """As of a file."""
        if position > UNPACKED:
            raise TooLarge
        return self.file.seek(position)

    def read(self, count: int) -> bytes:
        """As of a file."""
        if self.tell() + count > UNPACKED:
            raise TooLarge
        return self.file.read(count)
