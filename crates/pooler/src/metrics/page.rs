//! The table of metrics as a page of Markdown, `docs/metrics.md`; a test writes it.

use std::fmt::Write as _;

use super::families::{About, FAMILIES, Family};

/// What stands before the tables.
const INTRODUCTION: &str = include_str!("page.txt");

/// The whole page.
pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let all = || FAMILIES.iter().copied().flatten();
    section(&mut page, "By database and user", all().filter(|one| one.about == About::Routes));
    section(&mut page, "The process", all().filter(|one| one.about == About::Process));
    page
}

// Writing to a String cannot fail.
fn section(page: &mut String, title: &str, families: impl Iterator<Item = &'static Family>) {
    let _ = write!(page, "\n## {title}\n\n");
    page.push_str("| metric | type | labels | unit | Odyssey's exporter | meaning |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for family in families {
        let Family { name, kind, labels, help, .. } = family;
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{name}` | {} | {} | {} | {} | {help} |",
            kind.word(),
            labels.join(" "),
            unit(name),
            if family.is_odysseys { "same name" } else { "" },
        );
    }
}

/// It is in the name.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total").trim_end_matches("_route");
    match name.rsplit_once('_') {
        Some((_, "seconds")) => "s",
        Some((_, "bytes")) => "bytes",
        Some((rest, "second")) if rest.ends_with("bytes_per") => "bytes/s",
        Some((_, "second")) => "1/s",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::{env, fs};

    #[test]
    fn the_page_of_metrics_is_fresh() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if env::var_os("POOLER_WRITE_DOCS").is_some() {
            fs::write(&file, page()).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        let how = "POOLER_WRITE_DOCS=1 cargo test -p pooler metrics";
        assert!(found == page(), "docs/metrics.md is not what the table says; write it with {how}");
    }
}
