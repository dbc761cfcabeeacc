//! The list of names that `search_path` is: read as PostgreSQL reads it, written as its `SET`
//! writes it. Whether there are such schemas is not known here.

/// The same list in the form in which `SET` keeps it: `"$user",Public` is `"$user", public`. `None`
/// for what PostgreSQL would not take, and for names outside ASCII without quotes, whose letters
/// only the server can fold.
///
/// Names that are key words stay without quotes: nobody parses the result as SQL.
pub fn as_set_writes(list: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(list.len());
    for (number, name) in names(list)?.iter().enumerate() {
        written.extend_from_slice(if number == 0 { b"" } else { b", " });
        write(name, &mut written);
    }
    Some(written)
}

/// The names of the list, without quotes; `None` as in [`as_set_writes`].
pub fn names(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = list.trim_ascii();
    let mut names = Vec::new();
    loop {
        let (name, behind) = match rest.strip_prefix(b"\"") {
            Some(inside) => quoted(inside)?,
            None => plain(rest)?,
        };
        names.push(name);
        match behind.trim_ascii_start().split_first() {
            None => return Some(names),
            Some((b',', more)) => rest = more.trim_ascii_start(),
            Some(_) => return None,
        }
    }
}

/// A name up to a comma or white space, in lower case, and what stands behind it.
fn plain(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let ends = |byte: &u8| *byte == b',' || byte.is_ascii_whitespace();
    let (name, behind) = text.split_at(text.iter().position(ends).unwrap_or(text.len()));
    (!name.is_empty() && name.is_ascii()).then(|| (name.to_ascii_lowercase(), behind))
}

/// A name up to its closing quote, of which two in a row are one of the name.
fn quoted(mut inside: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut name = Vec::new();
    loop {
        let quote = inside.iter().position(|byte| *byte == b'"')?;
        name.extend_from_slice(&inside[..quote]);
        inside = &inside[quote + 1..];
        match inside.strip_prefix(b"\"") {
            Some(more) => inside = more,
            None => return Some((name, inside)),
        }
        name.push(b'"');
    }
}

fn write(name: &[u8], written: &mut Vec<u8>) {
    let starts = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    let goes_on = |byte: &u8| starts(byte) || byte.is_ascii_digit();
    if name.first().is_some_and(starts) && name.iter().all(goes_on) {
        return written.extend_from_slice(name);
    }
    written.push(b'"');
    for byte in name {
        written.push(*byte);
        if *byte == b'"' {
            written.push(b'"');
        }
    }
    written.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: Option<&str>) {
        let written = as_set_writes(list.as_bytes());
        let text = written.as_deref().map(|bytes| str::from_utf8(bytes).unwrap());
        assert_eq!(text, expected, "{list}");
        if let Some(bytes) = &written {
            assert_eq!(as_set_writes(bytes).as_ref(), written.as_ref(), "{list}: written again");
        }
    }

    /// Compared with what PostgreSQL 15 and 18 show behind the same `SET`.
    #[test]
    fn names_are_written_as_set_writes_them() {
        check(r#""$user",public,popis"#, Some(r#""$user", public, popis"#));
        check(" Public\t,\n \"Mine\" ", Some(r#"public, "Mine""#));
        check(r#""public","a b","say ""so""""#, Some(r#"public, "a b", "say ""so""""#));
        check("a-b,_9,9_", Some(r#""a-b", _9, "9_""#));
        check(r#""","größe""#, Some(r#""", "größe""#));
    }

    #[test]
    fn what_looks_like_sql_is_one_name() {
        check("public;create/**/table/**/zzz()", Some(r#""public;create/**/table/**/zzz()""#));
        check("a'b,$$", Some(r#""a'b", "$$""#));
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        for text in ["", " ", ",", "a,", ",a", "a b", "\"a", "\"a\" b", "a,,b", "größe"] {
            check(text, None);
        }
    }
}
