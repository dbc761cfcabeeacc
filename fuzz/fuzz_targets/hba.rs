//! Any text as an HBA file: lines, or complaints that point into it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        config::fuzz_hba(text);
    }
});
