"""The lines that `label` prints."""

from collections.abc import Mapping
from pathlib import Path

from nolabels.core import models
from nolabels.core.params import Params
from nolabels.core.tables import about
from nolabels.labeling.panel import Panel
from nolabels.labeling.shares import describe_guess


def precision_note(paths: Mapping[tuple[str, str], Path], values: Params) -> str | None:
    """A note where scores were made in another precision than `auto` means here, as they may be from DVC's cache.

    The precision asked for and the device are read for this note alone and change no result.

    Parameters
    ----------
    paths : mapping
        {(teacher, part): table of scores}.
    values : Params

    Returns
    -------
    str or None
        None where all scores have the precision of this machine.
    """
    here = None
    others = []
    for (name, part), path in paths.items():
        score = values.score[name]
        if score.kind == "endpoint" or score.precision != "auto":
            continue
        here = here or models.pick_precision("auto", models.pick_device(values.runtime.device))
        made = about(path)["model"]["precision"]
        others += [f"{name}, {part} ({made})"] if made != here else []
    if not others:
        return None
    return (
        f"label: note: this machine would ask in {here}, and takes over scores made in another precision: "
        f"{'; '.join(others)}"
    )


def label_lines(panel: Panel, metrics: dict, texts: int, values: Params) -> list[str]:
    """What is not known of the calibration prior and of the reject threshold, and the shares of the classes.

    Parameters
    ----------
    panel : Panel
        The calibrated teachers.
    metrics : dict
        See label_metrics.label_metrics.
    texts : int
        Number of labeled texts.
    values : Params

    Returns
    -------
    list of str
    """
    lines = []
    if panel.guess is not None:
        lines.append(f"label: {describe_guess(panel.guess, values.task.names)}")
    if values.task.reject is not None and panel.final_fit.reject is None:
        lines.append(
            "label: the pool's scores form no two clusters: no text is taken for none of the classes"
        )
    before, after = (_list_shares(metrics["shares"][when]) for when in ("before", "after"))
    return [*lines, f"label: {texts} texts; shares before calibration {before}; after {after}"]


def _list_shares(shares: dict[str, float]) -> str:
    """The shares of the first five classes."""
    return ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:5])
