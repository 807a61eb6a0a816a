#!/usr/bin/env bash
# docs/tutorial.md as it stands: the pipeline is trained and served by Flask, then imported and served by mlapi, and the
# client prints the same lines both times.
#
#     bash tests/tutorial.sh MLAPI PYTHON     (called by tests/foreign.sh)
#
# Only the port is another one. Names of files are those in the line before a block of Python.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$(realpath "$1")
python=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
folder=$(mktemp -d)
server=
stop() {
    [[ -z $server ]] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    server=
}
trap 'stop; rm -rf "$folder"' EXIT

mkdir "$folder/bin"
ln -s "$mlapi" "$folder/bin/mlapi"
# An environment is found by the path of its Python.
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$folder/bin/python"
printf '#!/bin/sh\nexec "%s" -m flask "$@"\n' "$python" >"$folder/bin/flask"
chmod +x "$folder/bin/python" "$folder/bin/flask"
export PATH=$folder/bin:$PATH
cp "$root/fixtures/iris.csv" "$folder"
cd "$folder"
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed "s/5000/$port/g" "$root/docs/tutorial.md" | awk '
    /^```sh$/ { n++; name = sprintf("block%d.sh", n); inside = 1; next }
    /^```python$/ { name = file; inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > name; next }
    match($0, /`[a-z]+[.]py`/) { file = substr($0, RSTART + 1, RLENGTH - 2) }
'

# The first line of a block that serves; it runs until the next server starts.
serve() {
    stop
    bash -euo pipefail -c "exec $1" >server.log 2>&1 &
    server=$!
    for _ in $(seq 300); do
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.2
    done
    cat server.log
    return 1
}

for block in block?.sh; do
    while read -r line; do
        case $line in
            flask* | 'mlapi serve'*) serve "$line" ;;
            *client.py) $line >"$block.out" ;;
            *) $line >log 2>&1 || { cat log; exit 1; } ;;
        esac
    done <"$block"
done
outputs=(block*.out)
[[ ${#outputs[@]} -eq 2 && $(wc -l <"${outputs[0]}") -eq 150 ]]
cmp "${outputs[@]}"
echo "docs/tutorial.md: 150 predictions of Flask and scikit-learn are those of mlapi, asked by the same client"
