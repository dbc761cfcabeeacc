//! A server that follows PostgreSQL's rules (postgres.c: `ignore_till_sync`; copyfromparse.c: what
//! COPY reads), written without looking at the conversation, against random client programs, random
//! failures and random delays in both directions.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Decides everything: a finite tape, then zeros.
struct Tape<'a>(std::slice::Iter<'a, u8>);

impl Tape<'_> {
    fn one_in(&mut self, n: u8) -> bool {
        self.0.next().is_some_and(|byte| byte % n == n - 1)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(*self.0.next().unwrap_or(&0)) % of.len()]
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    /// PostgresMain waits for a message.
    Main,
    /// CopyGetData waits for one, in the middle of a Query (with so many statements to come) or of
    /// an Execute.
    Copy { simple: Option<u8> },
    /// FATAL.
    Dead,
}

struct Server {
    /// Everything that was forwarded.
    log: Vec<u8>,
    /// How much of it was read.
    read: usize,
    out: VecDeque<Answer>,
    mode: Mode,
    ignore_till_sync: bool,
    /// Extended messages were obeyed since the last ReadyForQuery.
    dirty: bool,
    status: TransactionStatus,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    tag: u8,
    status: TransactionStatus,
    /// For CopyInResponse: how much of the log was read when it was sent.
    read: usize,
}

impl Server {
    fn new() -> Server {
        Server {
            log: Vec::new(),
            read: 0,
            out: VecDeque::new(),
            mode: Mode::Main,
            ignore_till_sync: false,
            dirty: false,
            status: TransactionStatus::Idle,
        }
    }

    fn say(&mut self, tags: &[u8]) {
        for &tag in tags {
            let (status, read) = (self.status, self.read);
            self.out.push_back(Answer { tag, status, read });
        }
    }

    fn ready(&mut self, tape: &mut Tape<'_>) {
        use TransactionStatus::*;
        self.status = tape.pick(&[Idle, Idle, InTransaction, Failed]);
        self.dirty = false;
        self.say(b"Z");
    }

    fn fail(&mut self, extended: bool, tape: &mut Tape<'_>) {
        self.mode = Mode::Main;
        self.say(b"E");
        if extended {
            self.ignore_till_sync = true;
        } else {
            self.ready(tape);
        }
    }

    /// One message is read and obeyed.
    fn work(&mut self, tape: &mut Tape<'_>) {
        let Some(&tag) = self.log.get(self.read) else { return };
        self.read += 1;
        if tape.one_in(7) {
            let unasked = tape.pick(b"NSA");
            self.say(&[unasked]);
        }
        match self.mode {
            Mode::Main => self.obey(tag, tape),
            Mode::Copy { simple } => self.copy(tag, simple, tape),
            Mode::Dead => {}
        }
    }

    fn obey(&mut self, tag: u8, tape: &mut Tape<'_>) {
        match tag {
            b'S' => {
                self.ignore_till_sync = false;
                if self.dirty && tape.one_in(9) {
                    self.say(b"E");
                }
                self.ready(tape);
            }
            b'd' | b'c' | b'f' | b'H' | b'X' => {}
            _ if self.ignore_till_sync => {}
            b'Q' => {
                let statements = tape.pick(&[1, 1, 1, 2, 3]);
                self.simple(statements, tape);
            }
            b'F' if tape.one_in(4) => self.fail(false, tape),
            b'F' => {
                self.say(b"V");
                self.ready(tape);
            }
            _ => {
                self.dirty = true;
                match tag {
                    _ if tape.one_in(8) => self.fail(true, tape),
                    b'P' => self.say(b"1"),
                    b'B' => self.say(b"2"),
                    b'C' => self.say(b"3"),
                    b'D' => {
                        let shape: &[u8] = tape.pick(&[b"T", b"n", b"tT", b"tn"]);
                        self.say(shape);
                    }
                    b'E' => self.execute(tape),
                    other => panic!("the test sends no {other}"),
                }
            }
        }
    }

    /// The statements of a Query, until one of them waits for COPY data.
    fn simple(&mut self, statements: u8, tape: &mut Tape<'_>) {
        for left in (0..statements).rev() {
            let answer: &[u8] =
                tape.pick(&[b"C", b"TDDC", b"TC", b"I", b"HddcC", b"G", b"G", b"E", b"TDE"]);
            match answer {
                b"G" => return self.copy_begin(Some(left), tape),
                [start @ .., b'E'] => {
                    self.say(start);
                    return self.fail(false, tape);
                }
                answer => self.say(answer),
            }
        }
        self.ready(tape);
    }

    fn execute(&mut self, tape: &mut Tape<'_>) {
        let answer: &[u8] = tape.pick(&[b"C", b"DDC", b"Ds", b"I", b"HddcC", b"G", b"G", b"DE"]);
        match answer {
            b"G" => self.copy_begin(None, tape),
            b"DE" => {
                self.say(b"D");
                self.fail(true, tape);
            }
            answer => self.say(answer),
        }
    }

    /// CopyInResponse is out; a trigger may fail before anything is read.
    fn copy_begin(&mut self, simple: Option<u8>, tape: &mut Tape<'_>) {
        self.mode = Mode::Copy { simple };
        self.say(b"G");
        if tape.one_in(5) {
            self.fail(simple.is_none(), tape);
        }
    }

    fn copy(&mut self, tag: u8, simple: Option<u8>, tape: &mut Tape<'_>) {
        match tag {
            b'H' | b'S' => {}
            b'd' if !tape.one_in(4) => {}
            b'd' | b'f' => self.fail(simple.is_none(), tape),
            b'c' => {
                self.mode = Mode::Main;
                self.say(b"C");
                if let Some(left) = simple {
                    self.simple(left, tape);
                }
            }
            _ => {
                self.mode = Mode::Dead;
                self.say(b"E");
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.mode == Mode::Main && !self.ignore_till_sync && !self.dirty
    }

    /// Will nothing of what it was sent bring an answer any more?
    fn is_silent(&self) -> bool {
        let owing = |answer: &Answer| !table::is_unasked(answer.tag);
        let stray = |tag: &u8| b"dcfHX".contains(tag);
        self.is_settled() && !self.out.iter().any(owing) && self.log[self.read..].iter().all(stray)
    }

    /// Was a request sent behind the COPY that `answer` begins, in front of the end of its data?
    fn is_overrun(&self, answer: Answer) -> bool {
        let behind = self.log[answer.read..].iter().find(|tag| !b"SHd".contains(tag));
        answer.tag == b'G' && behind.is_some_and(|tag| !b"cf".contains(tag))
    }
}

struct Run {
    conversation: Conversation,
    server: Server,
    /// The conversation was in doubt once: an answer without an owner may be the end of it.
    doubted: bool,
}

/// The run is over, for a good reason.
struct Over;

impl Run {
    fn send(&mut self, tag: u8, owner: Owner) -> Result<(), Over> {
        match self.conversation.sent(tag, owner) {
            Ok(Sent::Forward | Sent::Void) => self.server.log.push(tag),
            Ok(Sent::Swallow) => assert!(b"SH".contains(&tag)),
            Ok(Sent::Full) => panic!("short programs never fill the FIFO"),
            Err(unexpected) => {
                let conversation = &self.conversation;
                let unknown = conversation.is_skipping() && conversation.in_doubt();
                assert!(conversation.in_copy_in() || unknown, "{unexpected}");
                return Err(Over);
            }
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Over> {
        let Some(answer) = self.server.out.pop_front() else { return Ok(()) };
        let found = match answer.tag {
            b'Z' => self.conversation.ready(answer.status),
            tag => self.conversation.received(tag).map(|heard| heard.owner),
        };
        self.doubted |= self.conversation.in_doubt();
        match found {
            Ok(_) => Ok(()),
            Err(_) if self.server.is_overrun(answer) || self.doubted => Err(Over),
            // A failed COPY, a Sync behind it, requests behind that.
            Err(unexpected) if unexpected.tag == b'E' => Err(Over),
            Err(unexpected) => panic!("{unexpected}"),
        }
    }

    /// What must hold at every moment, doubts or not.
    fn inspect(&self) {
        assert!(self.conversation.outstanding() <= OUTSTANDING_MAX);
        if self.conversation.quiescent().is_some() {
            assert!(self.server.is_silent(), "{:?}", self.server.log);
            assert_eq!(self.server.status, TransactionStatus::Idle);
        }
    }

    fn drain(&mut self, tape: &mut Tape<'_>) -> Result<(), Over> {
        while self.server.read < self.server.log.len() || !self.server.out.is_empty() {
            self.server.work(tape);
            self.deliver()?;
            self.inspect();
        }
        Ok(())
    }

    fn play(&mut self, program: &[u8], tape: &mut Tape<'_>) -> Result<(), Over> {
        for &tag in program {
            self.send(tag, Owner::Client)?;
            self.inspect();
            while tape.one_in(2) {
                self.server.work(tape);
                self.inspect();
            }
            while tape.one_in(2) {
                self.deliver()?;
                self.inspect();
            }
        }
        self.drain(tape)?;
        let (conversation, server) = (&self.conversation, &self.server);
        if self.conversation.in_doubt() {
            return self.settle();
        }
        assert_eq!(conversation.settled(), server.is_settled());
        assert_eq!(conversation.is_skipping(), server.ignore_till_sync);
        assert_eq!(conversation.in_copy_in(), matches!(server.mode, Mode::Copy { .. }));
        assert_eq!(conversation.status(), server.status);
        Ok(())
    }

    /// A doubt ends with a probe: an empty query.
    fn settle(&mut self) -> Result<(), Over> {
        let idle = Tape([].iter());
        let mut script = Vec::new();
        if self.conversation.is_skipping() || self.conversation.is_open() {
            script.push(b'S');
        }
        script.push(b'Q');
        for tag in script {
            self.send(tag, Owner::Ours(Purpose::Probe))?;
        }
        let mut tape = idle;
        self.drain(&mut tape)?;
        assert!(!self.conversation.in_doubt());
        assert!(self.conversation.settled() && self.server.is_settled());
        Ok(())
    }
}

const SINGLE: &[&[u8]] = &[b"P", b"B", b"D", b"E", b"C", b"F", b"H", b"d", b"c", b"f", b"S", b"Q"];

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => Just(&b"Q"[..]),
        2 => Just(&b"PBDES"[..]),
        3 => Just(&b"BES"[..]),
        2 => Just(&b"BE"[..]),
        3 => Just(&b"ddc"[..]),
        2 => Just(&b"ddcS"[..]),
        2 => Just(&b"S"[..]),
        5 => proptest::sample::select(SINGLE),
    ];
    prop::collection::vec(pieces, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn agrees_with_a_server(
        program in requests(),
        tape in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (conversation, server) = (Conversation::new(), Server::new());
        let mut run = Run { conversation, server, doubted: false };
        let _over = run.play(&program, &mut Tape(tape.iter()));
    }

    /// Bytes from nowhere: no panic, a bounded FIFO, and never both settled and outstanding.
    #[test]
    fn never_panics(
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), any::<u8>()), 0..300),
    ) {
        const REQUESTS: &[u8] = b"BCdcfDEHFPpQSX?";
        const ANSWERS: &[u8] = b"RK23CcdGHWDIEVvnNAtS1sTZZZ?";
        let mut conversation = Conversation::new();
        for (sending, ours, byte) in steps {
            let of = |tags: &[u8]| tags[usize::from(byte) % tags.len()];
            let owner = if ours { OURS } else { Owner::Client };
            let _ = match of(ANSWERS) {
                _ if sending => conversation.sent(of(REQUESTS), owner).map(|_| owner),
                b'Z' => conversation.ready(TransactionStatus::Idle),
                tag => conversation.received(tag).map(|heard| heard.owner),
            };
            prop_assert!(conversation.outstanding() <= OUTSTANDING_MAX);
            prop_assert_eq!(conversation.head().is_some(), conversation.outstanding() > 0);
            prop_assert!(conversation.quiescent().is_none() || conversation.outstanding() == 0);
        }
    }
}
