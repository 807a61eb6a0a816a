//! Reloads models and keys while the server goes on answering: on SIGHUP, when a file changes, on request.
//!
//! A new model is read, checked (golden rows included) and prepared while the old one answers, and then replaces
//! it. A model that cannot be loaded changes nothing; the failure is counted, logged and shown in `/metrics`.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::server::models::served::Models;
use crate::server::state::State;

/// The result of reloading one model, or the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The model's name; `None` for the keys or all models.
    pub(crate) model: Option<String>,
    /// The reason why it could not be reloaded, without paths; `None` if it was.
    pub(crate) failure: Option<String>,
}

/// Loads every model and the keys again. Blocks.
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
                state.log.event(&format!("model {name}: reloaded from {}", path.display()));
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

/// The log gets the whole error, clients and `/metrics` only its cause, which names no path.
fn failed(state: &State, model: Option<String>, error: &anyhow::Error) -> Outcome {
    let whose = model.as_ref().map_or("reload".into(), |name| format!("model {name}"));
    state.log.event(&format!("{whose}: not loaded, everything stays as it was: {error:#}"));
    Outcome { model, failure: Some(error.root_cause().to_string()) }
}

/// The mark of one version of a file: its time, size and inode.
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

/// Reloads at SIGHUP, and, if `watch` is given, when a file has changed and then stayed the same for that long, so
/// that a file is not read while it is written. To be called on the runtime; never completes.
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
            let before = last.clone();
            let (seen, known) = (last, loaded);
            let look = move || {
                let now = stamps(&shared);
                if asked || (now == seen && now != known) {
                    reload(&shared);
                    return (now.clone(), now);
                }
                (now, known)
            };
            (last, loaded) =
                tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| (before.clone(), before));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::limits::Limits;
    use crate::server::models::sources::Sources;
    use crate::server::state::Setup;

    fn serving(path: &Path) -> State {
        let sources = Sources::parse(&[format!("a={}", path.display())]).unwrap();
        let models = sources.load().unwrap();
        State::new(Setup { sources, ..Setup::with_models(models, Limits::DEFAULT) }).unwrap()
    }

    #[test]
    fn a_new_model_takes_over_with_the_counters_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.mlapi");
        std::fs::copy("fixtures/models/format-1-linear.mlapi", &path).unwrap();
        let state = serving(&path);
        let first = state.find(None).unwrap();
        assert_eq!(reload(&state), [Outcome { model: Some("a".into()), failure: None }]);
        let second = state.find(None).unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first.counts, &second.counts));
        std::fs::write(&path, "damaged").unwrap();
        let outcomes = reload(&state);
        let failure = outcomes[0].failure.as_deref().unwrap();
        assert!(!failure.contains(dir.path().to_str().unwrap()), "{failure}");
        assert!(Arc::ptr_eq(&second, &state.find(None).unwrap()));
    }

    #[test]
    fn the_stamp_of_a_file_changes_when_another_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        assert_eq!(stamp(&path), None);
        std::fs::write(&path, "one").unwrap();
        let before = stamp(&path);
        assert_eq!(stamp(&path), before);
        std::fs::write(&other, "longer").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(before.is_some() && stamp(&path).is_some() && stamp(&path) != before);
    }
}
