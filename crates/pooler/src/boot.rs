//! Boot: from a checked configuration to a running pooler, and to its exit status. The order
//! matters: a daemon forks before there are threads, what threads inherit is set before them, and
//! nobody is told (by the pid file, by a daemon's parent) before listeners are bound.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Format, Loaded, Secrets, dump};
use crossbeam_channel::{Sender, bounded};
use machine::process::{self, Title};
use machine::{Engine, EngineConfig, Listener, MachineHandle, Notified, Signals};

use crate::console::averages;
use crate::daemon::{self, Role};
use crate::face::{Face, STAGES, Stage};
use crate::life::{self, Life};
use crate::listener::Listeners;
use crate::log::{Level, Log, Options, SyslogOptions, Who};
use crate::restart::{self, Inheritance};
use crate::shared::Shared;
use crate::world::{Origin, World};
use crate::{descriptors, groups, host, janitor, secure, soft_oom, stats, watchdog, watcher, web};

/// Fewer stacks than this are not kept, whatever `cache_coroutine` says: here a client that says
/// something takes one, and Odyssey's new clients only.
const STACKS_KEPT_MIN: usize = 256;

/// Until a face that is behind with what it shows can take more.
const SHOWN_LATER: Duration = Duration::from_millis(10);

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
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
pub(crate) fn run(loaded: Loaded, origin: Origin) -> ExitCode {
    let inheritance = match Inheritance::claim() {
        Ok(inheritance) => inheritance,
        Err(text) => return refuse(&text),
    };
    let title = Title::claim();
    let config = &loaded.config;
    // Who takes the place of a daemon is its child, and one already.
    let detaches = config.global.daemonize && inheritance.parent.is_none();
    let word = match detaches.then(daemon::detach).transpose() {
        Ok(None) => None,
        Ok(Some(Role::Daemon(word))) => Some(word),
        Ok(Some(Role::Starter(status))) => return status,
        Err(error) => return refuse(&format!("failed to become a daemon: {error}")),
    };
    if let Err(error) = Signals::block(&life::SIGNALS) {
        return refuse(&format!("signals cannot be blocked: {error}"));
    }
    let remarks = ask_the_kernel(config);
    let log = match open_log(config) {
        Ok(log) => log,
        Err(text) => return refuse(&text),
    };
    let shown = config.global.log_config.then(|| dump(&loaded, Format::Conf, Secrets::Masked));
    let options = config::shown_options(&loaded);
    let world = match secure::key_log()
        .map_err(|text| vec![text])
        .and_then(|key_log| World::load(loaded.config, options, key_log))
    {
        Ok(world) => world,
        Err(lines) => return refuse(&lines.join("; ")),
    };
    let shared = Arc::new(Shared::new(world, origin, log));
    introduce(&shared, &remarks);
    for line in shown.iter().flat_map(|text| text.lines()) {
        shared.log.info("config", &Who::default(), format_args!("{line}"));
    }
    let exit = run_engine(&shared, Face::new(title, word), inheritance);
    shared.log.close();
    exit.into()
}

/// An end before there is a log.
fn refuse(text: &str) -> ExitCode {
    crate::cli::early(Level::Error, "init", text);
    ExitCode::FAILURE
}

/// What threads inherit and therefore has to come before them. Returns what was refused, and what
/// the operator should know.
fn ask_the_kernel(config: &Config) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(priority) = config.global.priority
        && let Err(error) = process::set_priority(priority)
    {
        let text = format!("failed to set process priority: {error}; priority {priority} ignored");
        remarks.push(text);
    }
    // The usual soft limit of 1024 is meant for `select`, not for us.
    match machine::raise_file_limit() {
        Ok(allowed) => remarks.extend(descriptors::complaint(config, allowed)),
        Err(error) => remarks.push(format!("the limit of open files cannot be raised: {error}")),
    }
    remarks
}

fn open_log(config: &Config) -> Result<Log, String> {
    let global = &config.global;
    let options = Options {
        format: global.log_format.clone(),
        file: global.log_file.clone(),
        stdout: global.log_to_stdout,
        syslog: global.log_syslog.then(|| SyslogOptions {
            ident: global.log_syslog_ident.clone(),
            facility: global.log_syslog_facility,
            target: global.log_syslog_target.clone(),
            format: global.log_syslog_format,
        }),
        queue_lines_max: global.log_queue_depth,
    };
    Log::open(options).map_err(|error| match &global.log_file {
        Some(file) => format!("failed to open log file '{}': {error}", file.display()),
        None => format!("no thread for the log: {error}"),
    })
}

fn introduce(shared: &Shared, remarks: &[String]) {
    let who = Who::default();
    shared.log.info("startup", &who, format_args!("Starting Odyssey"));
    shared.log.info("init", &who, format_args!("{}", crate::version::line()));
    let file = shared.origin.file().display();
    shared.log.info("init", &who, format_args!("using configuration file '{file}'"));
    for remark in remarks {
        shared.log.error("init", &who, format_args!("{remark}"));
    }
}

fn run_engine(shared: &Arc<Shared>, mut face: Face, inheritance: Inheritance) -> Exit {
    let engine = match Engine::start(engine_config(shared)) {
        Ok(engine) => engine,
        Err(error) => {
            shared.log.error("init", &Who::default(), format_args!("engine: {error}"));
            return Exit::Failed;
        }
    };
    pin(shared, engine.machines());
    let (stages, told) = bounded(STAGES);
    shared.set_stages(stages.clone());
    let system = System { shared: Arc::clone(shared), machines: engine.machines().into(), stages };
    let spawned = engine.machines()[0].spawn("system", move || system.run(inheritance));
    let exit = match spawned {
        Ok(()) => face.follow(shared, engine.machines(), &told),
        Err(_) => Exit::Failed,
    };
    engine.shutdown();
    exit
}

/// Puts workers where `cpu_affinity` wants them.
fn pin(shared: &Arc<Shared>, machines: &[MachineHandle]) {
    let allowed = process::processors().unwrap_or_default();
    for machine in machines {
        let index = machine.index();
        let Some(processors) = shared.config().global.cpu_affinity.of(index, &allowed) else {
            continue;
        };
        let shared = Arc::clone(shared);
        let _ = machine.spawn("pin", move || {
            let (who, list) = (Who::default(), words(&processors));
            let text = format_args!("pin worker {index} to cpu {list}");
            shared.log.info("worker_init", &who, text);
            if let Err(error) = process::pin(&processors) {
                let text = format_args!("can't set worker cpu affinity: {error}");
                shared.log.error("worker_init", &who, text);
            }
        });
    }
}

/// `0,2,3`.
fn words(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn engine_config(shared: &Arc<Shared>) -> EngineConfig {
    let config = shared.config();
    let global = &config.global;
    let log = Arc::clone(shared);
    EngineConfig {
        machines: global.workers,
        stacks_kept_max: global.cache_coroutine.max(STACKS_KEPT_MIN),
        thread_names: ("worker: ", "resolver: "),
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
    stages: Sender<Stage>,
}

impl System {
    fn run(self, inheritance: Inheritance) {
        let exit = self.serve(inheritance);
        while self.stages.try_send(Stage::Over(exit)).is_err() {
            // The one who shows them is alive, or the process would end without us.
            let _ = machine::sleep(SHOWN_LATER);
        }
    }

    fn serve(&self, inheritance: Inheritance) -> Exit {
        let Ok(signals) = Signals::new(&life::SIGNALS) else { return Exit::Failed };
        let (left, elder) = inheritance.receive(&self.shared);
        let Some(listeners) = self.listen(left) else {
            let text = format_args!("failed to bind any listen address");
            self.shared.log.error("server", &Who::default(), text);
            return Exit::Failed;
        };
        let [one, two, three, four, five, six, seven, eight] =
            std::array::from_fn(|_| Arc::clone(&self.shared));
        let machines = Arc::clone(&self.machines);
        let _ = self.shared.machines.set(Arc::clone(&self.machines));
        let started = [
            machine::spawn("janitor", move || janitor::run(&one)),
            machine::spawn("stats", move || stats::run(&two, &machines)),
            machine::spawn("host-watcher", move || host::run(&three)),
            machine::spawn("groups", move || groups::run(&four)),
            machine::spawn("watchdogs", move || watchdog::run(&eight)),
            machine::spawn("averages", move || averages::run(&six)),
            machine::spawn("soft-oom", move || soft_oom::run(&five)),
            machine::spawn("watcher", move || watcher::run(&seven)),
        ];
        if started.iter().any(Result::is_err) {
            return Exit::Failed;
        }
        let (shared, machines) = (Arc::clone(&self.shared), Arc::clone(&self.machines));
        let Ok(life) = Life::new(shared, machines, signals, listeners) else {
            return Exit::Failed;
        };
        self.open_web();
        let shown = Notified::new();
        let succeeds = elder.is_there().then(|| shown.notifier());
        self.shared.tell(Stage::Listening { succeeds });
        restart::follow(&self.shared, &self.machines, elder, shown);
        life.run()
    }

    /// Opens the port for scrapers and probes. Clients are served without it, too.
    fn open_web(&self) {
        let Shared { web, log, .. } = &*self.shared;
        let prepared = web.prepare_first(&self.shared.config().global);
        if let Some(line) = &prepared.complaint {
            log.error("web", &Who::default(), format_args!("{line}"));
        }
        web.commit(prepared);
        web.clients_may_come();
        let (shared, machines) = (Arc::clone(&self.shared), Arc::clone(&self.machines));
        if let Err(error) = machine::spawn("web", move || web::run(&shared, &machines)) {
            log.error("web", &Who::default(), format_args!("no http: {error}"));
        }
    }

    /// Opens every `listen` of the configuration. What cannot be bound is logged and left out.
    fn listen(&self, left: Vec<Listener>) -> Option<Listeners> {
        let mut listeners = Listeners::new(&self.shared, &self.machines);
        listeners.inherit(left);
        let prepared = listeners.prepare(&self.shared.world());
        let mut complaints = prepared.complaints.clone();
        complaints.extend(listeners.commit(prepared));
        listeners.disinherit();
        for line in complaints {
            self.shared.log.error("server", &Who::default(), format_args!("{line}"));
        }
        (!listeners.is_empty()).then_some(listeners)
    }
}
