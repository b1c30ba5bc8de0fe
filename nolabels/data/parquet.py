"""Parquet files of a user: batches of the wanted columns, and values that are no Unicode named by their row."""

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nolabels.core.stage import UserError
from nolabels.data.gold import gold_text
from nolabels.data.lines import STANDARD_INPUT, check_columns, open_bytes, shown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 8192


@contextmanager
def open_parquet(path: Path, wanted: Sequence[str]) -> Iterator["pq.ParquetFile"]:
    """A parquet file for reading, which has each wanted column once.

    Parquet is read from its end, so gzip data and standard input are copied to a file first.

    Parameters
    ----------
    path : Path
        The file, or standard input.
    wanted : sequence of str
        Columns that it must have.

    Yields
    ------
    pq.ParquetFile

    Raises
    ------
    UserError
        Where a column is missing, or stands twice.
    """
    import pyarrow.parquet as pq

    with tempfile.NamedTemporaryFile() as plain:
        source: Path | str = path
        if path.suffix == ".gz" or path == STANDARD_INPUT:
            with open_bytes(path) as file:
                shutil.copyfileobj(file, plain)
            plain.flush()
            source = plain.name  # not the file object: pyarrow's threads would read it as Python
        file = pq.ParquetFile(source)
        check_columns(path, file.schema_arrow.names, wanted)
        yield file


def read_parquet(path: Path, wanted: Sequence[str], columns: None) -> Iterator[tuple]:
    """The rows of some columns; the others are not read.

    Parameters
    ----------
    path : Path
        The file, which may be gzipped.
    wanted : sequence of str
        The column of the texts, and further ones whose values are given as text (see gold_text).
    columns : None
        Parquet names its columns itself.

    Yields
    ------
    tuple
        Row, text or None, and the values of the further columns.

    Raises
    ------
    UserError
        Naming file and row, where the file is not whole.
    """
    import pyarrow as pa

    row = 0
    try:
        with open_parquet(path, wanted) as file:
            _check_text_type(path, wanted[0], file.schema_arrow.field(wanted[0]).type)
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                values = [column_values(path, row, name, batch.column(name)) for name in wanted]
                for text, *rest in zip(*values, strict=True):
                    row += 1
                    gold = zip(wanted[1:], rest, strict=True)
                    yield row, text, *(gold_text(path, row, name, value) for name, value in gold)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: row 1: not readable gzip data ({error})") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: names of columns
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: row {row + 1}: not a readable parquet file ({message})") from error


def _check_text_type(path: Path, column: str, kind: "pa.DataType") -> None:
    """Refuses a parquet column that holds no text. kind: its Arrow type."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise UserError(f"{path}: row 1: {column} must be text, found {kind}")


def column_values(path: Path, row: int, name: str, column: "pa.Array") -> list:
    """A column of parquet as Python values.

    Parameters
    ----------
    path : Path
        The file, for messages.
    row : int
        How many rows were read before.
    name : str
        The column's name, for messages.
    column : pa.Array
        N values.

    Returns
    -------
    list
        N values.

    Raises
    ------
    UserError
        Where a text is no UTF-8.
    """
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        for value in column:
            row += 1
            try:
                value.as_py()
            except UnicodeDecodeError as wrong:
                culprit = f"byte 0x{wrong.object[wrong.start]:02x}"
                raise UserError(f"{path}: row {row}: {name} must be UTF-8, found {culprit}") from error
        raise
