#!/bin/sh
# What the compiler's own tools find: `tests/sanitizers.sh [miri|address|thread]...`, all three where none is named. Needs
# the nightly compiler with its components miri and rust-src. The tests are those of `cargo test`, fewer of each.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
target=$PWD/target/sanitizers
# Seeds and inputs enough to reach every line.
export PROPTEST_CASES=4 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
export TSDB_TEST_MODEL_SEEDS=2 TSDB_TEST_FUZZ=1

# Undefined behaviour, in what is Rust alone: the kernels, AVX2 included, and the decoders of formats. C libraries (zstd)
# and AVX-512 it can't run, and thousands of damages or whole tiles take it too long.
miri() {
    features=
    [ "${host%%-*}" != x86_64 ] || features="-Ctarget-feature=+avx2,+fma"
    interpret "$features" "" kernels::skew:: kernels::dot:: format::bytes:: format::frame:: format::header:: \
        format::labels:: format::metadata:: format::names:: \
        --skip every_flipped_bit_and_every_cut --skip all_paths_see_what_the_twin_sees
    # dtype_dispatch, below pco, moves a box that it has borrowed: fine by the newer of the two rules of aliasing only.
    interpret "$features" -Zmiri-tree-borrows format::codec::
}

interpret() {
    features=$1 flags=$2
    shift 2
    MIRIFLAGS="-Zmiri-disable-isolation $flags" RUSTFLAGS=$features \
        cargo +nightly miri test --locked --target-dir "$target/miri" --lib -- "$@"
}

# Memory errors and leaks, but for those of tests that leave an engine as a kill does.
address() {
    mkdir -p "$target"
    echo "leak:engine::tests::journal" >"$target/leaks"
    export LSAN_OPTIONS="suppressions=$target/leaks"
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
