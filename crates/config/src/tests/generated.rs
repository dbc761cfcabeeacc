//! Files of the documentation that are written from the table of options, and what the table still
//! owes.

use std::path::Path;
use std::{env, fs};

use crate::options::{Status, TABLE};
use crate::{options_compared, options_page, yaml_schema};

/// Set to anything, the test writes the files instead of comparing them.
const WRITE: &str = "POOLER_WRITE_DOCS";

#[track_caller]
fn check(path: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(path);
    if env::var_os(WRITE).is_some() {
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{path} is not what the table of options says; write it anew with\n  \
         {WRITE}=1 cargo test -p config generated"
    );
}

/// Where the table of keywords begins in docs/compatibility.md; it is the end of the page.
const KEYWORDS: &str = "<!-- Written from the table of options; to the end of the page. -->\n\n";

#[test]
fn the_table_of_keywords_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let page = fs::read_to_string(file).unwrap();
    let (by_hand, _) = page.split_once(KEYWORDS).expect("the table has its mark");
    check("compatibility.md", &format!("{by_hand}{KEYWORDS}{}", options_compared()));
}

#[test]
fn generated_files_are_fresh() {
    check("configuration.md", &options_page());
    check("odyssey.schema.json", &yaml_schema());
}

/// What may be refused: modules are made for Odyssey's insides.
const OWED: &[&str] = &["auth_module"];

#[test]
fn what_is_only_accepted_is_known() {
    let mut owed = Vec::new();
    for (scope, rows) in TABLE {
        for row in rows.iter() {
            if matches!(row.status, Status::Refused { .. }) {
                println!("{}: {} ({})", scope.title(), row.name, row.status.title());
                owed.push(row.name);
            }
        }
    }
    let unknown = |name: &&str| !OWED.contains(name);
    let unknown: Vec<&str> = owed.iter().copied().filter(unknown).collect();
    assert_eq!(unknown, [""; 0], "nobody owes these");
}
