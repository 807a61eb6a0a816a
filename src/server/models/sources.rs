//! The sources of a server's models: files with names, and folders of files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::shadow::Shadow;
use crate::model::file;
use crate::server::models::served::{Models, Served};
use crate::server::observe::telemetry::ModelCounts;

/// The extension of a model file in a folder.
const EXTENSION: &str = "mlapi";

/// One `--model`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A file and the name of its model.
    File { name: String, path: PathBuf },
    /// Every model file of a folder, named by its stem, in the order of the names.
    Folder(PathBuf),
}

/// The model files of a server at a moment.
#[derive(Debug)]
pub(crate) struct Files {
    /// The names of the models and their files.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Why files of folders are not among them: their names cannot stand in a path.
    pub(crate) misnamed: Vec<anyhow::Error>,
}

/// The `--model`s and `--shadow`s of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    models: Vec<Source>,
    /// The largest file that is read.
    max_bytes: u64,
    /// The model that each shadows (`None`: the first), and its file.
    shadows: Vec<(Option<String>, PathBuf)>,
}

impl Sources {
    /// Reads `[NAME=]FILE` and `FOLDER`; a file without a name is named by its stem.
    ///
    /// # Errors
    /// A name that cannot stand in a path.
    pub(crate) fn parse(texts: &[String]) -> Result<Self> {
        let one = |text: &String| {
            let (name, path) = split(text);
            if name.is_none() && Path::new(path).is_dir() {
                return Ok(Source::Folder(path.into()));
            }
            let name = match name {
                Some(name) => name.to_string(),
                None => stem(Path::new(path)),
            };
            check_name(&name)?;
            Ok(Source::File { name, path: path.into() })
        };
        let models = texts.iter().map(one).collect::<Result<_>>()?;
        Ok(Self { models, max_bytes: file::MAX_BYTES, shadows: Vec::new() })
    }

    /// Sets the largest file that is read.
    pub(crate) fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// Adds shadow models, each `[NAME=]FILE`; without a name it shadows the first model.
    pub(crate) fn with_shadows(mut self, texts: &[String]) -> Self {
        let shadow = |text: &String| {
            let (name, path) = split(text);
            (name.map(String::from), path.into())
        };
        self.shadows = texts.iter().map(shadow).collect();
        self
    }

    /// The files of the shadow models.
    pub(crate) fn shadow_files(&self) -> impl Iterator<Item = PathBuf> {
        self.shadows.iter().map(|(_, path)| path.clone())
    }

    /// The files as they are now.
    ///
    /// # Errors
    /// A folder that cannot be read or holds no model.
    pub(crate) fn files(&self) -> Result<Files> {
        let (mut files, mut misnamed) = (Vec::new(), Vec::new());
        for source in &self.models {
            match source {
                Source::File { name, path } => files.push((name.clone(), path.clone())),
                Source::Folder(folder) => {
                    let before = files.len();
                    let entries = std::fs::read_dir(folder)
                        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
                    for entry in entries {
                        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
                        if path.extension().is_some_and(|e| e == EXTENSION) && path.is_file() {
                            let name = stem(&path);
                            match check_name(&name) {
                                Ok(()) => files.push((name, path)),
                                Err(error) => misnamed.push(error),
                            }
                        }
                    }
                    if files.len() == before {
                        let none = || format!("{} holds no .{EXTENSION} file to serve", folder.display());
                        return Err(misnamed
                            .pop()
                            .map_or_else(|| anyhow!(none()), |error| error.context(none())));
                    }
                    files[before..].sort();
                }
            }
        }
        Ok(Files { files, misnamed })
    }

    /// Loads and checks every model; files of folders that cannot be served for their names are skipped and returned.
    ///
    /// # Errors
    /// The first model that cannot be served.
    pub(crate) fn load(&self) -> Result<(Models, Vec<anyhow::Error>)> {
        let Files { files, misnamed } = self.files()?;
        for (name, path) in &self.shadows {
            let known = name.as_ref().is_none_or(|name| files.iter().any(|(model, _)| model == name));
            ensure!(
                known,
                "--shadow {}: no model is called {:?}",
                path.display(),
                name.as_deref().unwrap_or("")
            );
        }
        let load = |(i, (name, path)): (usize, (String, PathBuf))| {
            Ok(Arc::new(self.load_one(&name, &path, i == 0, Arc::default())?))
        };
        Ok((Models::new(files.into_iter().enumerate().map(load).collect::<Result<_>>()?)?, misnamed))
    }

    /// Loads and checks one model, and its shadow model. `first`: whether it is the first one, which a shadow without a
    /// name is for.
    ///
    /// # Errors
    /// Either cannot be served.
    pub(crate) fn load_one(
        &self,
        name: &str,
        path: &Path,
        first: bool,
        counts: Arc<ModelCounts>,
    ) -> Result<Served> {
        guarded(path, || {
            let mut served = Served::new(name, file::load_within(path, self.max_bytes)?, counts)?;
            let shadow = self.shadows.iter().find(|(of, _)| of.as_deref().map_or(first, |of| of == name));
            if let Some((_, path)) = shadow {
                let model = file::load_within(path, self.max_bytes)?;
                let counts = Arc::clone(&served.counts.shadow);
                let shadow = Shadow::start(&served.model.pipeline.schema, model, counts);
                served.shadow =
                    Some(shadow.with_context(|| format!("{} cannot be a shadow of {name}", path.display()))?);
            }
            Ok(served)
        })
    }
}

/// Loads from a file; a panic becomes an error, so that it is reported, counted, and not tried again until the file
/// changes.
fn guarded<T>(path: &Path, load: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing is left half done: what was loaded until then is dropped.
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| {
        Err(anyhow!("loading it panicked, which is a fault of mlapi; train the model again"))
            .with_context(|| format!("{} cannot be served", path.display()))
    })
}

/// Name and path of `[NAME=]PATH`. The path of an existing file may hold an equals sign.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, path)) if !name.contains(['/', '\\']) && !Path::new(text).exists() => (Some(name), path),
        _ => (None, text),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Checks a name, which is written into paths and metrics unescaped.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('.') {
        bail!(
            "{name:?} cannot be the name of a model: up to 64 letters, digits, '.', '_' and '-'; \
             --model NAME=FILE gives another"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_a_model_is_loaded_is_an_error_that_names_no_path_at_its_root() {
        let error = guarded(Path::new("m.mlapi"), || -> Result<()> { panic!("an index out of bounds") });
        let error = error.unwrap_err();
        assert!(error.to_string().contains("m.mlapi"), "{error}");
        assert!(error.root_cause().to_string().starts_with("loading it panicked"), "{error:#}");
    }

    #[test]
    fn a_name_may_stand_before_the_file() {
        assert_eq!(split("churn=a.mlapi"), (Some("churn"), "a.mlapi"));
        assert_eq!(split("a.mlapi"), (None, "a.mlapi"));
        assert_eq!(split("./a=b.mlapi"), (None, "./a=b.mlapi"));
        assert!(Sources::parse(&["a b=x.mlapi".into()]).is_err());
        assert!(Sources::parse(&["a/b c.mlapi".into()]).is_err());
        let files =
            Sources::parse(&["churn=a.mlapi".into(), "m/price.mlapi".into()]).unwrap().files().unwrap();
        assert_eq!(
            files.files,
            [("churn".into(), "a.mlapi".into()), ("price".into(), PathBuf::from("m/price.mlapi"))]
        );
    }
    #[test]
    fn a_name_that_cannot_be_served_keeps_no_other_file_of_its_folder_out() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::parse(&[dir.path().display().to_string()]).unwrap();
        let put = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
        put("model (1).mlapi");
        let error = format!("{:#}", sources.files().unwrap_err());
        assert!(
            error.contains("holds no .mlapi file to serve") && error.contains("\"model (1)\""),
            "{error}"
        );
        put("b.mlapi");
        put("a.mlapi");
        let Files { files, misnamed } = sources.files().unwrap();
        assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let reason = misnamed[0].root_cause().to_string();
        assert!(misnamed.len() == 1 && !reason.contains(dir.path().to_str().unwrap()), "{reason}");
    }
}
