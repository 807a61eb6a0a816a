//! API keys (bearer tokens), several at a time so that they can be rotated without downtime, and which of them are an
//! admin's.
//!
//! Only the SHA-256 of a key is kept, and a token is compared with all of them in constant time. Rate limits are in
//! [`super::rate`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

/// A shorter key can be guessed: 16 characters of 64 kinds are 96 bits.
const MIN_KEY_BYTES: usize = 16;

/// The largest file of keys.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    /// The key's name in the log.
    name: String,
    sha256: [u8; 32],
    is_admin: bool,
}

/// The key of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The key's name in the log.
    pub(crate) name: String,
    /// The key's number for rate limits and feedback.
    pub(crate) number: u64,
    /// Whether it may reload models and keys.
    pub(crate) is_admin: bool,
}

/// Marks an admin's key, behind it: a key holds no space, so no other key can end like this.
const ADMIN: &str = " admin";

/// The keys of a server; without any, no key is needed.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    file: Option<PathBuf>,
    /// The keys of the environment variable.
    given: Vec<Key>,
    current: ArcSwap<Vec<Key>>,
}

impl Keys {
    /// The keys of a file (one a line) and of `given` (separated by commas), each `KEY` or `NAME:KEY`, an admin's with
    /// [`ADMIN`] behind it. A key that is the only one is its owner's, who needs no mark to be the admin.
    ///
    /// # Errors
    /// A file that cannot be read or holds no key, or a key that is too short.
    pub(crate) fn load(file: Option<&Path>, given: Option<&str>) -> Result<Self> {
        let given = given.map_or(Ok(Vec::new()), |text| parse(text.split(','), "MLAPI_API_KEYS"))?;
        let keys = Self { file: file.map(Path::to_path_buf), given, current: ArcSwap::default() };
        keys.reload()?;
        Ok(keys)
    }

    /// Reads the file again; if that fails the keys stay as they are.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub(crate) fn reload(&self) -> Result<()> {
        let mut keys = self.given.clone();
        if let Some(path) = &self.file {
            let source = path.display().to_string();
            let length = std::fs::metadata(path).with_context(|| format!("cannot read {source}"))?.len();
            ensure!(length <= MAX_FILE_BYTES, "{source} is larger than any file of keys ({length} bytes)");
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {source}"))?;
            keys.extend(parse(text.lines(), &source)?);
        }
        if let [only] = keys.as_mut_slice() {
            only.is_admin = true;
        }
        self.current.store(Arc::new(keys));
        Ok(())
    }

    /// The file they are read from.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether requests need a key.
    pub(crate) fn are_required(&self) -> bool {
        !self.current.load().is_empty()
    }

    /// The holder of the key in an `Authorization` header.
    pub(crate) fn holder(&self, authorization: Option<&HeaderValue>) -> Option<Holder> {
        let (scheme, token) = authorization?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let shown: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
        let keys = self.current.load();
        let mut found = None;
        for key in keys.iter() {
            if same(&key.sha256, &shown) {
                found = Some(key);
            }
        }
        let key = found?;
        let number = key.sha256.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte));
        Some(Holder { name: key.name.clone(), number, is_admin: key.is_admin })
    }
}

/// Whether two digests are equal, in constant time.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    difference == 0
}

fn parse<'a>(lines: impl Iterator<Item = &'a str>, source: &str) -> Result<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    for (i, line) in lines.enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = i + 1;
        let (line, is_admin) = match line.strip_suffix(ADMIN) {
            Some(line) => (line.trim_end(), true),
            None => (line, false),
        };
        let (name, key) = match line.split_once(':') {
            Some((name, key)) => (name.trim().to_string(), key.trim()),
            None => (format!("key-{place}"), line),
        };
        ensure!(
            key.len() >= MIN_KEY_BYTES && key.bytes().all(|b| b.is_ascii_graphic()),
            "{source}, key {place}: a key is at least {MIN_KEY_BYTES} visible ASCII characters without spaces; \
             `openssl rand -hex 24` makes one"
        );
        keys.push(Key { name, sha256: Sha256::digest(key.as_bytes()).into(), is_admin });
    }
    ensure!(
        !keys.is_empty(),
        "{source} holds no key; write one a line, KEY or NAME:KEY, and \" admin\" behind the key of an admin"
    );
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_keys_opens_and_nothing_else_does() {
        let keys = Keys::load(None, Some("web:0123456789abcdef,fedcba9876543210")).unwrap();
        let holder = |text: &str| keys.holder(Some(&HeaderValue::from_str(text).unwrap())).map(|h| h.name);
        assert_eq!(holder("Bearer 0123456789abcdef"), Some("web".into()));
        assert_eq!(holder("bearer fedcba9876543210"), Some("key-2".into()));
        for wrong in
            ["Bearer 0123456789abcdeF", "Bearer ", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(holder(wrong), None, "{wrong}");
        }
        assert!(keys.holder(None).is_none() && keys.are_required());
        assert!(!Keys::default().are_required());
    }

    #[test]
    fn only_a_marked_key_is_an_admins_or_one_that_is_alone() {
        let is_admin = |keys: &str, key: &str| {
            let header = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
            Keys::load(None, Some(keys)).unwrap().holder(Some(&header)).unwrap().is_admin
        };
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        assert!(is_admin(one, one) && is_admin(&format!("web:{one}"), one));
        let unmarked = format!("{one},admin:{other}");
        assert!(!is_admin(&unmarked, one) && !is_admin(&unmarked, other), "a name is no mark");
        let marked = format!("shop:{one},ops:{other} admin");
        assert!(!is_admin(&marked, one) && is_admin(&marked, other));
        let key_with_colon = format!("admin:{one}:x , {other} \t admin");
        assert!(is_admin(&key_with_colon, other) && !is_admin(&key_with_colon, &format!("{one}:x")));
        let error = Keys::load(None, Some(&format!("{one} root"))).unwrap_err().to_string();
        assert!(error.contains("without spaces"), "{error}");
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, "# for the shop\nshop: 0123456789abcdef\n").unwrap();
        let keys = Keys::load(Some(&path), None).unwrap();
        let opens =
            |key| keys.holder(Some(&HeaderValue::from_str(&format!("Bearer {key}")).unwrap())).is_some();
        std::fs::write(&path, "short\n").unwrap();
        assert!(keys.reload().unwrap_err().to_string().contains("at least 16"));
        assert!(opens("0123456789abcdef"));
        std::fs::write(&path, "shop:aaaaaaaaaaaaaaaa\n").unwrap();
        keys.reload().unwrap();
        assert!(!opens("0123456789abcdef") && opens("aaaaaaaaaaaaaaaa"));
        std::fs::write(&path, "\n").unwrap();
        assert!(keys.reload().is_err() && keys.are_required(), "an empty file does not open the door");
    }
}
