#!/bin/sh
# What the compiler's own tools find: `tests/sanitizers.sh [miri|address|thread]...`, all three where none is named. Needs
# the nightly compiler with its components miri and rust-src. The tests are those of `cargo test`, fewer of each.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
target=$PWD/target/sanitizers
# Seeds and inputs enough to reach every line.
export PROPTEST_CASES=16 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
export TSDB_TEST_MODEL_SEEDS=2 TSDB_TEST_FUZZ=1

# Undefined behaviour, in what is Rust alone: the kernels, vector instructions included, and the decoders of formats and
# of requests. C libraries (zstd) and the disk are not for it.
miri() {
    features=
    [ "${host%%-*}" != x86_64 ] || features="-Ctarget-feature=+avx2,+fma"
    MIRIFLAGS="-Zmiri-disable-isolation" RUSTFLAGS="$features" \
        cargo +nightly miri test --locked --target-dir "$target/miri" --lib -- \
        kernels:: format::bytes:: format::frame:: format::header:: format::labels:: format::metadata:: format::names:: \
        format::codec::
}

# Memory errors and leaks.
address() {
    RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --locked --target "$host" --target-dir "$target/address" \
        --lib -- engine:: kernels:: format:: segments:: wal::
}

# Data races. The standard library is built anew, or its own synchronisation would not be seen.
thread() {
    RUSTFLAGS="-Zsanitizer=thread" cargo +nightly test --locked -Zbuild-std --target "$host" \
        --target-dir "$target/thread" --lib -- engine::tests::concurrency:: engine::tests::panics::
}

[ $# -gt 0 ] || set -- miri address thread
for tool; do
    case $tool in
    miri | address | thread) ;;
    *)
        echo "$tool: no such tool; name miri, address or thread" >&2
        exit 2
        ;;
    esac
    printf '\n== %s\n' "$tool"
    started=$(date +%s)
    "$tool"
    echo "$tool: $(($(date +%s) - started)) s"
done
