//! The load command: options in, events and progress out, and the result as an exit status.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::arguments::Arguments;
use super::log_file::LogFile;
use super::metrics::Latest;
use super::output::{Ending, Output};
use super::signals::on_signals;
use super::{Failure, Status, output, raise_descriptor_limit, terminal, verify};
use crate::cli::version::version;
use crate::container::ContainerLocation;
use crate::container::notice::Notice;
use crate::container::retry::RetryPolicy;
use crate::container::sas::redacted;
use crate::events::{Event, Level, Monitor};
use crate::load::{End, Load, LoadError, Summary, prepare};
use crate::process_limits::Explained;
use crate::progress::Snapshot;
use crate::progress::history::{self, Record};
use crate::read::{OpenOptions, ReadError, Reader};
use crate::state::LOG_NAME;
use crate::verify::VerifyOptions;

/// The time that a run has to stop after the request, in which it records finished uploads.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// Runs a load.
pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let reporter = Arc::new(Reporter::new(arguments));
    let status = load(arguments, &reporter);
    status.map_err(|mut failure| {
        if failure.status == Status::Usage
            && let Some(hint) = arguments.hint()
        {
            failure.message = format!("{}\nhint: {hint}", failure.message);
        }
        // An error may quote a token that was given in the wrong place, such as that of a path.
        failure.message = redacted(&failure.message);
        reporter.output.failure(&failure);
        failure
    })
}

fn load(arguments: &Arguments, reporter: &Arc<Reporter>) -> Result<Status, Failure> {
    let options = arguments.load_options()?;
    let (location, retry) = (options.container.clone(), options.retry.clone());
    let notices = {
        let reporter = Arc::clone(reporter);
        Arc::new(move |notice: &Notice<'_>| reporter.event(&Event::Container(notice)))
    };
    raise_descriptor_limit();
    let metrics = arguments.metrics()?;
    let mode = arguments.mode();
    let load = prepare(options, mode, notices)?;
    reporter.start_log();
    if let Some(listener) = metrics {
        let latest = Arc::clone(&reporter.last);
        load.runtime()
            .spawn(super::metrics::serve(listener, latest));
    }
    record_run(&reporter.state, arguments.recorded());
    reporter.event(&load.started_event(mode));
    load.doubts().for_each(|doubt| reporter.event(&doubt));
    stop_on_signals(&load, reporter);
    let watchdog = exit_when_stuck(&load, reporter);
    let summary = load.run(reporter.as_ref());
    watchdog.abort();
    // The event of the stop must be printed before the summary.
    if let Some(printed) = reporter.stopping().take() {
        wait_a_second(&printed);
    }
    let status = end(arguments, &load, reporter, &location, summary).and_then(|end| {
        let status = status(end);
        if !(arguments.verify() && is_attachable(end)) {
            return Ok(status);
        }
        let location = arguments.location_now(location)?;
        let form = arguments.verify_form();
        let found = verify_loaded(&load, &location, retry, reporter, form)?;
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

/// Reports the result of the run.
fn end(
    arguments: &Arguments,
    load: &Load,
    reporter: &Reporter,
    location: &ContainerLocation,
    summary: Result<Summary, LoadError>,
) -> Result<End, Failure> {
    match summary {
        Ok(summary) => {
            record_end(&reporter.state, &summary.ended());
            let verifies = is_attachable(summary.end) && arguments.verify();
            let next = match is_attachable(summary.end) && !verifies {
                true => vec![verify::advice(location)],
                false => Vec::new(),
            };
            let last = reporter.last();
            let ending = Ending {
                summary: &summary,
                state: load.state(),
                last: last.as_ref(),
                next,
                verifies,
            };
            for line in output::summary_lines(&ending) {
                reporter.log.line(Level::Info, "summary", &line);
            }
            reporter.output.end(&ending);
            Ok(summary.end)
        }
        Err(error) => {
            let mut failure = Failure::from(error);
            failure.message = redacted(&failure.message);
            record_end(&reporter.state, &failure.message);
            reporter.log.line(Level::Error, "failure", &failure.message);
            failure.message +=
                "\npaused: fix this, then resume with the same command without --new";
            Err(failure)
        }
    }
}

/// Records the start of a run and its options in the history.
fn record_run(state: &Path, options: Vec<(String, String)>) {
    append(
        state,
        &Record::Run {
            at: history::now(),
            version: version().to_owned(),
            options,
        },
    );
}

/// Records the end of a run in the history.
fn record_end(state: &Path, end: &str) {
    append(
        state,
        &Record::End {
            at: history::now(),
            end: end.to_owned(),
        },
    );
}

/// Appends to the history. Errors are ignored, because the transfer does not depend on the history.
fn append(state: &Path, record: &Record) {
    drop(history::append(state, record));
}

/// Whether the container can be attached.
fn is_attachable(end: End) -> bool {
    matches!(end, End::Finished | End::WasFinished | End::FinishedWithout)
}

pub(super) fn status(end: End) -> Status {
    match end {
        End::Finished | End::WasFinished => Status::Done,
        End::FinishedWithout | End::Problems => Status::Problems,
        End::TooManyProblems | End::Stopped => Status::Failed,
    }
}

/// Verifies the loaded container.
fn verify_loaded(
    load: &Load,
    location: &ContainerLocation,
    retry: RetryPolicy,
    reporter: &Arc<Reporter>,
    form: verify::Form,
) -> Result<Status, Failure> {
    let options = OpenOptions {
        list_first: true,
        retry,
        stop: Arc::clone(load.stop()),
        ..OpenOptions::default()
    };
    reporter.output.line("verifying the container");
    let notices = {
        let reporter = Arc::clone(reporter);
        Arc::new(move |notice: &Notice<'_>| reporter.event(&Event::Container(notice)))
    };
    load.runtime().block_on(async {
        let checked = async {
            let reader = Arc::new(Reader::open(location, &options, notices).await?);
            verify::check(&reader, &VerifyOptions::default(), form).await
        };
        tokio::select! {
            checked = checked => checked,
            () = load.stop().requested(Duration::ZERO) => Err(ReadError::Stopped.into()),
        }
    })
}

/// Stops the run at the first signal and ends the process at the second.
fn stop_on_signals(load: &Load, reporter: &Arc<Reporter>) {
    let (stop, first_reporter) = (Arc::clone(load.stop()), Arc::clone(reporter));
    let second_reporter = Arc::clone(reporter);
    let first = move || {
        // Printing may block on a full pipe, and the next signal must still be handled.
        let printing = Arc::clone(&first_reporter);
        let printed = in_background(move || printing.event(&Event::Stopping));
        *first_reporter.stopping() = Some(printed);
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
        record_end(&printing.state, "stopped at once");
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
    fn new(arguments: &Arguments) -> Self {
        Reporter {
            output: arguments.output(),
            state: arguments.state().to_path_buf(),
            stopping: Mutex::default(),
            log: LogFile::new(arguments.log_path(), arguments.log_level()),
            last: Latest::default(),
        }
    }

    /// Opens the log in the state folder, which exists now, and writes the events so far to it.
    fn start_log(&self) {
        if let Err(error) = self.log.open() {
            terminal::err(&format!(
                "warning: cannot write the log {}: {}; continuing without it",
                self.state.join(LOG_NAME).display(),
                Explained(&error)
            ));
        }
    }

    fn stopping(&self) -> MutexGuard<'_, Option<Receiver<()>>> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last progress.
    fn last(&self) -> Option<Snapshot> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
    }
}
