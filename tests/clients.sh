#!/usr/bin/env bash
# Clients that exist against `mlapi serve`: tritonclient, an MLflow client, requests, curl, and schemathesis,
# which makes up requests from /openapi.json and holds every answer to it.
#
#     bash tests/clients.sh [MLAPI]     (default: target/release/mlapi)
#
# The clients are those of tests/requirements.txt, installed once into target/clients.
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

# Every answer has to be one that the document has, and none a server error. Left out are the two checks that
# want the schemas to be exactly what is accepted: that a tensor has as many elements as its shape says no schema
# can tell, and what clients leave out or add is taken where MLflow takes it.
curl -sS "$url/openapi.json" >openapi.json
"$(dirname "$python")/openapi-spec-validator" openapi.json
"$(dirname "$python")/schemathesis" --no-color run "$url/openapi.json" --phases examples,coverage,fuzzing \
    --max-examples 25 --seed 1 --request-timeout 10 \
    --exclude-checks positive_data_acceptance,negative_data_rejection
"$mlapi" --quiet healthcheck --url "$url/readyz"

kill -TERM "$server"
wait "$server"
server=
