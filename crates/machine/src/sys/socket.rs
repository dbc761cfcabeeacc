//! The system calls of sockets, each as a safe function. Addresses are turned into the kernel's
//! form and back here and nowhere else.

use std::ffi::{CStr, OsStr};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::{check, own};
use crate::io::address::Address;

const NAME_BYTES_MAX: usize = 1025; // NI_MAXHOST

/// An address as the kernel reads it.
enum RawAddress {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
    Unix(libc::sockaddr_un),
}

impl RawAddress {
    fn new(address: &Address) -> io::Result<RawAddress> {
        Ok(match address {
            Address::Tcp(SocketAddr::V4(v4)) => RawAddress::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            Address::Tcp(SocketAddr::V6(v6)) => RawAddress::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
            Address::Unix(path) => {
                let bytes = path.as_os_str().as_bytes();
                let mut raw = libc::sockaddr_un {
                    sun_family: libc::AF_UNIX as libc::sa_family_t,
                    sun_path: [0; 108],
                };
                if bytes.is_empty() || bytes.len() >= raw.sun_path.len() {
                    let why = "the path of a Unix socket has 1 to 107 bytes";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
                    *to = *from as libc::c_char;
                }
                RawAddress::Unix(raw)
            }
        })
    }

    fn as_ptr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            RawAddress::V4(raw) => (ptr::from_ref(raw).cast(), size_of_val(raw) as u32),
            RawAddress::V6(raw) => (ptr::from_ref(raw).cast(), size_of_val(raw) as u32),
            RawAddress::Unix(raw) => (ptr::from_ref(raw).cast(), size_of_val(raw) as u32),
        }
    }

    fn family(address: &Address) -> libc::c_int {
        match address {
            Address::Tcp(SocketAddr::V4(_)) => libc::AF_INET,
            Address::Tcp(SocketAddr::V6(_)) => libc::AF_INET6,
            Address::Unix(_) => libc::AF_UNIX,
        }
    }
}

/// Room for any address the kernel may answer with.
struct AddressRoom {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl AddressRoom {
    fn new() -> AddressRoom {
        // SAFETY: sockaddr_storage is integers only; zero is AF_UNSPEC.
        let storage = unsafe { MaybeUninit::zeroed().assume_init() };
        AddressRoom { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    fn as_mut(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    fn address(&self) -> Address {
        let raw = &raw const self.storage;
        match libc::c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a sockaddr_in, and it is large
                // enough.
                let v4 = unsafe { raw.cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Address::Tcp(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a sockaddr_in6, and it is large
                // enough.
                let v6 = unsafe { raw.cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let (port, flow) = (u16::from_be(v6.sin6_port), v6.sin6_flowinfo);
                Address::Tcp(SocketAddrV6::new(ip, port, flow, v6.sin6_scope_id).into())
            }
            _ => self.unix(),
        }
    }

    fn unix(&self) -> Address {
        let raw = &raw const self.storage;
        // SAFETY: sockaddr_un is smaller than the storage, which was zeroed; unnamed sockets leave
        // the path empty.
        let unix = unsafe { raw.cast::<libc::sockaddr_un>().read() };
        let bytes = unix.sun_path.map(|c| c as u8);
        let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Address::Unix(PathBuf::from(OsStr::from_bytes(&bytes[..len])))
    }
}

/// The name the resolver has for an address; None if it has none. Blocks.
pub(crate) fn name_of(address: IpAddr) -> io::Result<Option<String>> {
    let raw = RawAddress::new(&Address::Tcp(SocketAddr::new(address, 0)))?;
    let (pointer, len) = raw.as_ptr();
    let mut name = [0u8; NAME_BYTES_MAX];
    let (to, room) = (name.as_mut_ptr().cast(), NAME_BYTES_MAX as libc::socklen_t);
    let flags = libc::NI_NAMEREQD;
    // SAFETY: `raw` holds an address of `len` bytes, `name` has room for `room` bytes, and no
    // service is asked for.
    let code = unsafe { libc::getnameinfo(pointer, len, to, room, ptr::null_mut(), 0, flags) };
    match code {
        0 => {
            let text = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
            Ok(text.to_str().ok().map(str::to_owned))
        }
        libc::EAI_NONAME => Ok(None),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        code => Err(io::Error::other(format!("the resolver failed with {code}"))),
    }
}

/// A non-blocking socket of the family of `address`.
pub(crate) fn socket(address: &Address) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    own(unsafe { libc::socket(RawAddress::family(address), kind, 0) })
}

pub(crate) fn connect(fd: RawFd, address: &Address) -> io::Result<()> {
    let raw = RawAddress::new(address)?;
    let (pointer, len) = raw.as_ptr();
    // SAFETY: `raw` lives across the call and has `len` bytes.
    check(unsafe { libc::connect(fd, pointer, len) })?;
    Ok(())
}

pub(crate) fn bind(fd: RawFd, address: &Address) -> io::Result<()> {
    let raw = RawAddress::new(address)?;
    let (pointer, len) = raw.as_ptr();
    // SAFETY: `raw` lives across the call and has `len` bytes.
    check(unsafe { libc::bind(fd, pointer, len) })?;
    Ok(())
}

pub(crate) fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(fd, backlog) })?;
    Ok(())
}

/// A new connection, non-blocking and close-on-exec from birth.
pub(crate) fn accept(fd: RawFd) -> io::Result<(OwnedFd, Address)> {
    let mut room = AddressRoom::new();
    let (pointer, len) = room.as_mut();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `len` bytes into the room, which lives across the call.
    let socket = own(unsafe { libc::accept4(fd, pointer, len, flags) })?;
    Ok((socket, room.address()))
}

pub(crate) fn local(fd: RawFd) -> io::Result<Address> {
    let mut room = AddressRoom::new();
    let (pointer, len) = room.as_mut();
    // SAFETY: as in `accept`.
    check(unsafe { libc::getsockname(fd, pointer, len) })?;
    Ok(room.address())
}

pub(crate) fn peer(fd: RawFd) -> io::Result<Address> {
    let mut room = AddressRoom::new();
    let (pointer, len) = room.as_mut();
    // SAFETY: as in `accept`.
    check(unsafe { libc::getpeername(fd, pointer, len) })?;
    Ok(room.address())
}

fn length(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// By number and not by libc's wrapper, which is a cancellation point of POSIX threads: two atomic
/// operations around each call, 7.5 % of the user time of a pooled query in a profile. Nobody
/// cancels our threads.
pub(crate) fn recv(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    let (to, room, none) = (bytes.as_mut_ptr(), bytes.len(), ptr::null_mut::<libc::c_void>());
    // SAFETY: the kernel writes at most `room` bytes to `to`, which is the slice; no address.
    let n = unsafe { libc::syscall(libc::SYS_recvfrom, fd, to, room, 0, none, none) };
    length(n as isize)
}

/// See [`recv`].
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let (from, count, none) = (bytes.as_ptr(), bytes.len(), ptr::null_mut::<libc::c_void>());
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads at most `count` bytes from `from`, which is the slice; no address.
    let n = unsafe { libc::syscall(libc::SYS_sendto, fd, from, count, flags, none, 0) };
    length(n as isize)
}

pub(crate) fn send_vectored(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: msghdr is integers and pointers; zero means no address, no control data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = parts.as_ptr().cast_mut().cast(); // IoSlice is promised to be an iovec
    message.msg_iovlen = parts.len() as _;
    // SAFETY: the kernel only reads what the iovecs name, and they borrow it for the call.
    length(unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL) })
}

/// Descriptors in one message; the kernel takes 253.
pub(crate) const DESCRIPTORS_MAX: usize = 64;

/// Sends bytes and copies of descriptors with the first of them.
pub(crate) fn send_with(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
    assert!(fits, "there is room for DESCRIPTORS_MAX");
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(fd, &[IoSlice::new(bytes)], &mut control, flags)?)
}

/// Receives bytes, and puts the descriptors that came with them behind those that are there.
pub(crate) fn receive_with(
    fd: BorrowedFd<'_>,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(fd, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    Ok(received.bytes)
}

/// From now on nobody who has this socket is blocked by it.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Does it wait for connections?
pub(crate) fn is_listening(fd: RawFd) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0)
}

pub(crate) fn shutdown_write(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) })?;
    Ok(())
}

/// What is ready on one descriptor now, as epoll flags (poll's have the same bits).
pub(crate) fn poll(fd: RawFd) -> u32 {
    let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd, which lives across the call; a timeout of 0 does not wait.
    let n = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if n > 0 { u32::from(poll.revents as u16) } else { 0 }
}

pub(crate) fn set_option(fd: RawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is `len` readable bytes.
    check(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), len) })?;
    Ok(())
}

/// Closing sends a reset instead of what is left.
pub(crate) fn set_linger_reset(fd: RawFd) -> io::Result<()> {
    let value = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of_val(&value) as libc::socklen_t;
    let pointer = (&raw const value).cast();
    // SAFETY: `value` is `len` readable bytes.
    check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, pointer, len) })?;
    Ok(())
}

/// The error a connection attempt ended with, if any.
pub(crate) fn take_error(fd: RawFd) -> io::Result<()> {
    match option(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The process that connected, of a Unix socket; 0 where there is none.
pub(crate) fn peer_process(fd: RawFd) -> io::Result<u32> {
    let mut value = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of_val(&value) as libc::socklen_t;
    let pointer = (&raw mut value).cast();
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: the kernel writes at most `len` bytes into `value`.
    check(unsafe { libc::getsockopt(fd, level, option, pointer, &raw mut len) })?;
    Ok(u32::try_from(value.pid).unwrap_or(0))
}

/// An option that is an integer.
pub(crate) fn option(fd: RawFd, level: i32, option: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut len = size_of_val(&value) as libc::socklen_t;
    let pointer = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes into `value`.
    check(unsafe { libc::getsockopt(fd, level, option, pointer, &raw mut len) })?;
    Ok(value)
}
