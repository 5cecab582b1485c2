#!/bin/bash
# How fast objects come and go, beside the AWS CLI doing the same against the same engine, in one
# run: `benches/transfer.sh [MIB] [ROUNDS]`, after `cargo build --release`. Each is tried in turns,
# and the best of the rounds counts; the ratio is the CLI's time divided by ours.
#
# Ours does more: a download is compared with its checksum and waits for the disk; an upload reads
# the file once before, to name it by its SHA-256, and starts an execution behind it.
set -euo pipefail

mib=${1:-1024}
rounds=${2:-3}
fanout=$(realpath "${FANOUT:-target/release/fanout}")
folder=$(mktemp -d)
export HOME=$folder FANOUT_DATA_DIR=$folder/data AWS_EC2_METADATA_DISABLED=true
cd "$folder"

"$fanout" local serve >serve.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$folder"' EXIT
until [ -s serve.log ]; do :; done
eval "$("$fanout" local env)"

# Lines of a kilobyte that do not compress and differ, and one run to put an object beside.
head -c $((mib * 768 * 1024)) /dev/urandom | base64 -w 1023 >big.txt
echo one >small.txt
"$fanout" start small.txt --name bench --input '{"request":{"url":"http://127.0.0.1:9/{line}"},"tolerate":100}' \
    --yes --wait >/dev/null 2>&1 || true
address=$("$fanout" outputs ls bench --json | grep -om1 '"bucket": "[^"]*"' | cut -d'"' -f4)

seconds() {
    local begun=$EPOCHREALTIME
    "$@" >out.log 2>&1 || { cat out.log >&2; exit 1; }
    echo "$EPOCHREALTIME $begun" | awk '{ printf "%.2f", $1 - $2 }'
}

report() {
    printf '%s\n' "$2" | sort -n | head -1 >theirs
    printf '%s\n' "$3" | sort -n | head -1 >ours
    paste theirs ours | awk -v what="$1" -v mib="$mib" '{
        printf "%-9s %5d MiB   aws %6.2f s %6.0f MiB/s   fanout %6.2f s %6.0f MiB/s   ratio %.2f\n",
            what, mib, $1, mib / $1, $2, mib / $2, $1 / $2 }'
}

up_theirs= up_ours= down_theirs= down_ours=
for round in $(seq "$rounds"); do
    # Of other content each time, so that it is not there already.
    echo "$round" >>big.txt
    up_theirs+=$(seconds aws s3 cp --no-progress big.txt "s3://$address/runs/bench/big.txt")$'\n'
    # Nothing works through it: the execution fails on its input, at once.
    up_ours+=$(seconds "$fanout" start big.txt --name "up-$round" --input '{"output":{"bucket":1}}' --yes)$'\n'
    "$fanout" stop "up-$round" --yes >/dev/null 2>&1 || true
    down_theirs+=$(seconds aws s3 cp --no-progress "s3://$address/runs/bench/big.txt" theirs.txt)$'\n'
    down_ours+=$(seconds "$fanout" outputs get bench runs/bench/big.txt --to ours.txt)$'\n'
    cmp theirs.txt ours.txt
    rm theirs.txt ours.txt
done
tail -1 out.log >&2
report upload "${up_theirs%$'\n'}" "${up_ours%$'\n'}"
report download "${down_theirs%$'\n'}" "${down_ours%$'\n'}"
