#!/usr/bin/env bash
# The page to try the models and the API document in a real browser: filling, predicting, contributions, thresholds, a CSV
# of 10,000 rows, models, languages, a key, a proxy that serves all of it under a path, names that are markup. Nothing is
# loaded from elsewhere, nothing breaks the content security policy, axe-core finds nothing, and the snippets run.
#
#     bash tests/page.sh [MLAPI]     (default: target/release/mlapi)
#
# Debian's chromium, nginx and R with httr2 are installed if there are none; playwright-core and axe-core come from npm, once, into
# target/report. With SHOTS=FOLDER the pages are kept there as pictures; ONLY="csv keys" runs only these checks.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "${1:-$root/target/release/mlapi}")

missing=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v curl >/dev/null || missing+=(curl)
command -v python3 >/dev/null || missing+=(python3)
# What the snippet for R needs, 30 MB in all.
Rscript -e 'library(httr2); library(jsonlite)' >/dev/null 2>&1 || missing+=(r-base-core r-cran-httr2 r-cran-jsonlite)
# shellcheck source=tests/browser.sh
source "$root/tests/browser.sh"

folder=$(mktemp -d)
started=()
trap 'for id in "${started[@]}"; do kill "$id" 2>/dev/null || true; done; rm -rf "$folder"' EXIT
cd "$folder"
cp "$root"/fixtures/{iris,penguins,breast_cancer,diabetes,rentals,intents}.csv .
node "$root/tests/page.mjs" data

train() { "$mlapi" --quiet train "$@" >/dev/null; }
train iris.csv --algorithm logreg --output iris.mlapi
train penguins.csv --algorithm forest --output penguins.mlapi
train breast_cancer.csv --algorithm logreg --output cancer.mlapi
train diabetes.csv --algorithm ridge --output diabetes.mlapi
train rentals.csv --algorithm gradient-boosting --output rentals.mlapi
train intents.csv --algorithm logreg --output intents.mlapi
train iris.csv --algorithm knn --output neighbours.mlapi
train markup.csv --algorithm tree --output markup.mlapi

# Starts a server with these arguments and sets $url to its address.
serve() {
    "$mlapi" serve --port 0 "$@" >out 2>err &
    started+=($!)
    url=
    for _ in $(seq 100); do
        url=$(grep -o 'http://[0-9.:]*' out | head -1) && [ -n "$url" ] && return
        sleep 0.1
    done
    cat err
    return 1
}
models=()
for model in iris penguins cancer diabetes rentals intents neighbours markup; do
    models+=(--model "$model.mlapi")
done
MLAPI_API_KEYS="page:a-key-for-this-test" serve --model iris.mlapi
keyed=$url
serve "${models[@]}"
open=$url

port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
cat >nginx.conf <<END
$([ "$(id -u)" -ne 0 ] || echo "user root;")
daemon off;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port;
        location /team/models/ { proxy_pass $open/; proxy_set_header Host \$http_host; }
    }
}
END
PATH=$PATH:/usr/sbin nginx -e "$folder/nginx.log" -c "$folder/nginx.conf" &
started+=($!)
for _ in $(seq 50); do
    curl -s -o /dev/null --max-time 2 "http://127.0.0.1:$port/team/models/livez" && break
    sleep 0.1
done

NODE_PATH=$tools/node_modules BROWSER=$browser node "$root/tests/page.mjs" check "$open" "$keyed" "http://127.0.0.1:$port/team/models"
