"""The page, its short form and the model card, rendered from their templates."""


def pages(context):
    """{name: text} of the three pages."""
    import jinja2

    found = {}
    for name in ("index.html", "report.md", "card.md"):
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("nolabels.reporting", "pages"),
            autoescape=name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=name.endswith(".html"),
        )
        found[name] = environment.get_template(name).render(context)
    return found
