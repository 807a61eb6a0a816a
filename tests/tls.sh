#!/usr/bin/env bash
# HTTPS, built with the feature `tls`: real handshakes of curl and of Python's ssl, and clients that make none.
#
#     bash tests/tls.sh [MLAPI]     (default: builds target/debug/mlapi with --features tls)
#
# tests/tls.py says what is asserted. openssl makes the certificates; they are valid for a day.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v openssl >/dev/null && [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssl >/dev/null
fi
if [[ $# -eq 0 ]]; then
    cargo build --quiet --locked --features tls --bin mlapi --manifest-path "$root/Cargo.toml"
fi
mlapi=$(realpath "${1:-${CARGO_TARGET_DIR:-$root/target}/debug/mlapi}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for name in server other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=localhost" \
        -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout "$name.key" -out "$name.pem" 2>/dev/null
done
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj "/CN=localhost" -addext "subjectAltName=IP:127.0.0.1" \
    -keyout rsa.key -out rsa.pem 2>/dev/null
# The test asks for TLS 1.1 on purpose.
python3 -W ignore::DeprecationWarning "$root/tests/tls.py" "$mlapi" "$root/fixtures"
