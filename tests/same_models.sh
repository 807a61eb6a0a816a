#!/usr/bin/env bash
# Whether two binaries of mlapi write the same models, byte for byte, and read each other's:
#
#     bash tests/same_models.sh OLD NEW [TEXT]     (only the runs whose name holds TEXT)
#
# For a change that is to change no model: build before it and after it, and give both binaries. Each run trains with
# both and compares the files; then NEW opens the file that OLD wrote, and `inspect`, `eval` and `predict` have to say
# what OLD says. It prints every difference and, at the end, how many runs there were of each kind; the exit status is
# 1 if a model or an answer differs. A run that both refuse is no difference; one they refuse in other words is
# listed. Takes minutes in a debug build.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
old=$(realpath "$1") new=$(realpath "$2") only=${3:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$root"/fixtures/*.csv "$root/fixtures/nasty" "$root/fixtures/accuracy" "$folder"
cd "$folder"
same=0 refused=0 reworded=0 different=0 answers=0 wrong=0

differs() {
    different=$((different + 1))
    echo "differs: $*"
}

# What a binary says about a model, all in one.
say() { # BINARY TABLE
    "$1" --format json inspect --model old.mlapi 2>&1 || echo "status $?"
    "$1" --format json eval --model old.mlapi 2>&1 || echo "status $?"
    "$1" predict --model old.mlapi --input "$2" --probabilities --lenient 2>&1 || echo "status $?"
}

run() { # TABLE ARGUMENT…
    [[ "$*" == *"$only"* ]] || return 0
    rm -f old.mlapi new.mlapi
    local old_status=0 new_status=0
    "$old" -q train "$@" --threads 2 --output old.mlapi >old.out 2>old.err || old_status=$?
    "$new" -q train "$@" --threads 2 --output new.mlapi >new.out 2>new.err || new_status=$?
    if [ $old_status -ne $new_status ]; then
        differs "$*: exit status $old_status, now $new_status: $(head -1 "$([ $new_status -eq 0 ] && echo old || echo new).err")"
        return
    fi
    if [ $old_status -ne 0 ]; then
        refused=$((refused + 1))
        if ! cmp -s old.err new.err; then
            reworded=$((reworded + 1))
            echo "refused in other words: $*"
            diff old.err new.err | sed 's/^/    /' || true
        fi
        return
    fi
    if [ "$(sha256sum <old.mlapi)" == "$(sha256sum <new.mlapi)" ]; then
        same=$((same + 1))
    else
        differs "$*: $(stat --format %s old.mlapi) bytes, now $(stat --format %s new.mlapi)"
    fi
    answers=$((answers + 1))
    say "$old" "$1" >old.said
    say "$new" "$1" >new.said
    if ! cmp -s old.said new.said; then
        wrong=$((wrong + 1))
        echo "answers otherwise of the old file: $*"
        diff old.said new.said | head -4 | cut -c 1-300 | sed 's/^/    /' || true
    fi
}

# The names that the message about an unknown one lists.
IFS=', ' read -ra algorithms < <("$new" train iris.csv --algorithm '?' 2>&1 | sed -n 's/^known are: //p')
[ ${#algorithms[@]} -gt 1 ] || { echo "which algorithms does $new have?" >&2; exit 2; }
for table in iris wine breast_cancer penguins diabetes visits rentals intents digits; do
    for algorithm in "${algorithms[@]}"; do
        run $table.csv --algorithm "$algorithm"
    done
done

# Which rows are fitted, held out, and how they count.
for algorithm in decision-tree logistic-regression gradient-boosting auto; do
    run penguins.csv --group year --algorithm $algorithm
    run penguins.csv --split-by year --algorithm $algorithm
    run breast_cancer.csv --balance --algorithm $algorithm
    run iris.csv --refit --algorithm $algorithm
    run penguins.csv --cv 3 --algorithm $algorithm
    run wine.csv --tune 4 --algorithm $algorithm
done
for algorithm in ridge random-forest gradient-boosting auto; do
    run rentals.csv --split-by booked --algorithm $algorithm
    run rentals.csv --group weather --refit --algorithm $algorithm
    run diabetes.csv --weight bp --algorithm $algorithm
    run diabetes.csv --tune 4 --refit --algorithm $algorithm
    run diabetes.csv --seed 7 --test-size 0.3 --target bmi --algorithm $algorithm
    run accuracy/diabetes.train.csv --test accuracy/diabetes.test.csv --algorithm $algorithm
done
for algorithm in svm naive-bayes logistic-regression; do
    run intents.csv --balance --refit --algorithm $algorithm
    run penguins.csv --group island --drop year --algorithm $algorithm
    run accuracy/wide_classes.train.csv --test accuracy/wide_classes.test.csv --algorithm $algorithm
done

# What columns are taken for.
run rentals.csv --type starts=category --type weather=text --algorithm logistic-regression --target weather
run rentals.csv --drop booked --type serviced=category --algorithm lasso
run visits.csv --type age=category --null p2 --algorithm naive-bayes
run penguins.csv --type year=category --target body_mass_g --algorithm elastic-net
for table in nasty/*; do
    run "$table" --algorithm decision-tree
    run "$table" --no-header --algorithm naive-bayes
done

# Hyperparameters that lead elsewhere in a learner.
run wine.csv --algorithm logistic-regression --set penalty=l1 --set C=0.3
run wine.csv --algorithm logistic-regression --set penalty=elasticnet --set l1_ratio=0.5
run wine.csv --algorithm logistic-regression --set penalty=none
run breast_cancer.csv --algorithm svm --set kernel=linear
run breast_cancer.csv --algorithm svm --set kernel=poly --set coef0=1 --set probability=false
run diabetes.csv --algorithm svm --set kernel=linear --set epsilon=10
run wine.csv --algorithm knn --set weights=distance --set metric=manhattan
run penguins.csv --algorithm random-forest --set oob_score=true --set max_samples=0.5 --set criterion=entropy
run diabetes.csv --algorithm decision-tree --set ccp_alpha=10 --set max_leaf_nodes=20
run diabetes.csv --algorithm extra-trees --set bootstrap=true --set max_depth=6 --set min_samples_leaf=3
run visits.csv --algorithm gradient-boosting --set subsample=0.5 --set colsample_bytree=0.7 --set early_stopping=true
run diabetes.csv --algorithm gradient-boosting --set loss=absolute_error --set n_estimators=30
run rentals.csv --algorithm gradient-boosting --set loss=poisson --set max_leaf_nodes=8
run digits.csv --algorithm naive-bayes --set numbers=counts
run diabetes.csv --algorithm mlp --set hidden_layer_sizes=20-10 --set early_stopping=true --set activation=tanh

echo "$((same + different + refused)) runs: $same models the same, $different differ, $refused refused by both" \
    "($reworded in other words)"
echo "$answers files of the old binary: $((answers - wrong)) answered the same by the new one, $wrong otherwise"
[ $different -eq 0 ] && [ $wrong -eq 0 ]
