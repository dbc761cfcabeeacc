//! `key=value key='va''lue'`: the right side of a line of `[databases]`, `[users]` and `[peers]`.
//! Only a blank separates, and a value must not be empty.

use super::ini::unquoted;

/// The pairs of one line; a key given twice has its last value.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// None if PgBouncer would not read it.
    pub fn read(text: &str) -> Option<Pairs> {
        let mut pairs = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, behind) = rest.split_once('=')?;
            let (key, behind) = (key.trim(), behind.trim_start());
            if key.is_empty() || key.contains(char::is_whitespace) {
                return None;
            }
            let (value, behind) = match behind.strip_prefix('\'') {
                Some(quoted) => unquoted(quoted, '\'')?,
                None => {
                    let end = behind.find(' ').unwrap_or(behind.len());
                    (behind[..end].to_owned(), &behind[end..])
                }
            };
            if value.is_empty() {
                return None;
            }
            pairs.push((key.to_owned(), value));
            rest = behind.trim_start();
        }
        Some(Pairs(pairs))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[(&str, &str)]>) {
        let pairs = Pairs::read(text).map(|pairs| pairs.0);
        let expected = expected.map(|pairs| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect::<Vec<_>>()
        });
        assert_eq!(pairs, expected, "{text}");
    }

    #[test]
    fn pairs_are_read_as_pgbouncer_reads_them() {
        check("", Some(&[]));
        check("host=h  port = 1", Some(&[("host", "h"), ("port", "1")]));
        check("password='a ''b'' = c' user=u", Some(&[("password", "a 'b' = c"), ("user", "u")]));
        check(
            "password=a'b dbname='x'y=z",
            Some(&[("password", "a'b"), ("dbname", "x"), ("y", "z")]),
        );
        check("password='open", None);
        check("host", None);
        check("host=", None);
        check("=h", None);
        check("a b=c", None);
        let twice = Pairs::read("port=1 port=2").expect("it is right");
        assert_eq!(twice.get("port"), Some("2"));
    }
}
