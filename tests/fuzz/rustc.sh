#!/bin/sh
# The compiler as run.sh has cargo call it: what is fuzzed is built to count which code has run, by
# LLVM's own passes, so that the stable compiler is enough. All else stays as every build has it.
set -eu
case " $* " in
*" --crate-name fanout "* | *" --crate-name jsonata_core "*)
    set -- "$@" -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
