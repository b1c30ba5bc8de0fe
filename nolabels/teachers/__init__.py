"""Who labels: one module for each kind of teacher, where they run, the store of their answers.

May import data and core.
"""
