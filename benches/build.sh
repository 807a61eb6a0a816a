#!/usr/bin/env bash
# Builds what is measured and prints the folder that it is in:
#
#     BENCH_BIN=$(bash benches/build.sh)
#
# The profile is `dist`, that of the binary that is shipped, so published figures are about that one.
# BENCH_PROFILE=release builds in a fraction of the time, without optimisation across crates.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${BENCH_PROFILE:-dist}
cargo build --quiet --locked --workspace --bins --profile "$profile" >&2
folder=$(realpath "${CARGO_TARGET_DIR:-target}/$profile")
printf 'measuring what is in %s\n' "$folder" >&2
printf '%s\n' "$folder"
