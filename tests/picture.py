"""docs/page.svg: the head of the report page as a picture, from the page itself.

Its title, its verdict, the table of models and two of its charts, in the page's light colours, laid out anew: a picture of
a browser would need one.

usage: python -m tests.picture [reports/index.html]     writes it; after `dvc repro`
"""

import html
import re
import sys
import textwrap
from pathlib import Path

PAGE, PICTURE = Path("reports/index.html"), Path("docs/page.svg")
WIDTH, MARGIN = 1000, 40
COLUMNS = ("model", "accuracy", "95 % interval", "calibration error", "megabytes")
ENDS = (MARGIN, 430, 610, 790, 960)  # where the columns of the table begin (the first) or end


def colours(page):
    """{name: #rrggbb} of the page's light scheme, and `currentColor`."""
    found = dict(re.findall(r"--([\w-]+): (#\w+)", re.search(r":root \{(.*?)\}", page, flags=re.S)[1]))
    return found | {"currentColor": found["ink"]}


def chart(page, name, place, width):
    """The chart whose ids begin with a name, at a place and as wide as given; and where it ends."""
    svg = next(one for one in re.findall(r"<svg .*?</svg>", page, flags=re.S) if f'id="{name}-' in one)
    box = [float(number) for number in re.search(r'viewBox="([^"]+)"', svg)[1].split()]
    height = width * box[3] / box[2]
    where = f'x="{place[0]}" y="{place[1]}" width="{width}" height="{height:.0f}"'
    return svg.replace("<svg ", f"<svg {where} ", 1), place[1] + height


def table(page):
    """Rows of the table of models, cells by the titles of its columns."""
    text = re.search(r'aria-label="Figures of each model">(.*?)</table>', page, flags=re.S)[1]
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S)
        for row in re.findall(r"<tr>(.*?)</tr>", text, flags=re.S)
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def words(text, place, size=16, weight=400, anchor="start", colour="ink"):
    """A line of text; text as HTML has it."""
    content = html.escape(html.unescape(text), quote=False)
    return (
        f'<text x="{place[0]}" y="{place[1]:.0f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="var(--{colour})">{content}</text>'
    )


def drawn(page):
    """The picture, of the text of a page that has figures."""
    title, verdict = (re.search(form, page)[1] for form in (r"<h1>(.*?)</h1>", r'<p class="lead">(.*?)</p>'))
    parts = [words(title, (MARGIN, 62), 27, 700)]
    y = 98
    for line in textwrap.wrap(html.unescape(verdict), 100):
        parts.append(words(html.escape(line), (MARGIN, y), 18))
        y += 26
    first, left = chart(page, "accuracy", (MARGIN, y), 500)
    second, right = chart(page, "calibration", (MARGIN + 520, y + 10), 400)
    y = max(left, right) + 40
    for number, row in enumerate([{name: name for name in COLUMNS}, *table(page)]):
        for name, end in zip(COLUMNS, ENDS, strict=True):
            anchor = "start" if name == COLUMNS[0] else "end"
            parts.append(words(row[name], (end, y), 15, 400 if number else 600, anchor))
        parts.append(f'<path d="M{MARGIN} {y + 9:.0f}H{WIDTH - MARGIN}" stroke="var(--line)"/>')
        y += 30
    height = round(y)
    text = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, DejaVu Sans, sans-serif">',
            f"<title>{title}</title>",
            f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8" fill="var(--ground)" stroke="var(--line)"/>',
            *parts,
            first,
            second,
            "</svg>\n",
        ]
    )
    for name, colour in colours(page).items():
        text = text.replace(f"var(--{name})" if name != "currentColor" else name, colour)
    return text


def main(argv):
    path = Path(argv[0]) if argv else PAGE
    PICTURE.write_text(drawn(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
