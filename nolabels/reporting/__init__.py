"""What people read: figures with their uncertainty, charts, the templates of page and model card.

May import every other package but setup.

metrics: what evaluate writes; charts; page, page_tables, sentences: the page; card; changes: since a revision; shift: drift.
"""
