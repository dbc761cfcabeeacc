//! Routing: which rule a client meets. The rules decide; what they have to know for that and only
//! others can tell, the name of a host or the members of a group, is found out here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Rule;
use machine::Deadline;
use router::{Ask, Host, Question, Refusal};

use super::Voice;
use crate::ending::{Asked, Ending};
use crate::shared::Shared;

/// A resolver that takes longer knows no name.
const RESOLVER_MAX: Duration = Duration::from_secs(5);

/// The rule of a client that wants to log in. What is asked for on the way is asked for once.
///
/// # Errors
/// There is no rule for it, or no time left.
pub(super) fn rule_of(
    shared: &Shared,
    voice: &Voice,
    asked: &Arc<Asked>,
    tls: bool,
    deadline: Deadline,
) -> Result<Arc<Rule>, Ending> {
    let Asked { database, user } = &**asked;
    let address = voice.address().ip();
    let mut resolved: Option<Option<String>> = None;
    loop {
        let host = match &resolved {
            None => Host::Unasked,
            Some(None) => Host::Nameless,
            Some(Some(name)) => Host::Named(name),
        };
        let ask = Ask { database, user, address, host, tls };
        let world = shared.world();
        match (world.rules.question(&ask), address) {
            (Some(Question::HostName), Some(ip)) => {
                drop(world); // not to be held over a wait
                resolved = Some(host_name(voice, ip, deadline));
            }
            (Some(Question::Members(group)), _) => {
                let group = Arc::clone(group);
                drop(world);
                shared.groups.wait_for(&group, deadline)?;
            }
            (Some(Question::HostName) | None, _) => {
                return world.rules.find(&ask).map(Arc::clone).ok_or_else(|| {
                    let Asked { database, user } = Asked::clone(asked);
                    Ending::Refused(Refusal::NoRoute { database, user }, Arc::clone(asked))
                });
            }
        }
    }
}

fn host_name(voice: &Voice, address: IpAddr, deadline: Deadline) -> Option<String> {
    let patience = Deadline::after(RESOLVER_MAX).earliest(deadline);
    let name = machine::host_name(address, patience);
    name.unwrap_or_else(|error| {
        voice.error("routing", format_args!("no host name for {address}: {error}"));
        None
    })
}
