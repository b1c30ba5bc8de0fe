"""Charts as SVG that stands inside a page: its colours are the page's, its text is text.

Drawn with matplotlib; equal figures give equal bytes.
"""

import io
import re

# what a chart is drawn with, and what the page then puts in its place
COLOURS = {
    "ink": "#010203",
    "teacher": "#010204",
    "assistant": "#010208",
    "student": "#010205",
    "onnx": "#010206",
    "baseline": "#010207",
}
SIZE = (5.2, 3.6)


def chart(name, label, draw, size=SIZE):
    """draw(axes) -> the SVG of one chart as text.

    name: a word that no other chart of the page has; label: what a screen reader says.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    ink = COLOURS["ink"]
    style = {
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
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return inlined(written.getvalue(), name, label)


def inlined(text, name, label):
    """An SVG file -> an element whose ids begin with name, in the page's colours and letters."""
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


def accuracies(rows):
    """rows: (title, role, accuracy, low, high), the first on top."""

    def draw(axes):
        for place, (_, role, accuracy, low, high) in enumerate(reversed(rows)):
            colour = COLOURS[role]
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot([accuracy], [place], "o", color=colour, markersize=7)
        axes.set_yticks(range(len(rows)), [title for title, *_ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("accuracy, with its 95 % interval")
        axes.grid(axis="x", alpha=0.25)

    return chart(
        "accuracy",
        "Accuracy of each model with its interval; the table below has the figures",
        draw,
        (6.4, 0.9 + 0.5 * len(rows)),
    )


def calibration(curves):
    """curves: {role: rows of confidence, accuracy, low, high}."""

    def draw(axes):
        axes.axline((1, 1), slope=1, color=COLOURS["ink"], alpha=0.4, linestyle=":")
        for role, rows in curves.items():
            sure, right = ([row[name] for row in rows] for name in ("confidence", "accuracy"))
            spans = [
                [max(0, row["accuracy"] - row["low"]) for row in rows],
                [max(0, row["high"] - row["accuracy"]) for row in rows],
            ]
            axes.errorbar(sure, right, spans, marker="o", capsize=2, color=COLOURS[role], label=role)
        axes.set(xlabel="how sure the answers are", ylabel="share that is right")

    return chart(
        "calibration", "How often answers are right, by how sure they are, for teacher and student", draw
    )


def coverage(rows, roles):
    """rows: coverage and one accuracy a role."""

    def draw(axes):
        for role in roles:
            axes.plot(
                [row["coverage"] for row in rows],
                [row[role] for row in rows],
                color=COLOURS[role],
                label=role,
            )
        axes.set(xlabel="share of the texts, the surest first", ylabel="accuracy on them")
        axes.grid(alpha=0.25)

    return chart("coverage", "Accuracy on the surest part of the texts, for teacher and student", draw)


def confidence(rows, roles):
    """rows: the middle of a bin and one count a role."""

    def draw(axes):
        middles = [row["confidence"] for row in rows]
        for role in roles:
            axes.step(middles, [row[role] for row in rows], where="mid", color=COLOURS[role], label=role)
        axes.set(xlabel="how sure the answer is", ylabel="texts")
        axes.set_ylim(bottom=0)

    return chart("confidence", "How many texts are answered how surely, for teacher and student", draw)


def training(rows):
    """rows: step, and loss or valid_loss or None."""

    def draw(axes):
        for name, colour, title in (
            ("loss", "student", "on what it learns"),
            ("valid_loss", "teacher", "on other labels"),
        ):
            found = [(row["step"], row[name]) for row in rows if row[name] is not None]
            if found:
                axes.plot(*zip(*found, strict=True), color=COLOURS[colour], label=title)
        axes.set(xlabel="step", ylabel="loss")

    return chart("training", "The student's loss by step", draw)
