//! `odyssey.target_session_attrs`: a setting that no server knows. With `virtual_processing` SHOW
//! and SET of it are answered here, where they are the whole of a simple query; everything else
//! about it goes to the server, as any other text.

use std::time::Duration;

use config::{BalancingMethod, SessionAttrs};
use router::Wants;
use wire::backend::TransactionStatus;
use wire::encode::{self, Column};
use wire::scan::{self, About};
use wire::{Notice, Severity};

/// The setting.
pub const NAME: &str = "odyssey.target_session_attrs";

/// A longer text says something else.
pub const TEXT_BYTES_MAX: usize = 256;

/// How far servers may lag, as a client says in its startup packet: seconds.
pub const LAG_NAME: &str = "odyssey_catchup_timeout";

/// Which of several servers a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    /// As its listener says, or its rule.
    pub by_default: SessionAttrs,
    /// As it says itself: it wins.
    pub own: Option<SessionAttrs>,
    /// It may lag by less than so many seconds; 0: no matter.
    pub lag_max_s: u32,
    /// By what it is chosen; None: as the storage says.
    pub method: Option<BalancingMethod>,
}

impl Default for Attrs {
    fn default() -> Self {
        Attrs { by_default: SessionAttrs::Any, own: None, lag_max_s: 0, method: None }
    }
}

impl Attrs {
    /// The one that counts.
    pub fn wanted(self) -> SessionAttrs {
        self.own.unwrap_or(self.by_default)
    }

    /// A host that lags by as much is not to be had; None: no matter.
    pub fn lag_max(self) -> Option<Duration> {
        (self.lag_max_s > 0).then(|| Duration::from_secs(self.lag_max_s.into()))
    }

    /// All that decides which host it gets.
    pub fn wants(self) -> Wants {
        Wants { attrs: self.wanted(), lag_max: self.lag_max(), method: self.method }
    }
}

/// By its word, in any case. (Odyssey takes the beginning of a word for it, even none of it.)
pub fn parse(word: &[u8]) -> Option<SessionAttrs> {
    SessionAttrs::ALL.into_iter().find(|one| word.eq_ignore_ascii_case(one.as_str().as_bytes()))
}

/// What the text of a simple query wants of the setting, if that is all it wants.
pub fn about(text: &[u8]) -> Option<About<'_>> {
    let may_be = text.len() <= TEXT_BYTES_MAX
        && text.windows(7).any(|word| word.eq_ignore_ascii_case(b"odyssey"));
    may_be.then(|| scan::about(text, NAME.as_bytes())).flatten()
}

/// Does what is wanted, and says so in Odyssey's messages.
pub fn answer(about: &About<'_>, attrs: &mut Attrs, status: TransactionStatus) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match about {
        About::Show => {
            notice(&mut out);
            encode::row_description(&mut out, &[Column::text(NAME)]);
            encode::data_row(&mut out, &[Some(attrs.wanted().as_str())]);
            encode::command_complete(&mut out, "SHOW");
        }
        About::Reset { by_set } => {
            attrs.own = None;
            notice(&mut out);
            encode::command_complete(&mut out, if *by_set { "SET" } else { "RESET" });
        }
        About::Set(word) => match parse(word) {
            Some(own) => {
                attrs.own = Some(own);
                notice(&mut out);
                encode::command_complete(&mut out, "SET");
            }
            None => {
                let word = String::from_utf8_lossy(word);
                let text = format!("invalid value for parameter \"{NAME}\": \"{word}\"");
                encode::error(&mut out, &Notice::error("22023", text));
                notice(&mut out);
            }
        },
    }
    encode::ready_for_query(&mut out, status);
    out
}

fn notice(out: &mut Vec<u8>) {
    let text = "processed virtually by odyssey";
    encode::notice(out, &Notice::new(Severity::Notice, "00000", text));
}
