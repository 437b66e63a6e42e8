//! Drives the target `text` of `tsdb_vector::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsdb_vector::fuzzing::run("text", input));
