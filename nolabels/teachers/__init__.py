"""Who labels: one module for each kind of teacher, where they run, the store of their answers.

May import data and core.

kinds: where a kind of teacher is added; likelihood, entailment, similarity, endpoint: the kinds; asking: questions and
answers; store, store_folders: where answers are kept; engines: where teachers run.
"""
