//! Bytes both ways between two streams, by one coroutine that never waits for one direction while
//! the other could move. It holds at most one buffer a direction, and none while nothing is on its
//! way; it reads no further than it can write. What the bytes mean is not known here.

use std::time::{Duration, Instant};

use super::stream::{Progress, Stream};
use crate::Deadline;
use crate::buffer::Buffer;
use crate::coroutine;
use crate::error::Error;
use crate::notified::Notified;
use crate::wait::{Interest, Woken, breathe, wait_any};

/// What ends a relay before its streams do.
#[derive(Clone, Copy)]
pub struct RelayLimits<'a> {
    /// The last moment.
    pub deadline: Deadline,
    /// So long without a byte either way; `None` for any time.
    pub idle: Option<Duration>,
    /// A flag, which stays set.
    pub notified: Option<&'a Notified>,
}

impl RelayLimits<'_> {
    /// The streams alone decide.
    pub const NONE: RelayLimits<'static> =
        RelayLimits { deadline: Deadline::NEVER, idle: None, notified: None };
}

/// One of the two streams of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// Both streams ended, and everything was delivered.
    Finished,
    /// The flag was set.
    Notified,
    /// Nothing moved for too long.
    Idle,
    /// This stream failed. What it had said before was delivered, if the other one took it.
    Broken {
        /// Which.
        side: Side,
        /// By what.
        error: Error,
    },
    /// `TimedOut` or `Cancelled`.
    Stopped(Error),
}

/// What a relay did.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes from the left stream that were written to the right one.
    pub to_right_bytes: u64,
    /// Bytes from the right stream that were written to the left one.
    pub to_left_bytes: u64,
    /// How it ended.
    pub end: RelayEnd,
}

/// Carries bytes both ways until both streams have ended: the end of one is passed on when the
/// bytes before it are written (half-close), and the other may go on for as long as it likes. The
/// streams stay open for last words; dropping them closes them.
///
/// ```
/// # use machine::{Address, EngineConfig, Error, Listener, ListenOptions, RelayEnd, RelayLimits};
/// # use machine::{Deadline, Stream, StreamOptions};
/// # let relayed = machine::run(EngineConfig::default(), |_| {
/// # let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
/// # let never = Deadline::NEVER;
/// # let pair = || {
/// #     let listener = Listener::bind(&any, &ListenOptions::default())?;
/// #     let far = Stream::connect(&listener.local(), &StreamOptions::default(), never)?;
/// #     Ok::<_, Error>((far, listener.accept(never)?.0.unfold()?))
/// # };
/// # let (client, ours) = pair()?;
/// # let (server, theirs) = pair()?;
/// client.write_all(b"hello", never)?;
/// client.shutdown_write()?;
/// server.write_all(b"hi", never)?;
/// server.shutdown_write()?;
/// let relayed = machine::relay(&ours, &theirs, &RelayLimits::NONE);
/// assert_eq!((relayed.to_right_bytes, relayed.to_left_bytes), (5, 2));
/// assert!(matches!(relayed.end, RelayEnd::Finished));
/// # Ok::<_, Error>(())
/// # });
/// # relayed??;
/// # Ok::<(), Error>(())
/// ```
pub fn relay(left: &Stream, right: &Stream, limits: &RelayLimits<'_>) -> Relayed {
    let mut to_right = Lane::new(left, right, Side::Left);
    let mut to_left = Lane::new(right, left, Side::Right);
    let end = carry_on(&mut to_right, &mut to_left, limits).unwrap_or_else(RelayEnd::Stopped);
    Relayed { to_right_bytes: to_right.bytes, to_left_bytes: to_left.bytes, end }
}

fn carry_on(
    a: &mut Lane<'_>,
    b: &mut Lane<'_>,
    limits: &RelayLimits<'_>,
) -> Result<RelayEnd, Error> {
    let (mut broken, mut last) = (None, coroutine::now());
    loop {
        breathe()?;
        let moved = a.turn(&mut broken) | b.turn(&mut broken);
        match &broken {
            None if a.is_over() && b.is_over() => return Ok(RelayEnd::Finished),
            // Not before its last words are delivered.
            Some((side, _)) if [&*a, &*b].iter().any(|lane| lane.ends(*side)) => {
                let (side, error) = broken.expect("matched above");
                return Ok(RelayEnd::Broken { side, error });
            }
            _ if moved => last = coroutine::now(),
            _ => match wait(a, b, limits, last)? {
                Woken::Ready => {}
                Woken::Notified => return Ok(RelayEnd::Notified),
                Woken::TimedOut if limits.deadline.is_past(coroutine::now()) => {
                    return Err(Error::TimedOut);
                }
                Woken::TimedOut => return Ok(RelayEnd::Idle),
            },
        }
    }
}

/// Until one of them can move, or something ends the relay.
fn wait(
    a: &Lane<'_>,
    b: &Lane<'_>,
    limits: &RelayLimits<'_>,
    last: Instant,
) -> Result<Woken, Error> {
    let idle_at = limits.idle.and_then(|idle| last.checked_add(idle));
    let idle = idle_at.map_or(Deadline::NEVER, Deadline::at);
    let ([from_a, to_a], [from_b, to_b]) = (a.wants(), b.wants());
    let wants = [from_a, to_a, from_b, to_b];
    wait_any(&wants, limits.notified, limits.deadline.earliest(idle))
}

/// Where one direction is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Nothing more comes; the rest is to be written.
    Ending,
    /// Likewise, and there is no end to pass on: the source broke.
    Breaking,
    Over,
}

/// One direction.
struct Lane<'a> {
    from: &'a Stream,
    to: &'a Stream,
    /// Which one `from` is.
    side: Side,
    /// Leased while there is something in it.
    held: Option<Buffer>,
    flow: Flow,
    /// Written.
    bytes: u64,
}

impl<'a> Lane<'a> {
    fn new(from: &'a Stream, to: &'a Stream, side: Side) -> Lane<'a> {
        Lane { from, to, side, held: None, flow: Flow::Open, bytes: 0 }
    }

    fn is_over(&self) -> bool {
        self.flow == Flow::Over
    }

    /// Has all been delivered that comes from `side`?
    fn ends(&self, side: Side) -> bool {
        self.side == side && self.is_over()
    }

    fn has_room(&self) -> bool {
        self.held.as_ref().is_none_or(|held| !held.is_full())
    }

    /// Moves what can be moved without waiting. Did anything? The first to break is written down.
    fn turn(&mut self, broken: &mut Option<(Side, Error)>) -> bool {
        let mut moved = false;
        if self.flow == Flow::Open && self.has_room() && self.from.is_readable() {
            moved |= self.read().unwrap_or_else(|error| {
                broken.get_or_insert((self.side, error));
                self.flow = Flow::Breaking;
                true
            });
        }
        if self.held.is_some() && self.to.is_writable() {
            moved |= self.write().unwrap_or_else(|error| {
                broken.get_or_insert((self.side.other(), error));
                (self.held, self.flow) = (None, Flow::Over);
                true
            });
        }
        if self.held.is_none() && matches!(self.flow, Flow::Ending | Flow::Breaking) {
            if self.flow == Flow::Ending {
                let _ = self.to.shutdown_write(); // who is gone already needs no end
            }
            (self.flow, moved) = (Flow::Over, true);
        }
        moved
    }

    fn read(&mut self) -> Result<bool, Error> {
        let mut held = self.held.take().unwrap_or_else(Buffer::lease);
        let progress = self.from.try_read_into(&mut held);
        self.held = Some(held).filter(|held| !held.is_empty());
        match progress? {
            Progress::Done(_) => Ok(true),
            Progress::Wait => Ok(false),
            Progress::End => {
                self.flow = Flow::Ending;
                Ok(true)
            }
        }
    }

    fn write(&mut self) -> Result<bool, Error> {
        let Some(held) = &mut self.held else { return Ok(false) };
        let Progress::Done(n) = self.to.try_write(held.data())? else { return Ok(false) };
        self.bytes += n as u64;
        held.consume(n);
        if held.is_empty() {
            self.held = None;
        }
        Ok(true)
    }

    /// What this direction waits for: bytes to read while there is room, room for those it holds.
    fn wants(&self) -> [(&'a Stream, Interest); 2] {
        let reads = self.flow == Flow::Open && self.has_room();
        let writes = self.held.is_some();
        [(self.from, Interest::READ.when(reads)), (self.to, Interest::WRITE.when(writes))]
    }
}

impl Side {
    /// The one across.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}
