#!/usr/bin/env bash
# Makes a virtual environment in target/python with the packages of benches/requirements.txt, and prints the path of
# its python:
#
#     PY=$(bash benches/python.sh)
#
# Two arguments name another list and another folder below target/: tests/requirements.txt clients. The environment is
# made once, and made again if the list, its folder or python3 changes.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/${1:-benches/requirements.txt}
env=$root/target/${2:-python}
stamp=$env/requirements.stamp

say() { printf 'python.sh: %s\n' "$*" >&2; }

if ! command -v python3 >/dev/null; then
    say 'python3 is missing; install Python 3.11 or newer'
    exit 1
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "$(python3 --version) is too old; scikit-learn needs 3.11 or newer"
    exit 1
fi

wanted=$(python3 - "$requirements" "$env" <<'END'
import hashlib, platform, sys
digest = hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()
print(digest, platform.python_version(), sys.prefix, sys.argv[2])
END
)

is_ready() { [[ -x $env/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; }

if ! is_ready; then
    mkdir -p "$root/target"
    # Two scripts that start together must not install over each other.
    if command -v flock >/dev/null; then
        exec 9>"$env.lock"
        flock 9
    fi
fi

if ! is_ready; then
    # Debian packs venv and the pip it needs separately from python3.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
            say 'installing python3-venv'
            export DEBIAN_FRONTEND=noninteractive
            apt-get install -y -qq python3-venv >&2 9>&- ||
                { apt-get update -qq >&2 9>&- && apt-get install -y -qq python3-venv >&2 9>&-; }
        else
            say 'python3 has no venv; install it (Debian, Ubuntu: apt-get install python3-venv)'
            exit 1
        fi
    fi
    say "installing ${requirements#"$root"/} into ${env#"$root"/}"
    rm -rf "$env"
    python3 -m venv "$env" >&2
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --no-deps --only-binary :all: --requirement "$requirements" >&2
    printf '%s\n' "$wanted" >"$stamp.new"
    mv "$stamp.new" "$stamp"
fi

printf '%s\n' "$env/bin/python"
