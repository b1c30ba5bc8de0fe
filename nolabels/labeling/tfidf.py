"""TF-IDF and logistic regression of scikit-learn: what a classical model learns from the same labels."""

import numpy as np

from nolabels.core.params import Task


def fit_predict(texts: list[str], labels: np.ndarray, test_texts: list[str], task: Task) -> np.ndarray:
    """Learns from labeled texts and classifies others.

    Parameters
    ----------
    texts : list of str
        M texts to learn from.
    labels : np.ndarray
        M x K bool, their labels.
    test_texts : list of str
        N texts to classify.
    task : Task
        With multi_label there is one model for each class.

    Returns
    -------
    np.ndarray
        N x K probabilities; a class without a text to learn from gets 0.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # every run of characters between spaces may be a word: texts come in any script
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    known, unseen = vectorizer.fit_transform(texts), vectorizer.transform(test_texts)

    def learn(wanted: np.ndarray, into: np.ndarray) -> None:
        if len(set(wanted)) == 1:
            into[:, wanted[0]] = 1
        else:
            model = LogisticRegression(max_iter=1000).fit(known, wanted)
            into[:, model.classes_] = model.predict_proba(unseen)

    if not task.multi_label:
        probabilities = np.zeros((len(test_texts), labels.shape[1]))
        learn(labels.argmax(1), probabilities)
        return probabilities
    pairs = np.zeros((labels.shape[1], len(test_texts), 2))  # of each class, that it is absent and present
    for number, column in enumerate(labels.T):
        learn(column.astype(int), pairs[number])
    return pairs[:, :, 1].T
