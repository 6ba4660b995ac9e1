#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ca_testkit::fuzz::world(data));
