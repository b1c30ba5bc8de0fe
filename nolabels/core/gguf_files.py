"""Models in one GGUF file, llama.cpp's format: which file it is, and reading it once."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nolabels.core.stage import UserError


def gguf_file(folder: Path) -> str | None:
    """The name of the folder's one GGUF file, or None. Raises UserError where there are several."""
    names = sorted(path.name for path in Path(folder).glob("*.gguf"))
    if len(names) > 1:
        raise UserError(f"{folder}: must hold one GGUF file, found {', '.join(names)}")
    return names[0] if names else None


@contextmanager
def read_once() -> Iterator[None]:
    """Context manager: within it, transformers reads a GGUF file once.

    Otherwise it reads all fields of the file three times, for the tokenizer, the configuration and the weights, and makes
    the same table of the names of tensors once for each module: half of the time that loading the default's
    language model takes.
    """
    import gguf

    reader, table = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = functools.cache(reader), functools.cache(table)  # type: ignore
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, table  # type: ignore
