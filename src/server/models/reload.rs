//! New models and keys for a server that goes on answering: on SIGHUP, when a file changes, on request.
//!
//! A model is read, checked (golden rows included) and prepared beside the one that answers, and then takes its
//! place. What cannot be loaded changes nothing, is counted, and is said in the log and in `/metrics`.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::server::models::served::Models;
use crate::server::state::State;

/// What became of one model, or of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The model's name; `None` for what concerns none alone.
    pub(crate) model: Option<String>,
    /// Why it could not be reloaded, without paths; `None` where it was.
    pub(crate) failure: Option<String>,
}

/// Loads every model and the keys again. To be called where waiting for files keeps nobody waiting.
pub(crate) fn reload(state: &State) -> Vec<Outcome> {
    let _one_at_a_time = state.reloading();
    let mut outcomes = Vec::new();
    if let Err(error) = state.keys.reload() {
        outcomes.push(failed(state, None, &error));
    }
    let before = state.models();
    let files = match state.sources.files() {
        Ok(files) => files,
        Err(error) => {
            before.iter().for_each(|served| served.counts.reloaded(false));
            outcomes.push(failed(state, None, &error));
            return outcomes;
        }
    };
    let mut models = Vec::with_capacity(files.len());
    for (name, path) in files {
        let old = before.find(Some(&name));
        let counts = old.map(|served| Arc::clone(&served.counts)).unwrap_or_default();
        let loaded = state.sources.load_one(&name, &path, Arc::clone(&counts));
        counts.reloaded(loaded.is_ok());
        match loaded {
            Ok(served) => {
                state.log.event(&format!("model {name}: loaded again from {}", path.display()));
                counts.set_reload_failure(None);
                models.push(Arc::new(served.after(old)));
                outcomes.push(Outcome { model: Some(name), failure: None });
            }
            Err(error) => {
                outcomes.push(failed(state, Some(name), &error));
                counts.set_reload_failure(outcomes.last().and_then(|outcome| outcome.failure.clone()));
                models.extend(old.cloned());
            }
        }
    }
    match Models::new(models) {
        Ok(models) => state.replace(models),
        Err(error) => outcomes.push(failed(state, None, &error)),
    }
    outcomes
}

/// The log gets the whole story, a client and `/metrics` the cause, which names no path.
fn failed(state: &State, model: Option<String>, error: &anyhow::Error) -> Outcome {
    let whose = model.as_ref().map_or("reload".into(), |name| format!("model {name}"));
    state.log.event(&format!("{whose}: not loaded, everything stays as it was: {error:#}"));
    Outcome { model, failure: Some(error.root_cause().to_string()) }
}

/// What tells a file from the one that was there before: its time, size and number.
type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), number(&metadata)))
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

fn stamps(state: &State) -> Vec<(PathBuf, Stamp)> {
    let files = state.sources.files().unwrap_or_default().into_iter().map(|(_, path)| path);
    let others = state.keys.file().map(Path::to_path_buf).into_iter().chain(state.sources.shadow_files());
    files.chain(others).map(|path| (path.clone(), stamp(&path))).collect()
}

/// Reloads at SIGHUP, and where `watch` is given when a file has changed and then stayed the same for that
/// long: a file that is being written is left to be finished. To be called on the runtime; never completes.
///
/// # Errors
/// The operating system does not let the signal be caught.
pub(crate) fn keep_current(state: Arc<State>, watch: Option<Duration>) -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut hangup = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).context("cannot catch signals")?
    };
    Ok(async move {
        let mut loaded = stamps(&state);
        let mut last = loaded.clone();
        loop {
            #[cfg(unix)]
            let asked = hangup.recv();
            #[cfg(not(unix))]
            let asked = std::future::pending::<Option<()>>();
            let pause = async {
                match watch {
                    Some(interval) => tokio::time::sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                _ = asked => true,
                () = pause => false,
            };
            let shared = Arc::clone(&state);
            let (seen, known) = (last, loaded);
            let look = move || {
                let now = stamps(&shared);
                if asked || (now == seen && now != known) {
                    reload(&shared);
                    return (now.clone(), now);
                }
                (now, known)
            };
            (last, loaded) = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        }
    })
}
