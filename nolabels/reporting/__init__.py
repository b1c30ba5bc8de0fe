"""What people read: figures with their uncertainty, charts, the templates of page and model card.

May import every other package but setup.
"""
