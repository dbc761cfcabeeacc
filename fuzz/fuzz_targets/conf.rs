//! Any bytes as odyssey.conf. What must hold is in `promises`.
#![no_main]

mod promises;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promises::check(bytes, config::Format::Conf));
