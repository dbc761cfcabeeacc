//! Headers as proxies send them, as they do not, and any bytes at all.

use proptest::prelude::*;

use super::*;

fn client(bytes: &[u8]) -> Result<Option<String>, NoHeader> {
    match header(bytes)? {
        Proxied::Header(header) => {
            assert_eq!(header.bytes, bytes.len());
            Ok(header.client.map(|client| client.to_string()))
        }
        Proxied::More(more) => panic!("{more} bytes are missing of {bytes:?}"),
    }
}

fn v2(command: u8, family: u8, tail: &[u8]) -> Vec<u8> {
    let length = u16::try_from(tail.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, tail].concat()
}

/// As a reader reads: never more than it was told.
fn read(stream: &[u8]) -> Result<(Header, usize), NoHeader> {
    let mut have = 0;
    loop {
        match header(&stream[..have])? {
            Proxied::Header(header) => return Ok((header, have)),
            Proxied::More(more) => {
                assert!(more > 0);
                have = (have + more).min(stream.len());
                assert!(have <= stream.len());
            }
        }
    }
}

#[test]
fn lines_of_version_1() {
    let check = |line: &str, expected: Option<&str>| {
        let found = client(format!("{line}\r\n").as_bytes());
        assert_eq!(found, Ok(expected.map(str::to_owned)), "{line}");
    };
    check("PROXY TCP4 192.0.2.7 10.0.0.1 56324 5432", Some("192.0.2.7:56324"));
    check("PROXY TCP6 2001:db8::7 ::1 65535 0", Some("[2001:db8::7]:65535"));
    check("PROXY UNKNOWN", None);
    check("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535", None);
}

#[test]
fn lines_that_are_none() {
    for line in [
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 5432 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
        "PROXY TCP4 192.0.2.7  10.0.0.1 56324 5432\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 1 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +1 1\r\n",
        "PROXY TCP4 192.0.2.007 10.0.0.1 1 1\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 1 1\r\n",
        "PROXY UNIX 192.0.2.7 10.0.0.1 1 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1 1\n",
        "PROXY  TCP4\r\n",
        "PROXY TCP4 \u{ff} 1 1 1\r\n",
    ] {
        assert_eq!(header(line.as_bytes()), Err(NoHeader::Line), "{line:?}");
    }
    let endless = [b"PROXY ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(header(&endless), Err(NoHeader::Line));
    assert_eq!(read(&endless), Err(NoHeader::Line), "and no more is read than a line may have");
}

#[test]
fn headers_of_version_2() {
    let v4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 4, 0x15, 0x38];
    let mut v6 = [0u8; 36];
    (v6[0], v6[15], v6[33]) = (0x20, 7, 9);
    assert_eq!(client(&v2(0x21, 0x11, v4)), Ok(Some("192.0.2.7:56324".into())));
    assert_eq!(client(&v2(0x21, 0x21, &v6)), Ok(Some("[2000::7]:9".into())));
    let with_tlvs = [v4, &[4, 0, 1, 0], &[0xff; 40]].concat();
    assert_eq!(client(&v2(0x21, 0x11, &with_tlvs)), Ok(Some("192.0.2.7:56324".into())));
    for other in [
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, v4),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x12, v4),
        v2(0x21, 0x31, &[0; 216]),
        v2(0x21, 0x99, &[1, 2, 3]),
    ] {
        assert_eq!(client(&other), Ok(None), "{other:?}");
    }
}

#[test]
fn headers_that_are_none() {
    assert_eq!(header(&v2(0x11, 0x11, &[0; 12])), Err(NoHeader::Version(1)));
    assert_eq!(header(&v2(0x22, 0x11, &[0; 12])), Err(NoHeader::Command(2)));
    assert_eq!(header(&v2(0x21, 0x11, &[0; 11])), Err(NoHeader::TooShort(11)));
    assert_eq!(header(&v2(0x21, 0x21, &[0; 12])), Err(NoHeader::TooShort(12)));
    let long = v2(0x21, 0x11, &[0; TAIL_BYTES_MAX + 1]);
    assert_eq!(header(&long[..HEAD_BYTES]), Err(NoHeader::TooLong(TAIL_BYTES_MAX + 1)));
    // A startup packet, a request for TLS, a ClientHello.
    for alien in [&[0, 0, 0, 8][..], &[0x16, 3, 1], b"GET / HTTP/1.1", b"\r\n\r\r", b"PROXX"] {
        assert_eq!(header(alien), Err(NoHeader::Alien), "{alien:?}");
    }
}

proptest! {
    /// Whatever follows a header stays unread, and is not needed to find its end.
    #[test]
    fn nothing_is_read_past_the_end(
        kind in 0u8..3,
        address in any::<[u8; 4]>(),
        port in any::<u16>(),
        tlvs in proptest::collection::vec(any::<u8>(), 0..64),
        behind in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let ip = Ipv4Addr::from(address);
        let head = match kind {
            0 => format!("PROXY TCP4 {ip} 10.0.0.1 {port} 1\r\n").into_bytes(),
            1 => b"PROXY UNKNOWN\r\n".to_vec(),
            _ => {
                let port = port.to_be_bytes();
                v2(0x21, 0x11, &[&address[..], &[10, 0, 0, 1], &port, &[0, 1], &tlvs].concat())
            }
        };
        let (header, have) = read(&[head.clone(), behind].concat()).unwrap();
        prop_assert_eq!((header.bytes, have), (head.len(), head.len()));
        let expected = (kind != 1).then(|| SocketAddr::new(ip.into(), port));
        prop_assert_eq!(header.client, expected);
    }

    /// Bytes come in pieces: a beginning of a header is no error and no header.
    #[test]
    fn any_bytes_end_in_one_of_three_ways(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        begins in 0u8..3,
    ) {
        let beginning = match begins { 0 => &[][..], 1 => WORD, _ => &SIGNATURE };
        let stream = [beginning, &bytes].concat();
        for end in 0..stream.len() {
            match header(&stream[..end]) {
                Ok(Proxied::Header(found)) => prop_assert!(found.bytes <= end),
                Ok(Proxied::More(more)) => prop_assert!(more > 0 && end + more <= 16 + 4096),
                Err(_) => {}
            }
        }
    }
}
