"""Several teachers as one: what is fitted on the pool, without labels.

Each teacher's scores are calibrated by themselves (`fitting.fit`), and the answers of encoders are refined
(`refining`). The answer of all is a product of their calibrated answers, in which the confident ones count most (a
product of experts: Hinton 2002), weighted by agreement and calibrated once more. benchmarks/tasks.md holds the gain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nolabels.core.labels import decide
from nolabels.core.params import Params, Task
from nolabels.labeling.calibration import agreement_weights
from nolabels.labeling.fitting import FIT_TEXTS, Fit, fit, identity_fit, to_probabilities
from nolabels.labeling.outputs import TeacherOutput, take_texts
from nolabels.labeling.refining import CalibratedTeacher, refine_by_answers, refine_by_clusters
from nolabels.labeling.shares import Guess, resolve_prior


@dataclass(frozen=True)
class Panel:
    """All teachers.

    Attributes
    ----------
    teachers : dict
        {name: CalibratedTeacher}, J of them, as they count in the sum.
    alone : dict
        The same, but none refined by the answers of the others: what each says by itself.
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
    alone: dict[str, CalibratedTeacher]
    weights: np.ndarray
    shares: np.ndarray
    combined_fit: Fit | None = None
    agreement: tuple | None = None
    guess: Guess | None = None

    @property
    def final_fit(self) -> Fit:
        """The last Fit on the way from scores to probabilities."""
        return self.combined_fit or next(iter(self.teachers.values())).calibrated

    def scores(self, outputs: Mapping[str, TeacherOutput]) -> np.ndarray:
        """{name: TeacherOutput} of N texts -> N x K calibrated scores of all teachers together."""
        scores = [teacher.scores(outputs[name]) for name, teacher in self.teachers.items()]
        if self.combined_fit is None:
            return scores[0]
        return self.combined_fit.scores(_weighted_sum(scores, self.weights))

    def probabilities(self, outputs: Mapping[str, TeacherOutput], task: Task) -> np.ndarray:
        """{name: TeacherOutput} of N texts -> N x L probabilities of the task's labels."""
        return to_probabilities(self.scores(outputs), task, self.final_fit.reject)

    def labels_of_each(self, outputs: Mapping[str, TeacherOutput], task: Task) -> dict[str, np.ndarray]:
        """{name: N x L bool}, the labels of each teacher by itself."""
        return {
            name: decide(
                to_probabilities(teacher.scores(outputs[name]), task, teacher.calibrated.reject), task
            )
            for name, teacher in self.alone.items()
        }


def _weighted_sum(scores: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """J times N x K scores -> N x 1 x K, the weighted sum, as the scores of one template."""
    return np.einsum("jnk,j->nk", np.stack(scores), weights)[:, None]


def fit_panel(
    outputs: Mapping[str, TeacherOutput],
    values: Params,
    further: Mapping[str, TeacherOutput] | None = None,
) -> Panel:
    """Calibrates all teachers, each by itself and then together.

    Parameters
    ----------
    outputs : mapping
        {teacher: TeacherOutput} of texts in random order; the first FIT_TEXTS are used.
    values : Params
    further : mapping, optional
        {encoder: TeacherOutput} of more texts, in which clusters are found too; None: of no others.

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
    plain = {name: CalibratedTeacher(fitted, fitted.weights) for name, fitted in fits.items()}
    alone, agreement = refine_by_clusters(plain, outputs, values, further or {})
    panel = Panel(alone, alone, np.ones(1), np.ones(1), None, agreement, guess)
    if len(alone) == 1:
        return panel
    # refined answers are more confident than they should be: they count as they did before
    confidence = np.array([_spread(teacher.scores(outputs[name])) for name, teacher in plain.items()])
    panel = _combine(panel, confidence, outputs, values)
    if alone is plain and _learns_answers(outputs, values):
        taught = refine_by_answers(plain, panel.scores(outputs), outputs, values)
        panel = _combine(replace(panel, teachers=taught), confidence, outputs, values)
    return panel


def _learns_answers(outputs: Mapping[str, TeacherOutput], values: Params) -> bool:
    """Whether there are encoders that learn from the answers of all where clusters refine none."""
    encoders = any(output.embeddings is not None for output in outputs.values())
    return encoders and values.label.refine in ("auto", "answers") and not values.task.multi_label


def _combine(
    panel: Panel, confidence: np.ndarray, outputs: Mapping[str, TeacherOutput], values: Params
) -> Panel:
    """The panel with its teachers weighted, and calibrated together; confidence: J spreads of what each says unrefined."""
    scores = [teacher.scores(outputs[name]) for name, teacher in panel.teachers.items()]
    calibrated = [teacher.calibrated for teacher in panel.teachers.values()]
    weights = _teacher_weights(scores, calibrated, values.label.weights)
    encoders = np.array([outputs[name].embeddings is not None for name in panel.teachers])
    shares = weights * _share_confidence(confidence, weights, encoders)
    weights = shares / np.array([_spread(one) for one in scores])
    combined = fit(_weighted_sum(scores, weights), values)
    return replace(panel, weights=weights, shares=shares / shares.sum(), combined_fit=combined)


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
    return Panel(teachers, teachers, ones / len(ones), ones, combined if len(teachers) > 1 else None)
