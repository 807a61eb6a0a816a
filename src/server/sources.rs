//! Where the models of a server come from: files with names, and folders of files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use super::state::{Models, Served};
use crate::model::file;

/// What a model file in a folder ends in.
const EXTENSION: &str = "mlapi";

/// One `--model`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A file and what its model is called.
    File { name: String, path: PathBuf },
    /// Every model file of a folder, called by its stem, in the order of the names.
    Folder(PathBuf),
}

/// The `--model`s of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// What `[NAME=]FILE` and `FOLDER` stand for; a file without a name is called by its stem.
    ///
    /// # Errors
    /// A name that cannot stand in a path.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let one = |text: &String| {
            let (name, path) = split(text);
            if name.is_none() && Path::new(path).is_dir() {
                return Ok(Source::Folder(path.into()));
            }
            let name = match name {
                Some(name) => name.to_string(),
                None => stem(Path::new(path)),
            };
            check_name(&name, path)?;
            Ok(Source::File { name, path: path.into() })
        };
        Ok(Self(texts.iter().map(one).collect::<Result<_>>()?))
    }

    /// The files as they are now, with the names of their models.
    ///
    /// # Errors
    /// A folder that cannot be read or holds no model, or a name that cannot stand in a path.
    pub fn files(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        for source in &self.0 {
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
                            check_name(&name, &path.to_string_lossy())?;
                            files.push((name, path));
                        }
                    }
                    ensure!(files.len() > before, "{} holds no .{EXTENSION} file", folder.display());
                    files[before..].sort();
                }
            }
        }
        Ok(files)
    }

    /// Loads and checks every model.
    ///
    /// # Errors
    /// The first that cannot be served.
    pub fn load(&self) -> Result<Models> {
        let load = |(name, path): (String, PathBuf)| {
            Ok(Arc::new(Served::new(&name, file::load(&path.to_string_lossy())?, Arc::default())?))
        };
        Models::new(self.files()?.into_iter().map(load).collect::<Result<_>>()?)
    }
}

/// Name and path of `[NAME=]PATH`. A path that itself holds an equals sign is taken as it is.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, path)) if !name.contains(['/', '\\']) && !Path::new(text).exists() => (Some(name), path),
        _ => (None, text),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name stands in paths and metrics as it is.
fn check_name(name: &str, path: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('.') {
        bail!(
            "{name:?} cannot be the name of a model: up to 64 letters, digits, '.', '_' and '-'; \
             --model NAME={path} gives another"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            files,
            [("churn".into(), "a.mlapi".into()), ("price".into(), PathBuf::from("m/price.mlapi"))]
        );
    }
}
