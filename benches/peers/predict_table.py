"""The usual script: read a table, predict it with a LightGBM model, write it with one more column."""

import sys

import lightgbm
import pandas

model, source, target = sys.argv[1:]
table = pandas.read_csv(source)
booster = lightgbm.Booster(model_file=model)
table["prediction"] = booster.predict(table[booster.feature_name()], num_threads=2)
table.to_csv(target, index=False)
