"""Several teachers as one: what is fitted on the pool, without labels.

Each teacher's scores are calibrated by themselves (`fitting.fit`), and the answers of encoders are refined by groups
where that is judged to help. The answer of all is a product of their calibrated answers, in which the sure ones count
most (a product of experts: Hinton 2002), weighted by agreement and calibrated once more. One teacher alone stays as it is. What this brings stands in benchmarks/tasks.md.
"""

from dataclasses import dataclass, replace

import numpy as np

from nolabels.core.labels import decide
from nolabels.core.stage import UserError
from nolabels.labeling.agreement import equal_answers
from nolabels.labeling.calibration import agreement_weights, log_softmax
from nolabels.labeling.fitting import FIT_TEXTS, Fit, fit, to_probabilities, untouched
from nolabels.labeling.groups import Groups, find_groups
from nolabels.labeling.shares import Guess, settle

LEAST_GAIN = 0.01  # of the encoders' agreement: less is within what other texts would show


@dataclass(frozen=True)
class Voice:
    """One teacher, calibrated.

    calibrated: its Fit, of its raw scores or of those of the groups; templates: T weights; groups: what refines its
    answers, or None.
    """

    calibrated: Fit
    templates: np.ndarray
    groups: Groups | None = None

    def scores(self, said):
        """Said of N texts -> N x K calibrated scores (with several labels per text, log-odds of each class)."""
        if self.groups is None:
            return self.calibrated.scores(said.scores)
        if not len(said.scores):  # a table of no texts has no embeddings
            return np.zeros((0, said.scores.shape[2]))
        return self.calibrated.scores(self.groups.scores(said.embeddings)[:, None])


@dataclass(frozen=True)
class Panel:
    """All teachers.

    voices: {name: Voice}; weights: what the scores of each are multiplied by; shares: how much each counts in the
    sum, by weight and spread of its scores, sum 1;
    last: the Fit of their weighted mean, or None for one teacher, which is calibrated already; agreement: see
    equal_answers, of the encoders before and after refining, or None where there are not two; guess: of the shares of
    the classes, or None where label.prior is not auto.
    """

    voices: dict
    weights: np.ndarray
    shares: np.ndarray
    last: Fit | None = None
    agreement: tuple | None = None
    guess: Guess | None = None

    @property
    def fitted(self):
        """The last Fit on the way from scores to probabilities."""
        return self.last or next(iter(self.voices.values())).calibrated

    def probabilities(self, said, task):
        """{name: Said} of N texts -> N x L probabilities of the task's labels."""
        scores = [voice.scores(said[name]) for name, voice in self.voices.items()]
        if self.last is None:
            return to_probabilities(scores[0], task, self.fitted.reject)
        return self.last.probabilities(mean_of(scores, self.weights), task)

    def each(self, said, task):
        """{name: N x L bool}, what each teacher answers to N texts by itself."""
        return {
            name: decide(to_probabilities(voice.scores(said[name]), task, voice.calibrated.reject), task)
            for name, voice in self.voices.items()
        }


def mean_of(scores, weights):
    """J times N x K scores -> N x 1 x K, the weighted sum, as the scores of one template."""
    return np.einsum("jnk,j->nk", np.stack(scores), weights)[:, None]


def voice_of(fitted):
    """The Voice of the Fit of a teacher's raw scores."""
    return Voice(fitted, fitted.weights)


def fit_panel(said, values):
    """The Panel of {name: Said} of texts in random order; values: params.Params."""
    said = {name: some.take(slice(FIT_TEXTS)) for name, some in said.items()}
    values, guess = settle(said, values)
    voices = {name: voice_of(fit(some.scores, values)) for name, some in said.items()}
    sure = np.array([spread(voice.scores(said[name])) for name, voice in voices.items()])
    voices, agreement = refine(voices, said, values)
    if len(voices) == 1:
        return Panel(voices, np.ones(1), np.ones(1), None, agreement, guess)
    scores = [voice.scores(said[name]) for name, voice in voices.items()]
    weights = weigh(scores, [voice.calibrated for voice in voices.values()], values.label.weights)
    shares = weights * sure  # refined answers are surer than they should be: they count as they did before
    weights = shares / np.array([spread(one) for one in scores])
    last = fit(mean_of(scores, weights), values)
    return Panel(voices, weights, shares / shares.sum(), last, agreement, guess)


def spread(scores):
    """How far N x K calibrated scores lie apart: the surer a teacher, the further."""
    return max(float((scores - scores.mean(1, keepdims=True)).std()), 1e-9)


def weigh(scores, fits, how):
    """The weights of J teachers, sum 1; scores: J times N x K; how: label.weights.

    A teacher whose scores fall into no groups has no temperature, so nothing says how sure it is: it counts for
    nothing, unless this holds for all.
    """
    prior = fits[0].prior / fits[0].prior.sum()
    if how == "agreement":
        weights = agreement_weights(np.stack([one / spread(one) for one in scores], 1), prior)
    else:
        weights = np.full(len(scores), 1 / len(scores))
    grouped = np.array([fitted.grouped for fitted in fits])
    weights = weights * grouped if (weights * grouped).any() else weights
    return weights / weights.sum()


def untouched_panel(said, reject):
    """The Panel that leaves the scores of {name: Said} as they are, of several teachers their mean."""
    plain = {name: replace(untouched(some.scores), reject=reject) for name, some in said.items()}
    voices, one = {name: voice_of(fitted) for name, fitted in plain.items()}, np.ones(len(plain))
    classes = next(iter(said.values())).scores.shape[2]
    last = replace(untouched(np.zeros((1, 1, classes))), reject=reject)
    return Panel(voices, one / len(one), one, last if len(voices) > 1 else None)


# ---------------------------------------------------------------------- refining


def refine(voices, said, values):
    """The voices, those of encoders refined where that is judged to help; and the agreement before and after.

    With label.refine: auto they are refined where two or more encoders agree more after it than before, by LEAST_GAIN:
    what different encoders then have in common was in none of their words for the classes. One encoder alone gives no
    such sign; its agreement with a teacher of another kind was tried and says nothing (benchmarks/tasks.md).
    """
    how = values.label.refine
    encoders = [name for name in voices if said[name].embeddings is not None]
    if how == "never" or values.task.multi_label or not encoders or (how == "auto" and len(encoders) < 2):
        return voices, None
    after = {name: refined(voices[name], said[name], values) for name in encoders}
    if None in after.values():
        return voices, None
    found = [
        [scores_of[name].scores(said[name]).argmax(1) for name in encoders] for scores_of in (voices, after)
    ]
    before, behind = (equal_answers(answers) for answers in found)
    better = how == "always" or behind > before + LEAST_GAIN
    return (voices | after if better else voices), (None if before is None else (before, behind))


def refined(voice, said, values):
    """The Voice of an encoder with its answers refined by groups, or None where they fall into none."""
    start = np.exp(log_softmax(voice.scores(said)))
    try:
        groups = find_groups(said.embeddings, start, voice.calibrated.prior)
        return Voice(fit(groups.scores(said.embeddings)[:, None], values), voice.templates, groups)
    except UserError:  # a group without any text
        return None
