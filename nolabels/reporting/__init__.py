"""What people read: figures with their uncertainty, charts, the templates of page and model card.

May import every other package but setup.

    statistics             figures of a model: accuracy, F1, calibration error (a metric is added here)
    comparison, metrics    answers beside gold; metrics/dev.json and test.json put together
    summary                the lines in the terminal
    curves                 the csv files in plots/
    charts                 the SVGs on the page (a chart is added here)
    page, page_tables      what index.html gets
    sentences              sentences of the page
    card                   the model card
    changes, shift         since a revision; drift
"""
