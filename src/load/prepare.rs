//! The checks before a transfer starts or resumes.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clfs_format::{Compression, FileType};

use super::bounds::{Bounds, FOLDER_REQUESTS, FURTHER_BLOCKING};
use super::{Load, LoadError, LoadOptions, Refusal};
use crate::container::credential::sas::Permissions;
use crate::container::limit::{Limited, Limiter};
use crate::container::location::ContainerLocation;
use crate::container::notice::{Notice, NoticeObserver};
use crate::container::retry::Retrying;
use crate::container::{Container, ContainerError};
use crate::entry::NewEntry;
use crate::identity::{Identity, Seed};
use crate::load::encode::{EncodeContext, bucket_name};
use crate::progress::Progress;
use crate::source::{examine_root, missing_mount_signs, mounts_below};
use crate::state::{Settings, State, StateError, compression_name};

/// Whether a transfer starts or resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `--new`.
    New,
    /// Without `--new`.
    Resume,
}

/// Checks everything, opens state and container, and marks a new container as this transfer's.
///
/// `notices` receives outages of the container and tokens that expire.
///
/// # Errors
/// A refusal, before anything was written, or the error of a state or container that cannot be used.
pub fn prepare(
    options: LoadOptions,
    mode: Mode,
    notices: NoticeObserver,
) -> Result<Load, LoadError> {
    if mode == Mode::New && !State::exists(&options.state) {
        check_parents(&options.state, Some(&options.container))?;
    }
    prepare_limited(options, mode, |options, expiry, limiter, progress| {
        if let Some(expiry) = expiry {
            notices(&expiry);
        }
        limiter.set_notices(Arc::clone(&notices));
        let opened = options.container.open_with(
            &options.credential,
            mode == Mode::New,
            Permissions::ALL,
            options.request_timeouts.clone(),
            Arc::clone(&notices),
        )?;
        // Below the retries, so that a call in backoff does not hold a slot.
        let limited = Limited::new(opened, limiter);
        let patient = Retrying::new(limited, options.retry.clone())
            .with_notices(notices)
            .with_gauge(Arc::clone(&progress.retrying))
            .with_stop(Arc::clone(&options.stop));
        Ok(Arc::new(patient))
    })
}

/// Does the same as [`prepare`] with another container than that of `options.container`, which is recorded in
/// the state all the same. For wrappers, and for containers that [`ContainerLocation`] does not know.
///
/// The limits of requests and bandwidth wrap the container that `open` returns. If it retries calls itself, a
/// call in backoff holds its slot; [`prepare`] applies them below its retries.
///
/// `open` is called within the load's runtime.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_with(
    options: LoadOptions,
    mode: Mode,
    open: impl FnOnce(&LoadOptions) -> Result<Arc<dyn Container>, ContainerError>,
) -> Result<Load, LoadError> {
    prepare_limited(options, mode, |options, _, limiter, _| {
        Ok(Arc::new(Limited::new(open(options)?, limiter)))
    })
}

/// `open` must apply the limiter to the container that it returns. It gets the notice about a credential that expires soon.
fn prepare_limited(
    options: LoadOptions,
    mode: Mode,
    open: impl FnOnce(
        &LoadOptions,
        Option<Notice<'_>>,
        Arc<Limiter>,
        &Progress,
    ) -> Result<Arc<dyn Container>, ContainerError>,
) -> Result<Load, LoadError> {
    let bounds = Bounds::new(&options)?;
    let existing = match mode {
        Mode::Resume if State::exists(&options.state) => Some(State::open(&options.state)?),
        Mode::New | Mode::Resume => None,
    };
    // A finished transfer does not read its source, which may have been removed.
    let is_finished = match &existing {
        Some(state) => state.is_finished()?,
        None => false,
    };
    let source = match is_finished {
        true => real_path(&options.source),
        false => check_places(&options.source, &options.state, &options.container)?,
    };
    let expiry = options.credential.check(Permissions::ALL);
    let expiry = expiry.map_err(Refusal::Token)?;
    match mode {
        Mode::New if State::exists(&options.state) => {
            return Err(StateError::Exists(options.state).into());
        }
        Mode::Resume if existing.is_none() => {
            return Err(StateError::Missing(options.state).into());
        }
        Mode::New => check_parents(&options.state, None)?,
        Mode::Resume => {}
    }
    // The state is checked before the network.
    if let Some(state) = &existing {
        let settings = state.settings()?;
        check_settings(&options, &source, &settings)?;
        if !is_finished {
            super::source::open(state, &settings, options.source_identity)?;
        }
    }
    // A request costs less CPU than encoding its entry, so half of the cores are enough.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2).max(2))
        // Tokio would start up to 512, each with a heap arena of its own.
        .max_blocking_threads(FOLDER_REQUESTS + FURTHER_BLOCKING)
        .enable_all()
        .build()
        .map_err(|source| LoadError::Io {
            action: "start threads for",
            path: options.state.clone(),
            source,
        })?;
    let progress = Arc::<Progress>::default();
    let figures = Arc::clone(&progress.limiter);
    let limiter = Arc::new(Limiter::new(
        bounds.concurrency,
        options.limits.bandwidth,
        figures,
    ));
    let container = {
        let _inside = runtime.enter();
        open(&options, expiry, Arc::clone(&limiter), &progress)?
    };
    // An earlier version started the transfer.
    let mut inherited = false;
    let state = match existing {
        Some(state) => {
            if is_finished {
                state.upgrade(None, &[])?;
            } else if state.needs_upgrade()? {
                let root = root_entry(&source)?;
                state.upgrade(root.mount.as_ref(), &mounts_below(&source)?)?;
            }
            inherited = !is_finished && state.has_inherited_mounts()?;
            state
        }
        None => {
            check_empty(&runtime, container.as_ref())?;
            State::create(&options.state, &new_settings(&options, &source)?)?
        }
    };
    let settings = state.settings()?;
    progress.begin(&state.reader()?)?;
    let missing_mount_signs = match mode {
        Mode::Resume if !inherited => Vec::new(),
        Mode::New | Mode::Resume => missing_mount_signs(&settings.source, &options.fstab),
    };
    let load = Load {
        options,
        missing_mount_signs,
        has_inherited_mounts: inherited,
        holders: bounds.holders,
        state,
        settings,
        container,
        limiter,
        runtime,
        progress,
    };
    load.claim_container()?;
    Ok(load)
}

impl Load {
    /// Checks that the container is this transfer's, or marks an empty one.
    fn claim_container(&self) -> Result<(), LoadError> {
        let identity = Identity::new(self.settings.seed);
        // Also for a finished transfer: "complete" must not be reported for another container.
        if self.state.has_bucket_object()? {
            return self.check_bucket(&identity.bucket_uuid());
        }
        // An earlier run may have ended after it wrote the bucket object and before it recorded that.
        match first_blobs(&self.runtime, self.container.as_ref())? {
            (None, false) => {}
            (None, true) => self.check_bucket(&identity.bucket_uuid())?,
            (Some(found), _) => return Err(not_empty(self.container.as_ref(), found)),
        }
        let identity_of_source = self.options.source_identity;
        let source = super::source::open(&self.state, &self.settings, identity_of_source)?;
        self.put_bucket(&Arc::new(EncodeContext {
            identity,
            compression: self.settings.compression,
            source,
            memory: Arc::default(),
        }))
    }
}

fn source_error(path: &Path, source: std::io::Error) -> Refusal {
    Refusal::Source {
        path: path.to_path_buf(),
        source,
    }
}

/// Resolves the path of the source.
pub(crate) fn source_folder(path: &Path) -> Result<PathBuf, Refusal> {
    let real = path
        .canonicalize()
        .map_err(|error| source_error(path, error))?;
    let metadata = real.metadata().map_err(|error| source_error(path, error))?;
    match metadata.is_dir() {
        true => Ok(real),
        false => Err(Refusal::SourceNotDirectory(path.to_path_buf())),
    }
}

/// Returns the real path of a folder that need not exist yet: that of its existing part, and the rest.
fn real_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        if let Ok(real) = there.canonicalize() {
            let mut path = real;
            for component in missing.iter().rev() {
                match component {
                    Component::ParentDir => {
                        path.pop();
                    }
                    component => path.push(component),
                }
            }
            return path;
        }
        match (there.parent(), there.components().next_back()) {
            (Some(parent), Some(last)) => {
                missing.push(last);
                there = parent;
            }
            _ => return absolute,
        }
    }
}

/// Checks that source, state and container are not inside each other, and returns the real path of the
/// source. Does not write.
pub(crate) fn check_places(
    source: &Path,
    state: &Path,
    container: &ContainerLocation,
) -> Result<PathBuf, Refusal> {
    let source = source_folder(source)?;
    check_overlap("the state folder", state, &source)?;
    if let ContainerLocation::Folder { path } = container {
        check_overlap("the container's folder", path, &source)?;
        let (state, blobs) = (real_path(state), real_path(path));
        if state.starts_with(&blobs) || blobs.starts_with(&state) {
            return Err(Refusal::StateInContainer { state, blobs });
        }
    }
    Ok(source)
}

/// Checks that the parents of the folders of state and container exist.
///
/// Only the last component of a path is created. With a mistyped path, or a disk that is not mounted, the
/// transfer would fill another disk.
pub(crate) fn check_parents(
    state: &Path,
    container: Option<&ContainerLocation>,
) -> Result<(), Refusal> {
    check_parent("the state folder", state)?;
    match container {
        Some(ContainerLocation::Folder { path }) => check_parent("the container's folder", path),
        _ => Ok(()),
    }
}

fn check_parent(what: &'static str, folder: &Path) -> Result<(), Refusal> {
    let Some(parent) = folder.parent().filter(|parent| *parent != Path::new("")) else {
        return Ok(());
    };
    // Other errors are reported by the call that creates the folder.
    match parent.try_exists() {
        Ok(false) => Err(Refusal::NoParent {
            what,
            folder: folder.to_path_buf(),
            parent: parent.to_path_buf(),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

fn check_overlap(what: &'static str, folder: &Path, source: &Path) -> Result<(), Refusal> {
    let folder = real_path(folder);
    match folder.starts_with(source) || source.starts_with(&folder) {
        true => Err(Refusal::Overlap {
            what,
            folder,
            tree: source.to_path_buf(),
        }),
        false => Ok(()),
    }
}

/// Returns a blob other than the bucket object, and whether the bucket object exists.
fn first_blobs(
    runtime: &tokio::runtime::Runtime,
    container: &dyn Container,
) -> Result<(Option<String>, bool), LoadError> {
    let bucket = bucket_name();
    let (mut from, mut has_bucket) = (None, false);
    loop {
        let page = runtime.block_on(container.list("", from.clone(), 2))?;
        let next = page.next_after(from.as_ref(), container)?;
        for blob in page.blobs {
            match blob.name == bucket.as_str() {
                true => has_bucket = true,
                false => return Ok((Some(blob.name), has_bucket)),
            }
        }
        match next {
            None => return Ok((None, has_bucket)),
            next => from = next,
        }
    }
}

fn not_empty(container: &dyn Container, found: String) -> LoadError {
    LoadError::NotEmpty {
        location: container.location().to_owned(),
        found,
    }
}

fn check_empty(
    runtime: &tokio::runtime::Runtime,
    container: &dyn Container,
) -> Result<(), LoadError> {
    match first_blobs(runtime, container)? {
        (None, false) => Ok(()),
        (None, true) => Err(not_empty(container, bucket_name().as_str().to_owned())),
        (Some(found), _) => Err(not_empty(container, found)),
    }
}

/// Returns the source's folder itself, as the first entry of a state.
pub(crate) fn root_entry(source: &Path) -> Result<NewEntry, Refusal> {
    let failed = |error: rustix::io::Errno| source_error(source, error.into());
    let root = rustix::fs::open(
        source,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(failed)?;
    let seen = examine_root(&root).map_err(failed)?;
    if seen.attributes.file_type != FileType::Directory {
        return Err(Refusal::SourceNotDirectory(source.to_path_buf()));
    }
    let name = source
        .file_name()
        .map(|name| name.as_encoded_bytes().to_vec())
        .unwrap_or_default();
    Ok(NewEntry {
        name,
        attributes: seen.attributes,
        link: None,
        clamped_times: seen.clamped_times,
        mount: seen.mount,
    })
}

fn new_settings(options: &LoadOptions, source: &Path) -> Result<Settings, LoadError> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => Seed::random().map_err(|error| LoadError::Internal(error.to_string()))?,
    };
    Ok(Settings {
        seed,
        container: options.container.identity(),
        compression: options.compression.unwrap_or(Compression::Lz4),
        preserve_hardlinks: options.preserve_hardlinks.unwrap_or(false),
        examines: true,
        mounts: mounts_below(source)?,
        root: root_entry(source)?,
        source: source.to_path_buf(),
    })
}

/// Checks that the options of a resume are those that the transfer was started with.
fn check_settings(
    options: &LoadOptions,
    source: &Path,
    settings: &Settings,
) -> Result<(), Refusal> {
    let conflict = |option, recorded: String, given: String| match recorded == given {
        true => Ok(()),
        false => Err(Refusal::Conflict {
            option,
            recorded,
            given,
        }),
    };
    if settings.source != source {
        return Err(Refusal::Conflict {
            option: "the source",
            recorded: settings.source.display().to_string(),
            given: source.display().to_string(),
        });
    }
    conflict(
        "the container",
        settings.container.clone(),
        options.container.identity(),
    )?;
    if let Some(given) = options.compression {
        conflict(
            "--compression",
            compression_name(settings.compression).to_owned(),
            compression_name(given).to_owned(),
        )?;
    }
    if let Some(given) = options.preserve_hardlinks {
        let shown = |value: bool| u8::from(value).to_string();
        conflict(
            "--preserve-hardlinks",
            shown(settings.preserve_hardlinks),
            shown(given),
        )?;
    }
    if let Some(given) = options.seed {
        conflict(
            "--seed",
            format!("{:?}", settings.seed),
            format!("{given:?}"),
        )?;
    }
    Ok(())
}
