//! Any bytes as the first packets of a connection, and what a login makes of them. What is taken
//! for a packet is no longer than what came, and no longer than a packet may be.
#![no_main]

use wire::startup::{self, PACKET_BYTES_MAX, Startup};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((packet, length))) = startup::parse(rest) {
        assert!(length <= rest.len() && length <= PACKET_BYTES_MAX as usize && length > 0);
        rest = &rest[length..];
        if let Startup::Start(message) = packet {
            let _ = message.get("user");
            let _ = startup::settings_of(&message);
        }
    }
});
