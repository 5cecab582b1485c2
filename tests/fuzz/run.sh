#!/bin/sh
# Fuzzes one target for so many seconds: tests/fuzz/run.sh definitions|requests|items [seconds].
# Coverage comes from LLVM's own passes, so that the stable compiler is enough. What it finds is
# written to tests/fuzz/found/; what it learns to tests/fuzz/corpus/, and begins from tests/fuzz/seeds/.
set -eu
cd "$(dirname "$0")"
target=$1
seconds=${2:-600}
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
cargo build --target "$host" --bin "$target"
mkdir -p "corpus/$target" found
nice -n 19 "${CARGO_TARGET_DIR:-target}/$host/debug/$target" "corpus/$target" "seeds/$target" \
    -artifact_prefix="found/$target-" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -max_len=4096
