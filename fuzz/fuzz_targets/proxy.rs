//! A PROXY header that is read as a connection reads it: never past its end, never without end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::proxy::{Proxied, header, is_header};

fuzz_target!(|bytes: &[u8]| {
    let mut have = 0;
    while let Ok(progress) = header(&bytes[..have]) {
        match progress {
            Proxied::Header(found) => {
                assert!(found.bytes == have && is_header(bytes));
                return;
            }
            Proxied::More(more) => {
                assert!(more > 0 && have + more <= 16 + 4096);
                have += more;
                if have > bytes.len() {
                    return;
                }
            }
        }
    }
});
