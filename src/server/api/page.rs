//! The table of endpoints as pages to read: the one that `serve --help` shows, and docs/http.md.

use std::fmt::Write;

use crate::server::endpoints::{ENDPOINTS, Endpoint, Tag};

/// Width of the column of methods and paths in [`help`].
const PATH_WIDTH: usize = 32;

/// The endpoints as a page for a terminal: by tag, each with its paths and its summary.
pub fn help() -> String {
    let mut page = String::new();
    for tag in Tag::ALL {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(page, "{}", tag.description());
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.tag == tag) {
            let method = endpoint.method.name();
            let _ = writeln!(page, "  {method:<4} {:<PATH_WIDTH$}{}", endpoint.path, summary(endpoint));
            if let Some(path) = endpoint.named {
                let _ = writeln!(page, "       {path:<PATH_WIDTH$}the same for a model by its name");
            }
        }
        page.push('\n');
    }
    let paths = |wanted: fn(&&Endpoint) -> bool| -> String {
        ENDPOINTS.iter().filter(wanted).map(|endpoint| endpoint.path).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(page, "Without a key, even if the server asks for keys: {}.", paths(|e| e.open));
    let _ = write!(page, "Only if the server asks for keys: {}.", paths(|e| e.only_with_keys));
    page
}

/// The summary of an endpoint without the names of a model and its target.
fn summary(endpoint: &Endpoint) -> String {
    let model = if endpoint.of_a_model { "the model" } else { "a model" };
    let summary = endpoint.summary_of(model, "the target");
    let mut letters = summary.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::answer::MAX_LISTED_WARNINGS;
    use crate::server::endpoints::{Route, Status};
    use crate::server::limits::Limits;

    /// docs/http.md.
    fn http_md() -> String {
        let codes = |statuses: &[Status]| -> String {
            statuses.iter().map(|status| status.code().to_string()).collect::<Vec<_>>().join(", ")
        };
        let mut endpoints = String::new();
        for tag in Tag::ALL {
            let title = match tag {
                Tag::Predict => "Predict",
                Tag::Describe => "Describe",
                Tag::Operate => "Operate",
                Tag::V2 => "Open Inference Protocol",
                Tag::Mlflow => "MLflow",
                Tag::Page => "Pages",
            };
            let head = "| request | answer | failures | key |\n|---|---|---|---|\n";
            let _ = write!(endpoints, "### {title}\n\n{}\n\n{head}", tag.description());
            for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.tag == tag) {
                let own: Vec<Status> =
                    endpoint.failures_at(endpoint.named.unwrap_or(endpoint.path), false, false);
                let own: Vec<Status> = own.into_iter().filter(|s| !Status::EVERYWHERE.contains(s)).collect();
                let paths: Vec<String> = endpoint
                    .documented_paths()
                    .map(|path| format!("`{} {path}`", endpoint.method.name()))
                    .collect();
                let mark = if endpoint.open { "not needed" } else { "" };
                let (paths, own) = (paths.join("<br>"), codes(&own));
                let _ = writeln!(endpoints, "| {paths} | {} | {own} | {mark} |", summary(endpoint));
            }
            endpoints.push('\n');
        }
        let mut statuses = String::new();
        for status in Status::ALL.iter().filter(|status| status.code() >= 400) {
            let _ = writeln!(statuses, "| {} | {} |", status.code(), status.meaning());
        }
        let Limits { body_bytes, header_bytes, held_bytes, rows, cells, .. } = Limits::DEFAULT;
        let Limits { connections, in_flight, streams, header_time, body_time, write_stall, .. } =
            Limits::DEFAULT;
        let per_address = Limits::DEFAULT.connections_per_address;
        let limits = [
            (
                "bytes of a request body",
                format!("{} MiB", body_bytes >> 20),
                "413; CSV and NDJSON are streamed",
            ),
            ("bytes of a request head", format!("{} KiB", header_bytes >> 10), "431"),
            ("rows of a request that is not streamed", rows.to_string(), "413"),
            ("rows × features of a JSON request, and rows × classes", cells.to_string(), "413"),
            (
                "total bytes of bodies, their rows, and answers not yet taken",
                format!("{} MiB", held_bytes >> 20),
                "503",
            ),
            ("requests being answered", in_flight.to_string(), "503"),
            ("request bodies being streamed", streams.to_string(), "the one awaited longest ends, or 503"),
            ("open connections", connections.to_string(), "the longest idle one is closed, or 503"),
            ("open connections of one address", per_address.to_string(), "the same among them"),
            (
                "time for a request head, and idle",
                format!("{} s", header_time.as_secs()),
                "the connection is closed",
            ),
            (
                "time for a request body, of a stream for each 64 KiB",
                format!("{} s", body_time.as_secs()),
                "408",
            ),
            (
                "time without progress in taking a response",
                format!("{} s", write_stall.as_secs()),
                "the connection is closed",
            ),
        ];
        let limits: Vec<String> = limits
            .iter()
            .map(|(limit, default, beyond)| format!("| {limit} | {default} | {beyond} |"))
            .collect();
        include_str!("http.txt")
            .replace("{everywhere}", &codes(&Status::EVERYWHERE))
            .replace("{endpoints}", endpoints.trim_end())
            .replace("{statuses}", statuses.trim_end())
            .replace("{limits}", &limits.join("\n"))
            .replace("{warnings}", &MAX_LISTED_WARNINGS.to_string())
    }

    #[test]
    fn http_md_in_docs_is_the_page_of_this_table() {
        let page = http_md();
        assert!(!page.contains("{{") && !page.contains("{e") && !page.contains("{limits"), "{page}");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
        if std::env::var_os("MLAPI_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == page, "docs/http.md is out of date; MLAPI_BLESS=1 cargo test --lib http_md");
    }

    /// The part of a source file before its tests.
    fn code(source: &str) -> &str {
        source.split("#[cfg(test)]").next().unwrap()
    }

    #[test]
    fn every_request_in_texts_and_messages_is_one_of_the_table() {
        let texts = [
            include_str!("http.txt"),
            include_str!("../../cli/help/serve.txt"),
            code(include_str!("../error.rs")),
        ];
        let mut n = 0;
        for text in texts {
            for (method, start) in [("GET", "GET /"), ("POST", "POST /")] {
                for (at, _) in text.match_indices(start) {
                    let path = path_at(text, at + method.len() + 1);
                    let endpoint = Route::of(path).endpoint.unwrap_or_else(|| panic!("{method} {path}"));
                    assert_eq!(endpoint.method.name(), method, "{path}");
                    n += 1;
                }
            }
        }
        assert!(n > 15, "{n} requests were found");
    }

    #[test]
    fn every_path_that_the_command_line_asks_for_or_shows_is_one_of_the_table() {
        let texts = [
            include_str!("../../cli/help/serve.txt"),
            code(include_str!("../../cli/serve.rs")),
            code(include_str!("../../cli/healthcheck.rs")),
        ];
        for text in texts {
            let mut n = 0;
            for (at, _) in text.match_indices('/') {
                let before = &text[..at];
                let starts = before.ends_with([' ', '"', '}'])
                    || before.ends_with("localhost")
                    || before.ends_with(":8080");
                if starts && text[at + 1..].starts_with(|c: char| c.is_ascii_lowercase()) {
                    let path = path_at(text, at);
                    assert!(Route::of(path).endpoint.is_some(), "{path}");
                    n += 1;
                }
            }
            assert!(n > 0, "no path was found");
        }
    }

    /// The path that begins at a byte of a text, without a full stop at its end.
    fn path_at(text: &str, at: usize) -> &str {
        let rest = &text[at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || "/_.".contains(c);
        rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].trim_end_matches('.')
    }

    #[test]
    fn the_page_of_help_names_every_path_and_fits_a_terminal() {
        let page = help();
        for path in ENDPOINTS.iter().flat_map(Endpoint::documented_paths) {
            assert!(page.contains(&format!(" {path} ")), "{path}\n{page}");
        }
        for line in page.lines().filter(|line| line.starts_with(' ')) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
