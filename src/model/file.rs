//! The model file: a safetensors [container] with a JSON card in its metadata, written atomically and
//! checked before it is used. Callers are [`Model::open`] and [`Model::save`], the command line and the server.
//!
//! Layout: one metadata entry `mlapi`, a JSON object with `format_version`, `mlapi_version`, `predictor` (the
//! inference form), `encoding` (of the recipe), `card`, `schema` and `golden` (some training rows as JSON values);
//! arrays `recipe.*`, those of the predictor, `golden.scores` (the scores that the golden rows must get) and
//! `checksum` (SHA-256 of everything else). Nothing in the file depends on time, place or threads.
//!
//! Of an ensemble `predictor` is `ensemble`, and `members` takes the place of `encoding`: for each member its
//! `predictor`, `encoding`, `weight`, what is undone to its numbers as `target`, and as `recipe` the number of the first
//! member of the same recipe. The arrays of member 3 begin with `member.3.`; a recipe is stored with the first member
//! that has it.
//!
//! The format version is the oldest that can hold the model, so that older programs read it as well: 12 for a
//! graph of ONNX, for an imported linear model that refuses rows with missing values or has an exponential link, 11 if zeros are missing values, 10 if it can explain its predictions (trees know the rows of their leaves, means or rows of training are kept), 9 if scores are
//! calibrated or a threshold, intervals or sets were chosen at training, 8 if trees see the
//! days between dates, 7 if powers or ranks of the target are learned, 6 for an ensemble, 5 if numbers are written with
//! separators or units, a column has null tokens of its own, or cells are
//! lists or pairs, 4 if booleans
//! are words such as yes and no or levels become means of the target, 3 if there are dates, 2 if there are texts,
//! else 1.
//!
//! Longer than 600 lines because what is written and what is read back, array by array, belong side by side.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::bundle::Bundle;
use super::container::{self, Container, DAMAGED};
use super::pipeline::{MAX_MEMBERS, Member, Pipeline};
use super::postprocessing::Postprocessing;
use super::predictor::{Array, Arrays, Predictor, take_f64, take_u8, take_u32};
use super::reference::{MAX_BACKGROUND_ROWS, Reference};
use super::target_transform::{Knots, TargetTransform};
use super::{Card, Model};
use crate::data::cells::cell::Tolerance;
use crate::data::cells::date::N_PARTS;
use crate::data::cells::matrix::Matrix;
use crate::data::cells::notation::Notation;
use crate::data::cells::schema::Schema;
use crate::data::prepare::categories::{MAX_LEVEL_SLOTS, TargetMeans};
use crate::data::prepare::recipe::{DateParts, Encoding, Parts, Recipe, Scale};
use crate::data::prepare::vocabulary::Vocabulary;
use crate::data::read::json;
use crate::order;

/// The newest format version that this program writes and reads.
pub const FORMAT_VERSION: u64 = 12;

/// The predictor of a file of several members.
const ENSEMBLE: &str = "ensemble";

/// Name of the array of the means of the target within the levels of categories.
const TARGET_MEANS: &str = "recipe.target_means";

/// Names of the arrays of the quantiles of a target whose ranks are learned, and of their normal scores.
const TARGET_VALUES: &str = "target.values";
const TARGET_SCORES: &str = "target.scores";
/// Name of the array of the features whose dates the days between are taken of.
const DATE_PAIRS: &str = "recipe.date_pairs";

/// Name of the array of fill, mean and scale of both numbers of pairs.
const PAIRS: &str = "recipe.pairs";

/// Name of the array of the features of which 0 is a missing value.
const ZERO_IS_MISSING: &str = "recipe.zero_is_missing";

/// The largest model file that is read unless `--max-model-bytes` says otherwise: it is in memory as a whole.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The scores of golden rows may differ by this much, relative to 1 or the value: `ln`, `sin` and `tanh` are those of
/// the system, and not the same to the last bit on every one.
const GOLDEN_TOLERANCE: f64 = 1e-9;

/// The same of graphs, most of which work in single precision.
const GRAPH_TOLERANCE: f64 = 1e-5;

/// Number of training rows that a model file carries to test itself with.
const GOLDEN_ROWS: usize = 5;

/// The most that a file may carry, as each is predicted when it is read.
const MAX_GOLDEN_ROWS: usize = 100;

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    format_version: u64,
    mlapi_version: String,
    predictor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<MemberHeader>,
    /// What happens to the scores then, but for the numbers of a calibration.
    #[serde(default, skip_serializing_if = "Postprocessing::is_empty")]
    postprocessing: Postprocessing,
    card: Cow<'a, Card>,
    schema: Cow<'a, Schema>,
    /// Arrays of JSON values, read as rows of a request are.
    #[serde(borrow)]
    golden: Vec<&'a RawValue>,
    /// Training rows that explanations compare with, as `golden`.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    background: Vec<&'a RawValue>,
}

/// What the header tells of a member of an ensemble.
#[derive(Serialize, Deserialize)]
struct MemberHeader {
    predictor: String,
    encoding: Encoding,
    weight: f64,
    /// The first member that has this recipe, which is stored with it.
    recipe: usize,
    /// What is undone to a number that it predicts.
    #[serde(default, skip_serializing_if = "TargetTransform::is_identity")]
    target: TargetTransform,
}

/// Part of the header that is read first, to distinguish a newer file from a damaged one.
#[derive(Deserialize)]
struct Version {
    format_version: u64,
    mlapi_version: String,
}

/// Chooses the golden rows among the training rows, evenly spaced.
pub(crate) fn golden_rows(rows: &[usize]) -> Vec<usize> {
    let n = GOLDEN_ROWS.min(rows.len());
    (0..n).map(|i| rows[i * rows.len() / n]).collect()
}

/// Whether there is one predictor, and nothing is undone to what it predicts.
fn is_plain(members: &[Member]) -> bool {
    matches!(members, [only] if only.target.is_identity())
}

/// The oldest version that holds all a schema asks for.
fn format_version(Pipeline { schema, members, postprocessing }: &Pipeline, reference: &Reference) -> u64 {
    let is_imported = |Member { recipe, predictor, .. }: &Member| {
        recipe.keeps_missing() || ["onnx", "linear-exponential"].contains(&predictor.form())
    };
    if members.iter().any(is_imported) {
        return 12;
    }
    if members.iter().any(|member| member.recipe.takes_zeros_for_missing()) {
        return 11;
    }
    let has_cover = |member: &Member| matches!(&member.predictor, Predictor::Trees(trees) if !trees.parts().cover.is_empty());
    if members.iter().any(has_cover) || !reference.is_empty() {
        return 10;
    }
    if !postprocessing.is_empty() {
        return 9;
    }
    if members.iter().any(|member| !member.recipe.date_pairs().is_empty()) {
        return 8;
    }
    let is_new = |target: &TargetTransform| {
        matches!(target, TargetTransform::YeoJohnson { .. } | TargetTransform::Rank { .. })
    };
    if members.iter().any(|member| is_new(&member.target)) {
        return 7;
    }
    if !is_plain(members) {
        return 6;
    }
    let has_target_means = members.iter().any(|member| member.recipe.has_target_means());
    let notations = || schema.features.iter().filter_map(|feature| feature.notation);
    let of_several = |notation| matches!(notation, Notation::List(_) | Notation::Pair(_));
    if schema.target.notation.is_some()
        || notations().any(|notation| notation.is_of_numbers())
        || notations().any(of_several)
        || schema.features.iter().any(|feature| !feature.nulls.is_empty())
    {
        5
    } else if has_target_means || notations().any(|notation| matches!(notation, Notation::Boolean(_))) {
        4
    } else if notations().next().is_some() {
        3
    } else if schema.texts().next().is_some() {
        2
    } else {
        1
    }
}

/// The bytes of a model file.
///
/// # Errors
/// Only if the card cannot be written as JSON.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let Model { pipeline, golden, reference, .. } = model;
    let rows_of = |codes: &Matrix| -> Result<Vec<_>> {
        let row = |i| Ok(to_raw_value(&pipeline.schema.values_of(codes, i))?);
        (0..codes.n_rows()).map(row).collect()
    };
    let (rows, background) = (rows_of(golden)?, rows_of(reference.background())?);
    let mut arrays = Arrays::new();
    let mut members = Vec::new();
    let (predictor, encoding) = match pipeline.members.as_slice() {
        [Member { recipe, predictor, .. }] if is_plain(&pipeline.members) => {
            arrays = recipe_arrays(recipe);
            predictor.write_arrays(&mut arrays);
            reference.write_arrays(0, &mut arrays);
            (predictor.form(), Some(recipe.encoding()))
        }
        several => {
            for (i, Member { weight, recipe, predictor, target }) in several.iter().enumerate() {
                let first = pipeline.first_with_recipe_of(i);
                let mut own = if first == i { recipe_arrays(recipe) } else { Arrays::new() };
                predictor.write_arrays(&mut own);
                reference.write_arrays(i, &mut own);
                if let TargetTransform::Rank { knots: Knots { values, scores }, .. } = target {
                    own.insert(TARGET_VALUES.into(), Array::F64(vec![values.len()], values.clone()));
                    own.insert(TARGET_SCORES.into(), Array::F64(vec![scores.len()], scores.clone()));
                }
                arrays.extend(own.into_iter().map(|(name, array)| (prefix(i) + &name, array)));
                members.push(MemberHeader {
                    predictor: predictor.form().into(),
                    encoding: recipe.encoding(),
                    weight: *weight,
                    recipe: first,
                    target: target.clone(),
                });
            }
            (ENSEMBLE, None)
        }
    };
    let header = serde_json::to_string(&Header {
        format_version: format_version(pipeline, reference),
        mlapi_version: env!("CARGO_PKG_VERSION").into(),
        predictor: predictor.into(),
        encoding,
        members,
        postprocessing: pipeline.postprocessing.clone(),
        card: Cow::Borrowed(&model.card),
        schema: Cow::Borrowed(&pipeline.schema),
        golden: rows.iter().map(|row| &**row).collect(),
        background: background.iter().map(|row| &**row).collect(),
    })?;
    pipeline.postprocessing.write_arrays(&mut arrays);
    let scores = pipeline.scores(golden);
    let shape = vec![scores.n_rows(), scores.n_cols()];
    arrays.insert("golden.scores".into(), Array::F64(shape, scores.values().to_vec()));
    container::to_bytes(header, arrays)
}

/// Writes bytes to `path` as [`replace_atomically`] does.
///
/// # Errors
/// As there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_atomically(path, |file| Ok(file.write_all(bytes)?))
}

/// Lets `write` fill a file that then replaces `path`: at every moment either the old file is there or the new one,
/// whole. A link stays a link, to the new file; a file that is not an ordinary one, such as a pipe or `/dev/null`, is
/// written to.
///
/// # Errors
/// Those of `write`; a folder that is missing or not writable; a full disk. Then `path` is untouched.
pub fn replace_atomically<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    replace(path, false, write)
}

/// As [`replace_atomically`], with a file that can be run by whoever may read it.
///
/// # Errors
/// As there.
pub(crate) fn replace_executable<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    replace(path, true, write)
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "there is no mode"))]
fn replace<T>(path: &Path, executable: bool, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let cannot = || format!("cannot write {}", path.display());
    if fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        let mut writer = BufWriter::new(File::options().write(true).open(path).with_context(cannot)?);
        let written = write(&mut writer)?;
        writer.flush().with_context(cannot)?;
        return Ok(written);
    }
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    remove_left_behind(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    #[cfg(unix)]
    {
        // As an ordinary file, not the 0600 of a secret; the umask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(if executable { 0o777 } else { 0o666 }));
    }
    let file = builder.tempfile_in(folder).with_context(cannot)?;
    if let Ok(existing) = fs::metadata(path) {
        // Whoever may not read or write the old file may not read or write the new one.
        #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no mode"))]
        let mut permissions = existing.permissions();
        #[cfg(unix)]
        if executable {
            use std::os::unix::fs::PermissionsExt;
            let mode = permissions.mode();
            permissions.set_mode(mode | (mode & 0o444) >> 2);
        }
        file.as_file().set_permissions(permissions).with_context(cannot)?;
    }
    // The lock says that the writer is alive; without locks nobody removes the file.
    let _ = file.as_file().try_lock();
    let mut writer = BufWriter::new(file);
    let written = write(&mut writer)?;
    let file = writer.into_inner().map_err(|e| e.into_error()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    // So that the new name survives a power cut as well.
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(cannot)?;
    Ok(written)
}

/// Beginning and end of the names of files that replace another one when they are whole.
const TEMPORARY: (&str, &str) = (".mlapi-", ".tmp");

/// Age from which a file is left behind; a younger one may not be locked by its writer yet.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Removes the files that killed writers left in a folder. Nothing depends on it, so failures are ignored.
fn remove_left_behind(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_temporary =
            name.to_str().is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        if is_temporary
            && metadata.is_file()
            && age.is_some_and(|age| age > LEFT_BEHIND)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads a model file of at most [`MAX_BYTES`] and checks all of it, golden rows included.
///
/// # Errors
/// The fault of the file, and the remedy.
pub fn load(path: impl AsRef<Path>) -> Result<Model> {
    load_within(path, MAX_BYTES)
}

/// As [`load`], of at most `max_bytes`.
///
/// # Errors
/// As [`load`].
pub fn load_within(path: impl AsRef<Path>, max_bytes: u64) -> Result<Model> {
    open_within(path.as_ref(), max_bytes, &|file, length| read(file, length))
}

/// The bytes of a model file, or of the one in a bundle, once all of it has been checked.
///
/// # Errors
/// As [`load`].
pub(crate) fn bytes_within(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    open_within(path, max_bytes, &|file, length| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        read(bytes.as_slice(), length).map(|_| bytes)
    })
}

fn open_within<T>(path: &Path, max_bytes: u64, read: &dyn Fn(&mut dyn Read, u64) -> Result<T>) -> Result<T> {
    let shown = path.display();
    let cannot = || {
        format!(
            "cannot open the model {shown}; train one first (mlapi train DATA) or name one (--model FILE)"
        )
    };
    let unusable = || format!("{shown} is not a usable model file");
    // Looked at first: opening a pipe would wait for its writer.
    let is_file = fs::metadata(path).with_context(cannot)?.is_file();
    ensure!(is_file, "{}: it is not an ordinary file", unusable());
    let mut file = File::open(path).with_context(cannot)?;
    let length = file.metadata().with_context(|| format!("cannot read {shown}"))?.len();
    let mut open = || -> Result<T> {
        let bundle = Bundle::of(&mut file, length)?;
        let length = bundle.map_or(length, |bundle| bundle.model);
        ensure!(
            length <= max_bytes,
            "it has {length} bytes, more than the {max_bytes} that are read; --max-model-bytes allows more"
        );
        file.rewind()?;
        match bundle {
            Some(bundle) => read(&mut bundle.model_in(&mut file)?, length),
            None => read(&mut file, length),
        }
    };
    open().with_context(unusable)
}

/// Reads a model of `length` bytes.
///
/// # Errors
/// As [`load`].
pub fn read(file: impl Read, length: u64) -> Result<Model> {
    let mut container = Container::open(file, length)?;
    let version: Version = serde_json::from_str(container.entry()?).context(DAMAGED)?;
    ensure!(
        version.format_version <= FORMAT_VERSION,
        "it has format version {} (mlapi {}) and this is mlapi {}, which reads up to version {FORMAT_VERSION}; \
         use a newer mlapi",
        version.format_version,
        version.mlapi_version,
        env!("CARGO_PKG_VERSION")
    );
    ensure!(version.format_version > 0, "it has no format version; {DAMAGED}");
    let arrays = container.arrays()?;
    let header: Header = serde_json::from_str(container.entry()?).context(DAMAGED)?;
    assemble(header, arrays).context(DAMAGED)
}

fn assemble(header: Header, mut arrays: Arrays) -> Result<Model> {
    let schema = header.schema.into_owned().indexed();
    schema.validate()?;
    let mut means = Vec::new();
    let members = if header.predictor == ENSEMBLE {
        ensure!(header.format_version > 5, "an older file is no ensemble");
        take_members(&header.members, &schema, &mut arrays, &mut means)?
    } else {
        ensure!(header.members.is_empty(), "it has members and is no ensemble");
        let recipe = take_recipe(header.encoding.unwrap_or_default(), &schema, &mut arrays)?;
        let predictor = Predictor::read_arrays(&header.predictor, &mut arrays)?;
        means.push(Reference::take_means(&predictor, &mut arrays)?);
        vec![Member { weight: 1.0, recipe: Arc::new(recipe), predictor, target: TargetTransform::Identity }]
    };
    let mut postprocessing = header.postprocessing;
    ensure!(postprocessing.is_empty() || header.format_version > 8, "an older file changes no scores");
    postprocessing.read_arrays(&mut arrays)?;
    let golden_scores = take_f64(&mut arrays, "golden.scores")?;
    ensure!(arrays.is_empty(), "it holds arrays that belong to nothing");
    let pipeline = Pipeline { schema, members, postprocessing };
    pipeline.validate()?;
    let golden = check_golden(&pipeline, &header.golden, &golden_scores)?;
    ensure!(
        header.background.len() <= MAX_BACKGROUND_ROWS,
        "it has {} background rows, more than {MAX_BACKGROUND_ROWS}",
        header.background.len()
    );
    let background = codes_of(&pipeline.schema, &header.background).context("a background row is no row")?;
    let reference = Reference::from_parts(means, background);
    Ok(Model { card: header.card.into_owned(), pipeline, golden, reference })
}

/// What the names of the arrays of a member begin with.
fn prefix(member: usize) -> String {
    format!("member.{member}.")
}

/// Takes the members of an ensemble out of the arrays; still to be validated.
fn take_members(
    headers: &[MemberHeader],
    schema: &Schema,
    arrays: &mut Arrays,
    means: &mut Vec<Vec<f64>>,
) -> Result<Vec<Member>> {
    let n = headers.len();
    ensure!((1..=MAX_MEMBERS).contains(&n), "it has {n} members, not from 1 to {MAX_MEMBERS}");
    let mut members: Vec<Member> = Vec::with_capacity(n);
    for (i, MemberHeader { predictor, encoding, weight, recipe, target }) in headers.iter().enumerate() {
        let prefix = prefix(i);
        let names: Vec<String> = arrays
            .range(prefix.clone()..)
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&prefix))
            .cloned()
            .collect();
        let without_prefix = |name: String| Some((name[prefix.len()..].to_string(), arrays.remove(&name)?));
        let mut own: Arrays = order::map(names.into_iter().filter_map(without_prefix));
        let recipe = if *recipe == i {
            Arc::new(take_recipe(*encoding, schema, &mut own)?)
        } else {
            let first = headers.get(*recipe).filter(|first| first.recipe == *recipe);
            ensure!(
                first.is_some_and(|first| *recipe < i && first.encoding == *encoding),
                "the recipe of member {i} is not that of a member before it"
            );
            Arc::clone(&members[*recipe].recipe)
        };
        let predictor = Predictor::read_arrays(predictor, &mut own)?;
        means.push(Reference::take_means(&predictor, &mut own)?);
        let mut target = target.clone();
        if let TargetTransform::Rank { knots, .. } = &mut target {
            *knots = Knots {
                values: take_f64(&mut own, TARGET_VALUES)?,
                scores: take_f64(&mut own, TARGET_SCORES)?,
            };
        }
        ensure!(own.is_empty(), "member {i} holds arrays that belong to nothing");
        members.push(Member { weight: *weight, recipe, predictor, target });
    }
    Ok(members)
}

/// Predicts the golden rows as rows of a request are predicted, and compares the scores; the codes of the rows.
fn check_golden(pipeline: &Pipeline, rows: &[&RawValue], expected: &[f64]) -> Result<Matrix> {
    ensure!(
        (1..=MAX_GOLDEN_ROWS).contains(&rows.len()),
        "it has {} golden rows, not from 1 to {MAX_GOLDEN_ROWS}",
        rows.len()
    );
    let schema = &pipeline.schema;
    let n_scores = rows.len().checked_mul(pipeline.n_outputs());
    ensure!(n_scores == Some(expected.len()), "the golden rows and scores differ in number");
    let codes = codes_of(schema, rows).context("a golden row is no row")?;
    let scores = pipeline.scores(&codes);
    // Graphs work in single precision, whose last bit is a far larger step.
    #[cfg(feature = "import")]
    let is_graph = pipeline.members.iter().any(|member| matches!(member.predictor, Predictor::Graph(_)));
    #[cfg(not(feature = "import"))]
    let is_graph = false;
    let tolerance = if is_graph { GRAPH_TOLERANCE } else { GOLDEN_TOLERANCE };
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * b.abs().max(1.0);
    ensure!(
        scores.values().iter().zip(expected).all(near),
        "the golden rows are not predicted as they were at training"
    );
    Ok(codes)
}

/// The codes of rows that the file holds.
fn codes_of(schema: &Schema, rows: &[&RawValue]) -> Result<Matrix> {
    let mut codes = Matrix::with_capacity(rows.len(), schema.n_features());
    for row in rows {
        let problems = json::read_row(row.get().as_bytes(), schema, Tolerance::Strict, &mut codes);
        ensure!(problems.is_ok_and(|p| p.total == 0), "it does not fit the schema");
    }
    Ok(codes)
}

fn take_recipe(encoding: Encoding, schema: &Schema, arrays: &mut Arrays) -> Result<Recipe> {
    let parts = take_parts(encoding, schema, arrays)?;
    Recipe::from_parts(schema, encoding, &parts)
}

fn recipe_arrays(recipe: &Recipe) -> Arrays {
    let parts = recipe.parts();
    let Parts {
        fill,
        mean,
        scale,
        indicator,
        level_slot,
        vocabularies,
        dense_texts,
        pairs,
        dates,
        date_pairs,
        target_means,
        zero_is_missing,
    } = parts;
    let mut arrays = Arrays::new();
    if recipe.encoding() == Encoding::Standardised {
        let n = vec![fill.len()];
        arrays.insert("recipe.fill".into(), Array::F64(n.clone(), fill));
        arrays.insert("recipe.mean".into(), Array::F64(n.clone(), mean));
        arrays.insert("recipe.scale".into(), Array::F64(n.clone(), scale));
        arrays.insert("recipe.indicator".into(), Array::U8(n, indicator));
        arrays.insert("recipe.level_slot".into(), Array::U32(vec![level_slot.len()], level_slot));
    }
    if let Some(n_outputs) = target_means.first().map(TargetMeans::n_outputs) {
        let values: Vec<f64> = target_means.iter().flat_map(|means| means.values().iter().copied()).collect();
        let shape = vec![values.len() / n_outputs, n_outputs];
        arrays.insert(TARGET_MEANS.into(), Array::F64(shape, values));
    }
    if !dates.is_empty() {
        let kept: Vec<u8> = dates.iter().flat_map(|date| date.kept.map(u8::from)).collect();
        let means: Vec<f64> = dates.iter().flat_map(|date| date.mean).collect();
        let scales: Vec<f64> = dates.iter().flat_map(|date| date.scale).collect();
        let shape = vec![dates.len(), N_PARTS];
        arrays.insert("recipe.date_parts".into(), Array::U8(shape.clone(), kept));
        arrays.insert("recipe.date_mean".into(), Array::F64(shape.clone(), means));
        arrays.insert("recipe.date_scale".into(), Array::F64(shape, scales));
    }
    if !zero_is_missing.is_empty() {
        arrays.insert(ZERO_IS_MISSING.into(), Array::U8(vec![zero_is_missing.len()], zero_is_missing));
    }
    if !date_pairs.is_empty() {
        let features: Vec<u32> = date_pairs.iter().flatten().map(|&feature| feature as u32).collect();
        arrays.insert(DATE_PAIRS.into(), Array::U32(vec![date_pairs.len(), 2], features));
    }
    if !pairs.is_empty() {
        let numbers = |Scale { fill, mean, scale }: &Scale| [*fill, *mean, *scale];
        let values: Vec<f64> = pairs.iter().flatten().flat_map(numbers).collect();
        arrays.insert(PAIRS.into(), Array::F64(vec![pairs.len(), 2, 3], values));
    }
    if !vocabularies.is_empty() {
        let mut u32s = |name: &str, values: Vec<u32>| {
            arrays.insert(format!("recipe.{name}"), Array::U32(vec![values.len()], values));
        };
        u32s("vocabulary_sizes", vocabularies.iter().map(|vocabulary| vocabulary.len() as u32).collect());
        u32s("terms", vocabularies.iter().flat_map(|v| v.terms.iter().copied()).collect());
        let idf: Vec<f64> = vocabularies.into_iter().flat_map(|vocabulary| vocabulary.idf).collect();
        arrays.insert("recipe.idf".into(), Array::F64(vec![idf.len()], idf));
        arrays.insert("recipe.dense_texts".into(), Array::U8(vec![1], vec![u8::from(dense_texts)]));
    }
    arrays
}

fn take_parts(encoding: Encoding, schema: &Schema, arrays: &mut Arrays) -> Result<Parts> {
    let mut parts = Parts::default();
    if encoding == Encoding::Standardised {
        parts = Parts {
            fill: take_f64(arrays, "recipe.fill")?,
            mean: take_f64(arrays, "recipe.mean")?,
            scale: take_f64(arrays, "recipe.scale")?,
            indicator: take_u8(arrays, "recipe.indicator")?,
            level_slot: take_u32(arrays, "recipe.level_slot")?,
            ..parts
        };
    }
    if arrays.contains_key(ZERO_IS_MISSING) {
        parts.zero_is_missing = take_u8(arrays, ZERO_IS_MISSING)?;
    }
    if let Some(Array::F64(shape, values)) = arrays.remove(TARGET_MEANS) {
        let n_outputs = shape.get(1).copied().filter(|&n| n > 0 && shape.len() == 2);
        let n_outputs = n_outputs.context("the means of the target have no shape")?;
        let mut rest = values.as_slice();
        for feature in schema.features.iter().filter(|feature| feature.levels.len() > MAX_LEVEL_SLOTS) {
            let split =
                (feature.levels.len() + 1).checked_mul(n_outputs).and_then(|n| rest.split_at_checked(n));
            let (of_feature, behind) = split.context("a mean of the target is missing")?;
            parts.target_means.push(TargetMeans::of_values(n_outputs, of_feature.to_vec()));
            rest = behind;
        }
        ensure!(
            rest.is_empty() && !parts.target_means.is_empty(),
            "a mean of the target belongs to no level"
        );
    }
    if schema.dates().next().is_some() {
        let kept = take_u8(arrays, "recipe.date_parts")?;
        let (means, scales) = (take_f64(arrays, "recipe.date_mean")?, take_f64(arrays, "recipe.date_scale")?);
        ensure!(
            means.len() == kept.len() && scales.len() == kept.len() && kept.len() % N_PARTS == 0,
            "the parts of dates do not have one mean and scale each"
        );
        let chunks = kept.chunks(N_PARTS).zip(means.chunks(N_PARTS)).zip(scales.chunks(N_PARTS));
        for ((kept, mean), scale) in chunks {
            let kept: [u8; N_PARTS] = kept.try_into()?;
            let kept = kept.map(|kept| kept != 0);
            parts.dates.push(DateParts { kept, mean: mean.try_into()?, scale: scale.try_into()? });
        }
    }
    if arrays.contains_key(DATE_PAIRS) {
        let features = take_u32(arrays, DATE_PAIRS)?;
        let (date_pairs, rest) = features.as_chunks::<2>();
        ensure!(rest.is_empty() && !date_pairs.is_empty(), "the days between dates are of no two dates");
        parts.date_pairs = date_pairs.iter().map(|pair| pair.map(|feature| feature as usize)).collect();
    }
    if encoding == Encoding::Standardised && schema.pairs().next().is_some() {
        let values = take_f64(arrays, PAIRS)?;
        ensure!(values.len() % 6 == 0, "a pair does not have a scale for both numbers");
        let scale = |v: &[f64]| Scale { fill: v[0], mean: v[1], scale: v[2] };
        parts.pairs = values.chunks_exact(6).map(|v| [scale(&v[..3]), scale(&v[3..])]).collect();
    }
    if schema.vocabularies().next().is_none() {
        return Ok(parts);
    }
    let sizes = take_u32(arrays, "recipe.vocabulary_sizes")?;
    let (terms, idf) = (take_u32(arrays, "recipe.terms")?, take_f64(arrays, "recipe.idf")?);
    parts.dense_texts = take_u8(arrays, "recipe.dense_texts")? == [1];
    let n_terms: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
    // The members of lists have weights only in older files.
    let all_have_weights = idf.len() == terms.len();
    let is_list = schema.vocabularies().map(|feature| schema.features[feature].takes_arrays());
    let (mut first, mut rest) = (0, idf.as_slice());
    const WRONG_SIZES: &str = "the vocabularies do not have the sizes they should have";
    ensure!(n_terms == terms.len() as u128, WRONG_SIZES);
    for (size, is_list) in sizes.into_iter().zip(is_list) {
        let range = first..first + size as usize;
        let n_weights = if idf.is_empty() || (is_list && !all_have_weights) { 0 } else { range.len() };
        let (idf, behind) = rest.split_at_checked(n_weights).context(WRONG_SIZES)?;
        parts.vocabularies.push(Vocabulary { terms: terms[range.clone()].to_vec(), idf: idf.to_vec() });
        (first, rest) = (range.end, behind);
    }
    ensure!(rest.is_empty() && first == terms.len(), WRONG_SIZES);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn trained(file: &str, algorithm: &str) -> Model {
        let path = format!("{}/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        Plan { algorithm: algorithm.into(), ..Plan::new(path) }.train().unwrap()
    }

    #[test]
    fn a_model_that_is_saved_again_is_the_same_file() {
        for (file, algorithm) in [
            ("penguins.csv", "logreg"),
            ("visits.csv", "forest"),
            ("rentals.csv", "boost"),
            ("intents.csv", "bayes"),
        ] {
            let bytes = to_bytes(&trained(file, algorithm)).unwrap();
            let again = read(&bytes[..], bytes.len() as u64).unwrap();
            assert!(to_bytes(&again).unwrap() == bytes, "{file} {algorithm}");
        }
    }

    #[test]
    fn members_of_lists_have_the_weights_that_older_programs_gave_them_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let row = |i: usize| {
            let tags: Vec<&str> = (0..5)
                .filter(|bit| (i % 31 + 1) >> bit & 1 == 1)
                .map(|bit| ["a", "b", "c", "d", "e"][bit])
                .collect();
            format!(
                "{},the word {i} of many words {},{}\n",
                tags.join("|"),
                i * 7 % 11,
                ["x", "y"][i % 3 / 2]
            )
        };
        fs::write(&path, format!("tags,said,y\n{}", (0..90).map(row).collect::<String>())).unwrap();
        let path = path.to_str().unwrap();
        let mut model = Plan { algorithm: "logreg".into(), ..Plan::new(path) }.train().unwrap();
        let is_weighted = |model: &Model| -> Vec<bool> {
            model.pipeline.members[0].recipe.parts().vocabularies.iter().map(|v| !v.idf.is_empty()).collect()
        };
        assert_eq!(is_weighted(&model), [false, true]);
        let bytes = to_bytes(&model).unwrap();
        let new = read(&bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(new.pipeline.members[0].recipe, model.pipeline.members[0].recipe);
        // As older programs wrote it: the terms of each text have weights.
        let mut parts = model.pipeline.members[0].recipe.parts();
        parts.vocabularies[0].idf = (0..parts.vocabularies[0].len()).map(|i| 1.5 + i as f64).collect();
        let recipe = Recipe::from_parts(&model.pipeline.schema, Encoding::Standardised, &parts).unwrap();
        model.pipeline.members[0].recipe = Arc::new(recipe);
        let bytes = to_bytes(&model).unwrap();
        let old = read(&bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(is_weighted(&old), [true, true]);
        assert_eq!(old.pipeline.scores(&old.golden), model.pipeline.scores(&model.golden));
        assert_ne!(old.pipeline.scores(&old.golden), new.pipeline.scores(&new.golden));
    }

    #[test]
    fn an_ensemble_that_is_saved_again_is_the_same_file_and_stores_a_recipe_once() {
        for (file, algorithms) in [
            ("penguins.csv", ["logreg", "svm", "tree", "forest"]),
            ("visits.csv", ["boost", "logreg", "bayes", "tree"]),
            ("intents.csv", ["logreg", "tree", "bayes", "svm"]),
        ] {
            let [first, others @ ..] = algorithms.map(|algorithm| trained(file, algorithm));
            let Model { card, pipeline, golden, reference } = first;
            let others = others.into_iter().map(|model| model.pipeline);
            let pipelines = std::iter::once(pipeline).chain(others).collect();
            let pipeline = Pipeline::blend(pipelines, &[0.1, 0.2, 0.3, 0.4]).unwrap();
            let model = Model { card, pipeline, golden, reference };
            assert_eq!(format_version(&model.pipeline, &Reference::default()), 10);
            let bytes = to_bytes(&model).unwrap();
            let again = read(&bytes[..], bytes.len() as u64).unwrap();
            assert!(to_bytes(&again).unwrap() == bytes, "{file}");
            assert_eq!(again.pipeline.scores(&model.golden), model.pipeline.scores(&model.golden), "{file}");
            let firsts = |model: &Model| [0, 1, 2, 3].map(|i| model.pipeline.first_with_recipe_of(i));
            assert_eq!(firsts(&again), firsts(&model), "{file}");
            let arrays = Container::open(&bytes[..], bytes.len() as u64).unwrap().arrays().unwrap();
            for (i, first) in firsts(&model).into_iter().enumerate() {
                let recipe = format!("member.{i}.recipe.");
                let own = arrays.keys().any(|name| name.starts_with(&recipe));
                assert!(!own || first == i, "{file} {i}");
            }
        }
    }

    #[test]
    fn what_is_undone_to_predictions_is_stored_and_what_cannot_be_undone_is_refused() {
        let values: Vec<f64> = (0..300).map(|i| f64::from(i).powi(3) - 1e6).collect();
        let mut model = trained("diabetes.csv", "ridge");
        let plain = model.pipeline.scores(&model.golden);
        for (target, version) in [
            (TargetTransform::standardised(&values), 6),
            (TargetTransform::yeo_johnson(&values), 7),
            (TargetTransform::rank(&values), 7),
        ] {
            model.pipeline.members[0].target = target.clone();
            assert_eq!(format_version(&model.pipeline, &Reference::default()), version);
            let bytes = to_bytes(&model).unwrap();
            let again = read(&bytes[..], bytes.len() as u64).unwrap();
            assert_eq!(again.pipeline.members[0].target, target);
            assert!(to_bytes(&again).unwrap() == bytes);
            let scores = again.pipeline.scores(&model.golden);
            let by_hand: Vec<f64> = plain.values().iter().map(|&score| target.invert(score)).collect();
            assert_eq!(scores.values(), by_hand);
        }
        let TargetTransform::Rank { knots, .. } = &mut model.pipeline.members[0].target else {
            unreachable!()
        };
        knots.scores.swap(0, 1);
        let bytes = to_bytes(&model).unwrap();
        let error = format!("{:#}", read(&bytes[..], bytes.len() as u64).unwrap_err());
        assert!(error.contains("the transform of the target is not one that can be undone"), "{error}");
    }

    #[test]
    fn the_format_version_is_the_oldest_that_holds_the_model() {
        for (file, version) in [("iris.csv", 1), ("intents.csv", 2)] {
            let Model { pipeline, reference, .. } = trained(file, "bayes");
            assert_eq!(format_version(&pipeline, &reference), 10, "{file}");
            assert_eq!(format_version(&pipeline, &Reference::default()), version, "{file}");
        }
        // The last one is of graphs, which other builds do not read.
        let newest = if cfg!(feature = "import") { FORMAT_VERSION } else { FORMAT_VERSION - 1 };
        for version in 1..=newest {
            let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models")).unwrap();
            let prefix = format!("format-{version}-");
            for entry in
                folder.map(Result::unwrap).filter(|e| e.file_name().to_string_lossy().starts_with(&prefix))
            {
                let Model { pipeline, reference, .. } = load(entry.path()).unwrap();
                assert_eq!(format_version(&pipeline, &reference), version, "{:?}", entry.path());
            }
        }
    }

    #[test]
    fn golden_rows_are_spread_over_the_training_rows() {
        let rows: Vec<usize> = (100..200).collect();
        assert_eq!(golden_rows(&rows), [100, 120, 140, 160, 180]);
        assert_eq!(golden_rows(&rows[..3]), [100, 101, 102]);
        assert!(golden_rows(&[]).is_empty());
    }

    #[test]
    fn golden_rows_that_are_predicted_otherwise_make_a_file_unusable() {
        let model = trained("iris.csv", "tree");
        let rows = [0, 1].map(|i| to_raw_value(&model.pipeline.schema.values_of(&model.golden, i)).unwrap());
        let rows: Vec<&RawValue> = rows.iter().map(|row| &**row).collect();
        let mut scores = model.pipeline.scores(&model.golden).values()[..6].to_vec();
        assert!(check_golden(&model.pipeline, &rows, &scores).is_ok());
        scores[4] += 2.0 * GOLDEN_TOLERANCE;
        assert!(check_golden(&model.pipeline, &rows, &scores).is_err());
        scores[4] = f64::NAN;
        assert!(check_golden(&model.pipeline, &rows, &scores).is_err());
        assert!(check_golden(&model.pipeline, &rows, &scores[..3]).is_err());
        assert!(check_golden(&model.pipeline, &[], &[]).is_err(), "nothing was tested");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_atomically(&path, b"new").unwrap();
        let ordinary = mode();
        for kept in [0o600, 0o640, 0o444] {
            fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
            write_atomically(&path, b"newer").unwrap();
            assert_eq!((mode(), fs::read(&path).unwrap().as_slice()), (kept, &b"newer"[..]));
        }
        assert_eq!(ordinary & 0o600, 0o600);
    }

    #[test]
    fn files_that_killed_writers_left_behind_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
            file
        };
        make(".mlapi-old.tmp", 3600);
        make(".mlapi-young.tmp", 1);
        make("other.tmp", 3600);
        let alive = make(".mlapi-alive.tmp", 3600);
        alive.lock().unwrap();
        write_atomically(&folder.path().join("m"), b"new").unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".mlapi-alive.tmp", ".mlapi-young.tmp", "m", "other.tmp"]);
    }

    #[test]
    fn a_damaged_recipe_of_dates_is_refused_with_what_is_wrong() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models/format-3-dates.mlapi");
        let Pipeline { schema, members, .. } = load(path).unwrap().pipeline;
        let recipe = &members[0].recipe;
        let n = schema.dates().count() * N_PARTS;
        let damaged = |name: &str, array: Option<Array>| {
            let mut arrays = recipe_arrays(recipe);
            assert!(arrays.remove(name).is_some(), "{name}");
            arrays.extend(array.map(|array| (name.to_string(), array)));
            let recipe = take_parts(recipe.encoding(), &schema, &mut arrays)
                .and_then(|parts| Recipe::from_parts(&schema, recipe.encoding(), &parts));
            format!("{:#}", recipe.unwrap_err())
        };
        let u8s = |n, value| Some(Array::U8(vec![n], vec![value; n]));
        let f64s = |n, value| Some(Array::F64(vec![n], vec![value; n]));
        for (name, array, words) in [
            ("recipe.date_parts", None, "recipe.date_parts"),
            ("recipe.date_mean", None, "recipe.date_mean"),
            ("recipe.date_parts", u8s(n - 1, 1), "one mean and scale each"),
            ("recipe.date_scale", f64s(n + 1, 1.0), "one mean and scale each"),
            ("recipe.date_parts", u8s(n, 0), "the recipe of a date has no slot"),
            ("recipe.date_mean", f64s(n, f64::NAN), "not finite"),
            ("recipe.date_scale", f64s(n, 0.0), "not finite"),
        ] {
            let message = damaged(name, array);
            assert!(message.contains(words), "{name}: {message}");
        }
    }
}
