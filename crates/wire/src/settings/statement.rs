//! A setting as a SET statement. Unlike `set_config` that is no query: it takes no snapshot, so a
//! transaction may still choose its isolation level behind it. Whatever SET would write in another
//! way than it was given is none: who wants those bytes has to call `set_config`.

use super::search_path::{as_set_writes, names};

/// Lists of names, each of which SET quotes. PostgreSQL lets no extension have more of them.
const LISTS: [&[u8]; 4] =
    [b"search_path", b"temp_tablespaces", b"session_preload_libraries", b"local_preload_libraries"];

/// PostgreSQL cuts off the rest of an identifier, by default.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// `SET name TO value`, in whatever encoding the value is; None if SET would not set just that.
pub fn statement(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"SET ".to_vec();
    for (number, part) in name.split(|byte| *byte == b'.').enumerate() {
        if part.is_empty() || part.len() > IDENTIFIER_BYTES_MAX {
            return None;
        }
        out.extend_from_slice(if number == 0 { b"\"" } else { b".\"" });
        part.iter().for_each(|byte| out.extend_from_slice(doubled(byte)));
        out.push(b'"');
    }
    out.extend_from_slice(b" TO ");
    match LISTS.contains(&name) {
        true if as_set_writes(value)? != value => return None,
        true => {
            for (number, item) in names(value)?.iter().enumerate() {
                out.extend_from_slice(if number == 0 { b"" } else { b", " });
                literal(item, &mut out);
            }
        }
        false => literal(value, &mut out),
    }
    Some(out)
}

fn doubled(byte: &u8) -> &[u8] {
    match byte {
        b'"' => b"\"\"",
        byte => std::slice::from_ref(byte),
    }
}

/// In dollars: no encoding has a character with a `$` in it, while a backslash or a quote may mean
/// this or that.
fn literal(value: &[u8], out: &mut Vec<u8>) {
    let mut quote = b"$v$".to_vec();
    // The value may end in the beginning of its quote.
    let ends_early = |quote: &[u8]| {
        let text = [value, quote].concat();
        text.windows(quote.len()).position(|window| window == quote) != Some(value.len())
    };
    while ends_early(&quote) {
        quote.insert(1, b'v');
    }
    for part in [&quote, value, &quote] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expected: Option<&str>) {
        let said = statement(name.as_bytes(), value.as_bytes());
        let text = said.as_deref().map(|bytes| str::from_utf8(bytes).unwrap());
        assert_eq!(text, expected, "{name} {value}");
    }

    #[test]
    fn a_setting_is_one_literal_and_a_list_is_many() {
        check("work_mem", "5MB", Some(r#"SET "work_mem" TO $v$5MB$v$"#));
        check("my.tenant", "", Some(r#"SET "my"."tenant" TO $v$$v$"#));
        check("datestyle", "sql, dmy", Some(r#"SET "datestyle" TO $v$sql, dmy$v$"#));
        check("search_path", "a, \"B c\"", Some(r#"SET "search_path" TO $v$a$v$, $v$B c$v$"#));
    }

    #[test]
    fn no_value_ends_its_literal() {
        check("a.b", r"it's \' $$", Some(r#"SET "a"."b" TO $v$it's \' $$$v$"#));
        check("a.b", "$v$; drop", Some(r#"SET "a"."b" TO $vv$$v$; drop$vv$"#));
        check("a.b", "$v$ $vv$", Some(r#"SET "a"."b" TO $vvv$$v$ $vv$$vvv$"#));
        check("a\";drop.b", "", Some(r#"SET "a"";drop"."b" TO $v$$v$"#));
    }

    /// Seen to fail: a quote that is looked for in the value alone.
    #[test]
    fn a_value_and_its_quote_make_no_other_quote() {
        check("a.b", "$v", Some(r#"SET "a"."b" TO $vv$$v$vv$"#));
        check("a.b", "$", Some(r#"SET "a"."b" TO $v$$$v$"#));
    }

    #[test]
    fn what_set_would_write_in_another_way_is_left_to_set_config() {
        check("search_path", "a,b", None);
        check("search_path", "", None);
        check("search_path", "a b", None);
        check("a..b", "", None);
        check(&format!("a.{}", "b".repeat(64)), "", None);
    }
}
