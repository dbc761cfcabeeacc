//! Listeners: the `listen` sections with their sockets, one socket an address, one acceptor
//! coroutine a socket. They come and go and are re-tuned by a reload. An accepted client travels as
//! a parcel to the machine with the fewest clients; the acceptor never reads a byte of it.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::{Global, Listen};
use machine::tls::Server;
use machine::{Address, Deadline, JoinHandle, ListenOptions, Listener, MachineHandle, Parcel};

use crate::log::Who;
use crate::session::{Arrival, welcome};
use crate::shared::{Shared, stream_options};
use crate::world::World;

/// Names in `listen` are resolved once, when the section appears.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// After an accept that failed (no descriptors left): clients leave, then it works again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An acceptor that is told to end has nothing to wait for.
const END_TIMEOUT: Duration = Duration::from_millis(20);

/// What is said of those who come through one section.
pub struct Door {
    listen: Listen,
    /// Our side of TLS, if it is spoken.
    pub(crate) tls: Option<Server>,
}

impl Door {
    /// Does nobody come in without TLS?
    pub(crate) fn demands_tls(&self) -> bool {
        self.listen.tls.mode.is_required()
    }
}

impl Deref for Door {
    type Target = Listen;

    fn deref(&self) -> &Listen {
        &self.listen
    }
}

/// All `listen` sections. They live on the machine that made them.
pub(crate) struct Listeners {
    shared: Arc<Shared>,
    machines: Arc<[MachineHandle]>,
    sections: Vec<Section>,
    /// Sockets that listen already and belong to no section yet.
    inherited: RefCell<Vec<Listener>>,
    /// Another process has the sockets too, and takes who comes.
    is_paused: bool,
}

/// One section with its sockets; none if nothing could be bound.
struct Section {
    /// For whom a reload takes it.
    place: Place,
    listen: Rc<RefCell<Arc<Door>>>,
    sockets: Vec<Socket>,
}

/// What makes it the same section.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: Option<String>,
    port: u16,
    /// Of the unix socket, if it is one.
    directory: Option<PathBuf>,
}

struct Socket {
    listener: Rc<Listener>,
    acceptor: JoinHandle<()>,
}

/// Sections that are bound and accept nobody yet; dropped, they were never there.
pub(crate) struct Prepared {
    sections: Vec<Coming>,
    /// What could not be bound.
    pub(crate) complaints: Vec<String>,
    /// A section that was not there before has no socket.
    pub(crate) is_failure: bool,
}

struct Coming {
    place: Place,
    listen: Arc<Door>,
    options: ListenOptions,
    /// The section it is now.
    known: Option<usize>,
    bound: Vec<Listener>,
}

impl Listeners {
    /// None yet.
    pub(crate) fn new(shared: &Arc<Shared>, machines: &Arc<[MachineHandle]>) -> Self {
        let (shared, machines) = (Arc::clone(shared), Arc::clone(machines));
        let inherited = RefCell::default();
        Self { shared, machines, sections: Vec::new(), inherited, is_paused: false }
    }

    /// Sections that come to one of these addresses find the socket there.
    pub(crate) fn inherit(&mut self, listeners: Vec<Listener>) {
        *self.inherited.borrow_mut() = listeners;
    }

    /// What no section has wanted is closed.
    pub(crate) fn disinherit(&mut self) {
        for listener in self.inherited.take() {
            let text = format_args!("no listen section wants {}: closed", listener.local());
            self.shared.log.error("server", &Who::default(), text);
        }
    }

    /// Other descriptors of all sockets.
    ///
    /// # Errors
    /// There are no more of them.
    pub(crate) fn duplicate(&self) -> Result<Vec<OwnedFd>, machine::Error> {
        self.sockets().map(|socket| socket.listener.duplicate()).collect()
    }

    /// Nobody comes here any more; but as somebody else has the sockets, those in their queues are
    /// not lost, and the files of unix sockets stay.
    pub(crate) fn pause(&mut self) {
        self.is_paused = true;
        for socket in self.sockets() {
            socket.listener.set_removes_file(false);
            socket.acceptor.cancel();
        }
    }

    /// Clients come here again, if they did not all the time.
    pub(crate) fn resume(&mut self) {
        if !std::mem::take(&mut self.is_paused) {
            return;
        }
        let mut sections = std::mem::take(&mut self.sections);
        for section in &mut sections {
            for socket in &mut section.sockets {
                socket.listener.set_removes_file(true);
                match self.start(&section.listen, &socket.listener) {
                    Ok(acceptor) => socket.acceptor = acceptor,
                    Err(error) => {
                        let text = format_args!("listener {}: {error}", socket.listener.local());
                        self.shared.log.error("server", &Who::default(), text);
                    }
                }
            }
        }
        self.sections = sections;
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.sections.iter().flat_map(|section| &section.sockets)
    }

    /// Whether nobody can come.
    pub(crate) fn is_empty(&self) -> bool {
        self.sections.iter().all(|section| section.sockets.is_empty())
    }

    /// Binds what this configuration wants and is not there; nothing else happens yet.
    pub(crate) fn prepare(&self, world: &World) -> Prepared {
        let config = &world.config;
        let mut prepared =
            Prepared { sections: Vec::new(), complaints: Vec::new(), is_failure: false };
        let places = config.listens.iter().map(|listen| Place::of(listen, &config.global));
        let (known, leaving) = self.counterparts(places.clone());
        let sections = config.listens.iter().zip(&world.contexts.servers);
        for (((listen, tls), place), known) in sections.zip(places).zip(known) {
            let options = options(listen, &config.global);
            let missing = known.is_none_or(|at| self.sections[at].sockets.is_empty());
            let mut bound = Vec::new();
            if missing {
                bound = self.bind(&place, &options, &leaving, &mut prepared.complaints);
                prepared.is_failure |= known.is_none() && bound.is_empty();
            }
            let listen = Arc::new(Door { listen: listen.clone(), tls: tls.clone() });
            prepared.sections.push(Coming { place, listen, options, known, bound });
        }
        prepared
    }

    /// Which section each of these places has now, and the sockets of those that no place has.
    fn counterparts(
        &self,
        places: impl Iterator<Item = Place>,
    ) -> (Vec<Option<usize>>, Vec<Rc<Listener>>) {
        let mut taken = vec![false; self.sections.len()];
        let mut counterpart = |place: Place| {
            let free = |at: &usize| !taken[*at] && self.sections[*at].place == place;
            let at = (0..taken.len()).find(free)?;
            taken[at] = true;
            Some(at)
        };
        let known = places.map(&mut counterpart).collect();
        let leaving = self.sections.iter().zip(&taken).filter(|(_, taken)| !**taken);
        let sockets = leaving.flat_map(|(section, _)| &section.sockets);
        (known, sockets.map(|socket| Rc::clone(&socket.listener)).collect())
    }

    /// Lets in who comes to the new sections, gives the others what they say now, and closes those
    /// that are gone. What could not be done, in lines.
    pub(crate) fn commit(&mut self, prepared: Prepared) -> Vec<String> {
        let mut before: Vec<Option<Section>> = self.sections.drain(..).map(Some).collect();
        let mut complaints = Vec::new();
        for coming in prepared.sections {
            let Coming { place, listen, options, known, bound } = coming;
            let section = known.and_then(|at| before[at].take()).unwrap_or_else(|| Section {
                place,
                listen: Rc::new(RefCell::new(Arc::clone(&listen))),
                sockets: Vec::new(),
            });
            *section.listen.borrow_mut() = listen;
            for socket in &section.sockets {
                if let Err(error) = socket.listener.retune(&options) {
                    complaints.push(format!("listener {}: {error}", socket.listener.local()));
                }
            }
            self.sections.push(section);
            for listener in bound {
                let at = listener.local();
                if let Err(error) = self.accept(listener) {
                    complaints.push(format!("listener {at}: {error}"));
                }
            }
        }
        before.into_iter().flatten().for_each(|gone| self.end(gone));
        complaints
    }

    /// Nobody comes any more.
    pub(crate) fn close(mut self) {
        let sections: Vec<Section> = self.sections.drain(..).collect();
        for section in &sections {
            section.sockets.iter().for_each(|socket| socket.acceptor.cancel());
        }
        sections.into_iter().for_each(|section| self.end(section));
    }

    /// Starts an acceptor for the newest section.
    fn accept(&mut self, listener: Listener) -> Result<(), machine::Error> {
        let section = self.sections.last().expect("a section was put there");
        let (listener, listen) = (Rc::new(listener), Rc::clone(&section.listen));
        let acceptor = self.start(&listen, &listener)?;
        let text = format_args!("listening on {}", listener.local());
        self.shared.log.info("server", &Who::default(), text);
        let section = self.sections.last_mut().expect("as above");
        section.sockets.push(Socket { listener, acceptor });
        Ok(())
    }

    /// An acceptor coroutine of its own.
    fn start(
        &self,
        listen: &Rc<RefCell<Arc<Door>>>,
        listener: &Rc<Listener>,
    ) -> Result<JoinHandle<()>, machine::Error> {
        let acceptor = Acceptor {
            shared: Arc::clone(&self.shared),
            machines: Arc::clone(&self.machines),
            listen: Rc::clone(listen),
            listener: Rc::clone(listener),
            local: Arc::new(listener.local()),
        };
        machine::spawn("acceptor", move || acceptor.run())
    }

    /// What can be bound of a section, or was left to us.
    fn bind(
        &self,
        place: &Place,
        options: &ListenOptions,
        leaving: &[Rc<Listener>],
        complaints: &mut Vec<String>,
    ) -> Vec<Listener> {
        let addresses = place.addresses().unwrap_or_else(|error| {
            let host = place.host.as_deref().unwrap_or_default();
            complaints.push(format!("listen {host}: {error}"));
            Vec::new()
        });
        let mut bound = Vec::new();
        for address in addresses {
            let bind = || bind_beside(&address, options, leaving);
            match self.inherited_at(&address, options).unwrap_or_else(bind) {
                Ok(listener) => bound.push(listener),
                Err(error) => complaints.push(format!("bind to {address} failed: {error}")),
            }
        }
        bound
    }

    fn inherited_at(
        &self,
        address: &Address,
        options: &ListenOptions,
    ) -> Option<Result<Listener, machine::Error>> {
        let mut inherited = self.inherited.borrow_mut();
        let at = inherited.iter().position(|listener| listener.local() == *address)?;
        let listener = inherited.swap_remove(at);
        Some(listener.retune(options).map(|()| listener))
    }

    /// The socket closes with its acceptor; the file of a unix socket goes.
    fn end(&self, section: Section) {
        for Socket { listener, acceptor } in section.sockets {
            let text = format_args!("no longer listening on {}", listener.local());
            self.shared.log.info("server", &Who::default(), text);
            drop(listener);
            acceptor.cancel();
            let _ = acceptor.join(Deadline::after(END_TIMEOUT));
        }
    }
}

impl Place {
    fn of(listen: &Listen, global: &Global) -> Self {
        let directory = || global.unix_socket_dir.clone().unwrap_or_default();
        let host = listen.host.clone();
        Self { directory: host.is_none().then(directory), host, port: listen.port }
    }

    /// `*` is every address of both families, a name its first address.
    fn addresses(&self) -> Result<Vec<Address>, machine::Error> {
        let port = self.port;
        let any = |ip: IpAddr| Address::Tcp(SocketAddr::new(ip, port));
        match (self.host.as_deref(), &self.directory) {
            (None, directory) => {
                let directory = directory.clone().unwrap_or_default();
                Ok(vec![Address::Unix(directory.join(format!(".s.PGSQL.{port}")))])
            }
            (Some("*"), _) => {
                Ok(vec![any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())])
            }
            (Some(host), _) => {
                let found = machine::resolve(host, port, Deadline::after(RESOLVE_TIMEOUT))?;
                Ok(found.into_iter().take(1).map(Address::Tcp).collect())
            }
        }
    }
}

fn options(listen: &Listen, global: &Global) -> ListenOptions {
    ListenOptions {
        backlog: i32::try_from(listen.backlog).unwrap_or(i32::MAX),
        reuseport: global.bindwith_reuseport,
        unix_mode: global.unix_socket_mode.map(|mode| mode.0),
        stream: stream_options(global, &config::Keepalive::default()),
    }
}

/// A socket there, beside those of the same port that are about to close: `*` and an address of
/// ours have none in common else.
fn bind_beside(
    address: &Address,
    options: &ListenOptions,
    leaving: &[Rc<Listener>],
) -> Result<Listener, machine::Error> {
    let port = |address: &Address| match address {
        Address::Tcp(tcp) => Some(tcp.port()),
        Address::Unix(_) => None,
    };
    let is_beside =
        |one: &&Rc<Listener>| port(address).is_some() && port(&one.local()) == port(address);
    let beside: Vec<_> = leaving.iter().filter(is_beside).collect();
    if beside.is_empty() {
        return Listener::bind(address, options);
    }
    beside.iter().try_for_each(|one| one.share(true))?;
    let sharing = ListenOptions { reuseport: true, ..options.clone() };
    let bound = Listener::bind(address, &sharing);
    // Who is bound is bound: no stranger is to join us.
    beside.iter().try_for_each(|one| one.share(options.reuseport))?;
    let bound = bound?;
    bound.share(options.reuseport)?;
    Ok(bound)
}

struct Acceptor {
    shared: Arc<Shared>,
    machines: Arc<[MachineHandle]>,
    /// The section as it is now.
    listen: Rc<RefCell<Arc<Door>>>,
    listener: Rc<Listener>,
    /// Its address.
    local: Arc<Address>,
}

impl Acceptor {
    /// Until it is cancelled.
    fn run(self) {
        loop {
            match self.listener.accept(Deadline::NEVER) {
                // One who is accepted is not forgotten, even if we are to end.
                Ok((parcel, address)) => machine::shield(|| self.hand_over(parcel, address)),
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
        let listen = Arc::clone(&self.listen.borrow());
        let patience = listen.client_login_timeout.map_or(Deadline::NEVER, Deadline::after);
        let Ok(permit) = self.shared.logins.acquire(patience) else {
            let text = "routing slot wait timed out, connection rejected";
            return self.shared.log.error("startup", &who, format_args!("{text}"));
        };
        let least = self.machines.iter().min_by_key(|machine| machine.load());
        let machine = least.expect("an engine has machines");
        let seat = machine.seat();
        let local = Arc::clone(&self.local);
        let arrival = Arrival { parcel, address: address.clone(), local, seat, listen, permit };
        let shared = Arc::clone(&self.shared);
        if let Err(error) = machine.spawn("client", move || welcome(&shared, arrival)) {
            self.shared.log.error("startup", &who, format_args!("client refused: {error}"));
        }
    }
}
