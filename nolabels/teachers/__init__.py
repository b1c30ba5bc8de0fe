"""Who labels: one module for each kind of teacher, where they run, the store of their answers.

May import data, onnx and core.

    kinds                  where a kind of teacher is added
    teacher, local_teacher  base classes of the kinds
    likelihood, entailment, similarity, endpoint    the kinds
    pairs                  two texts as one input of a model
    asking                 questions and answers
    store                  what an answer is filed under, and its parts
    store_folders          where parts are kept: a disk or an fsspec address (another place is added here)
    engines                where teachers run
"""
