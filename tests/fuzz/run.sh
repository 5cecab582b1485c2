#!/bin/sh
# Fuzzes one target for so many seconds: tests/fuzz/run.sh definitions|requests|items [seconds].
# Begins from tests/fuzz/seeds/ and keeps what it learns in tests/fuzz/corpus/; an input that
# crashes, hangs or eats the memory goes to tests/fuzz/found/. To try such a file again:
# tests/fuzz/run.sh TARGET FILE.
set -eu
cd "$(dirname "$0")"
target=$1
mkdir -p "corpus/$target" found
# What is compiled with counters needs a profile that no other build has, or cargo would mix them up.
fuzz() {
    RUSTC_WRAPPER="$PWD/rustc.sh" nice -n 19 cargo run --package fanout-fuzz --bin "fuzz-$target" \
        --config 'profile.dev.package.fanout.opt-level=1' \
        --config 'profile.dev.package.jsonata-core.opt-level=1' \
        -- "$@" -artifact_prefix="found/$target-" -timeout=20 -rss_limit_mb=2048 -max_len=4096
}
case ${2:-600} in
*[!0-9]*) fuzz "$2" ;;
*) fuzz "corpus/$target" "seeds/$target" -max_total_time="${2:-600}" -print_final_stats=1 ;;
esac
