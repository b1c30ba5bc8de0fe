"""How several class names stand in one value: of a csv, of an answer file, of a gold column."""

from collections.abc import Iterable

SEPARATOR = ";"
NONE = "(none)"  # none of the classes holds, which is an answer; no value is no answer


def join(names: Iterable[str]) -> str:
    """Class names of one text as one value."""
    return f"{SEPARATOR} ".join(names) or NONE


def parse(value: str, multi_label: bool) -> tuple[str, ...]:
    """A value as class names; the inverse of join.

    Parameters
    ----------
    value : str
        One name, or with multi_label several with SEPARATOR between them, or NONE.
    multi_label : bool
        Whether the value may hold more than one name, or none.

    Returns
    -------
    tuple of str
        The names in their order.
    """
    if not multi_label:
        return (value,)
    if value.strip() == NONE:
        return ()
    return tuple(part.strip() for part in value.split(SEPARATOR))
