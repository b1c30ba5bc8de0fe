"""The charts of the page as inline SVG: its colours are the page's, its text is text.

Drawn with matplotlib; equal figures give equal bytes.
"""

import io
import re
from collections.abc import Callable
from typing import Any

# colours to draw with, which the page then replaces by its own
COLOURS = {
    "ink": "#010203",
    "teacher": "#010204",
    "assistant": "#010208",
    "student": "#010205",
    "onnx": "#010206",
    "baseline": "#010207",
}
SIZE = (5.2, 3.6)  # inches


def accuracy_chart(rows: list[tuple[str, str, float, float, float]]) -> str:
    """Accuracies with their intervals, the first row on top; rows: (title, model, accuracy, low, high)."""

    def draw(axes):
        for height, (_, model, accuracy, low, high) in enumerate(reversed(rows)):
            colour = COLOURS[model]
            axes.plot([low, high], [height, height], color=colour, linewidth=2)
            axes.plot([accuracy], [height], "o", color=colour, markersize=7)
        axes.set_yticks(range(len(rows)), [title for title, *_ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("accuracy and its 95 % interval")
        axes.grid(axis="x", alpha=0.25)

    return _svg(
        "accuracy",
        "Accuracy of each model with its confidence interval; the table below has the figures",
        draw,
        (6.4, 0.9 + 0.5 * len(rows)),
    )


def calibration_chart(curves: dict[str, list[dict]]) -> str:
    """Accuracy by confidence; curves: {model: rows of confidence, accuracy, low, high}."""

    def draw(axes):
        axes.axline((1, 1), slope=1, color=COLOURS["ink"], alpha=0.4, linestyle=":")
        for model, rows in curves.items():
            confidence, accuracy = ([row[name] for row in rows] for name in ("confidence", "accuracy"))
            spans = [
                [max(0, row["accuracy"] - row["low"]) for row in rows],
                [max(0, row["high"] - row["accuracy"]) for row in rows],
            ]
            axes.errorbar(
                confidence, accuracy, spans, marker="o", capsize=2, color=COLOURS[model], label=model
            )
        axes.set(xlabel="confidence", ylabel="accuracy")

    return _svg("calibration", "Accuracy by confidence, for teacher and student", draw)


def coverage_chart(rows: list[dict], models: list[str]) -> str:
    """Accuracy of the most confident answers.

    Parameters
    ----------
    rows : list of dict
        `coverage`, a share of the answers, and the accuracy on it by model; all in 0..1.
    models : list of str
        The models to draw.

    Returns
    -------
    str
        An svg element.
    """

    def draw(axes):
        shares = [row["coverage"] for row in rows]
        for model in models:
            axes.plot(shares, [row[model] for row in rows], color=COLOURS[model], label=model)
        axes.set(xlabel="share of the answers that is kept, most confident first", ylabel="accuracy")
        axes.grid(alpha=0.25)

    return _svg("coverage", "Accuracy of the most confident answers, for teacher and student", draw)


def confidence_chart(rows: list[dict], models: list[str]) -> str:
    """Histogram of the confidence.

    Parameters
    ----------
    rows : list of dict
        `confidence`, the middle of a bin, and the number of answers in it by model.
    models : list of str
        Those to draw.

    Returns
    -------
    str
        The chart as an svg element.
    """

    def draw(axes):
        middles = [row["confidence"] for row in rows]
        for model in models:
            axes.step(middles, [row[model] for row in rows], where="mid", color=COLOURS[model], label=model)
        axes.set(xlabel="confidence", ylabel="number of answers")
        axes.set_ylim(bottom=0)

    return _svg("confidence", "Distribution of the confidence, for teacher and student", draw)


def training_chart(rows: list[dict]) -> str:
    """The loss by training step; rows: `step`, and `loss` or `valid_loss`, else None."""

    def draw(axes):
        for name, model, title in (
            ("loss", "student", "training texts"),
            ("valid_loss", "teacher", "validation texts"),
        ):
            points = [(row["step"], row[name]) for row in rows if row[name] is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=COLOURS[model], label=title)
        axes.set(xlabel="training step", ylabel="loss")

    return _svg("training", "The student's loss by training step", draw)


def _svg(name: str, label: str, draw: Callable, size: tuple[float, float] = SIZE) -> str:
    """The svg element of what draw(axes) draws.

    name: a word that no other chart of the page has; label: what a screen reader says.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    ink = COLOURS["ink"]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink
        ),
    }
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        draw(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return _inline(file.getvalue(), name, label)


def _inline(text: str, name: str, label: str) -> str:
    """An SVG file as an element whose ids begin with `name`, in the page's colours and fonts."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(
        r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{label}">',
        text,
        flags=re.S,
    )
    text = text.replace('id="', f'id="{name}-').replace("url(#", f"url(#{name}-")
    text = text.replace('xlink:href="#', f'href="#{name}-')
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    for role, colour in COLOURS.items():
        text = text.replace(colour, "currentColor" if role == "ink" else f"var(--{role})")
    return text.strip()
