//! Requests: the head of a GET or a HEAD, read strictly. Whatever else HTTP has, a body above all,
//! is refused: what is not understood cannot be misunderstood.

use httparse::{EMPTY_HEADER, Header, Status};

use super::answer::Answer;

/// A head is shorter than this; a browser's is about 1 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

const HEADERS_MAX: usize = 64;

/// What a visitor wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Only the head of the answer.
    pub is_head: bool,
    /// Without its query.
    pub path: String,
    /// More requests may follow.
    pub stays: bool,
    /// OpenMetrics rather than the older text.
    pub wants_open_metrics: bool,
}

/// The request at the front and its length; None if it is not whole yet.
///
/// # Errors
/// What the visitor is told before he has to go.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Answer> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Answer::text(431, "the head of the request is too long\n"));
        }
        Err(httparse::Error::Version) => {
            return Err(Answer::text(505, "HTTP/1.0 and HTTP/1.1 are spoken here\n"));
        }
        Err(error) => return Err(Answer::text(400, format!("not a request: {error}\n"))),
    };
    let bad = |text: &'static str| Answer::text(400, text);
    let (method, version) = (head.method.unwrap_or_default(), head.version.unwrap_or_default());
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Answer::text(405, "only GET and HEAD\n")),
    };
    let headers: &[Header<'_>] = head.headers;
    if values(headers, "transfer-encoding").next().is_some()
        || values(headers, "content-length").any(|length| length != "0")
    {
        return Err(bad("a body is not wanted\n"));
    }
    if version == 1 && values(headers, "host").count() != 1 {
        return Err(bad("one Host is wanted\n"));
    }
    let path = head.path.unwrap_or_default().split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(bad("a path is wanted\n"));
    }
    let closes = values(headers, "connection").flat_map(|value| value.split(','));
    let closes = closes.map(str::trim).any(|word| word.eq_ignore_ascii_case("close"));
    let request = Request {
        is_head,
        path: path.to_owned(),
        stays: version == 1 && !closes,
        wants_open_metrics: wants_open_metrics(values(headers, "accept")),
    };
    Ok(Some((request, length)))
}

/// The values of a header, those that are text.
fn values<'a>(headers: &'a [Header<'a>], name: &'static str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or("?"))
}

/// Whether it is liked better than, or as well as, the older text; nobody who does not name it gets
/// it.
fn wants_open_metrics<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let mut weight = 1.0;
        let mut version = None;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name {
                "q" => weight = value.parse::<f32>().ok().filter(|q| *q >= 0.0).unwrap_or(0.0),
                "version" => version = Some(value),
                _ => {}
            }
        }
        match kind {
            "application/openmetrics-text" if version.is_none_or(|it| it == "1.0.0") => {
                open = open.max(weight);
            }
            "text/plain" | "text/*" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> u16 {
        let bytes = parse(text.as_bytes()).unwrap_err().bytes(false, true);
        String::from_utf8(bytes).unwrap()[9..12].parse().unwrap()
    }

    fn request(text: &str) -> Request {
        let (request, length) = parse(text.as_bytes()).unwrap().expect("it is whole");
        assert_eq!(length, text.len());
        request
    }

    #[test]
    fn a_get_and_a_head_are_understood_and_nothing_else() {
        let get = request("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let expected = Request {
            is_head: false,
            path: "/metrics".into(),
            stays: true,
            wants_open_metrics: false,
        };
        assert_eq!(get, expected);
        let head = request("HEAD / HTTP/1.1\r\nhost: a\r\nConnection: x, Close\r\n\r\n");
        assert!(head.is_head && !head.stays);
        assert!(!request("GET / HTTP/1.0\r\n\r\n").stays);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHo").unwrap(), None);

        for (text, expected) in [
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("\0\0\0\x08\x04\u{d2}\x16/", 400),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
        assert_eq!(status(&format!("GET /{}", "a".repeat(HEAD_BYTES_MAX))), 431);
    }

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0, text/plain", true),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.2", false),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("text/html,*/*;q=0.8", false),
            ("", false),
        ] {
            assert_eq!(wants_open_metrics([accept].into_iter()), expected, "{accept}");
        }
    }
}
