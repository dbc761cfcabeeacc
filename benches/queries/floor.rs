//! The floor: a proxy that only reads and writes, a connection to the server for each client. No
//! process in the middle does less.

use crate::poll::Poll;
use crate::{Outcome, stage};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

const READ_BYTES: usize = 64 * 1024;

/// The key of the listener; clients have even keys, their servers the odd ones behind them.
const LISTENER: usize = 0;

/// Serves for ever.
pub fn serve(to: SocketAddr) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    stage::tell(listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    let mut sockets: HashMap<usize, TcpStream> = HashMap::new();
    let mut bytes = vec![0; READ_BYTES];
    for turn in 1.. {
        for key in poll.wait(None)? {
            if key == LISTENER {
                let (client, _) = listener.accept()?;
                for (key, socket) in [(2 * turn, client), (2 * turn + 1, TcpStream::connect(to)?)] {
                    socket.set_nodelay(true)?;
                    poll.add(&socket, key)?;
                    sockets.insert(key, socket);
                }
            } else if pass_on(&mut sockets, key, &mut bytes).is_none() {
                sockets.remove(&key);
                sockets.remove(&(key ^ 1));
            }
        }
    }
    Ok(())
}

/// What one side said goes to the other. Requests and answers are short: a write never waits.
fn pass_on(sockets: &mut HashMap<usize, TcpStream>, key: usize, bytes: &mut [u8]) -> Option<()> {
    let Some(mut from) = sockets.get(&key) else { return Some(()) };
    let count = from.read(bytes).ok().filter(|&count| count > 0)?;
    let mut to = sockets.get(&(key ^ 1))?;
    to.write_all(&bytes[..count]).ok()
}
