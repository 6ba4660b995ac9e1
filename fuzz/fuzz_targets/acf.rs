#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| canter_fuzz::run("acf", data));
