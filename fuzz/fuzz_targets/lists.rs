//! Drives the target `lists` of `tsdb_vector::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsdb_vector::fuzzing::run("lists", input));
