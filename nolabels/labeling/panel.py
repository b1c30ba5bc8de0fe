"""Several teachers as one: what is fitted on the pool, without labels.

Each teacher's scores are calibrated by themselves (`fitting.fit`), and the answers of encoders are refined by clusters
where that helps. The answer of all is a product of their calibrated answers, in which the confident ones count most (a
product of experts: Hinton 2002), weighted by agreement and calibrated once more. One teacher alone stays as it is.
benchmarks/tasks.md holds the gain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nolabels.core.labels import decide
from nolabels.core.params import Params, Task
from nolabels.core.stage import UserError
from nolabels.labeling.agreement import equal_share
from nolabels.labeling.calibration import agreement_weights, log_softmax
from nolabels.labeling.fitting import FIT_TEXTS, Fit, fit, identity_fit, to_probabilities
from nolabels.labeling.groups import Groups, fit_groups
from nolabels.labeling.outputs import TeacherOutput, take_texts
from nolabels.labeling.shares import Guess, resolve_prior


@dataclass(frozen=True)
class CalibratedTeacher:
    """One teacher, calibrated.

    Attributes
    ----------
    calibrated : Fit
        Of its raw scores, or of those of the clusters.
    templates : np.ndarray
        T weights of its templates, sum 1.
    groups : Groups or None
        The clusters that refine its answers.
    """

    calibrated: Fit
    templates: np.ndarray
    groups: Groups | None = None

    def scores(self, output: TeacherOutput) -> np.ndarray:
        """Output on N texts -> N x K calibrated scores (with several labels per text, log-odds of each class)."""
        if self.groups is None:
            return self.calibrated.scores(output.scores)
        if not len(output.scores):  # a table of no texts has no embeddings
            return np.zeros((0, output.scores.shape[2]))
        assert output.embeddings is not None  # groups were found in them
        return self.calibrated.scores(self.groups.scores(output.embeddings)[:, None])


@dataclass(frozen=True)
class Panel:
    """All teachers.

    Attributes
    ----------
    teachers : dict
        {name: CalibratedTeacher}, J of them.
    weights : np.ndarray
        J factors of their scores.
    shares : np.ndarray
        J shares in the sum, by weight and spread of the scores, sum 1.
    combined_fit : Fit or None
        Of their weighted mean; None for one teacher, which is calibrated already.
    agreement : tuple or None
        equal_share of the encoders before and after refining; None for fewer than two.
    guess : Guess or None
        Of the shares of the classes; None where label.prior is not auto.
    """

    teachers: dict[str, CalibratedTeacher]
    weights: np.ndarray
    shares: np.ndarray
    combined_fit: Fit | None = None
    agreement: tuple | None = None
    guess: Guess | None = None

    @property
    def final_fit(self) -> Fit:
        """The last Fit on the way from scores to probabilities."""
        return self.combined_fit or next(iter(self.teachers.values())).calibrated

    def probabilities(self, outputs: Mapping[str, TeacherOutput], task: Task) -> np.ndarray:
        """{name: TeacherOutput} of N texts -> N x L probabilities of the task's labels."""
        scores = [teacher.scores(outputs[name]) for name, teacher in self.teachers.items()]
        if self.combined_fit is None:
            return to_probabilities(scores[0], task, self.final_fit.reject)
        return self.combined_fit.probabilities(_weighted_sum(scores, self.weights), task)

    def labels_of_each(self, outputs: Mapping[str, TeacherOutput], task: Task) -> dict[str, np.ndarray]:
        """{name: N x L bool}, the labels of each teacher by itself."""
        return {
            name: decide(
                to_probabilities(teacher.scores(outputs[name]), task, teacher.calibrated.reject), task
            )
            for name, teacher in self.teachers.items()
        }


def _weighted_sum(scores: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """J times N x K scores -> N x 1 x K, the weighted sum, as the scores of one template."""
    return np.einsum("jnk,j->nk", np.stack(scores), weights)[:, None]


def fit_panel(outputs: Mapping[str, TeacherOutput], values: Params) -> Panel:
    """Calibrates all teachers, each by itself and then together.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput} of texts in random order; the first FIT_TEXTS are used.
    values : Params

    Returns
    -------
    Panel

    Raises
    ------
    UserError
        Where the calibration prior cannot be reached, see calibration.match_prior.
    """
    outputs = take_texts(outputs, slice(FIT_TEXTS))
    values, guess = resolve_prior(outputs, values)
    fits = {name: fit(output.scores, values) for name, output in outputs.items()}
    teachers = {name: CalibratedTeacher(fitted, fitted.weights) for name, fitted in fits.items()}
    confidence = np.array([_spread(teacher.scores(outputs[name])) for name, teacher in teachers.items()])
    teachers, agreement = _refine(teachers, outputs, values)
    if len(teachers) == 1:
        return Panel(teachers, np.ones(1), np.ones(1), None, agreement, guess)
    scores = [teacher.scores(outputs[name]) for name, teacher in teachers.items()]
    calibrated = [teacher.calibrated for teacher in teachers.values()]
    weights = _teacher_weights(scores, calibrated, values.label.weights)
    # refined answers are more confident than they should be: they count as they did before
    encoders = np.array([outputs[name].embeddings is not None for name in teachers])
    shares = weights * _share_confidence(confidence, weights, encoders)
    weights = shares / np.array([_spread(one) for one in scores])
    combined = fit(_weighted_sum(scores, weights), values)
    return Panel(teachers, weights, shares / shares.sum(), combined, agreement, guess)


def _share_confidence(confidence: np.ndarray, weights: np.ndarray, encoders: np.ndarray) -> np.ndarray:
    """J spreads of scores, those of the encoders replaced by their weighted geometric mean.

    How an encoder's cosines spread says more of the model than of what it knows: the worse of two encoders can spread
    further, and would then count more (benchmarks/tasks.md). Of two teachers alone the spread stays: their agreement, which
    decides the weights, cannot say which of them knows nothing. encoders: J bool.
    """
    if len(confidence) < 3 or encoders.sum() < 2 or not weights[encoders].any():
        return confidence
    mean = np.average(np.log(confidence[encoders]), weights=weights[encoders])
    return np.where(encoders, np.exp(mean), confidence)


def _spread(scores: np.ndarray) -> float:
    """Standard deviation of N x K calibrated scores within the texts: it grows with the teacher's confidence."""
    return max(float((scores - scores.mean(1, keepdims=True)).std()), 1e-9)


def _teacher_weights(scores: Sequence[np.ndarray], fits: Sequence[Fit], how: str) -> np.ndarray:
    """The weights of J teachers, sum 1; scores: J times N x K; how: label.weights.

    A teacher whose scores form no clusters has no temperature, so its confidence is unknown: its weight is 0, unless
    this holds for all.
    """
    prior = fits[0].prior / fits[0].prior.sum()
    if how == "agreement":
        weights = agreement_weights(np.stack([one / _spread(one) for one in scores], 1), prior)
    else:
        weights = np.full(len(scores), 1 / len(scores))
    grouped = np.array([fitted.grouped for fitted in fits])
    weights = weights * grouped if (weights * grouped).any() else weights
    return weights / weights.sum()


def uncalibrated_panel(outputs: Mapping[str, TeacherOutput], reject: float | None) -> Panel:
    """The Panel that leaves scores as they are, of several teachers their mean.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput}, for the number of templates and classes.
    reject : float or None
        See fitting.Fit.

    Returns
    -------
    Panel
    """
    fits = {name: replace(identity_fit(output.scores), reject=reject) for name, output in outputs.items()}
    teachers = {name: CalibratedTeacher(fitted, fitted.weights) for name, fitted in fits.items()}
    ones = np.ones(len(teachers))
    classes = next(iter(outputs.values())).scores.shape[2]
    combined = replace(identity_fit(np.zeros((1, 1, classes))), reject=reject)
    return Panel(teachers, ones / len(ones), ones, combined if len(teachers) > 1 else None)


def _refine(
    teachers: dict[str, CalibratedTeacher], outputs: Mapping[str, TeacherOutput], values: Params
) -> tuple[dict[str, CalibratedTeacher], tuple | None]:
    """The teachers, encoders among them refined where that helps; and the agreement before and after.

    With label.refine: auto they are refined where two or more encoders agree more after it than before: what different
    encoders then have in common was in none of their verbalizers. A rise of one point was asked for before, and
    kept AG News from being refined (benchmarks/tasks.md). One encoder alone gives no such sign; its agreement
    with a teacher of another kind was tried and tells nothing.
    """
    how = values.label.refine
    encoders = [name for name in teachers if outputs[name].embeddings is not None]
    if how == "never" or values.task.multi_label or not encoders or (how == "auto" and len(encoders) < 2):
        return teachers, None
    attempts = {name: _refine_encoder(teachers[name], outputs[name], values) for name in encoders}
    refined = {name: teacher for name, teacher in attempts.items() if teacher is not None}
    if len(refined) < len(attempts):
        return teachers, None
    before, after = (
        equal_share([stage[name].scores(outputs[name]).argmax(1) for name in encoders])
        for stage in (teachers, refined)
    )
    known = None if before is None or after is None else (before, after)  # of one encoder there is none
    better = how == "always" or (known is not None and known[1] > known[0])
    return (teachers | refined if better else teachers), known


def _refine_encoder(
    teacher: CalibratedTeacher, output: TeacherOutput, values: Params
) -> CalibratedTeacher | None:
    """An encoder with its answers refined by clusters, or None where its embeddings form none."""
    assert output.embeddings is not None
    start = np.exp(log_softmax(teacher.scores(output)))
    try:
        groups = fit_groups(output.embeddings, start, teacher.calibrated.prior)
        return CalibratedTeacher(
            fit(groups.scores(output.embeddings)[:, None], values), teacher.templates, groups
        )
    except UserError:  # a cluster without any text
        return None
