//! PostgreSQL messages as a test sees them. Written apart from the `wire` crate on purpose: a
//! mistake made twice, once in each, is less likely than a mistake that agrees with itself.

/// Asks for TLS: "SSLRequest" under "Message Formats" in PostgreSQL's manual.
pub const SSL_REQUEST: u32 = 80_877_103;

/// Builds what a client sends.
#[derive(Clone, Default)]
pub struct Wire(pub Vec<u8>);

impl Wire {
    pub fn new() -> Wire {
        Wire::default()
    }

    pub fn message(mut self, tag: u8, body: &[u8]) -> Wire {
        self.0.push(tag);
        self.0.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        self.0.extend_from_slice(body);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Wire {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn query(self, sql: &str) -> Wire {
        self.message(b'Q', &cstr(sql))
    }

    pub fn parse(self, name: &str, sql: &str) -> Wire {
        self.message(b'P', &[cstr(name), cstr(sql), vec![0, 0]].concat())
    }

    /// A Parse that says of which types its parameters are.
    pub fn parse_typed(self, name: &str, sql: &str, types: &[u32]) -> Wire {
        let count = (types.len() as u16).to_be_bytes();
        let types: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
        self.message(b'P', &[cstr(name), cstr(sql), count.to_vec(), types].concat())
    }

    /// Bind, Describe and Execute of a statement that was parsed before, without Sync.
    pub fn run(self, statement: &str, values: &[&str]) -> Wire {
        self.bind("", statement, values).describe_portal("").execute("", 0)
    }

    /// Text parameters, text results.
    pub fn bind(self, portal: &str, statement: &str, values: &[&str]) -> Wire {
        let mut body = [cstr(portal), cstr(statement), vec![0, 0]].concat();
        body.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(&[0, 0]);
        self.message(b'B', &body)
    }

    pub fn describe_statement(self, name: &str) -> Wire {
        self.message(b'D', &[b"S".to_vec(), cstr(name)].concat())
    }

    pub fn describe_portal(self, name: &str) -> Wire {
        self.message(b'D', &[b"P".to_vec(), cstr(name)].concat())
    }

    pub fn execute(self, portal: &str, rows_max: u32) -> Wire {
        self.message(b'E', &[cstr(portal), rows_max.to_be_bytes().to_vec()].concat())
    }

    pub fn close_statement(self, name: &str) -> Wire {
        self.message(b'C', &[b"S".to_vec(), cstr(name)].concat())
    }

    pub fn close_portal(self, name: &str) -> Wire {
        self.message(b'C', &[b"P".to_vec(), cstr(name)].concat())
    }

    pub fn sync(self) -> Wire {
        self.message(b'S', &[])
    }

    pub fn flush(self) -> Wire {
        self.message(b'H', &[])
    }

    pub fn copy_data(self, data: &[u8]) -> Wire {
        self.message(b'd', data)
    }

    pub fn copy_done(self) -> Wire {
        self.message(b'c', &[])
    }

    pub fn copy_fail(self, why: &str) -> Wire {
        self.message(b'f', &cstr(why))
    }

    pub fn terminate(self) -> Wire {
        self.message(b'X', &[])
    }

    /// Parse, Bind, Describe, Execute of the unnamed statement, without Sync.
    pub fn extended(self, sql: &str, values: &[&str]) -> Wire {
        self.parse("", sql).bind("", "", values).describe_portal("").execute("", 0)
    }

    /// FunctionCall of a function with text arguments and a text result.
    pub fn function_call(self, oid: u32, values: &[&str]) -> Wire {
        let mut body = [oid.to_be_bytes().to_vec(), vec![0, 0]].concat();
        body.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(&[0, 0]);
        self.message(b'F', &body)
    }

    /// The tags of the messages, such as `PBDES`.
    pub fn tags(&self) -> String {
        let mut tags = String::new();
        let mut rest = &self.0[..];
        while let Some(header) = rest.get(..5) {
            tags.push(char::from(header[0]));
            let size = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
            rest = rest.get(1 + size..).unwrap_or_default();
        }
        tags
    }

    /// How many messages have one of these tags.
    pub fn count_of(&self, tags: &[u8]) -> usize {
        self.tags().bytes().filter(|tag| tags.contains(tag)).count()
    }

    /// A packet without a tag, as all are before authentication.
    pub fn packet(code: u32, body: &[u8]) -> Wire {
        let size = (body.len() as u32 + 8).to_be_bytes();
        Wire([size.to_vec(), code.to_be_bytes().to_vec(), body.to_vec()].concat())
    }
}

pub fn cstr(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// What a server sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// ErrorResponse or NoticeResponse.
#[derive(Clone, Debug, PartialEq)]
pub struct PgError {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Message {
    /// The strings of the body, each ended by a zero byte.
    pub fn strings(&self) -> Vec<String> {
        let ended = self.body.strip_suffix(&[0]).unwrap_or(&self.body);
        ended.split(|b| *b == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
    }

    pub fn int(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.body[at..at + 4].try_into().unwrap())
    }

    pub fn row(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let mut row = Vec::new();
        while !rest.is_empty() {
            let size = i32::from_be_bytes(rest[..4].try_into().unwrap());
            let end = 4 + size.max(0) as usize;
            let text = String::from_utf8_lossy(&rest[4..end]).into_owned();
            row.push((size >= 0).then_some(text));
            rest = &rest[end..];
        }
        row
    }

    pub fn error(&self) -> PgError {
        let fields = self.strings();
        let field = |tag: char| fields.iter().find(|f| f.starts_with(tag)).map(|f| f[1..].into());
        PgError {
            severity: field('S').unwrap_or_default(),
            code: field('C').unwrap_or_default(),
            message: field('M').unwrap_or_default(),
            detail: field('D'),
            hint: field('H'),
        }
    }

    /// One word: the tag, and what matters most of the body.
    pub fn shape(&self) -> String {
        match self.tag {
            b'Z' => format!("Z/{}", char::from(self.body[0])),
            b'E' => format!("E/{}", self.error().code),
            tag => char::from(tag).to_string(),
        }
    }
}

impl PgError {
    /// The text behind `odyssey: cXXXXXXXXXXXX: `; fails when that prefix is missing or malformed.
    pub fn ours(&self) -> &str {
        let id_and_text = self.message.strip_prefix("odyssey: c").unwrap_or_else(|| {
            panic!("an error of the pooler names the client's id: {self:?}");
        });
        let (id, text) = id_and_text.split_once(": ").expect("a colon behind the id");
        let hex = id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hex, "c and 12 hex digits: {self:?}");
        text
    }

    /// (severity, code, text without the client's id): to be compared whole.
    pub fn whole(&self) -> (&str, &str, &str) {
        (&self.severity, &self.code, self.ours())
    }
}
