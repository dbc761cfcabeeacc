//! Who waits for a reset: not the client that made it necessary, and of the others only who needs
//! that very server. The server here is a stub that answers what no client asked when it is told.

use super::A_WHILE;
use crate::support::fake::FakeSession;
use crate::support::message::cstr;
use crate::support::{FakeServer, PATIENCE, Pooler, Setup, Wire};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// What the stub hears of resets, and what lets it answer one.
struct Stub {
    server: FakeServer,
    heard: Receiver<()>,
    answer: Sender<()>,
}

impl Stub {
    fn start() -> Stub {
        let (tell, heard) = channel();
        let (answer, told) = channel();
        let told = Arc::new(Mutex::new(told));
        let server = FakeServer::start(move |session| {
            run(session, &tell, &told);
        });
        Stub { server, heard, answer }
    }

    /// A reset began, and its answer is not there.
    fn expect_reset(&self) {
        self.heard.recv_timeout(PATIENCE).expect("the server is reset");
    }

    fn pooler(&self, servers: usize) -> Pooler {
        let setup = Setup::in_front_of(self.server.port, servers);
        setup.with(r#"pool_session_state "reset" pool_reset_timeout_ms 60000"#).start()
    }
}

fn run(mut session: FakeSession, tell: &Sender<()>, told: &Mutex<Receiver<()>>) -> Option<()> {
    session.greet()?;
    loop {
        let (_, body) = session.read_until(b"Q")?;
        let word = String::from_utf8_lossy(&body).split(' ').next()?.to_uppercase();
        if !["CREATE", "UPDATE"].contains(&&*word) {
            tell.send(()).ok()?;
            told.lock().ok()?.recv().ok()?;
        }
        session.send(&Wire::new().message(b'C', &cstr(&word)).message(b'Z', b"I"))?;
    }
}

/// Seen to fail: a session that resets its server itself before it writes its last answer.
#[test]
fn a_reset_delays_nobody_who_can_have_another_server() {
    let stub = Stub::start();
    let pooler = stub.pooler(2);
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(a.query("create temp table t (i int)").shape(), "C Z/I");
    stub.expect_reset();
    assert_eq!(b.query("update one").shape(), "C Z/I", "of the other server");
    assert_eq!(a.query("update two").shape(), "C Z/I", "of that one, too");
    stub.answer.send(()).unwrap();
    pooler.stop_with(vec![a, b]);
}

/// The old client has its answer, whoever needs the server waits until it is clean.
#[test]
fn a_reset_is_waited_for_by_the_next_client_alone() {
    let stub = Stub::start();
    let pooler = stub.pooler(1);
    let (mut a, mut b) = (pooler.client(), pooler.client());
    assert_eq!(a.query("create temp table t (i int)").shape(), "C Z/I");
    stub.expect_reset();
    b.send(&Wire::new().query("update one"));
    assert!(b.is_silent_for(A_WHILE), "the server is not clean");
    stub.answer.send(()).unwrap();
    assert_eq!(b.until_ready().shape(), "C Z/I");
    pooler.stop_with(vec![a, b]);
}
