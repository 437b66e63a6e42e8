#!/bin/sh
# What the compiler's own tools find: `tests/sanitizers.sh [miri|thread|address]`, all three where none is named. Needs the
# nightly compiler with its components miri and rust-src. The tests are those of `cargo test`, fewer of each.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}/sanitizers
# Crashes, model runs and random inputs enough to reach every line.
export PROPTEST_CASES=4 TSDB_TEST_MODEL_SEEDS=2

# Undefined behaviour in what is pure Rust: the kernels, and the decoders of formats. C libraries (zstd) it can't run.
miri() {
    MIRIFLAGS="-Zmiri-disable-isolation" CARGO_TARGET_DIR="$target/miri" cargo +nightly miri test --locked --lib -- \
        kernels:: format::bytes format::frame format::header format::labels format::metadata format::names \
        format::codec::tests::regular wal::record segments::index protocol::text protocol::json protocol::points
}

# Data races, in the engine's tests. The standard library is built anew, or its own synchronisation would not be seen.
thread() {
    RUSTFLAGS="-Zsanitizer=thread" CARGO_TARGET_DIR="$target/thread" \
        TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp" \
        cargo +nightly test --locked -Zbuild-std --target "$host" --lib -- engine:: --skip crash:: --skip damage:: \
        --skip fault::
}

# Memory errors, C libraries included, in the engine's tests.
address() {
    RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="$target/address" \
        cargo +nightly test --locked --target "$host" --lib -- engine:: --skip crash:: --skip damage:: --skip fault::
}

[ $# -gt 0 ] || set -- miri thread address
for tool; do
    printf '\n== %s\n' "$tool"
    "$tool"
done
