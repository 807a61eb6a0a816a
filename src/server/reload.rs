//! Reloads models, keys and the TLS certificate while the server goes on answering: on SIGHUP, when a file changes, on
//! request.
//!
//! A new model is read, checked (golden rows included) and prepared while the old one answers, and then replaces
//! it. A model that cannot be loaded changes nothing; the failure is counted, logged and shown in `/metrics`.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use anyhow::Context;
use anyhow::Result;

use crate::server::models::served::Models;
use crate::server::models::sources::{Files, Sources};
use crate::server::state::State;

/// The result of reloading one model, the keys or the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The model's name; `None` for anything else.
    pub(crate) model: Option<String>,
    /// The reason why it could not be reloaded, without paths; `None` if it was.
    pub(crate) failure: Option<String>,
}

/// Loads every model, the keys and the certificate again. Blocks.
pub(crate) fn reload(state: &State) -> Vec<Outcome> {
    let _one_at_a_time = state.reloading();
    let mut outcomes = Vec::new();
    for reloaded in [state.keys.reload(), state.tls.reload()] {
        outcomes.extend(reloaded.err().map(|error| failed(state, None, &error)));
    }
    let before = state.models();
    let Files { files, misnamed } = match state.sources.files() {
        Ok(found) => found,
        Err(error) => {
            before.iter().for_each(|served| served.counts.reloaded(false));
            outcomes.push(failed(state, None, &error));
            return outcomes;
        }
    };
    outcomes.extend(misnamed.iter().map(|error| failed(state, None, error)));
    let mut models = Vec::with_capacity(files.len());
    let mut reloaded = Vec::new();
    for (i, (name, path)) in files.into_iter().enumerate() {
        let old = before.find(Some(&name));
        let counts = old.map(|served| Arc::clone(&served.counts)).unwrap_or_default();
        let loaded = state.sources.load_one(&name, &path, i == 0, Arc::clone(&counts));
        match loaded {
            Ok(served) => {
                state.log.event(&format!("model {name}: reloaded from {}", path.display()));
                reloaded.push(counts);
                models.push(Arc::new(served.after(old)));
                outcomes.push(Outcome { model: Some(name), failure: None });
            }
            Err(error) => {
                counts.reloaded(false);
                outcomes.push(failed(state, Some(name), &error));
                counts.set_reload_failure(outcomes.last().and_then(|outcome| outcome.failure.clone()));
                models.extend(old.cloned());
            }
        }
    }
    let replaced = Models::new(models).map(|models| state.replace(models));
    // Counted once the new ones answer: who waits for the count must not be answered by the old ones.
    for counts in reloaded {
        counts.reloaded(replaced.is_ok());
        counts.set_reload_failure(replaced.as_ref().err().map(|error| error.root_cause().to_string()));
    }
    outcomes.extend(replaced.err().map(|error| failed(state, None, &error)));
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

/// The files of a server, each with its mark at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen(Vec<(PathBuf, Stamp)>);

impl Seen {
    /// Looks at the files of models, and at `others`: keys and certificates.
    pub(crate) fn now(sources: &Sources, others: impl IntoIterator<Item = PathBuf>) -> Self {
        let models = sources.files().map(|found| found.files).unwrap_or_default();
        let models = models.into_iter().map(|(_, path)| path).chain(sources.shadow_files());
        Self(models.chain(others).map(|path| (path.clone(), stamp(&path))).collect())
    }

    fn of(state: &State) -> Self {
        Self::now(
            &state.sources,
            state.keys.file().map(Path::to_path_buf).into_iter().chain(state.tls.files()),
        )
    }
}

/// Reloads at SIGHUP, and, if `watch` is given, when a file has changed and then stayed the same for that long, so
/// that a file is not read while it is written. `loaded`: the files before they were loaded, so that one that was
/// replaced meanwhile is a change. To be called on the runtime; never completes.
///
/// # Errors
/// The operating system does not let the signal be caught.
pub(crate) fn keep_current(
    state: Arc<State>,
    watch: Option<Duration>,
    mut loaded: Seen,
) -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut hangup = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).context("cannot catch signals")?
    };
    Ok(async move {
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
            let (seen, known) = (last.clone(), loaded.clone());
            let look = move || {
                let now = Seen::of(&shared);
                if asked || (now == seen && now != known) {
                    reload(&shared);
                    return (now.clone(), now);
                }
                (now, known)
            };
            (last, loaded) = tokio::task::spawn_blocking(look).await.unwrap_or((last, loaded));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::limits::Limits;
    use crate::server::state::Setup;

    fn serving(path: &Path) -> State {
        let sources = Sources::parse(&[format!("a={}", path.display())]).unwrap();
        let (models, _) = sources.load().unwrap();
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

    #[tokio::test]
    async fn a_model_that_is_replaced_while_it_is_loaded_is_found_by_watching() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.mlapi");
        std::fs::copy("fixtures/models/format-1-linear.mlapi", &path).unwrap();
        let seen = Seen::now(&Sources::parse(&[format!("a={}", path.display())]).unwrap(), []);
        let state = Arc::new(serving(&path));
        let first = state.find(None).unwrap();
        // After it was read, and before the first look of the watch.
        std::fs::copy("fixtures/models/format-3-dates.mlapi", &path).unwrap();
        let watch = keep_current(Arc::clone(&state), Some(Duration::from_millis(1)), seen).unwrap();
        let found = async {
            while Arc::ptr_eq(&first, &state.find(None).unwrap()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = watch => {}
            found = tokio::time::timeout(Duration::from_secs(20), found) => found.unwrap(),
        }
    }

    #[test]
    fn a_misnamed_file_in_a_folder_is_a_failure_and_the_others_are_reloaded() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy("fixtures/models/format-1-linear.mlapi", dir.path().join("a.mlapi")).unwrap();
        let sources = Sources::parse(&[dir.path().display().to_string()]).unwrap();
        let (models, _) = sources.load().unwrap();
        let state = State::new(Setup { sources, ..Setup::with_models(models, Limits::DEFAULT) }).unwrap();
        std::fs::copy("fixtures/models/format-1-linear.mlapi", dir.path().join("a (1).mlapi")).unwrap();
        let first = state.find(None).unwrap();
        let outcomes = reload(&state);
        let failure = outcomes[0].failure.as_deref().unwrap();
        assert!(
            failure.contains("\"a (1)\"") && !failure.contains(dir.path().to_str().unwrap()),
            "{failure}"
        );
        assert_eq!(outcomes[1], Outcome { model: Some("a".into()), failure: None });
        assert!(!Arc::ptr_eq(&first, &state.find(None).unwrap()));
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
