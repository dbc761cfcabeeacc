//! What systemd is told, in datagrams of its protocol (`sd_notify`): that clients can come, that we
//! reload, stop or are another process now, how many clients there are, that we are not hung. It is
//! told from the main thread, which may block. Without `NOTIFY_SOCKET` there is nobody to tell.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use machine::process;

/// A supervisor that does not read for so long is told nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The one who watches over us.
pub(crate) struct Supervisor {
    /// None: there is nobody.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Within this he wants to hear that we are not hung.
    pub(crate) watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment tells.
    pub(crate) fn find() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        Self { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Is there anybody?
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Clients can come, or a reload is over.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=Ready to accept connections");
    }

    /// Something is read anew; [`Supervisor::ready`] ends it.
    pub(crate) fn reloading(&self, what: &str) {
        let now = process::monotonic_us();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS={what}"));
    }

    /// The end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Shutting down gracefully");
    }

    /// That process is the main one from here on.
    pub(crate) fn main_process(&self, process: u32) {
        self.tell(&format!("MAINPID={process}"));
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    /// We are not hung.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // Who cannot be told now will be asked by nobody what he missed.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// A path, or `@` and an abstract name.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok((socket, address))
}
