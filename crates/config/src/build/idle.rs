//! Sections that are not built yet: nothing is made of them, but mistakes in them are told as
//! Odyssey would.

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::options::Scope;
use crate::raw::Block;

pub(super) fn check(root: &Block, complaints: &mut Complaints) {
    for block in root.sections("query_parsing") {
        let fields = Fields::new(Scope::QueryParsing, block);
        if fields.text("mode") == Some("full") {
            let message = "full mode of query parsing is not supported now";
            complaints.error(fields.place("mode"), message);
        }
    }
}
