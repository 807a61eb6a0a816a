"""The FastAPI tutorial's way to serve a model, answering as `mlapi serve` does.

    MODEL=model.joblib uvicorn fastapi_app:app

The handlers are coroutines, which costs FastAPI less than handing each request to a thread.
"""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["MODEL"])
labels = model.classes_.tolist()


class Row(BaseModel):
    data: list[float]


class Rows(BaseModel):
    data: list[list[float]]


def answer(probabilities):
    probability = max(probabilities)
    return {
        "prediction": labels[probabilities.index(probability)],
        "probability": probability,
        "probabilities": dict(zip(labels, probabilities)),
    }


@app.post("/predict")
async def predict(row: Row):
    return answer(model.predict_proba([row.data])[0].tolist())


@app.post("/batch")
async def batch(rows: Rows):
    return {"predictions": [answer(row) for row in model.predict_proba(rows.data).tolist()]}
