//! The load command: options in, events and progress out, and the result as an exit status.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::verify;
use crate::cli::args::hint_for_load;
use crate::cli::args::load::LoadArguments;
use crate::cli::args::version::version;
use crate::cli::output::log_file::LogFile;
use crate::cli::output::metrics::{self, Latest};
use crate::cli::output::terminal::Prefix;
use crate::cli::output::{self, Ending, Output, summary};
use crate::cli::session::signals::on_signals;
use crate::cli::session::{raise_descriptor_limit, until_stopped};
use crate::cli::{Failure, Status, lock};
use crate::container::notice::NoticeObserver;
use crate::container::{ContainerLocation, Credential};
use crate::events::{Event, Level, Monitor};
use crate::load::{End, Load, LoadError, Mode, Summary, prepare};
use crate::progress::Snapshot;
use crate::progress::history::{self, Record};
use crate::read::{OpenOptions, Reader};
use crate::state::LOG_NAME;
use crate::verify::VerifyOptions;

/// The time that a run has to stop after the request, in which it records finished uploads.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Runs a load.
pub(crate) fn run(arguments: &LoadArguments) -> Result<Status, Failure> {
    let target = arguments.target()?;
    let reporter = Arc::new(Reporter {
        output: output::of_load(arguments, target),
        log: LogFile::new(target.state.join(LOG_NAME), arguments.log_level),
        state: target.state.to_path_buf(),
        stopping: Mutex::default(),
        last: Latest::default(),
    });
    load(arguments, &reporter).map_err(|mut failure| {
        if failure.status == Status::Usage
            && let Some(hint) = hint_for_load(arguments)
        {
            failure = failure.with(Prefix::Hint, &hint);
        }
        reporter.output.failure(&failure);
        failure
    })
}

fn load(arguments: &LoadArguments, reporter: &Arc<Reporter>) -> Result<Status, Failure> {
    let options = arguments.load_options()?;
    let (location, retry) = (options.container.clone(), options.retry.clone());
    let credential = options.credential.clone();
    raise_descriptor_limit();
    let metrics = arguments.metrics_listen.map(metrics::listen).transpose()?;
    let mode = match arguments.new {
        true => Mode::New,
        false => Mode::Resume,
    };
    let load = prepare(options, mode, notices(reporter))?;
    // The state folder exists now.
    reporter.log.open();
    if let Some(listener) = metrics {
        let latest = Arc::clone(&reporter.last);
        load.runtime().spawn(metrics::serve(listener, latest));
    }
    reporter.record(&Record::Run {
        at: history::now(),
        version: version().to_owned(),
        options: arguments.recorded(),
    });
    reporter.event(&load.started_event(mode));
    load.missing_mount_signs()
        .for_each(|sign| reporter.event(&sign));
    stop_on_signals(&load, reporter);
    let watchdog = exit_when_stuck(&load, reporter);
    let summary = load.run(reporter.as_ref());
    watchdog.abort();
    // The event of the stop must be printed before the summary.
    if let Some(printed) = lock(&reporter.stopping).take() {
        wait_a_second(&printed);
    }
    let status = end(arguments, &load, reporter, &location, summary).and_then(|end| {
        let status = exit_status(end);
        if !(arguments.verify && is_attachable(end)) {
            return Ok(status);
        }
        let options = OpenOptions {
            list_first: true,
            retry,
            stop: Arc::clone(load.stop()),
            ..OpenOptions::default()
        };
        let found = verify_loaded(&load, &location, credential, options, reporter, arguments);
        // Also a token that expired during the load: the arguments were right.
        let found = found.map_err(|failure| Failure {
            status: Status::Failed,
            ..failure
        })?;
        let status = match found {
            Status::Done => status,
            worse => worse,
        };
        reporter.output.verified(found, status);
        Ok(status)
    });
    load.leave();
    status
}

/// Passes notices about the container to the output and the log.
fn notices(reporter: &Arc<Reporter>) -> NoticeObserver {
    let reporter = Arc::clone(reporter);
    Arc::new(move |notice| reporter.event(&Event::Container(notice)))
}

/// Reports the result of the run.
fn end(
    arguments: &LoadArguments,
    load: &Load,
    reporter: &Reporter,
    location: &ContainerLocation,
    summary: Result<Summary, LoadError>,
) -> Result<End, Failure> {
    match summary {
        Ok(summary) => {
            reporter.record_end(&summary.ended());
            let verifies = is_attachable(summary.end) && arguments.verify;
            let next = match is_attachable(summary.end) && !verifies {
                true => vec![verify::advice(location)],
                false => Vec::new(),
            };
            let last = lock(&reporter.last).clone();
            let ending = Ending {
                summary: &summary,
                state: load.state(),
                last: last.as_ref(),
                next,
                verifies,
            };
            for line in summary::lines(&ending) {
                reporter.log.line(Level::Info, "summary", &line);
            }
            reporter.output.end(&ending);
            Ok(summary.end)
        }
        Err(error) => {
            let failure = Failure::from(error);
            reporter.record_end(&failure.message);
            reporter.log.line(Level::Error, "failure", &failure.message);
            Err(failure.with(
                Prefix::Hint,
                "fix this, then resume with the same command without --new",
            ))
        }
    }
}

/// Returns whether the container can be attached.
fn is_attachable(end: End) -> bool {
    matches!(end, End::Finished | End::WasFinished | End::FinishedWithout)
}

pub(crate) fn exit_status(end: End) -> Status {
    match end {
        End::Finished | End::WasFinished => Status::Done,
        End::FinishedWithout | End::Problems => Status::Problems,
        End::TooManyProblems | End::Stopped => Status::Failed,
    }
}

/// Verifies the loaded container, with the token that is in its file now: the first one may have expired.
fn verify_loaded(
    load: &Load,
    location: &ContainerLocation,
    credential: Credential,
    mut options: OpenOptions,
    reporter: &Arc<Reporter>,
    arguments: &LoadArguments,
) -> Result<Status, Failure> {
    options.credential = credential.reread().map_err(Failure::failed)?;
    reporter.output.line("verifying the container");
    let notices = notices(reporter);
    let checked = async {
        let reader = Arc::new(Reader::open(location, &options, notices).await?);
        verify::check(&reader, &VerifyOptions::default(), arguments.output).await
    };
    load.runtime().block_on(until_stopped(load.stop(), checked))
}

/// Stops the run at the first signal and ends the process at the second.
fn stop_on_signals(load: &Load, reporter: &Arc<Reporter>) {
    let (stop, first_reporter) = (Arc::clone(load.stop()), Arc::clone(reporter));
    let second_reporter = Arc::clone(reporter);
    let first = move || {
        // Printing may block on a full pipe, and the next signal must still be handled.
        let printing = Arc::clone(&first_reporter);
        let printed = in_background(move || printing.event(&Event::Stopping));
        *lock(&first_reporter.stopping) = Some(printed);
        stop.request();
    };
    on_signals(load.runtime().handle(), first, move || {
        exit_now(&second_reporter)
    });
}

/// Ends the process when a run does not stop in time after a request: a thread may be blocked by a source that does
/// not respond. Finished uploads are recorded by then.
fn exit_when_stuck(load: &Load, reporter: &Arc<Reporter>) -> tokio::task::JoinHandle<()> {
    let (stop, reporter) = (Arc::clone(load.stop()), Arc::clone(reporter));
    load.runtime().spawn(async move {
        stop.requested(STOP_PATIENCE).await;
        let printing = Arc::clone(&reporter);
        within_a_second(move || printing.event(&Event::StoppedWaiting));
        exit_now(&reporter);
    })
}

/// Ends the process during the run. Recorded uploads stay.
fn exit_now(reporter: &Arc<Reporter>) -> ! {
    let printing = Arc::clone(reporter);
    within_a_second(move || {
        printing.record_end("stopped at once");
        printing.output.stopped();
    });
    std::process::exit(i32::from(Status::Failed as u8));
}

/// Runs work that may block for ever, such as printing to a full pipe, and waits at most a second for it.
fn within_a_second(work: impl FnOnce() + Send + 'static) {
    wait_a_second(&in_background(work));
}

/// Runs work on a new thread. The receiver gets a message at its end.
fn in_background(work: impl FnOnce() + Send + 'static) -> Receiver<()> {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        // The receiver is gone if the work took too long.
        let _: Result<(), _> = done.send(());
    });
    ended
}

fn wait_a_second(ended: &Receiver<()>) {
    let _: Result<(), _> = ended.recv_timeout(Duration::from_secs(1));
}

/// Passes events and progress to the output and the log.
struct Reporter {
    output: Arc<dyn Output>,
    log: LogFile,
    /// The state folder.
    state: PathBuf,
    /// Gets a message when [`Event::Stopping`] has been printed.
    stopping: Mutex<Option<Receiver<()>>>,
    last: Latest,
}

impl Reporter {
    /// Appends to the history. Errors are ignored, because the transfer does not depend on the history.
    fn record(&self, record: &Record) {
        drop(history::append(&self.state, record));
    }

    fn record_end(&self, end: &str) {
        self.record(&Record::End {
            at: history::now(),
            end: end.to_owned(),
        });
    }
}

impl Monitor for Reporter {
    fn event(&self, event: &Event<'_>) {
        // The log comes first, because printing may block.
        self.log.event(event);
        self.output.event(event);
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        self.output.snapshot(snapshot);
        *lock(&self.last) = Some(snapshot.clone());
    }
}
