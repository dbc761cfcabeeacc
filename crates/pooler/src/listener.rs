//! Listeners: one socket an address, one acceptor coroutine a socket. An accepted client travels as
//! a parcel to the machine with the fewest clients; the acceptor never reads a byte of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::Listen;
use machine::{Address, Deadline, JoinHandle, ListenOptions, Listener, MachineHandle, Parcel};

use crate::log::Who;
use crate::session::{Arrival, welcome};
use crate::shared::Shared;

/// Names in `listen` are resolved once, at boot.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// After an accept that failed (no descriptors left): clients leave, then it works again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens every `listen` of the configuration and starts its acceptors. What cannot be bound is
/// logged and left out.
pub(crate) fn open_all(
    shared: &Arc<Shared>,
    machines: &Arc<[MachineHandle]>,
) -> Vec<JoinHandle<()>> {
    let mut acceptors = Vec::new();
    for (index, listen) in shared.config.listens.iter().enumerate() {
        match addresses(shared, listen) {
            Ok(addresses) => {
                let opened = addresses.iter().filter_map(|at| open(shared, machines, index, at));
                acceptors.extend(opened);
            }
            Err(error) => {
                let host = listen.host.as_deref().unwrap_or_default();
                shared.log.error("server", &Who::default(), format_args!("listen {host}: {error}"));
            }
        }
    }
    acceptors
}

/// Where a `listen` listens: `*` is every address of both families, a name its first address.
fn addresses(shared: &Shared, listen: &Listen) -> Result<Vec<Address>, machine::Error> {
    let port = listen.port;
    let any = |ip: IpAddr| Address::Tcp(SocketAddr::new(ip, port));
    match listen.host.as_deref() {
        None => {
            let directory = shared.config.global.unix_socket_dir.clone().unwrap_or_default();
            Ok(vec![Address::Unix(directory.join(format!(".s.PGSQL.{port}")))])
        }
        Some("*") => Ok(vec![any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())]),
        Some(host) => {
            let found = machine::resolve(host, port, Deadline::after(RESOLVE_TIMEOUT))?;
            Ok(found.into_iter().take(1).map(Address::Tcp).collect())
        }
    }
}

fn open(
    shared: &Arc<Shared>,
    machines: &Arc<[MachineHandle]>,
    listen: usize,
    address: &Address,
) -> Option<JoinHandle<()>> {
    let who = Who::default();
    let options = ListenOptions {
        backlog: i32::try_from(shared.config.listens[listen].backlog).unwrap_or(i32::MAX),
        reuseport: shared.config.global.bindwith_reuseport,
        unix_mode: shared.config.global.unix_socket_mode,
    };
    let listener = match Listener::bind(address, &options) {
        Ok(listener) => listener,
        Err(error) => {
            shared.log.error("server", &who, format_args!("bind to {address} failed: {error}"));
            return None;
        }
    };
    shared.log.info("server", &who, format_args!("listening on {}", listener.local()));
    let acceptor =
        Acceptor { shared: Arc::clone(shared), machines: Arc::clone(machines), listen, listener };
    machine::spawn("acceptor", move || acceptor.run()).ok()
}

struct Acceptor {
    shared: Arc<Shared>,
    machines: Arc<[MachineHandle]>,
    listen: usize,
    listener: Listener,
}

impl Acceptor {
    /// Until it is cancelled.
    fn run(self) {
        loop {
            match self.listener.accept(Deadline::NEVER) {
                Ok((parcel, address)) => self.hand_over(parcel, address),
                Err(machine::Error::Cancelled) => return,
                Err(error) => {
                    let who = Who::default();
                    self.shared.log.error("server", &who, format_args!("accept failed: {error}"));
                    if machine::sleep(ACCEPT_PAUSE).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// To the machine with the fewest clients. While `client_max_routing` logins are under way this
    /// waits, and so do the clients in the kernel's queue.
    fn hand_over(&self, parcel: Parcel, address: Address) {
        let who = Who { address: Some(&address), ..Who::default() };
        let patience = self.shared.config.listens[self.listen].client_login_timeout;
        let Ok(permit) = self.shared.logins.acquire(patience) else {
            let text = "routing slot wait timed out, connection rejected";
            return self.shared.log.error("startup", &who, format_args!("{text}"));
        };
        let least = self.machines.iter().min_by_key(|machine| machine.load());
        let machine = least.expect("an engine has machines");
        let (seat, listen) = (machine.seat(), self.listen);
        let arrival = Arrival { parcel, address: address.clone(), seat, listen, permit };
        let shared = Arc::clone(&self.shared);
        if let Err(error) = machine.spawn("client", move || welcome(&shared, arrival)) {
            self.shared.log.error("startup", &who, format_args!("client refused: {error}"));
        }
    }
}
