//! The pages for people: one to try the models, and the API document to read.
//!
//! A page is one skeleton of HTML that loads a script and the style sheet from the server, and nothing from elsewhere;
//! the scripts ask the API as any client does. The files are compiled in compressed. Every address in them is relative
//! to the server's root, so that they work behind a proxy that serves them under a path.

use std::io::Read;

use flate2::read::GzDecoder;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use crate::server::endpoints::Operation;
use crate::server::error::Failure;
use crate::server::wire::body::{Body, Response};

/// Nothing but the server itself, no script or style in the HTML, no frames, no forms that are sent.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Declares the compiled files: the name of each, and its bytes compressed.
macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("packed/", $name, ".gz")))),*]
    };
}

/// The files of the pages, compressed with gzip.
static FILES: [(&str, &[u8]); 12] = files! {
    "app.js" "charts.js" "docs.js" "form.js" "live.js" "model.js" "page.css" "page.html" "shared.js" "snippets.js" "table.js"
    "words.js"
};

fn packed(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // The files are compiled in, and a test reads each.
    let _ = GzDecoder::new(packed).read_to_end(&mut bytes);
    bytes
}

/// Whether an operation is a page or a file of one that is for this client: the path of the page is no endpoint for
/// clients of the API, which do not accept HTML.
pub(crate) fn is_for(operation: Operation, headers: &HeaderMap) -> bool {
    operation != Operation::Page || weight(headers, &ACCEPT, "text/html") > 0.0
}

/// The weight that a header such as `Accept` gives a value by its name (RFC 9110, section 12.4.2); 0 if it is not named.
fn weight(headers: &HeaderMap, name: &HeaderName, value: &str) -> f64 {
    let lists = headers.get_all(name).iter().filter_map(|list| list.to_str().ok());
    let weights = lists.flat_map(|list| list.split(',')).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        // "zh" is also meant by "zh-CN".
        let named = parts.next()?;
        let is_it = named.get(..value.len())?.eq_ignore_ascii_case(value)
            && named[value.len()..].bytes().next().is_none_or(|next| next == b'-');
        let given = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        is_it.then_some(given.unwrap_or(1.0))
    });
    weights.fold(0.0, f64::max)
}

/// `GET /`, `GET /models/NAME/` and `GET /docs`.
pub(crate) fn page(operation: Operation, head: &Parts) -> Response {
    let is_docs = operation == Operation::Docs;
    let is_chinese =
        weight(&head.headers, &ACCEPT_LANGUAGE, "zh") > weight(&head.headers, &ACCEPT_LANGUAGE, "en");
    let skeleton = packed("page.html").map(unpacked).unwrap_or_default();
    let html = String::from_utf8_lossy(&skeleton)
        .replace("{lang}", if is_chinese { "zh" } else { "en" })
        .replace("{root}", if head.uri.path().starts_with("/models/") { "../../" } else { "" })
        .replace("{script}", if is_docs { "docs" } else { "app" });
    let mut response = response(head, "text/html; charset=utf-8", html.into_bytes(), None);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-language"));
    response
}

/// `GET /page/…`: a script or the style sheet.
///
/// # Errors
/// There is no file of this name.
pub(crate) fn asset(head: &Parts) -> Result<Response, Failure> {
    let name = head.uri.path().rsplit('/').next().unwrap_or_default();
    let packed = packed(name).ok_or(Failure::NotFound)?;
    let content_type = if name.ends_with(".css") { STYLE } else { SCRIPT };
    let mut response = if weight(&head.headers, &ACCEPT_ENCODING, "gzip") > 0.0 {
        response(head, content_type, packed.to_vec(), Some("gzip"))
    } else {
        response(head, content_type, unpacked(packed), None)
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// A response that is kept by the client and asked for again: 304 if the client has this one.
fn response(
    head: &Parts,
    content_type: &'static str,
    body: Vec<u8>,
    encoding: Option<&'static str>,
) -> Response {
    let digest = Sha256::digest(&body);
    let tag: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = head.headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).map(str::trim).any(|known| {
        // A proxy that compresses makes a weak tag of a strong one.
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = Response::new(if is_known { Body::Whole(None) } else { body.into() });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    // Asked for each time, and answered 304: another version of the server shows its own page at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::endpoints::{ENDPOINTS, Route};
    use std::path::{Path, PathBuf};

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/page")
    }

    #[test]
    fn packed_files_are_those_of_the_folder() {
        for (name, packed) in FILES {
            let source = std::fs::read(folder().join(name)).unwrap();
            if std::env::var_os("MLAPI_BLESS").is_some() && unpacked(packed) != source {
                let mut encoder = flate2::read::GzEncoder::new(&source[..], flate2::Compression::best());
                let mut out = Vec::new();
                encoder.read_to_end(&mut out).unwrap();
                std::fs::write(folder().join(format!("packed/{name}.gz")), out).unwrap();
                continue;
            }
            assert!(
                unpacked(packed) == source,
                "packed/{name}.gz is out of date; MLAPI_BLESS=1 cargo test --lib packed_files"
            );
        }
    }

    #[test]
    fn files_are_small_and_load_nothing_from_elsewhere() {
        let mut total = 0;
        for (name, packed) in FILES {
            let text = String::from_utf8(unpacked(packed)).unwrap();
            total += text.len();
            for refused in ["innerHTML", "eval(", "new Function", "@import", "src=\"http", "href=\"http"] {
                assert!(!text.contains(refused), "{name}: {refused}");
            }
            assert!(!name.ends_with(".css") || !text.contains("url("), "{name}");
            assert!(
                !name.ends_with(".html") || !text.contains(" style=") && !text.contains("<style"),
                "{name}"
            );
        }
        assert!(total < 150_000, "{total} bytes");
    }

    #[test]
    fn every_path_below_page_is_a_file_and_every_file_has_a_path() {
        let asset = ENDPOINTS.iter().find(|endpoint| endpoint.operation == Operation::Asset).unwrap();
        let paths: Vec<&str> = std::iter::once(asset.path).chain(asset.aliases.iter().copied()).collect();
        for path in &paths {
            let name = path.strip_prefix("/page/").unwrap();
            assert!(packed(name).is_some(), "{path}");
            assert_eq!(Route::of(path).endpoint.unwrap().id, "asset");
        }
        assert_eq!(paths.len(), FILES.len() - 1, "the skeleton has the paths of its pages");
    }

    #[test]
    fn weights_are_those_of_the_header() {
        let with =
            |text: &'static str| HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(text))]);
        let of = |text, value| weight(&with(text), &ACCEPT_LANGUAGE, value);
        assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8", "zh"), 1.0);
        assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8", "en"), 0.8);
        assert_eq!((of("de", "en"), of("english", "en"), of("en; q=0", "en")), (0.0, 0.0, 0.0));
        assert!(!is_for(Operation::Page, &HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))])));
        let browser = HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(is_for(Operation::Page, &HeaderMap::from_iter([(ACCEPT, browser)])));
    }
}
