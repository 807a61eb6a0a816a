"""Compares the answers that real clients get from `mlapi serve` with those of `mlapi predict` for the same rows.

Run by tests/clients.sh: clients.py MLAPI FIXTURES URL FILE, where FILE is the model that the server at URL has
under the name `penguins`.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import requests
import tritonclient.http as triton

mlapi, fixtures, url, model = sys.argv[1:]
checks = 0


def check(what, found, wanted):
    global checks
    checks += 1
    if found != wanted:
        sys.exit(f"{what}\n  found  {found!r}\n  wanted {wanted!r}")


def predict(table):
    """The labels and probabilities of `mlapi predict` for a CSV text."""
    command = [mlapi, "--quiet", "predict", "--model", model, "--input", "-", "--format", "ndjson"]
    done = subprocess.run(command, input=table, capture_output=True, check=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [a["prediction"] for a in answers], [list(a["probabilities"].values()) for a in answers]


lines = Path(fixtures, "penguins.csv").read_text().splitlines()
names = lines[0].split(",")[:-1]
cells = [line.split(",")[:-1] for line in lines[1:]]
texts = {"island", "sex"}
# Every client may send a category that training did not see.
cells[0][names.index("island")] = "Elsewhere"
table = "\n".join(",".join(row) for row in [names, *cells]) + "\n"
labels, probabilities = predict(table)
n, k = len(cells), len(probabilities[0])
assert n > 300 and len(set(labels)) == 3


def value(name, cell):
    if cell in ("", "NA"):
        return None
    return cell if name in texts else float(cell)


rows = [[value(name, cell) for name, cell in zip(names, row)] for row in cells]


def by_triton():
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    check("triton: live and ready", [client.is_server_live(), client.is_server_ready()], [True, True])
    check("triton: model ready", client.is_model_ready("penguins"), True)
    check("triton: version ready", client.is_model_ready("penguins", "1"), True)
    check("triton: extensions", client.get_server_metadata()["extensions"], ["binary_tensor_data"])
    metadata = client.get_model_metadata("penguins")
    check("triton: inputs", [tensor["name"] for tensor in metadata["inputs"]], names)
    check("triton: labels", metadata["outputs"][1]["parameters"]["labels"], ["Adelie", "Chinstrap", "Gentoo"])

    def tensors(binary, shape):
        inputs = []
        for i, tensor in enumerate(metadata["inputs"]):
            column = [row[i] for row in rows]
            if tensor["datatype"] == "BYTES":
                array = np.array([cell or "" for cell in column], dtype=np.object_)
            else:
                # JSON has no NaN; binary tensors do.
                array = np.array([np.nan if cell is None else cell for cell in column], dtype=np.float64)
            array = array.reshape(shape)
            tensor = triton.InferInput(tensor["name"], list(array.shape), tensor["datatype"])
            if not binary and np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
                binary_here = True
            else:
                binary_here = binary
            tensor.set_data_from_numpy(array, binary_data=binary_here)
            inputs.append(tensor)
        return inputs

    def compare(what, result, dtype=np.float64):
        found = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("predict")]
        check(f"{what}: labels", found, labels)
        proba = result.as_numpy("predict_proba")
        check(f"{what}: shape", (proba.shape, proba.dtype), ((n, k), dtype))
        check(f"{what}: probabilities", proba.tolist(), probabilities)

    for shape in [(n,), (n, 1)]:
        compare("triton, bytes", client.infer("penguins", tensors(True, shape), request_id="7"))
        compare("triton, JSON in", client.infer("penguins", tensors(False, shape)))
        outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("predict", "predict_proba")]
        result = client.infer("penguins", tensors(False, shape), outputs=outputs, request_id="8")
        compare("triton, JSON out", result)
        check("triton: id", result.get_response()["id"], "8")
    outputs = [triton.InferRequestedOutput("predict_proba")]
    result = client.infer("penguins", tensors(True, (n,)), outputs=outputs, model_version="1")
    check("triton: one output", result.as_numpy("predict_proba").tolist(), probabilities)
    check("triton: and no other", result.as_numpy("predict"), None)

    # All numbers in one tensor, of every number type; a 32-bit float is taken as the double of the same value.
    width = 10
    for dtype, name in [(np.float64, "FP64"), (np.float32, "FP32"), (np.float16, "FP16"), (np.int64, "INT64"),
                        (np.int32, "INT32"), (np.int16, "INT16"), (np.uint8, "UINT8"), (np.int8, "INT8")]:
        array = np.array([np.linspace(1, 100, width), np.linspace(3, 50, width)], dtype=dtype)
        rows_of = json.dumps({"data": array.astype(np.float64).tolist()})
        wanted = [p["prediction"] for p in requests.post(f"{url}/models/diabetes/predict", rows_of).json()["predictions"]]
        for binary in [True, False]:
            tensor = triton.InferInput("x", [2, width], name)
            tensor.set_data_from_numpy(array, binary_data=binary)
            result = client.infer("diabetes", [tensor])
            check(f"triton: {name}, bytes: {binary}", result.as_numpy("predict").tolist(), wanted)
    try:
        client.infer("penguins", tensors(True, (n,))[:-1])
        sys.exit("triton: a missing column was accepted")
    except triton.InferenceServerException as error:
        check("triton: error", 'the feature "year" is missing' in str(error.message()), True)


def by_mlflow():
    named = [dict(zip(names, row)) for row in rows]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    for path in ["/invocations", "/models/penguins/invocations"]:
        for body in [
            {"dataframe_split": {"columns": names, "index": list(range(n)), "data": rows}},
            {"dataframe_records": named},
            {"instances": named},
            {"instances": rows},
            {"inputs": rows},
            {"inputs": columns, "params": {}},
        ]:
            answer = requests.post(url + path, json=body)
            check(f"mlflow: {next(iter(body))}", (answer.status_code, answer.json()), (200, {"predictions": labels}))
        answer = requests.post(url + path, data=table, headers={"Content-Type": "text/csv"})
        check("mlflow: CSV", (answer.status_code, answer.json()), (200, {"predictions": labels}))
    answer = requests.post(f"{url}/invocations", json={"dataframe_split": {"columns": ["x"], "data": [[1]]}})
    check("mlflow: error", (answer.status_code, answer.json()["error_code"]), (400, "BAD_REQUEST"))
    for path in ["/ping", "/health", "/version"]:
        check(f"mlflow: {path}", requests.get(url + path).status_code, 200)


def by_the_flask_tutorial():
    # As tutorials do it: requests.post with json, and urlencoded by mistake.
    for row, label in list(zip(rows, labels))[:20]:
        answer = requests.post(f"{url}/predict", json={"data": row})
        check("requests", answer.json()["prediction"], label)
    answer = requests.post(f"{url}/predict", data=json.dumps({"data": rows}))
    check("requests, many", [one["prediction"] for one in answer.json()["predictions"]], labels)


by_triton()
by_mlflow()
by_the_flask_tutorial()
print(f"{checks} answers of tritonclient, an MLflow client and requests are those of mlapi predict")
