//! A login: who asks for what, and how the server's challenge is answered.

use super::client::Client;
use super::message::{Message, PgError, Wire, cstr};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub database: String,
    pub password: Option<String>,
    pub options: Vec<(String, String)>,
    pub minor: u16,
}

impl Login {
    pub fn new(user: &str, database: &str) -> Login {
        Login {
            user: user.into(),
            database: database.into(),
            password: None,
            options: Vec::new(),
            minor: 0,
        }
    }

    pub fn password(mut self, password: &str) -> Login {
        self.password = Some(password.into());
        self
    }

    pub fn option(mut self, key: &str, value: &str) -> Login {
        self.options.push((key.into(), value.into()));
        self
    }

    pub fn minor(mut self, minor: u16) -> Login {
        self.minor = minor;
        self
    }

    pub fn packet(&self) -> Wire {
        let mut body = Vec::new();
        let fixed = [("user", &self.user), ("database", &self.database)];
        for (key, value) in fixed.into_iter().filter(|(_, value)| !value.is_empty()) {
            body.extend([cstr(key), cstr(value)].concat());
        }
        for (key, value) in &self.options {
            body.extend([cstr(key), cstr(value)].concat());
        }
        body.push(0);
        Wire::packet(3 << 16 | u32::from(self.minor), &body)
    }

    /// Answers one Authentication message. `None`: nothing to answer.
    pub fn answer(
        &self,
        challenge: &Message,
        scram: &mut Option<ScramSha256>,
        client: &mut Client,
    ) -> Result<(), PgError> {
        let password = self.password.as_deref().unwrap_or_default();
        let reply = match challenge.int(0) {
            0 | 12 => return Ok(()),
            3 => cstr(password),
            5 => {
                let salt = challenge.body[4..8].try_into().expect("four bytes of salt");
                cstr(&md5_hash(self.user.as_bytes(), password.as_bytes(), salt))
            }
            10 => {
                let plain = ChannelBinding::unsupported();
                let state = scram.insert(ScramSha256::new(password.as_bytes(), plain));
                let first = state.message();
                let size = (first.len() as u32).to_be_bytes();
                [&cstr("SCRAM-SHA-256")[..], &size, first].concat()
            }
            11 => {
                let state = scram.as_mut().expect("SASL began");
                state.update(&challenge.body[4..]).expect("a well-formed SCRAM challenge");
                state.message().to_vec()
            }
            other => panic!("authentication method {other}"),
        };
        client.send(&Wire::new().message(b'p', &reply));
        Ok(())
    }
}
