"""Does what `mlapi train iris.csv` does, as a scikit-learn script.

    python train_iris.py iris.csv model.joblib
"""

import sys

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    classification_report,
    confusion_matrix,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data, output = sys.argv[1:]

table = pd.read_csv(data)
X = table.iloc[:, :-1].values
y = table.iloc[:, -1].values
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=42)

model = make_pipeline(StandardScaler(), LogisticRegression())
model.fit(X_train, y_train)

predicted = model.predict(X_test)
probabilities = model.predict_proba(X_test)
print("accuracy         ", accuracy_score(y_test, predicted))
print("balanced accuracy", balanced_accuracy_score(y_test, predicted))
print("log loss         ", log_loss(y_test, probabilities, labels=model.classes_))
print("ROC AUC          ", roc_auc_score(y_test, probabilities, multi_class="ovr", labels=model.classes_))
print("MCC              ", matthews_corrcoef(y_test, predicted))
print(classification_report(y_test, predicted, digits=4, zero_division=0))
print(confusion_matrix(y_test, predicted, labels=model.classes_))

joblib.dump(model, output)
