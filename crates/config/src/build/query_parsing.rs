//! The `query_parsing` section: what is wrong in it, in Odyssey's words. What it says is read with
//! the options of the top level that it switches.

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
