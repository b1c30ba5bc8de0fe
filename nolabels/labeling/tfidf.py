"""TF-IDF and logistic regression of scikit-learn: what a classical model makes of the same labels."""

import numpy as np


def fit_predict(texts, answers, test_texts, task):
    """N x K probabilities of the test texts; a class without a text to learn from gets 0.

    answers: M x K bool; with several labels per text, one model for each class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    # every run of characters between spaces may be a word: texts come in any script
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    known, unseen = vectorizer.fit_transform(texts), vectorizer.transform(test_texts)

    def learn(wanted, into):
        if len(set(wanted)) == 1:
            into[:, wanted[0]] = 1
        else:
            model = LogisticRegression(max_iter=1000).fit(known, wanted)
            into[:, model.classes_] = model.predict_proba(unseen)

    if not task.multi_label:
        found = np.zeros((len(test_texts), answers.shape[1]))
        learn(answers.argmax(1), found)
        return found
    found = np.zeros((answers.shape[1], len(test_texts), 2))
    for number, held in enumerate(answers.T):
        learn(held.astype(int), found[number])
    return found[:, :, 1].T
