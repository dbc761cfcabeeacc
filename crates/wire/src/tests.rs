//! Messages there and back: encoders against views, and both against postgres-protocol's.

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::{backend as their_backend, frontend as theirs};
use proptest::prelude::*;

use crate::backend::{Authentication, TransactionStatus};
use crate::encode::{self, Column};
use crate::frame::{self, Side};
use crate::frontend::Target;
use crate::notice::{Notice, Severity};
use crate::startup::{self, CancelKey};
use crate::{Text, backend, frontend};

/// The body of the one frame that `fill` writes.
fn body(side: Side, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    let frame = frame::whole(side, &out).unwrap().expect("a whole frame");
    assert_eq!(frame.bytes.len(), out.len(), "one frame and no more");
    frame.body.to_vec()
}

fn ask(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    body(Side::Frontend, fill)
}

fn answer(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    body(Side::Backend, fill)
}

/// Ours and theirs write the same bytes.
fn same(ours: impl FnOnce(&mut Vec<u8>), theirs: impl FnOnce(&mut BytesMut)) {
    let (mut out, mut expected) = (Vec::new(), BytesMut::new());
    ours(&mut out);
    theirs(&mut expected);
    assert_eq!(out, expected);
}

#[test]
fn requests_are_what_postgres_protocol_writes() {
    same(|out| encode::query(out, "select 1"), |out| theirs::query("select 1", out).unwrap());
    same(
        |out| encode::parse(out, "s", "select $1", &[23, 0]),
        |out| theirs::parse("s", "select $1", [23, 0], out).unwrap(),
    );
    same(
        |out| encode::bind(out, "p", "s", &[Some("a"), None]),
        |out| {
            let put = |value: Option<&str>, out: &mut BytesMut| {
                value.iter().for_each(|value| out.extend_from_slice(value.as_bytes()));
                Ok(if value.is_some() { IsNull::No } else { IsNull::Yes })
            };
            let bound = theirs::bind("p", "s", [], [Some("a"), None], put, [], out);
            assert!(bound.is_ok());
        },
    );
    same(
        |out| encode::describe(out, Target::Statement, "s"),
        |out| theirs::describe(b'S', "s", out).unwrap(),
    );
    same(
        |out| encode::close(out, Target::Portal, "p"),
        |out| theirs::close(b'P', "p", out).unwrap(),
    );
    same(|out| encode::execute(out, "p", 7), |out| theirs::execute("p", 7, out).unwrap());
    same(encode::sync, theirs::sync);
    same(encode::flush, theirs::flush);
    same(encode::terminate, theirs::terminate);
    same(|out| encode::copy_fail(out, "no"), |out| theirs::copy_fail("no", out).unwrap());
    same(|out| encode::password(out, "pw"), |out| theirs::password_message(b"pw", out).unwrap());
    same(
        |out| encode::sasl_initial_response(out, "M", b"data"),
        |out| theirs::sasl_initial_response("M", b"data", out).unwrap(),
    );
    same(
        |out| encode::sasl_response(out, b"data"),
        |out| theirs::sasl_response(b"data", out).unwrap(),
    );
    same(
        |out| startup::startup_message(out, &[("user", "u"), ("client_encoding", "UTF8")], 0),
        |out| {
            let parameters = [("user", "u"), ("client_encoding", "UTF8")];
            theirs::startup_message(parameters, out).unwrap();
        },
    );
    same(|out| out.extend(startup::ssl_request()), theirs::ssl_request);
    let key = CancelKey { pid: 5, secret: vec![0, 0, 0, 6] };
    same(|out| startup::cancel_request(out, &key), |out| theirs::cancel_request(5, 6, out));
}

#[test]
fn answers_are_what_postgres_protocol_reads() {
    let mut out = Vec::new();
    encode::authentication_ok(&mut out);
    encode::authentication_cleartext(&mut out);
    encode::authentication_md5(&mut out, [1, 2, 3, 4]);
    encode::authentication_sasl(&mut out, &["A", "B"]);
    encode::authentication_sasl_continue(&mut out, b"x");
    encode::authentication_sasl_final(&mut out, b"y");
    encode::parameter_status(&mut out, "name", "value");
    encode::backend_key_data(&mut out, &CancelKey { pid: 5, secret: vec![0, 0, 0, 6] });
    encode::ready_for_query(&mut out, TransactionStatus::Idle);
    encode::error(&mut out, &Notice::error("42601", "no").with_hint("yes"));
    encode::notice(&mut out, &Notice::new(Severity::Notice, "00000", "hm"));
    encode::command_complete(&mut out, "SELECT 1");
    encode::row_description(
        &mut out,
        &[Column::text("a"), Column { name: "b", type_oid: 20, type_bytes: 8, format: 0 }],
    );
    encode::data_row(&mut out, &[Some("x"), None]);
    encode::empty_query_response(&mut out);
    encode::parse_complete(&mut out);
    encode::bind_complete(&mut out);
    encode::close_complete(&mut out);
    encode::no_data(&mut out);
    encode::parameter_description(&mut out, &[23]);
    let mut stream = BytesMut::from(&out[..]);
    let mut read = 0;
    while let Some(message) = their_backend::Message::parse(&mut stream).unwrap() {
        match message {
            their_backend::Message::ErrorResponse(body) => {
                use fallible_iterator::FallibleIterator as _;
                let fields: Vec<u8> =
                    body.fields().map(|field| Ok(field.type_())).collect().unwrap();
                assert_eq!(fields, b"SVCMH");
            }
            their_backend::Message::RowDescription(body) => {
                use fallible_iterator::FallibleIterator as _;
                let types: Vec<u32> =
                    body.fields().map(|field| Ok(field.type_oid())).collect().unwrap();
                assert_eq!(types, [25, 20]);
            }
            _ => {}
        }
        read += 1;
    }
    assert_eq!((read, stream.len()), (20, 0));
}

#[test]
fn answers_come_back_as_they_went() {
    for status in
        [TransactionStatus::Idle, TransactionStatus::InTransaction, TransactionStatus::Failed]
    {
        let body = answer(|out| encode::ready_for_query(out, status));
        assert_eq!(backend::ready_for_query(&body), Ok(status));
    }
    let body = answer(|out| encode::parameter_status(out, "TimeZone", b"\xff"));
    assert_eq!(backend::parameter_status(&body), Ok((Text(b"TimeZone"), Text(b"\xff"))));
    let key = CancelKey { pid: 9, secret: vec![7; 256] };
    let body = answer(|out| encode::backend_key_data(out, &key));
    assert_eq!(backend::backend_key_data(&body), Ok(key));
    let body = answer(|out| encode::command_complete(out, "INSERT 0 1"));
    assert_eq!(backend::command_complete(&body), Ok("INSERT 0 1"));
    let body = answer(|out| encode::parameter_description(out, &[23, 25]));
    let oids = backend::parameter_description(&body).unwrap();
    assert_eq!(oids.iter().collect::<Vec<_>>(), [23, 25]);
    let body = answer(|out| encode::negotiate_protocol_version(out, 2, &["_pq_.x"]));
    let negotiated = backend::negotiate_protocol_version(&body).unwrap();
    assert_eq!((negotiated.major, negotiated.minor), (3, 2));
    assert_eq!(negotiated.unknown_options, ["_pq_.x"]);
    let body = answer(|out| encode::data_row(out, &[Some("a"), None, Some("")]));
    let values: Vec<_> = backend::data_row(&body).unwrap().values().collect();
    assert_eq!(values, [Some(&b"a"[..]), None, Some(b"")]);
    let body = answer(|out| {
        encode::row_description(
            out,
            &[Column::text("a"), Column { name: "b", type_oid: 23, type_bytes: 4, format: 0 }],
        )
    });
    let fields: Vec<_> = backend::row_description(&body).unwrap().fields().collect();
    assert_eq!((fields[0].name, fields[0].type_oid), (Text(b"a"), 25));
    assert_eq!((fields[1].name, fields[1].type_bytes), (Text(b"b"), 4));
}

#[test]
fn authentication_comes_back_as_it_went() {
    let check = |fill: &dyn Fn(&mut Vec<u8>), expected: Authentication<'_>| {
        let body = answer(fill);
        assert_eq!(backend::authentication(&body), Ok(expected));
    };
    check(&encode::authentication_ok, Authentication::Ok);
    check(&encode::authentication_cleartext, Authentication::Cleartext);
    let salt = [1, 2, 3, 4];
    check(&|out| encode::authentication_md5(out, salt), Authentication::Md5 { salt });
    let mechanisms = vec![Text(b"A"), Text(b"B")];
    check(
        &|out| encode::authentication_sasl(out, &["A", "B"]),
        Authentication::Sasl { mechanisms },
    );
    check(&|out| encode::authentication_sasl_continue(out, b""), Authentication::SaslContinue(b""));
    check(&|out| encode::authentication_sasl_final(out, b"v"), Authentication::SaslFinal(b"v"));
    assert_eq!(backend::authentication(&[0, 0, 0, 7]), Ok(Authentication::Other(7)));
    assert!(backend::authentication(&[0, 0, 0, 5, 1]).is_err());
    assert!(backend::authentication(b"\0\0\0\x0aSCRAM").is_err());
}

#[test]
fn errors_come_back_as_they_went() {
    let sent = Notice::fatal("57P01", "bye").with_detail("because").with_hint("later");
    let body = answer(|out| encode::error(out, &sent));
    let view = backend::error(&body).unwrap();
    assert!(view.is_fatal());
    assert_eq!((view.code(), view.message()), (Text(b"57P01"), Text(b"bye")));
    assert_eq!(view.to_notice(), sent);
    assert!(!backend::error(b"SERROR\0\0").unwrap().is_fatal());
    assert_eq!(
        backend::error(b"SERROR").unwrap_err().to_string(),
        "ErrorResponse: a field has no terminating zero"
    );
    assert!(backend::error(b"").is_err());
    assert!(backend::error(b"\0x").is_err());
}

/// What a client calls itself goes into error texts.
#[test]
fn a_zero_in_a_text_does_not_break_the_frame() {
    let body =
        answer(|out| encode::error(out, &Notice::error("28000", "no \0 user").with_hint("h")));
    let view = backend::error(&body).unwrap();
    assert_eq!((view.message(), view.hint()), (Text(b"no "), Some(Text(b"h"))));
}

#[test]
fn requests_come_back_as_they_went() {
    let body = ask(|out| encode::query(out, "select 'ü'"));
    assert_eq!(frontend::query(&body).unwrap(), "select 'ü'");
    let body = ask(|out| encode::parse(out, "s", "select $1", &[23]));
    let parse = frontend::parse(&body).unwrap();
    assert_eq!((parse.name, parse.query), (Text(b"s"), Text(b"select $1")));
    let renamed = ask(|out| encode::parse_renamed(out, "other", parse.behind_name));
    assert_eq!(renamed, ask(|out| encode::parse(out, "other", "select $1", &[23])));
    let body = ask(|out| encode::bind(out, "p", "s", &[Some("1"), None]));
    let bind = frontend::bind(&body).unwrap();
    assert_eq!((bind.portal, bind.statement), (Text(b"p"), Text(b"s")));
    assert_eq!(frontend::bind_names(&body), Ok((bind.portal, bind.statement)));
    assert_eq!(bind.values().collect::<Vec<_>>(), [Some(&b"1"[..]), None]);
    let body = ask(|out| encode::describe(out, Target::Statement, "s"));
    assert_eq!(frontend::describe(&body), Ok((Target::Statement, Text(b"s"))));
    let body = ask(|out| encode::close(out, Target::Portal, ""));
    assert_eq!(frontend::close(&body), Ok((Target::Portal, Text(b""))));
    let body = ask(|out| encode::execute(out, "p", 10));
    assert_eq!(frontend::execute(&body).map(|execute| execute.rows_max), Ok(10));
    let body = ask(|out| encode::password(out, "pw"));
    assert_eq!(frontend::password(&body), Ok(&b"pw"[..]));
    let body = ask(|out| encode::sasl_initial_response(out, "M", b""));
    assert_eq!(frontend::sasl_initial_response(&body), Ok((Text(b"M"), &b""[..])));
    assert_eq!(frontend::sasl_initial_response(b"M\0\xff\xff\xff\xff"), Ok((Text(b"M"), &b""[..])));
    let body = ask(|out| encode::copy_fail(out, "why"));
    assert_eq!(frontend::copy_fail(&body), Ok(Text(b"why")));
    assert_eq!(
        frontend::describe(b"Xs\0").unwrap_err().to_string(),
        "Describe: the kind cannot be 88"
    );
}

#[test]
fn lengths_inside_bodies_are_checked() {
    assert!(frontend::sasl_initial_response(b"M\0\xff\xff\xff\xfe").is_err());
    assert!(frontend::sasl_initial_response(b"M\0\x7f\xff\xff\xff").is_err());
    assert!(frontend::sasl_initial_response(b"M\0\0\0\0\x01ab").is_err());
    assert!(frontend::bind(b"\0\0\0\0\0\x01\0\0\0\x09ab\0\0").is_err());
    assert!(backend::negotiate_protocol_version(b"\0\x03\0\x02\x7f\xff\xff\xff").is_err());
    assert!(backend::data_row(b"\0\x01\xff\xff\xff\xfe").is_err());
    assert!(backend::empty(b'1', b"x").is_err());
    assert!(backend::ready_for_query(b"X").is_err() && backend::ready_for_query(b"II").is_err());
}

proptest! {
    #[test]
    fn bytes_from_nowhere_never_panic(body in any::<Vec<u8>>()) {
        let _ = backend::ready_for_query(&body);
        let _ = backend::parameter_status(&body);
        let _ = backend::backend_key_data(&body);
        let _ = backend::authentication(&body);
        let _ = backend::error(&body).map(|view| view.to_notice());
        let _ = backend::command_complete(&body);
        let _ = backend::negotiate_protocol_version(&body);
        let _ = backend::notification(&body);
        let rows = backend::row_description(&body);
        let _ = rows.map(|rows| assert_eq!(rows.fields().count(), rows.len()));
        let _ = backend::data_row(&body).map(|row| assert_eq!(row.values().count(), row.len()));
        let _ = backend::parameter_description(&body).map(|oids| oids.iter().count());
        let _ = frontend::query(&body);
        let _ = frontend::password(&body);
        let _ = frontend::sasl_initial_response(&body);
        let _ = frontend::parse(&body).map(|parse| parse.types.iter().count());
        let _ = frontend::bind(&body).map(|bind| bind.values().count());
        let _ = frontend::describe(&body);
        let _ = frontend::execute(&body);
    }
}
