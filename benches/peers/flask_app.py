"""The Flask tutorial's way to serve a model, answering as `mlapi serve` does.

    MODEL=model.joblib gunicorn flask_app:app
"""

import os

import joblib
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load(os.environ["MODEL"])
labels = model.classes_.tolist()


@app.route("/predict", methods=["POST"])
def predict():
    data = request.get_json(force=True)["data"]
    probabilities = model.predict_proba([data])[0].tolist()
    probability = max(probabilities)
    return jsonify(
        {
            "prediction": labels[probabilities.index(probability)],
            "probability": probability,
            "probabilities": dict(zip(labels, probabilities)),
        }
    )
