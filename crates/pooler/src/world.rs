//! The world as the operator wants it: a configuration with its rules in order. A reload makes
//! another one and puts it in the place of this one at once; who looks sees one or the other.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::Guard;
use config::{Config, Diagnostics, Loaded, ShownOption};
use machine::tls::KeyLog;
use router::Rules;

use crate::secure::Contexts;

/// One configuration and what is made of it.
pub struct World {
    /// What the operator wants.
    pub config: Config,
    /// Which client goes where.
    pub rules: Rules,
    /// The options of the whole process, in words.
    pub options: Vec<ShownOption>,
    /// How TLS is spoken.
    pub contexts: Contexts,
}

impl World {
    /// Of this configuration, with these options: reads certificates. It blocks.
    ///
    /// # Errors
    /// Which files are no good, in lines.
    pub fn load(
        config: Config,
        options: Vec<ShownOption>,
        key_log: Option<KeyLog>,
    ) -> Result<Self, Vec<String>> {
        let contexts = Contexts::load(&config, key_log)?;
        Ok(Self { rules: Rules::new(&config), config, options, contexts })
    }
}

/// The configuration in force when this was asked for. Not to be kept.
pub struct InForce(pub(crate) Guard<Arc<World>>);

impl Deref for InForce {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0.config
    }
}

/// Where configurations come from: a file, and the flags that win over it.
pub struct Origin {
    file: PathBuf,
    /// The whole command line, with the program in front.
    command: Vec<OsString>,
    flags: Box<dyn Fn(&mut Config) + Send + Sync>,
}

impl Origin {
    /// This file, and what the command line says.
    pub fn new(file: PathBuf, flags: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        Self { file, command: Vec::new(), flags: Box::new(flags) }
    }

    /// The words with which the same can be started again.
    pub fn with_command(self, command: Vec<OsString>) -> Self {
        Self { command, ..self }
    }

    /// The program and its arguments; none if nobody knows them.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Lets the flags win.
    pub fn overrule(&self, config: &mut Config) {
        (self.flags)(config);
    }

    /// Reads the file, and what it includes. It blocks.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load(&self) -> Result<Loaded, Diagnostics> {
        let mut loaded = config::load(&self.file)?;
        self.overrule(&mut loaded.config);
        Ok(loaded)
    }
}
