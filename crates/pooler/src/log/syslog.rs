//! Lines to syslog: datagrams to the socket of the local daemon, as the C library's `syslog` sends
//! them (RFC 3164), or in RFC 5424, or either of them over UDP. Whether anybody listens is found
//! out by sending; a daemon that comes back is found again.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use config::{SyslogFacility, SyslogFormat, SyslogTarget};
use machine::process::LocalTime;

use super::clock::UtcMillis;
use super::event::{Level, since_1970};
use super::sink::{Batch, Lost, Sink};

/// How long one line may wait for a daemon that does not read.
const SEND_MAX: Duration = Duration::from_secs(1);

/// How long nothing is tried after it could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// How lines go to syslog.
#[derive(Clone)]
pub struct SyslogOptions {
    /// Our name there.
    pub ident: String,
    /// What kind of program we are.
    pub facility: SyslogFacility,
    /// Where it is.
    pub target: SyslogTarget,
    /// How a line is dressed.
    pub format: SyslogFormat,
}

/// Syslog, connected to or not.
pub(super) struct Syslog {
    options: SyslogOptions,
    host: String,
    pid: u32,
    socket: Option<Socket>,
    /// No attempt to connect before.
    again: Instant,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    pub(super) fn new(options: SyslogOptions) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = graphic(host.trim(), 255);
        let options = SyslogOptions { ident: graphic(&options.ident, 48), ..options };
        Self { options, host, pid: std::process::id(), socket: None, again: Instant::now() }
    }

    fn record(&self, level: Level, line: &[u8]) -> Vec<u8> {
        let Syslog { options, host, pid, .. } = self;
        let ident = &options.ident;
        let priority = options.facility.code() * 8 + severity(level);
        let mut record = Vec::with_capacity(line.len() + 80);
        // Writing to a Vec cannot fail.
        let _ = match (options.format, &options.target) {
            (SyslogFormat::Rfc5424, _) => {
                let time = UtcMillis(since_1970());
                write!(record, "<{priority}>1 {time} {host} {ident} {pid} - - ")
            }
            (SyslogFormat::Rfc3164, SyslogTarget::Path(_)) => {
                write!(record, "<{priority}>{} {ident}: ", stamp(&machine::process::local_time()))
            }
            (SyslogFormat::Rfc3164, SyslogTarget::Udp(_)) => {
                let stamp = stamp(&machine::process::local_time());
                write!(record, "<{priority}>{stamp} {host} {ident}: ")
            }
        };
        record.extend_from_slice(line.trim_ascii_end());
        record
    }

    /// A daemon that was started anew has another socket under the same name.
    fn send(&mut self, record: &[u8]) -> io::Result<()> {
        match self.socket()?.send(record) {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => Err(error),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Err(error),
            Err(_) => {
                self.socket = None;
                let sent = self.socket()?.send(record);
                sent.inspect_err(|_| self.socket = None)
            }
        }
    }

    fn socket(&mut self) -> io::Result<&Socket> {
        if self.socket.is_none() {
            if Instant::now() < self.again {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "it cannot be reached"));
            }
            self.again = Instant::now() + PAUSE;
            self.socket = Some(Socket::connect(&self.options.target)?);
            self.again = Instant::now();
        }
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Sink for Syslog {
    fn name(&self) -> String {
        format!("syslog at {}", self.options.target)
    }

    /// A daemon that does not read costs one wait a batch, not one a line.
    fn write(&mut self, batch: &Batch) -> Result<(), Lost> {
        let (mut lines, mut last) = (0, None);
        for (level, line) in batch.lines() {
            let sent = match &last {
                Some(error) if is_full(error) => Err(io::ErrorKind::WouldBlock.into()),
                _ => self.send(&self.record(level, line)),
            };
            if let Err(error) = sent {
                lines += 1;
                last = last.or(Some(error));
            }
        }
        last.map_or(Ok(()), |error| Err(Lost { lines, error }))
    }
}

impl Socket {
    fn connect(target: &SyslogTarget) -> io::Result<Self> {
        match target {
            SyslogTarget::Path(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(SEND_MAX))?;
                Ok(Self::Unix(socket))
            }
            SyslogTarget::Udp(address) => {
                // This thread may wait for the resolver: only syslog does.
                let connect = |from: IpAddr| {
                    let socket = UdpSocket::bind((from, 0))?;
                    socket.connect(address.as_str()).map(|()| socket)
                };
                let socket = connect(Ipv4Addr::UNSPECIFIED.into())
                    .or_else(|_| connect(Ipv6Addr::UNSPECIFIED.into()))?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn send(&self, record: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(record),
            Self::Udp(socket) => socket.send(record),
        }
        .map(|_| ())
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// As Odyssey maps them.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

/// `Nov  2 21:43:57`, in local time.
fn stamp(time: &LocalTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let LocalTime { month, day, hour, minute, second } = time;
    let month = MONTHS.get(usize::from(*month)).unwrap_or(&"Jan");
    format!("{month} {day:2} {hour:02}:{minute:02}:{second:02}")
}

/// A field of a header: printable, without spaces, not empty.
fn graphic(text: &str, bytes_max: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(bytes_max).collect();
    if kept.is_empty() { "-".into() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syslog(target: SyslogTarget, format: SyslogFormat) -> Syslog {
        let facility = SyslogFacility::parse("LOCAL3").expect("there is one");
        Syslog::new(SyslogOptions { ident: "ody ssey".into(), facility, target, format })
    }

    fn check(target: SyslogTarget, format: SyslogFormat, expected: &[&str]) {
        let mut syslog = syslog(target, format);
        (syslog.host, syslog.pid) = ("here".into(), 12);
        let record = String::from_utf8(syslog.record(Level::Error, b"it broke\n")).unwrap();
        // Between the parts stands the time.
        let mut rest = record.as_str();
        for part in expected {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} in {record:?}"));
            rest = &rest[at + part.len()..];
        }
        assert!(rest.is_empty() && record.starts_with(expected[0]), "{record:?}");
    }

    #[test]
    fn records_are_dressed_as_their_readers_expect() {
        let path = || SyslogTarget::Path("/dev/log".into());
        let udp = || SyslogTarget::Udp("localhost:514".into());
        check(path(), SyslogFormat::Rfc3164, &["<155>", " odyssey: it broke"]);
        check(udp(), SyslogFormat::Rfc3164, &["<155>", " here odyssey: it broke"]);
        check(path(), SyslogFormat::Rfc5424, &["<155>1 ", "Z here odyssey 12 - - it broke"]);
        let time = LocalTime { month: 10, day: 2, hour: 1, minute: 2, second: 3 };
        assert_eq!(stamp(&time), "Nov  2 01:02:03");
    }
}
