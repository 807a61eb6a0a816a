"""The script that mlapi's `auto` replaces: three models of scikit-learn, five-fold cross-validation, the best is kept.

    auto_sklearn.py TRAIN.csv TEST.csv MODEL.joblib

Every core is used where scikit-learn can. Prints the chosen model and its score on TEST.csv as JSON.
"""

import json
import sys
import warnings

import joblib
import pandas
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
train, test = (pandas.read_csv(path) for path in sys.argv[1:3])
x, y = train.iloc[:, :-1], train.iloc[:, -1]
if y.dtype.kind in "if" and y.nunique() > 20:
    linear = LinearRegression()
    forest = RandomForestRegressor(n_jobs=-1, random_state=0)
    boosting = HistGradientBoostingRegressor(random_state=0)
else:
    linear = LogisticRegression()
    forest = RandomForestClassifier(n_jobs=-1, random_state=0)
    boosting = HistGradientBoostingClassifier(random_state=0)
models = [make_pipeline(StandardScaler(), linear), forest, boosting]
scores = [cross_val_score(model, x, y, cv=5).mean() for model in models]
best = models[scores.index(max(scores))].fit(x, y)
joblib.dump(best, sys.argv[3])
name = type(best[-1] if best is models[0] else best).__name__
print(json.dumps(dict(model=name, score=best.score(test.iloc[:, :-1], test.iloc[:, -1]))))
