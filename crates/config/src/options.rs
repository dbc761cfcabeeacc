//! The table of options: each word of the language, once, with its place, type, default, range and
//! fate.
//!
//! Both readers, the checks, the reference page, the schema of the YAML and the dump are driven by
//! it; nothing else knows a default.

mod compared;
mod page;
mod rule;
mod schema;
mod section;
mod top;

pub use compared::compared;
pub use page::page;
pub use schema::schema;

/// Where an option stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Top,
    Listen,
    Storage,
    Balancing,
    BalancingMethod,
    Watchdog,
    Database,
    /// Inside `user`, and also inside `group` and `watchdog`.
    Rule,
    Group,
    LdapEndpoint,
    LdapCredentials,
    SharedPool,
    ConnDrop,
    SoftOom,
    SoftOomDrop,
    QueryParsing,
}

/// One option of one scope.
#[derive(Debug)]
pub(crate) struct Row {
    pub name: &'static str,
    /// Other spellings: Odyssey's aliases and the plurals that read better in YAML.
    pub aliases: &'static [Alias],
    pub kind: Kind,
    pub status: Status,
    /// As it would be written; empty for none.
    pub default: &'static str,
    /// Of an integer: `s`, `ms`, `bytes`, `pages`; empty for a plain count.
    pub unit: &'static str,
    /// Whether it may stand more than once in a block.
    pub repeats: bool,
    /// Whether its section is incomplete without it.
    pub required: bool,
    /// Its value is nobody's business: dumps and explanations mask it.
    pub secret: bool,
    /// The only texts it takes; empty if any text may do.
    pub words: &'static [&'static str],
    /// What a reload does with a changed value.
    pub reload: Reload,
    /// Odyssey does not have it.
    pub ours: bool,
    pub doc: &'static str,
}

/// What a reload does with a changed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// It is used from then on, by who connects or waits then.
    Applied,
    /// It waits for the next start, and the reload's report says so.
    Restart,
}

/// Another spelling of an option.
#[derive(Debug)]
pub(crate) enum Alias {
    /// In both formats.
    Both(&'static str),
    /// In YAML only.
    Yaml(&'static str),
}

/// What stands behind an option's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A number of that range.
    Integer { min: i64, max: i64 },
    /// A number that may end in a size suffix.
    Size,
    /// A quoted string.
    Text,
    /// A number or a quoted string (`workers`).
    IntegerOrText,
    /// A quoted string or the bare word `default`.
    TextOrDefault,
    /// One of these words, without quotes.
    Bare(&'static [&'static str]),
    /// A block of pairs of strings.
    Pairs,
    /// A block of options.
    Section { scope: Scope, label: Label },
    /// Another file in its place.
    Include,
}

/// What stands between a section's keyword and its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Nothing.
    None,
    /// A quoted name.
    Name,
    /// A quoted name or the bare word `default`.
    NameOrDefault,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It works.
    Built,
    /// Accepted in silence: ignoring it changes nothing anybody could observe.
    Harmless,
    /// An error, for running without it would be less secure than asked. `why` there is no such
    /// thing here.
    Refused { why: &'static str },
    /// Odyssey ignores it too.
    Deprecated,
}

pub(crate) const TABLE: &[(Scope, &[Row])] = &[
    (Scope::Top, top::ROWS),
    (Scope::Listen, section::LISTEN),
    (Scope::Storage, section::STORAGE),
    (Scope::Balancing, section::BALANCING),
    (Scope::BalancingMethod, section::BALANCING_METHOD),
    (Scope::Watchdog, rule::WATCHDOG),
    (Scope::Database, section::DATABASE),
    (Scope::Rule, rule::ROWS),
    (Scope::Group, &[]),
    (Scope::LdapEndpoint, section::LDAP_ENDPOINT),
    (Scope::LdapCredentials, rule::LDAP_CREDENTIALS),
    (Scope::SharedPool, section::SHARED_POOL),
    (Scope::ConnDrop, section::CONN_DROP),
    (Scope::SoftOom, section::SOFT_OOM),
    (Scope::SoftOomDrop, section::SOFT_OOM_DROP),
    (Scope::QueryParsing, section::QUERY_PARSING),
];

/// How much a side insists on TLS.
const TLS_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify_ca", "verify_full"];

/// Which servers a client wants.
const SESSION_ATTRS: &[&str] = &["read-write", "read-only", "prefer-standby", "any"];
const NAMES_MAX: usize = 1000; // to compare one with; each complaint would cost that much
const WORD_BYTES_MAX: usize = 64; // nobody misspells an option in a word longer than this

/// Words of the language that are not names of options.
const OTHER_WORDS: &[&str] = &["yes", "no", "default", "local", "host", "hostssl", "hostnossl"];

impl Scope {
    /// The scope whose options are allowed here too.
    fn parent(self) -> Option<Scope> {
        matches!(self, Scope::Group | Scope::Watchdog).then_some(Scope::Rule)
    }

    /// The options of this scope and of its parent.
    pub fn rows(self) -> impl Iterator<Item = &'static Row> {
        TABLE
            .iter()
            .filter(move |(scope, _)| *scope == self || Some(*scope) == self.parent())
            .flat_map(|(_, rows)| rows.iter())
    }

    /// The option of that name in odyssey.conf.
    pub fn find(self, name: &str) -> Option<&'static Row> {
        self.rows().find(|row| {
            row.name == name
                || row.aliases.iter().any(|alias| matches!(alias, Alias::Both(it) if *it == name))
        })
    }

    /// The option of that name in YAML, where plurals are allowed.
    pub fn find_yaml(self, name: &str) -> Option<&'static Row> {
        self.rows().find(|row| row.spellings().any(|spelling| spelling == name))
    }
}

impl Row {
    fn spellings(&self) -> impl Iterator<Item = &'static str> {
        let aliases = self.aliases.iter().map(|alias| match alias {
            Alias::Both(name) | Alias::Yaml(name) => *name,
        });
        std::iter::once(self.name).chain(aliases)
    }
}

/// Whether the word means anything anywhere in the language.
pub(crate) fn is_keyword(word: &str) -> bool {
    TABLE.iter().any(|(scope, _)| scope.find(word).is_some()) || OTHER_WORDS.contains(&word)
}

/// What the writer of an unknown word may have meant, for a hint.
pub(crate) fn suggestion(scope: Scope, word: &str) -> Option<String> {
    if let Some(name) = nearest(word, scope.rows().map(|row| row.name)) {
        return Some(format!("did you mean '{name}'?"));
    }
    let homes = TABLE.iter().filter(|(_, rows)| rows.iter().any(|row| row.name == word));
    let homes: Vec<_> = homes.map(|(home, _)| home.title()).collect();
    (!homes.is_empty()).then(|| format!("'{word}' belongs into {}", homes.join(", ")))
}

/// The name that the writer of a word may have meant.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let comparable = names.take(NAMES_MAX).filter(|name| name.len() <= WORD_BYTES_MAX);
    let (edits, name) = comparable.map(|name| (distance(word, name), name)).min()?;
    // Half of the word has to be right, or `foo` would be told that it means `no`.
    (edits <= 2 && edits * 2 <= word.chars().count()).then_some(name)
}

/// How many letters have to be inserted, deleted or replaced to make one word of the other.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(letter != *other);
            current.push(replaced.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous[right.len()]
}

impl Scope {
    /// How messages and the reference page call it.
    pub fn title(self) -> &'static str {
        match self {
            Scope::Top => "the top level",
            Scope::Listen => "listen",
            Scope::Storage => "storage",
            Scope::Balancing => "storage / balancing",
            Scope::BalancingMethod => "storage / balancing / method",
            Scope::Watchdog => "storage / watchdog",
            Scope::Database => "database",
            Scope::Rule => "database / user or group",
            Scope::Group => "database / group",
            Scope::LdapEndpoint => "ldap_endpoint",
            Scope::LdapCredentials => "user / ldap_storage_credentials",
            Scope::SharedPool => "shared_pool",
            Scope::ConnDrop => "conn_drop_options",
            Scope::SoftOom => "soft_oom",
            Scope::SoftOomDrop => "soft_oom / drop",
            Scope::QueryParsing => "query_parsing",
        }
    }
}

const fn row(name: &'static str, kind: Kind) -> Row {
    Row {
        name,
        aliases: &[],
        kind,
        status: Status::Built,
        default: "",
        unit: "",
        repeats: false,
        required: false,
        secret: false,
        words: &[],
        reload: Reload::Applied,
        ours: false,
        doc: "",
    }
}

const fn flag(name: &'static str, default: &'static str) -> Row {
    Row { default, ..row(name, Kind::Flag) }
}

const fn text(name: &'static str) -> Row {
    row(name, Kind::Text)
}

/// Any number an `int` of C can hold.
const fn integer(name: &'static str, default: &'static str) -> Row {
    between(name, i32::MIN as i64, i32::MAX as i64, default)
}

/// A number that is not negative.
const fn natural(name: &'static str, default: &'static str) -> Row {
    between(name, 0, i32::MAX as i64, default)
}

const fn between(name: &'static str, min: i64, max: i64, default: &'static str) -> Row {
    Row { default, ..row(name, Kind::Integer { min, max }) }
}

const fn section(name: &'static str, scope: Scope, label: Label) -> Row {
    row(name, Kind::Section { scope, label })
}

impl Row {
    const fn default(self, default: &'static str) -> Row {
        Row { default, ..self }
    }

    const fn unit(self, unit: &'static str) -> Row {
        Row { unit, ..self }
    }

    const fn repeats(self) -> Row {
        Row { repeats: true, ..self }
    }

    const fn required(self) -> Row {
        Row { required: true, ..self }
    }

    const fn secret(self) -> Row {
        Row { secret: true, ..self }
    }

    const fn words(self, words: &'static [&'static str]) -> Row {
        Row { words, ..self }
    }

    const fn restart(self) -> Row {
        Row { reload: Reload::Restart, ..self }
    }

    const fn ours(self) -> Row {
        Row { ours: true, ..self }
    }

    const fn aliases(self, aliases: &'static [Alias]) -> Row {
        Row { aliases, ..self }
    }

    const fn refused(self, why: &'static str) -> Row {
        Row { status: Status::Refused { why }, ..self }
    }

    const fn harmless(self) -> Row {
        Row { status: Status::Harmless, ..self }
    }

    const fn deprecated(self) -> Row {
        Row { status: Status::Deprecated, doc: "Ignored.", ..self }
    }

    const fn doc(self, doc: &'static str) -> Row {
        Row { doc, ..self }
    }
}
