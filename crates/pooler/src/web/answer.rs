//! An answer, and its bytes.

use std::borrow::Cow;

/// Nothing but what is served here is run, shown or asked; and nobody shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What a visitor gets.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    body: Cow<'static, str>,
}

impl Answer {
    pub(super) fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, str>>,
    ) -> Answer {
        Answer { status, content_type, body: body.into() }
    }

    pub(super) fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", body)
    }

    /// A part of the status page.
    pub(super) fn page(content_type: &'static str, body: &'static str) -> Answer {
        Answer::new(200, content_type, body)
    }

    /// As they go over the wire; the answer to a HEAD has no body.
    pub(super) fn bytes(&self, stays: bool, has_body: bool) -> Vec<u8> {
        let Answer { status, content_type, body } = self;
        let reason = reason(*status);
        let allow = if *status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let connection = if stays { "keep-alive" } else { "close" };
        let mut bytes = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nConnection: {connection}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Content-Security-Policy: {POLICY}\r\n{allow}\r\n",
            body.len()
        );
        if has_body {
            bytes.push_str(body);
        }
        bytes.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Service Unavailable",
    }
}
