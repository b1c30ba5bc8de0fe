"""Lines of a text file, plain or gzipped, in bounded memory, and what every reader of a file checks.

A row's number is the line on which it starts (what an editor shows), from 1.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from io import BufferedIOBase
from pathlib import Path

from nolabels.core.stage import UserError

LONGEST_LINE = 1 << 26  # bytes; a file without line ends must not fill the memory
SHOWN = 120  # characters of a value in a message
STANDARD_INPUT = Path("/dev/stdin")
# how files begin that are often taken for text
MAGIC = {
    b"PAR1": "a parquet file",
    b"\x1f\x8b": "gzip data; its name must end in .gz",
    b"PK\x03\x04": "a zip archive or an office document",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"%PDF": "a PDF",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
}


def shown(value: str) -> str:
    """A value as a message shows it: on one line, at most SHOWN characters."""
    value = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value[: SHOWN + 1]
    )
    return value if len(value) <= SHOWN else value[:SHOWN] + "…"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (row, line with its end); bytes that are no UTF-8 become lone surrogates.

    Raises UserError where the file is empty, no text, no readable gzip data, or a line is LONGEST_LINE bytes long.
    """
    row = 0
    try:
        with open_bytes(path) as file:
            for line in iter(partial(file.readline, LONGEST_LINE), b""):
                row += 1
                if row == 1:
                    _check_magic(path, line)
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) == LONGEST_LINE:
                    raise UserError(
                        f"{path}: row {row}: must be a line of less than {LONGEST_LINE >> 20} MiB"
                    )
                yield row, line.decode("utf-8", "surrogateescape")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: row {row + 1}: not readable gzip data ({error})") from error
    if row == 0:
        raise UserError(f"{path}: row 1: must hold texts, found an empty file")


def stripped(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines without their ends, LF or CRLF."""
    return ((row, line.removesuffix("\n").removesuffix("\r")) for row, line in lines)


def open_bytes(path: Path) -> BufferedIOBase:
    """A file for reading, unpacked where it is gzipped."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _check_magic(path: Path, start: bytes) -> None:
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            raise UserError(f"{path}: row 1: must be UTF-8 text as sample.format says, found {kind}")


def check_unicode(path: Path | str, row: int, column: str | None, value: str) -> None:
    """Refuses text that is no Unicode: read_lines makes lone surrogates of bytes that are no UTF-8, and JSON may
    hold such ones as escapes.

    Parameters
    ----------
    path : Path or str
        The file, for the message.
    row : int
        The row, for the message.
    column : str or None
        The column, for the message; None for a file without columns.
    value : str
        The text.

    Raises
    ------
    UserError
        Where the text holds a lone surrogate.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        culprit = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x} alone"
        raise UserError(
            f"{path}: row {row}: {column or 'the line'} must be UTF-8, found {culprit}"
        ) from error


def check_columns(path: Path, names: Sequence[str], wanted: Iterable[str]) -> None:
    """Refuses a file that has not each wanted column once.

    Parameters
    ----------
    path : Path
        The file, for the message.
    names : sequence of str
        Its columns.
    wanted : iterable of str
        The columns that it must have.

    Raises
    ------
    UserError
        Where one is missing, or there are several of its name.
    """
    for name in wanted:
        if names.count(name) != 1:
            rule = "must have a column" if name not in names else "must have only one column"
            hint = "; is the delimiter another one?" if len(names) == 1 else ""
            raise UserError(f"{path}: row 1: {rule} {name!r}, found {shown(', '.join(names))}{hint}")


def describe_csv(message: str) -> str:
    """An error of the csv module as rule and finding."""
    if "unexpected end" in message or "field larger" in message:
        return "a quoted value must end with a quote, found none"
    if "expected after" in message:
        return "a quote inside a quoted value must be doubled, found a single one"
    if "new-line" in message:
        return "lines must end with LF or CRLF, found CR alone"
    return f"not a readable csv row ({message})"
