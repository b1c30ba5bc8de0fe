"""Which columns of a file hold the texts, and answers of people."""

from nolabels.core.stage import UserError
from nolabels.data.lines import check_columns, shown

CLOSE = 2 / 3  # a column whose texts are at least this part as long as the longest may be meant too


def lengths(head):
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


def text_column(path, head, gold, choose):
    """The column that holds the texts, and why in a few words.

    gold: the column with answers, which is none with texts, or None; choose: asks the person for one of the columns
    that it is given, and returns it, or None where nobody can be asked. Raises UserError where there is none.
    """
    means = {name: mean for name, mean in lengths(head).items() if name != gold}
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


def check_column(path, head, name):
    """Raises UserError where a file has no such column, or several."""
    if head.form == "txt":
        raise UserError(f"{path}: must have columns for --text and --gold, found txt, one text a line")
    check_columns(path, list(head.values), [name])


def answer_columns(head, classes, text):
    """The columns whose values are class names, two at least, and nothing else: answers of people, it seems."""
    found = []
    for name, column in head.values.items():
        given = {value for value in column if value}
        if name != text and len(given) > 1 and given <= set(classes):
            found.append(name)
    return found
