//! The load as a command: options in, events and figures out, an end as an exit status.

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
use crate::container::ContainerLocation;
use crate::container::notice::Notice;
use crate::container::retry::RetryPolicy;
use crate::container::sas::redacted;
use crate::load::{End, Load, LoadError, Summary, prepare};
use crate::monitor::{Event, Level, Monitor};
use crate::process_limits::Explained;
use crate::progress::Snapshot;
use crate::progress::history::{self, Record};
use crate::read::{OpenOptions, ReadError, Reader};
use crate::state::LOG_NAME;
use crate::verify::VerifyOptions;
use crate::version::version;

/// How long a run may take to come to rest once it is to stop; outcomes are stored meanwhile.
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
        // A token in the wrong place, such as that of a path, is no token to what reports it.
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
    note_run(&reporter.state, arguments.told());
    reporter.event(&load.started_event(mode));
    load.doubts().for_each(|doubt| reporter.event(&doubt));
    stop_on_signals(&load, reporter);
    let held = end_when_held(&load, reporter);
    let summary = load.run(reporter.as_ref());
    held.abort();
    // What comes first is told first.
    if let Some(told) = reporter.stopping().take() {
        await_told(&told);
    }
    let status = end(arguments, &load, reporter, &location, summary).and_then(|end| {
        let status = status(end);
        if !(arguments.verify() && is_whole(end)) {
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

/// Tells how the run ended.
fn end(
    arguments: &Arguments,
    load: &Load,
    reporter: &Reporter,
    location: &ContainerLocation,
    summary: Result<Summary, LoadError>,
) -> Result<End, Failure> {
    match summary {
        Ok(summary) => {
            note_end(&reporter.state, &summary.ended());
            let verifies = is_whole(summary.end) && arguments.verify();
            let next = match is_whole(summary.end) && !verifies {
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
            note_end(&reporter.state, &failure.message);
            reporter.log.line(Level::Error, "failure", &failure.message);
            failure.message +=
                "\nat rest: when that is mended, run the same command without --new to go on";
            Err(failure)
        }
    }
}

/// Notes in the history that a run begins, and what it was asked for.
fn note_run(state: &Path, options: Vec<(String, String)>) {
    note(
        state,
        &Record::Run {
            at: history::now(),
            version: version().to_owned(),
            options,
        },
    );
}

/// Notes in the history how the run ended.
fn note_end(state: &Path, end: &str) {
    note(
        state,
        &Record::End {
            at: history::now(),
            end: end.to_owned(),
        },
    );
}

/// The history is for people who look: a run goes on without.
fn note(state: &Path, record: &Record) {
    drop(history::append(state, record));
}

/// Whether there is a container that can be attached.
fn is_whole(end: End) -> bool {
    matches!(end, End::Finished | End::WasFinished | End::FinishedWithout)
}

pub(super) fn status(end: End) -> Status {
    match end {
        End::Finished | End::WasFinished => Status::Done,
        End::FinishedWithout | End::Problems => Status::Problems,
        End::TooManyProblems | End::Stopped => Status::Failed,
    }
}

/// Reads the container that was loaded and checks it.
fn verify_loaded(
    load: &Load,
    location: &ContainerLocation,
    retry: RetryPolicy,
    reporter: &Arc<Reporter>,
    form: verify::Form,
) -> Result<Status, Failure> {
    let options = OpenOptions {
        whole: true,
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

/// The first signal asks the run to stop, the second ends the process.
fn stop_on_signals(load: &Load, reporter: &Arc<Reporter>) {
    let (stop, asked) = (Arc::clone(load.stop()), Arc::clone(reporter));
    let ended = Arc::clone(reporter);
    let first = move || {
        // Whoever reads what is printed may not read on, and the next signal must be heard.
        let telling = Arc::clone(&asked);
        let told = beside(move || telling.event(&Event::Stopping));
        *asked.stopping() = Some(told);
        stop.request();
    };
    on_signals(load.runtime().handle(), first, move || end_at_once(&ended));
}

/// Ends the process when a run that is to stop, for whatever reason, does not come to rest: a
/// thread may be held by a source that does not answer. What is done is stored by then.
fn end_when_held(load: &Load, reporter: &Arc<Reporter>) -> tokio::task::JoinHandle<()> {
    let (stop, reporter) = (Arc::clone(load.stop()), Arc::clone(reporter));
    load.runtime().spawn(async move {
        stop.requested(STOP_PATIENCE).await;
        let telling = Arc::clone(&reporter);
        in_time(move || telling.event(&Event::StoppedWaiting));
        end_at_once(&reporter);
    })
}

/// Ends the process while the run still works: what is done is stored.
fn end_at_once(reporter: &Arc<Reporter>) -> ! {
    let telling = Arc::clone(reporter);
    in_time(move || {
        note_end(&telling.state, "stopped at once");
        telling.output.stopped();
    });
    std::process::exit(i32::from(Status::Failed as u8));
}

/// Does what may take for ever, such as printing for somebody who does not read, for a second at
/// most.
fn in_time(work: impl FnOnce() + Send + 'static) {
    await_told(&beside(work));
}

/// Does something on a thread of its own; what is returned hears of its end.
fn beside(work: impl FnOnce() + Send + 'static) -> Receiver<()> {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        work();
        // Nobody waits any more, if it took too long.
        let _: Result<(), _> = done.send(());
    });
    ended
}

fn await_told(ended: &Receiver<()>) {
    let _: Result<(), _> = ended.recv_timeout(Duration::from_secs(1));
}

/// Events and figures to the output and the log.
struct Reporter {
    output: Arc<dyn Output>,
    log: LogFile,
    /// The state folder.
    state: PathBuf,
    /// Hears when it is told that the run is to stop.
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

    /// The state folder is there now: what was said so far goes into its log.
    fn start_log(&self) {
        if let Err(error) = self.log.open() {
            terminal::err(&format!(
                "clfsload: the log {} cannot be written: {}; going on without",
                self.state.join(LOG_NAME).display(),
                Explained(&error)
            ));
        }
    }

    fn stopping(&self) -> MutexGuard<'_, Option<Receiver<()>>> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The figures of the last moment.
    fn last(&self) -> Option<Snapshot> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Monitor for Reporter {
    fn event(&self, event: &Event<'_>) {
        // Printing may wait for somebody to read.
        self.log.event(event);
        self.output.event(event);
    }

    fn snapshot(&self, snapshot: &Snapshot) {
        self.output.snapshot(snapshot);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
    }
}
