//! Pictures of servers, as the messages that clients get at their login. The last one of a route is
//! kept, for the next client mostly gets the same. How it is drawn is not known here.

use std::sync::{Arc, Mutex};

use router::Parameters;
use wire::settings::Settings;

/// What a client was told of its server.
pub struct Picture {
    /// What the server reported.
    pub reported: Arc<Parameters>,
    /// What the client wanted.
    pub wanted: Arc<Settings>,
    /// Both together.
    pub told: Arc<Parameters>,
    /// The same, as ParameterStatus messages.
    pub messages: Box<[u8]>,
}

/// The last one.
#[derive(Default)]
pub struct LastPicture(Mutex<Option<Arc<Picture>>>);

impl LastPicture {
    /// It, if it is of just these. What they are is interned: others are not equal, or only for a
    /// moment.
    pub fn of(&self, reported: &Arc<Parameters>, wanted: &Arc<Settings>) -> Option<Arc<Picture>> {
        let last = self.0.lock().expect("nothing panics under this lock").clone();
        last.filter(|last| {
            Arc::ptr_eq(&last.reported, reported) && Arc::ptr_eq(&last.wanted, wanted)
        })
    }

    /// Another is the last one now.
    pub fn replace(&self, picture: &Arc<Picture>) {
        let picture = Some(Arc::clone(picture));
        let _before = std::mem::replace(
            &mut *self.0.lock().expect("nothing panics under this lock"),
            picture,
        );
    }
}
