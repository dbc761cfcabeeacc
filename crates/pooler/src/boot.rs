//! Boot: from a checked configuration to a running pooler, and to its exit status. The order
//! matters: signals are blocked before there are threads, listeners are bound before anybody is
//! told.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use config::Config;
use crossbeam_channel::{Sender, bounded};
use machine::{Engine, EngineConfig, MachineHandle, Signals};

use crate::log::{Level, Log, Options, Who};
use crate::shared::Shared;
use crate::{groups, janitor, listener, shutdown, stats};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All clients are gone.
    Clean,
    /// It could not start, or was told to die.
    Failed,
    /// Clients stayed longer than they were given.
    GraceOver,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::FAILURE,
            Exit::GraceOver => ExitCode::from(124), // Odyssey's; the number `timeout` uses
        }
    }
}

/// Runs the pooler until it is told to stop.
pub(crate) fn run(config: Config, file: &Path) -> ExitCode {
    if let Err(error) = Signals::block(&shutdown::SIGNALS) {
        eprintln!("pooler: signals cannot be blocked: {error}");
        return ExitCode::FAILURE;
    }
    // The usual soft limit of 1024 is meant for `select`, not for us.
    if let Err(error) = machine::raise_file_limit() {
        eprintln!("pooler: the limit of open files cannot be raised: {error}");
    }
    let log = match open_log(&config) {
        Ok(log) => log,
        Err(text) => {
            crate::cli::early(Level::Error, "init", &text);
            return ExitCode::FAILURE;
        }
    };
    let shared = Arc::new(Shared::new(config, log));
    let exit = match PidFile::write(shared.config.global.pid_file.as_deref()) {
        Ok(_kept) => run_engine(&shared, file),
        Err(text) => {
            shared.log.error("init", &Who::default(), format_args!("{text}"));
            Exit::Failed
        }
    };
    shared.log.close();
    exit.into()
}

fn open_log(config: &Config) -> Result<Log, String> {
    let global = &config.global;
    let options = Options {
        format: global.log_format.clone(),
        file: global.log_file.clone(),
        stdout: global.log_to_stdout,
        queue_lines_max: global.log_queue_depth,
    };
    Log::open(options).map_err(|error| match &global.log_file {
        Some(file) => format!("failed to open log file '{}': {error}", file.display()),
        None => format!("no thread for the log: {error}"),
    })
}

/// The file with our process id, for as long as we run.
struct PidFile<'a>(Option<&'a Path>);

impl<'a> PidFile<'a> {
    fn write(path: Option<&'a Path>) -> Result<Self, String> {
        if let Some(path) = path {
            std::fs::write(path, format!("{}\n", std::process::id()))
                .map_err(|error| format!("pid_file {}: {error}", path.display()))?;
        }
        Ok(Self(path))
    }
}

impl Drop for PidFile<'_> {
    fn drop(&mut self) {
        let Some(path) = self.0 else { return };
        // Another process may have taken the file over.
        let ours = format!("{}\n", std::process::id());
        if std::fs::read_to_string(path).is_ok_and(|text| text == ours) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn run_engine(shared: &Arc<Shared>, file: &Path) -> Exit {
    let who = Who::default();
    shared.log.info("startup", &who, format_args!("Starting Odyssey"));
    shared.log.info("init", &who, format_args!("{}", crate::cli::version()));
    let file = file.display();
    shared.log.info("init", &who, format_args!("using configuration file '{file}'"));
    let engine = match Engine::start(engine_config(shared)) {
        Ok(engine) => engine,
        Err(error) => {
            shared.log.error("init", &who, format_args!("engine: {error}"));
            return Exit::Failed;
        }
    };
    let (done, exit) = bounded(1);
    let system = System { shared: Arc::clone(shared), machines: engine.machines().into(), done };
    let spawned = engine.machines()[0].spawn("system", move || system.run());
    // A system coroutine that dies drops its sender: that ends the process too.
    let exit = match spawned {
        Ok(()) => exit.recv().unwrap_or(Exit::Failed),
        Err(_) => Exit::Failed,
    };
    engine.shutdown();
    exit
}

fn engine_config(shared: &Arc<Shared>) -> EngineConfig {
    let global = &shared.config.global;
    let log = Arc::clone(shared);
    EngineConfig {
        machines: global.workers,
        stack_bytes: global.coroutine_stack_bytes,
        offload_threads: global.resolvers,
        on_panic: Arc::new(move |name, message| {
            let text = format_args!("coroutine '{name}' panicked: {message}");
            log.log.error("panic", &Who::default(), text);
        }),
        ..EngineConfig::default()
    }
}

/// The coroutine that listens, waits for signals and ends the process.
struct System {
    shared: Arc<Shared>,
    machines: Arc<[MachineHandle]>,
    done: Sender<Exit>,
}

impl System {
    fn run(self) {
        let exit = self.serve();
        let _ = self.done.send(exit);
    }

    fn serve(&self) -> Exit {
        let Ok(signals) = Signals::new(&shutdown::SIGNALS) else { return Exit::Failed };
        let acceptors = listener::open_all(&self.shared, &self.machines);
        if acceptors.is_empty() {
            let who = Who::default();
            self.shared.log.error(
                "server",
                &who,
                format_args!("failed to bind any listen address"),
            );
            return Exit::Failed;
        }
        let [one, two, three] = [(); 3].map(|()| Arc::clone(&self.shared));
        let machines = Arc::clone(&self.machines);
        let kept = machine::spawn("janitor", move || janitor::run(&one));
        let counted = machine::spawn("stats", move || stats::run(&two, &machines));
        let asked = machine::spawn("groups", move || groups::run(&three));
        if kept.is_err() || counted.is_err() || asked.is_err() {
            return Exit::Failed;
        }
        shutdown::wait(&self.shared, &self.machines, &signals, acceptors)
    }
}
