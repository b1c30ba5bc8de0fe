"""Teachers: whatever their kind, they turn texts into arrays of scores.

A kind is one module with one subclass of Teacher; `load` below names it. Nothing here imports torch:
what a kind needs is imported with its module.
"""

from nolabels.teachers.teacher import Reading

# raised when a kind's scores change for the same question: its old answers are then not taken for new
REVISION = {"likelihood": 3, "entailment": 2, "similarity": 3, "endpoint": 1}
# texts to a part of the answer store: what a killed run loses at most (a served teacher is slow, and
# its answers may cost money)
PART_TEXTS = {"likelihood": 128, "entailment": 128, "similarity": 128, "endpoint": 16}


def load(score, folder, *, device, precision, served, descriptions):
    """The teacher that `score` (params.Score) describes, from the model in `folder`.

    served: params.Served (how a served teacher is asked) or None; descriptions: {class words:
    description}. Raises UserError where the model is not of the stated kind.
    """
    reading = Reading(score.max_tokens, score.stride if score.long_text == "chunk" else None)
    if score.kind == "endpoint":
        from nolabels.teachers.endpoint import Endpoint

        return Endpoint(folder, served=served, reading=reading)
    place = {"device": device, "precision": precision, "reading": reading}
    if score.kind == "entailment":
        from nolabels.teachers.entailment import Entailment

        return Entailment(folder, **place)
    if score.kind == "similarity":
        from nolabels.teachers.similarity import Similarity

        return Similarity(folder, descriptions=descriptions, **place)
    from nolabels.teachers.likelihood import Likelihood

    return Likelihood(folder, **place)
