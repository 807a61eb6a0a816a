"""TF-IDF and logistic regression with scikit-learn: TRAIN TEST MODEL.

Words give uni- and bigrams, Chinese characters those of `char_wb`. Prints the accuracy on TEST.
"""

import sys

import joblib
import pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union


def chinese(text):
    return "".join(c if "\u4e00" <= c <= "\u9fff" else " " for c in text)


train, test = (pandas.read_csv(path) for path in sys.argv[1:3])
words = TfidfVectorizer(ngram_range=(1, 2))
characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 2), preprocessor=chinese)
model = make_pipeline(make_union(words, characters), LogisticRegression(max_iter=1000))
model.fit(train["question"], train["intent"])
joblib.dump(model, sys.argv[3])
print(model.score(test["question"], test["intent"]))
