#!/usr/bin/env bash
# Real clients against `mlapi serve`: tritonclient, an MLflow client, requests, curl, and schemathesis, which
# generates requests from /openapi.json and validates every answer against it.
#
#     bash tests/clients.sh [MLAPI]     (default: target/release/mlapi)
#
# tests/requirements.txt lists the clients; they are installed once, into target/clients.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")
python=$(bash "$root/benches/python.sh" tests/requirements.txt clients)
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

cd "$folder"
"$mlapi" --quiet train "$root/fixtures/penguins.csv" --algorithm boost --output penguins.mlapi >/dev/null
"$mlapi" --quiet train "$root/fixtures/diabetes.csv" --algorithm ridge --output diabetes.mlapi >/dev/null
"$mlapi" --quiet train "$root/fixtures/breast_cancer.csv" --algorithm logreg --output cancer.mlapi >/dev/null
"$mlapi" serve --port 0 --model penguins=penguins.mlapi --model diabetes=diabetes.mlapi \
    --model cancer=cancer.mlapi >out 2>err &
server=$!
for _ in $(seq 100); do
    url=$(grep -o 'http://[0-9.:]*' out | head -1) && [ -n "$url" ] && break
    sleep 0.1
done

"$mlapi" --quiet healthcheck --url "$url/readyz"
curl -sSf --max-time 5 "$url/v2/health/ready" | grep -q '"ready":true'
row='{"data":["Biscoe",43.9,17.2,201,4200,"male",2009]}'
[[ $(curl -sS --max-time 5 -d "$row" "$url/predict") == "$(
    "$mlapi" --format json predict --model penguins.mlapi --features 'Biscoe,43.9,17.2,201,4200,male,2009'
)" ]]
"$python" "$root/tests/clients.py" "$mlapi" "$root/fixtures" "$url" penguins.mlapi

# Every answer has to be in the document, and none may be a server error. Two checks are excluded, which require the
# schemas to describe exactly what is accepted: no schema can say that a tensor has as many elements as its shape
# says, and missing and additional columns are accepted if MLflow accepts them.
curl -sS "$url/openapi.json" >openapi.json
"$(dirname "$python")/openapi-spec-validator" openapi.json
"$(dirname "$python")/schemathesis" --no-color run "$url/openapi.json" --phases examples,coverage,fuzzing \
    --max-examples 25 --seed 1 --request-timeout 10 \
    --exclude-checks positive_data_acceptance,negative_data_rejection
"$mlapi" --quiet healthcheck --url "$url/readyz"

kill -TERM "$server"
wait "$server"
server=
