#!/usr/bin/env bash
# Checks what is in deploy/ without a cluster: builds the static binary that is shipped and the image, runs the
# image, verifies the unit, runs the binary under the unit's system call filter, and validates the manifests and the compose file against their schemas.
#
#     bash deploy/check.sh [STATIC_MLAPI]     (default: builds one into target/static)
#
# As root on Debian or Ubuntu it installs buildah if that is missing. It takes no image from a registry: the
# Dockerfile's last stage gets the static binary instead of its first stage's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
container= pid=
# buildah does not forward signals: the server in the container is one of its descendants.
descendants() { local child; for child in $(ps -o pid= --ppid "$1"); do echo "$child"; descendants "$child"; done; }
stop() {
    [ -n "$pid" ] || return 0
    local all
    all=$(descendants "$pid")
    kill -TERM ${all:-"$pid"} 2>/dev/null || true
    wait "$pid" || true
    pid=
}
cleanup() {
    stop
    [ -z "$container" ] || buildah "${storage[@]}" rm "$container" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
say() { printf -- '-- %s\n' "$*"; }
wait_for_server() {
    for _ in $(seq 100); do
        grep -q listening "$folder/out" && return
        kill -0 "$pid" || break
        sleep 0.1
    done
    cat "$folder/out" >&2
    exit 1
}

say "a static binary"
static=$(realpath "${1:-$(bash "$root/deploy/static.sh")}")
if readelf --program-headers "$static" 2>/dev/null | grep -q INTERP; then
    echo "$static needs a dynamic loader" >&2
    exit 1
fi
size=$(stat --format %s "$static")
echo "$static: $((size / 1000)) kB"
if [ "$size" -ge 12000000 ]; then
    echo "the static binary is to be smaller than 12 MB" >&2
    exit 1
fi
"$static" --quiet train "$root/fixtures/iris.csv" --algorithm logreg --output "$folder/model.mlapi" >/dev/null

say "manifests and compose file"
python=$(bash "$root/benches/python.sh" tests/requirements.txt clients)
"$python" "$root/deploy/check.py"

if command -v systemd-analyze >/dev/null; then
    say "systemd unit"
    sed "s|^ExecStart=mlapi|ExecStart=$static|" "$root/deploy/mlapi.service" >"$folder/mlapi.service"
    systemd-analyze verify --man=no "$folder/mlapi.service"
    # Exposure from 0 (safe) to 10 (unsafe); a service without hardening has 9.6.
    systemd-analyze security --offline=yes --no-pager --threshold=20 "$folder/mlapi.service" | tail -1

    say "a server under the unit's system call filter"
    # The priority of its background threads is such a call: where a refused one ends the process, it does not start.
    grep -v '^SystemCallErrorNumber=' "$folder/mlapi.service" >"$folder/kill.service"
    under() { exec "$python" "$root/deploy/under_filter.py" "$@"; }
    (under "$folder/kill.service" "$static" serve --port 0 --model "$folder/model.mlapi") >/dev/null 2>&1 && killed=0 || killed=$?
    [ "$killed" -eq 159 ] || { echo "the filter refuses nothing: exit status $killed, not that of SIGSYS" >&2; exit 1; }
    (under "$folder/mlapi.service" "$static" serve --port 0 --model "$folder/model.mlapi") >"$folder/out" 2>&1 &
    pid=$!
    wait_for_server
    url=$(grep -o 'http://[0-9.:]*' "$folder/out" | head -1)
    answer=$(curl -sS --max-time 5 -d '{"data":[5.1,3.5,1.4,0.2]}' "$url/predict")
    [[ $answer == '{"prediction":"setosa",'* ]]
    # A body that the threads for large requests compute, and one that is streamed.
    rows=$(for _ in $(seq 10000); do echo 5.1,3.5,1.4,0.2; done)
    for form in '' 'Transfer-Encoding: chunked'; do
        n=$(curl -sS --max-time 20 -H 'Content-Type: text/csv; header=absent' -H "$form" --data-binary @- "$url/predict" \
            <<<"$rows" | grep -c setosa)
        [ "$n" -eq 10000 ] || { echo "$n rows of 10000 came back" >&2; exit 1; }
    done
    # As `systemctl reload` does.
    kill -HUP "$pid"
    for _ in $(seq 50); do
        reloads=$(curl -sS --max-time 5 "$url/metrics" | grep '^mlapi_reloads_total{.*"ok"}')
        [[ $reloads == *' 1' ]] && break
        sleep 0.1
    done
    [[ $reloads == *' 1' ]] || { echo "the model was not reloaded: $reloads" >&2; exit 1; }
    kill -TERM "$pid"
    wait "$pid"
    pid=
    echo "it starts, answers, streams, reloads and ends"
else
    say "systemd unit: not checked, there is no systemd-analyze"
fi

if ! command -v buildah >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "install buildah"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends buildah >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah >/dev/null; }
fi
say "image"
storage=(--storage-driver vfs --root "$folder/storage" --runroot "$folder/run")
mkdir "$folder/context"
cp "$static" "$folder/context/mlapi"
buildah "${storage[@]}" build --isolation chroot --format docker --build-arg BINARY=prebuilt --quiet \
    --file "$root/deploy/Dockerfile" --tag mlapi "$folder/context" >/dev/null
buildah "${storage[@]}" inspect --type image mlapi >"$folder/image.json"
"$python" - "$folder/image.json" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))["Docker"]["config"]
assert config["User"] == "65532:65532", config
assert config["Healthcheck"]["Test"] == ["CMD", "/mlapi", "healthcheck", "--quiet"], config
assert (config["Entrypoint"], config["Cmd"]) == (["/mlapi"], ["serve"]), config
END
container=$(buildah "${storage[@]}" from --pull-never mlapi)
mount=$(buildah "${storage[@]}" mount "$container")
[ "$(find "$mount" -type f -size +0 | wc -l)" -eq 1 ] || { echo "the image holds more than one file" >&2; exit 1; }
ls -l "$mount/mlapi"

say "container"
# A free port: the container shares this machine's network.
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$folder/models"
cp "$folder/model.mlapi" "$folder/models/"
chmod -R a+rX "$folder"
inside() { buildah "${storage[@]}" run --isolation chroot --env MLAPI_PORT="$port" --env MLAPI_HOST=127.0.0.1 "$@"; }
inside --volume "$folder/models:/models:ro" "$container" -- /mlapi serve >"$folder/out" 2>&1 &
pid=$!
wait_for_server
inside "$container" -- /mlapi healthcheck --quiet
answer=$(curl -sS --max-time 5 -d '{"data":[5.1,3.5,1.4,0.2]}' "http://127.0.0.1:$port/predict")
echo "$answer"
[[ $answer == '{"prediction":"setosa",'* ]]
if ps -eo uid,args | grep -q '^ *65532 /mlapi serve'; then echo "it runs as 65532"; else
    ps -eo uid,args | grep 'mlapi serve' >&2
    exit 1
fi
stop
if inside "$container" -- /mlapi healthcheck --quiet --seconds 1 2>/dev/null; then
    echo "the health check finds a server that has ended" >&2
    exit 1
fi
say "an image of one file: a bundle"
mkdir "$folder/one"
"$static" bundle --model "$folder/model.mlapi" --output "$folder/one/model" >/dev/null
buildah "${storage[@]}" rm "$container" >/dev/null
buildah "${storage[@]}" build --isolation chroot --format docker --quiet \
    --file "$root/deploy/Dockerfile.bundle" --tag bundle "$folder/one" >/dev/null
container=$(buildah "${storage[@]}" from --pull-never bundle)
inside "$container" -- /model serve >"$folder/out" 2>&1 &
pid=$!
wait_for_server
answer=$(curl -sS --max-time 5 -d '{"data":[5.1,3.5,1.4,0.2]}' "http://127.0.0.1:$port/predict")
echo "$answer"
[[ $answer == '{"prediction":"setosa",'* ]]
inside "$container" -- /model healthcheck --quiet
stop
say "the image of docs/reach.md"
sed -n '/^```dockerfile$/,/^```$/{//!p}' "$root/docs/reach.md" >"$folder/Dockerfile"
mv "$folder/one/model" "$folder/one/churn"
buildah "${storage[@]}" rm "$container" >/dev/null
buildah "${storage[@]}" build --isolation chroot --format docker --quiet --file "$folder/Dockerfile" --tag churn "$folder/one" >/dev/null
buildah "${storage[@]}" inspect --type image churn >"$folder/image.json"
mapfile -t entrypoint < <("$python" -c '
import json, sys
print(*json.load(open(sys.argv[1]))["Docker"]["config"]["Entrypoint"], sep="\n")' "$folder/image.json")
container=$(buildah "${storage[@]}" from --pull-never churn)
inside "$container" -- "${entrypoint[@]}" >"$folder/out" 2>&1 &
pid=$!
wait_for_server
curl -sS --max-time 5 -d '{"data":[5.1,3.5,1.4,0.2]}' "http://127.0.0.1:$port/predict"
stop
say "deploy/ passed"
