"""Does what `mlapi predict --features ROW` does, with a joblib file.

    python predict_one.py model.joblib 5.1,3.5,1.4,0.2
"""

import sys

import joblib

model = joblib.load(sys.argv[1])
row = [float(number) for number in sys.argv[2].split(",")]
probabilities = model.predict_proba([row])[0]
best = probabilities.argmax()
print(model.classes_[best], probabilities[best])
