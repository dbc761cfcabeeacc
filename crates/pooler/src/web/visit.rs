//! A visit: requests and answers on one connection, each under a deadline of its own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use machine::{Buffer, Deadline, Stream};

use super::accept::Site;
use super::answer::Answer;
use super::request::{self, Request};
use super::{health, status};
use crate::metrics::{self, Format, Snapshot};

/// A visitor may say nothing for so long; Prometheus comes each 15 to 60 s.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// From a request's first byte to the end of its head.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// For a visitor to take an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Requests on one connection.
const REQUESTS_MAX: usize = 1000;

/// A visitor that is turned away may read for so long why.
const FAREWELL: Duration = Duration::from_millis(500);

/// Until he goes, or has to.
pub(super) fn receive(site: &Site, stream: &Stream, silent: &Cell<Option<Instant>>) {
    let mut inbox = Buffer::lease();
    for left in (0..REQUESTS_MAX).rev() {
        silent.set(Some(machine::now()));
        let (answer, stays, has_body) = match next(stream, &mut inbox) {
            Ok(Some(request)) => {
                silent.set(None);
                let stays = request.stays && left > 0;
                (answer(site, &request), stays, !request.is_head)
            }
            Ok(None) => return,
            Err(refusal) => (refusal, false, true),
        };
        let bytes = answer.bytes(stays, has_body);
        if stream.write_all(&bytes, Deadline::after(ANSWER_MAX)).is_err() {
            return;
        }
        if !stays {
            return part(stream, &mut inbox);
        }
    }
}

/// The next request; None when the visitor is gone or silent for too long.
fn next(stream: &Stream, inbox: &mut Buffer) -> Result<Option<Request>, Answer> {
    let mut deadline = Deadline::after(SILENCE_MAX);
    let mut has_begun = false;
    loop {
        if !has_begun && !inbox.is_empty() {
            (has_begun, deadline) = (true, Deadline::after(HEAD_MAX));
        }
        if let Some((request, bytes)) = request::parse(inbox.data())? {
            inbox.consume(bytes);
            return Ok(Some(request));
        }
        match stream.read_into(inbox, deadline) {
            Ok(1..) => {}
            Err(machine::Error::TimedOut) if has_begun => {
                return Err(Answer::text(408, "the request took too long\n"));
            }
            Ok(0) | Err(_) => return Ok(None),
        }
    }
}

fn answer(site: &Site, request: &Request) -> Answer {
    let snapshot = || Snapshot::take(&site.shared, &site.machines);
    match request.path.as_str() {
        "/metrics" => {
            let format =
                if request.wants_open_metrics { Format::OpenMetrics } else { Format::Plain };
            let text = metrics::exposition(&snapshot(), format);
            Answer::new(200, format.content_type(), text)
        }
        "/livez" => health::live(&site.machines),
        "/readyz" => health::ready(&site.shared),
        "/" => Answer::page("text/html; charset=utf-8", include_str!("page.html")),
        "/status.js" => Answer::page("text/javascript; charset=utf-8", include_str!("status.js")),
        "/status.css" => Answer::page("text/css; charset=utf-8", include_str!("status.css")),
        "/status.json" => Answer::new(200, "application/json", status::json(&snapshot())),
        _ => Answer::text(404, "there are /metrics, /livez, /readyz and /\n"),
    }
}

/// The end of our side, and a moment to read: a socket that closes with unread bytes resets the
/// connection, and the answer may be lost.
fn part(stream: &Stream, inbox: &mut Buffer) {
    let deadline = Deadline::after(FAREWELL);
    if stream.shutdown_write().is_err() {
        return;
    }
    inbox.clear();
    while let Ok(1..) = stream.read_into(inbox, deadline) {
        inbox.clear();
    }
}
