//! The command line: words into options, events into lines, ends into an exit status. Only this
//! module prints.

mod arguments;
mod cat;
mod command;
mod du;
mod extract;
mod find;
mod log_file;
mod long_line;
mod ls;
mod matching;
mod printer;
mod quoting;
mod record;
mod sas_source;
mod size;
mod stat;
mod terminal;
mod verify;
mod visit;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::container::ContainerLocation;
use crate::container::notice::Notice;
use crate::container::retry::RetryPolicy;
use crate::container::sas::redacted;
use crate::load::{End, Load, LoadError, Summary, prepare};
use crate::monitor::{Event, Monitor};
use crate::read::{OpenOptions, ReadError, Reader};
use crate::verify::VerifyOptions;

use arguments::Arguments;
use log_file::LogFile;
use terminal::Terminal;

/// The exit status: 0 done; 1 failed or stopped, run again to resume; 2 the command is wrong;
/// 3 done or at rest with failed entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Problems = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

/// How often a line of figures is printed.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// How long a run may take to come to rest once it is to stop; outcomes are stored meanwhile.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    let status = match command::is_command(std::env::args_os().nth(1).as_deref()) {
        true => command::run(),
        false => match Arguments::try_parse() {
            Ok(arguments) => load(&arguments),
            Err(error) => {
                let status = arguments::explain(&error);
                if error.kind() == clap::error::ErrorKind::MissingRequiredArgument {
                    terminal::err(command::OTHERS);
                }
                Ok(status)
            }
        },
    };
    match status {
        Ok(status) => status.into(),
        Err(failure) => {
            // A token in the wrong place, such as that of a path, is no token to what reports it.
            terminal::err(&format!("clfsload: {}", redacted(&failure.message)));
            failure.status.into()
        }
    }
}

/// Why the command ends early, in a sentence.
struct Failure {
    message: String,
    status: Status,
}

impl Failure {
    fn usage(message: impl ToString) -> Self {
        Failure {
            message: message.to_string(),
            status: Status::Usage,
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure {
            message: error.to_string(),
            status: match error.is_usage() {
                true => Status::Usage,
                false => Status::Failed,
            },
        }
    }
}

fn load(arguments: &Arguments) -> Result<Status, Failure> {
    let options = arguments.load_options()?;
    let (location, retry) = (options.container.clone(), options.retry.clone());
    let monitor = Arc::new(Reporter::new(options.state.join(crate::state::LOG_NAME)));
    let notices = {
        let monitor = Arc::clone(&monitor);
        Arc::new(move |notice: &Notice<'_>| monitor.event(&Event::Container(notice)))
    };
    raise_descriptor_limit();
    let mode = arguments.mode();
    let load = prepare(options, mode, notices)?;
    monitor.start_log();
    monitor.event(&load.started_event(mode));
    stop_on_signals(&load, &monitor);
    let held = end_when_held(&load, &monitor);
    let summary = {
        let _figures = terminal::print_figures(Arc::clone(load.progress()), FIGURES_EVERY);
        load.run(monitor.as_ref())
    };
    held.abort();
    let status = end(&load, &monitor, summary).and_then(|end| {
        let status = terminal::status(end);
        match end {
            End::Problems | End::TooManyProblems | End::Stopped => Ok(status),
            _ if arguments.verify() => {
                let location = arguments.location_now(location)?;
                let verified = verify_loaded(&load, &location, retry, Arc::clone(&monitor))?;
                Ok(match verified {
                    Status::Done => status,
                    worse => worse,
                })
            }
            _ => {
                terminal::out(&verify::advice(&location));
                Ok(status)
            }
        }
    });
    load.leave();
    status
}

/// Reads the container that was loaded and checks it.
fn verify_loaded(
    load: &Load,
    location: &ContainerLocation,
    retry: RetryPolicy,
    monitor: Arc<Reporter>,
) -> Result<Status, Failure> {
    let options = OpenOptions {
        whole: true,
        retry,
        stop: Arc::clone(load.stop()),
        ..OpenOptions::default()
    };
    let notices = Arc::new(move |notice: &Notice<'_>| monitor.event(&Event::Container(notice)));
    terminal::out("verifying the container");
    load.runtime().block_on(async {
        let checked = async {
            let reader = Arc::new(Reader::open(location, &options, notices).await?);
            verify::check(&reader, &VerifyOptions::default(), verify::Form::Lines).await
        };
        tokio::select! {
            checked = checked => checked,
            () = load.stop().requested(Duration::ZERO) => Err(ReadError::Stopped.into()),
        }
    })
}

/// Tells how the run ended.
fn end(
    load: &Load,
    monitor: &Reporter,
    summary: Result<Summary, LoadError>,
) -> Result<End, Failure> {
    match summary {
        Ok(summary) => {
            for line in terminal::summary_lines(&summary, load.state()) {
                terminal::out(&line);
                monitor.log.line(crate::monitor::Level::Info, &line);
            }
            Ok(summary.end)
        }
        Err(error) => {
            let mut failure = Failure::from(error);
            monitor
                .log
                .line(crate::monitor::Level::Error, &failure.message);
            failure.message +=
                "\nat rest: when that is mended, run the same command without --new to go on";
            Err(failure)
        }
    }
}

/// Raises the soft limit of open files to the hard one (getrlimit(2)): the soft one is often 1,024
/// for programs that use select(2), which this one does not.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where that is not allowed, the limit stays as it is, and the load makes fewer requests at the same time.
    let _: rustix::io::Result<()> = setrlimit(Resource::Nofile, raised);
}

/// The first signal asks the run to stop, the second ends the process.
fn stop_on_signals(load: &Load, monitor: &Arc<Reporter>) {
    let (stop, monitor) = (Arc::clone(load.stop()), Arc::clone(monitor));
    load.runtime().spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            // Without handlers, signals end the process; the state is safe from that.
            return;
        };
        for asked_before in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked_before {
                std::process::exit(i32::from(Status::Failed as u8));
            }
            stop.request();
            monitor.event(&Event::Stopping);
        }
    });
}

/// Ends the process when a run that is to stop, for whatever reason, does not come to rest: a
/// thread may be held by a source that does not answer. What is done is stored by then.
fn end_when_held(load: &Load, monitor: &Arc<Reporter>) -> tokio::task::JoinHandle<()> {
    let (stop, monitor) = (Arc::clone(load.stop()), Arc::clone(monitor));
    load.runtime().spawn(async move {
        stop.requested(STOP_PATIENCE).await;
        monitor.event(&Event::StoppedWaiting);
        std::process::exit(i32::from(Status::Failed as u8));
    })
}

/// Events to the terminal and the log.
struct Reporter {
    terminal: Terminal,
    log: LogFile,
}

impl Reporter {
    fn new(log: std::path::PathBuf) -> Self {
        Reporter {
            terminal: Terminal,
            log: LogFile::new(log),
        }
    }

    /// The state folder is there now: what was said so far goes into its log.
    fn start_log(&self) {
        if let Err(error) = self.log.open() {
            terminal::err(&format!(
                "clfsload: the log cannot be written: {error}; going on without"
            ));
        }
    }
}

impl Monitor for Reporter {
    fn event(&self, event: &Event<'_>) {
        let text = event.to_string();
        self.terminal.line(event.level(), &text);
        self.log.line(event.level(), &text);
    }
}
