//! PgBouncer's `auth_file`: `"user" "secret"` a line, a quote inside doubled, the rest of the line
//! ignored, `;` in front of a comment. It has no Debug, because it holds passwords.

use super::ini::unquoted;

/// A user of the file.
pub(super) struct User {
    pub name: String,
    /// Plain, `md5…`, a SCRAM verifier, or empty.
    pub secret: String,
}

/// The users up to the first line that is broken, and the number of that line: there PgBouncer
/// stops reading. Of a user that is there twice, the last secret counts.
pub(super) fn read(text: &str) -> (Vec<User>, Option<usize>) {
    let mut users: Vec<User> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (users, None);
        }
        if !rest.starts_with(';') {
            let Some((user, behind)) = user(rest) else {
                let read = &text[..text.len() - rest.len()];
                return (users, Some(1 + read.matches('\n').count()));
            };
            users.retain(|other| other.name != user.name);
            users.push(user);
            rest = behind;
        }
        rest = rest.split_once('\n').map_or("", |(_, next)| next);
    }
}

fn user(text: &str) -> Option<(User, &str)> {
    let (name, rest) = unquoted(text.strip_prefix('"')?, '"')?;
    let (_, rest) = rest.split_once('"')?;
    let (secret, rest) = unquoted(rest, '"')?;
    Some((User { name, secret }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)], broken: Option<usize>) {
        let (users, line) = read(text);
        let pairs: Vec<_> = users.iter().map(|it| (it.name.as_str(), it.secret.as_str())).collect();
        assert_eq!((pairs.as_slice(), line), (expected, broken), "{text}");
    }

    #[test]
    fn users_are_read_as_pgbouncer_reads_them() {
        check("", &[], None);
        check("\"a\" \"b\"\n\n; \"c\" \"d\"\n  \"e\" \"\" more\n", &[("a", "b"), ("e", "")], None);
        check("\"a\"\"b\" \"c\"\"d\"", &[("a\"b", "c\"d")], None);
        check("\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"", &[("b", "2"), ("a", "3")], None);
        check("\"a\" \"1\"\nb 2\n\"c\" \"3\"", &[("a", "1")], Some(2));
        check("\"a\" \"1\"\n\n\"b", &[("a", "1")], Some(3));
    }
}
