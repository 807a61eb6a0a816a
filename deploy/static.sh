#!/usr/bin/env bash
# Builds the static binary as it is shipped, as the Dockerfile does, and prints its path:
#
#     STATIC_MLAPI=$(bash deploy/static.sh)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --locked --profile dist --bin mlapi \
    --manifest-path "$root/Cargo.toml" --target "$host" --target-dir "$root/target/static" >&2
printf '%s\n' "$root/target/static/$host/dist/mlapi"
