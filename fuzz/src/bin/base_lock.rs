#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| s2r::fuzzing::base_lock(bytes));
