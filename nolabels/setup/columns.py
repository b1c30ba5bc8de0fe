"""Which columns of a file hold the texts, and answers of people."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nolabels.core.stage import UserError
from nolabels.data.lines import check_columns, shown
from nolabels.setup.head import Head

CLOSE = 2 / 3  # a column whose texts are at least this part as long as the longest may be meant too


def _mean_lengths(head: Head) -> dict[str, float]:
    """{column: mean letters of its values} of the columns with texts, the longest first.

    Columns of single words (numbers, addresses, keys) are left out, unless there are no others.
    """
    means, prose = {}, []
    for name in head.texts:
        given = [value for value in head.values[name] if value and value.strip()]
        if given:
            means[name] = sum(map(len, given)) / len(given)
            spaced = [value for value in given if " " in value.strip() or not value.isascii()]
            prose += [name] if 2 * len(spaced) >= len(given) else []
    return dict(sorted(((name, means[name]) for name in prose or means), key=lambda item: -item[1]))


def text_column(
    path: Path, head: Head, gold: str | None, choose: Callable[[list[str]], str | None]
) -> tuple[str, str]:
    """The column that holds the texts: the longest on average.

    Parameters
    ----------
    path : Path
        The file, for messages.
    head : Head
        Its first rows.
    gold : str or None
        The column with answers, which holds no texts.
    choose : callable
        Asks the person for one of the columns that it is given, and returns it, or None where nobody can be asked.

    Returns
    -------
    tuple of (str, str)
        The column, and the reason in a few words.

    Raises
    ------
    UserError
        Where no column holds texts.
    """
    means = {name: mean for name, mean in _mean_lengths(head).items() if name != gold}
    if not means:
        raise UserError(
            f"{path}: row 1: must have a column of texts, found {shown(', '.join(head.values)) or 'none'}"
        )
    first, *others = means
    if len(head.values) == 1:
        return first, "the only column"
    close = [name for name in others if means[name] >= CLOSE * means[first]]
    picked = choose([first, *close]) if close else None
    if picked is not None:
        return picked, "as you said"
    why = f"the longest on average, {means[first]:.0f} letters"
    if close:
        near = ", ".join(f"{name} with {means[name]:.0f}" for name in close)
        why += f"; but {shown(near)}: --text chooses another"
    return first, why


def check_column(path: Path, head: Head, name: str) -> None:
    """Refuses a column that a file does not have, or has several times.

    Parameters
    ----------
    path : Path
        The file, for messages.
    head : Head
        What its first rows hold.
    name : str
        The column.

    Raises
    ------
    UserError
    """
    if head.form == "txt":
        raise UserError(f"{path}: must have columns for --text and --gold, found txt, one text a line")
    check_columns(path, list(head.values), [name])


def answer_columns(head: Head, classes: Sequence[str], text: str | None) -> list[str]:
    """The columns that seem to hold answers of people: two class names at least, and nothing else.

    Parameters
    ----------
    head : Head
        The first rows of a file.
    classes : sequence of str
        Names of the classes.
    text : str or None
        The column of the texts, which holds no answers.

    Returns
    -------
    list of str
    """
    columns = []
    for name, column in head.values.items():
        given = {value for value in column if value}
        if name != text and len(given) > 1 and given <= set(classes):
            columns.append(name)
    return columns
