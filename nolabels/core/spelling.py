"""How several class names stand in one value: of a csv, of an answer file, of a gold column."""

SEPARATOR = ";"
NONE = "(none)"  # none of the classes holds, which is an answer; no value is no answer


def join(names):
    """Class names of one text as one value."""
    return f"{SEPARATOR} ".join(names) or NONE


def parse(value, several):
    """A value as a tuple of class names; several: whether it may hold more than one, or none."""
    if not several:
        return (value,)
    if value.strip() == NONE:
        return ()
    return tuple(part.strip() for part in value.split(SEPARATOR))
