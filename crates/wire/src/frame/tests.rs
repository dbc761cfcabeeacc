//! Headers at and over every limit.

use proptest::prelude::*;

use super::*;

fn raw(tag: u8, length: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [tag, a, b, c, d]
}

fn check(side: Side, tag: u8, length: u32, expected: Result<usize, &str>) {
    let found = header(side, &raw(tag, length)).map(|header| header.unwrap().body_bytes);
    assert_eq!(found.map_err(|malformed| malformed.to_string()), expected.map_err(str::to_owned));
}

#[test]
fn lengths_have_limits() {
    use Side::{Backend, Frontend};
    check(Frontend, b'S', 4, Ok(0));
    check(Frontend, b'S', 10_000, Ok(9_996));
    check(Frontend, b'S', 10_001, Err("Sync: length 10001 is not in 4..=10000"));
    check(Frontend, b'S', 3, Err("Sync: length 3 is not in 4..=10000"));
    check(Frontend, b'S', 0, Err("Sync: length 0 is not in 4..=10000"));
    check(Frontend, b'S', u32::MAX, Err("Sync: length -1 is not in 4..=10000"));
    check(Frontend, b'Q', 0x3fff_fffe, Ok(0x3fff_fffa));
    check(Frontend, b'Q', 0x3fff_ffff, Err("Query: length 1073741823 is not in 4..=1073741822"));
    check(Frontend, b'Q', 0x8000_0000, Err("Query: length -2147483648 is not in 4..=1073741822"));
    for tag in *b"SHXCDEcfp" {
        check(Frontend, tag, 10_000, Ok(9_996));
        assert!(header(Frontend, &raw(tag, 10_001)).is_err());
    }
    for tag in *b"QPBFd" {
        check(Frontend, tag, 0x3fff_fffe, Ok(0x3fff_fffa));
    }
    check(Backend, b'D', 0x4000_0002, Ok(0x3fff_fffe));
    assert!(header(Backend, &raw(b'D', 0x4000_0003)).is_err());
    check(Backend, b'Z', 30_000, Ok(29_996));
    check(Backend, b'Z', 30_001, Err("ReadyForQuery: length 30001 is not in 4..=30000"));
}

#[test]
fn unknown_types_are_refused_at_their_first_byte() {
    let client = Err("message from the client: unknown message type 0x16");
    check(Side::Frontend, 0x16, 4, client); // the first byte of TLS
    assert!(header(Side::Frontend, &[0x16]).is_err());
    assert!(header(Side::Frontend, b"Z").is_err());
    assert!(header(Side::Backend, b"Q").is_err());
    assert_eq!(header(Side::Backend, b"Z"), Ok(None));
    assert_eq!(header(Side::Backend, b""), Ok(None));
    assert_eq!(header(Side::Backend, b"Z\0\0\0"), Ok(None));
}

#[test]
fn every_known_type_has_a_name_and_a_limit() {
    for (side, known) in
        [(Side::Frontend, &b"BCdcfDEHFPpQSX"[..]), (Side::Backend, b"RK23CcdGHWDIEVvnNAtS1sZT")]
    {
        for tag in 0..=255 {
            let is_known = known.contains(&tag);
            assert_eq!(tag::name(side, tag) != "unknown message", is_known, "{tag}");
            assert_eq!(header(side, &raw(tag, 4)).is_ok(), is_known, "{tag}");
        }
    }
}

#[test]
fn a_whole_frame_is_found() {
    let bytes = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
    let frame = whole(Side::Backend, bytes).unwrap().unwrap();
    assert_eq!((frame.tag, frame.body, frame.bytes), (b'C', &b"SELECT 1\0"[..], &bytes[..14]));
    assert_eq!(whole(Side::Backend, &bytes[..13]), Ok(None));
    assert_eq!(whole(Side::Backend, &bytes[14..]).unwrap().unwrap().body, b"I");
}

proptest! {
    #[test]
    fn bytes_from_nowhere_never_panic(bytes in any::<Vec<u8>>()) {
        for side in [Side::Frontend, Side::Backend] {
            let _ = whole(side, &bytes);
        }
    }
}
