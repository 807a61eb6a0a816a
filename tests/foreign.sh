#!/usr/bin/env bash
# Models of XGBoost, LightGBM and CatBoost, imported and compared with their trainers; ONNX files, imported and compared
# with onnxruntime; models of mlapi, exported and compared with onnxruntime, LightGBM, SQLite, DuckDB and PostgreSQL; then
# the examples of docs/import.md and docs/tutorial.md as they stand.
#
#     bash tests/foreign.sh [MLAPI] [--quick] [--all] [NAME…]     (default: target/release/mlapi, all models)
#
# MLAPI is built with `--features import`.
# tests/foreign.py and tests/foreign_onnx.py say what is compared. The trainers are installed in target/foreign-env from
# tests/foreign.txt, exactly as written there; FOREIGN_PYTHON names a Python that has them. The examples of PyTorch and
# Keras need torch, onnxscript and keras as well, which are too large for that list: without them they are left out, which
# --all does not allow. PostgreSQL runs in a temporary folder, behind a socket there; it is installed by apt-get if it is
# missing and this is root's shell.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mlapi=$root/target/release/mlapi
if [[ $# -gt 0 && $1 != --* && -x $1 ]]; then
    mlapi=$1
    shift
fi
mlapi=$(realpath "$mlapi")
python=${FOREIGN_PYTHON:-$(bash "$root/benches/python.sh" tests/foreign.txt foreign-env)}
folder=$(mktemp -d)
postgres=
as_user=()
stop() {
    [[ -z $postgres ]] || "${as_user[@]}" "$postgres/pg_ctl" --pgdata "$folder/postgres/data" --mode immediate --silent stop || true
    rm -rf "$folder"
}
trap stop EXIT

find_postgres() { ls -d /usr/lib/postgresql/*/bin "$(dirname "$(command -v initdb || echo /nowhere/initdb)")" 2>/dev/null | head -1; }
if [[ -z $(find_postgres) && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
    # Debian makes a cluster of its own otherwise, and starts it.
    mkdir -p /etc/postgresql-common
    [[ -e /etc/postgresql-common/createcluster.conf ]] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq postgresql >/dev/null || { apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; }
fi
postgres=$(find_postgres)
if [[ -z $postgres ]]; then
    echo "PostgreSQL is not installed (Debian, Ubuntu: apt-get install postgresql)" >&2
    exit 1
fi
mkdir "$folder/postgres"
if [[ $(id -u) -eq 0 ]]; then
    # It refuses to run as root.
    as_user=(setpriv --reuid postgres --regid postgres --clear-groups)
    chown postgres "$folder/postgres"
    chmod 711 "$folder"
fi
(
    cd "$folder/postgres"
    "${as_user[@]}" "$postgres/initdb" --pgdata data --auth trust --username mlapi --encoding UTF8 --no-locale --no-sync >initdb.log
    "${as_user[@]}" "$postgres/pg_ctl" --pgdata data --silent --wait --log data/log \
        --options "-c listen_addresses='' -c unix_socket_directories='$folder/postgres' -c fsync=off" start
)
export FOREIGN_POSTGRES=$folder/postgres
"$python" "$root/tests/foreign.py" "$mlapi" "$folder" "$root/fixtures" "$@"
"$python" "$root/tests/foreign_onnx.py" "$mlapi" "$folder" "$@"

# The examples: each block of Python and of the shell in turn.
mkdir "$folder/docs"
cp "$root"/fixtures/*.csv "$folder/docs"
awk -v folder="$folder/docs" '
    /^```(python|sh)$/ { n++; name = sprintf("%s/block%02d.%s", folder, n, substr($0, 4)); inside = 1; next }
    /^```/ { inside = 0 }
    inside { print > name }
' "$root/docs/import.md"
cd "$folder/docs"
mkdir bin
ln -s "$mlapi" bin/mlapi
has_torch=
KERAS_BACKEND=torch "$python" -c 'import keras, onnxscript, torch' 2>/dev/null && has_torch=1
left_out=
for block in block*; do
    case $block in
        *.python)
            left_out=
            if [[ -z $has_torch ]] && grep -qE '^import (torch|keras)$' "$block"; then
                echo "docs/import.md: $block is left out, as $python has no torch, onnxscript and keras"
                # And the commands that import what it would have saved.
                left_out=1
                [[ " $* " != *" --all "* ]]
                continue
            fi
            ;;
        *) [[ -z $left_out ]] || { left_out=; continue; } ;;
    esac
    echo "docs/import.md: $block"
    case $block in
        *.python) "$python" "$block" ;;
        *.sh) PATH=$PWD/bin:$PATH bash -euo pipefail "$block" >"$block.out" || { cat "$block.out"; exit 1; } ;;
    esac
done

bash "$root/tests/tutorial.sh" "$mlapi" "$python"
