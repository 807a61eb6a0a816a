//! Every endpoint of the HTTP interface, in one table.
//!
//! From [`ENDPOINTS`] come the router's 404, 405 and `Allow`, the route labels of the metrics, the operations of
//! the OpenAPI document, the page of `serve --help` and docs/http.md. This file imports nothing of the server.
//!
//! Longer than 600 lines because an endpoint is read best beside the others.

use std::borrow::Cow;

/// The error format of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A problem document (RFC 9457).
    Problem,
    /// The Open Inference Protocol: `{"error":"…"}`.
    V2,
    /// MLflow: `{"error_code":"…","message":"…"}`.
    Mlflow,
}

impl Dialect {
    /// The error format of a path that is no endpoint: that of the protocol whose paths look like it.
    fn of_unknown(path: &str) -> Self {
        if path == "/v2" || path.starts_with("/v2/") {
            Self::V2
        } else if path.ends_with("/invocations") {
            Self::Mlflow
        } else {
            Self::Problem
        }
    }
}

/// The request method of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// GET, and HEAD as everywhere in HTTP.
    Get,
    /// POST.
    Post,
}

impl Method {
    /// Whether an endpoint of this method answers a request of the given one.
    pub(crate) fn accepts(self, requested: &str) -> bool {
        matches!((self, requested), (Self::Get, "GET" | "HEAD") | (Self::Post, "POST"))
    }

    /// The value of `Allow`.
    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
        }
    }

    /// The method's name in documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// The group of an endpoint in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Predict,
    Describe,
    Operate,
    V2,
    Mlflow,
    /// Pages for people and their files: no part of the API, and not in its document.
    Page,
}

impl Tag {
    /// All of them, in the order of documents.
    pub(crate) const ALL: [Self; 6] =
        [Self::Predict, Self::Describe, Self::Operate, Self::V2, Self::Mlflow, Self::Page];

    /// The tag's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Describe => "describe",
            Self::Operate => "operate",
            Self::V2 => "v2",
            Self::Mlflow => "mlflow",
            Self::Page => "page",
        }
    }

    /// The endpoints of the tag in one sentence.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Predict => "Predictions for rows.",
            Self::Describe => "The models and the API.",
            Self::Operate => "Health, metrics and administration.",
            Self::V2 => "The Open Inference Protocol, for clients of KServe, Triton and MLServer.",
            Self::Mlflow => "MLflow's scoring protocol, for its clients and SageMaker's.",
            Self::Page => "Pages for people, in a browser; --no-page turns them off.",
        }
    }
}

/// Declares the statuses, so that the list of all of them and their meanings cannot miss one.
macro_rules! statuses {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        /// A status that the server answers. One that is not here can neither be answered, documented nor counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Status {
            $(#[doc = $meaning] $name = $code,)*
        }

        impl Status {
            /// All of them, in ascending order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The meaning in one sentence.
            pub(crate) fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

statuses! {
    Ok = 200, "OK";
    NoContent = 204, "The answer to a preflight request of a browser.";
    NotModified = 304, "The page that the client has is current.";
    BadRequest = 400, "The request breaks a rule of HTTP, or its body cannot be read.";
    Unauthorized = 401, "The request needs an API key.";
    Forbidden = 403, "The key is not an admin's, or the request names a host or an origin that is not allowed.";
    NotFound = 404, "No endpoint or model has this path, or the request id of a feedback is unknown.";
    MethodNotAllowed = 405, "The path takes other methods; Allow lists them.";
    Timeout = 408, "The request body did not arrive in time.";
    Conflict = 409, "Some models or the keys could not be loaded and stay as they were.";
    TooLarge = 413, "The request body has more bytes or rows than the limit.";
    UnsupportedMedia = 415, "The request body is compressed.";
    Unprocessable = 422, "The request body does not fit the model; every problem is listed with a JSON pointer.";
    TooManyRequests = 429, "The client is above its rate limit; Retry-After says when to try again.";
    HeadTooLarge = 431, "The request head has more bytes than the limit.";
    Internal = 500, "A defect of the server.";
    Unavailable = 503, "The server is at a limit or shutting down; Retry-After says when to try again.";
}

impl Status {
    /// Failures of any endpoint.
    pub(crate) const EVERYWHERE: [Self; 5] =
        [Self::BadRequest, Self::Forbidden, Self::MethodNotAllowed, Self::HeadTooLarge, Self::Internal];

    /// The status code.
    pub(crate) fn code(self) -> u16 {
        self as u16
    }
}

/// The handler that answers an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Predict,
    Rank,
    Model,
    Drift,
    Models,
    Report,
    Livez,
    Readyz,
    Metrics,
    Invocations,
    Version,
    Infer,
    V2Model,
    V2ModelReady,
    V2Server,
    V2Live,
    V2Ready,
    Openapi,
    Feedback,
    Reload,
    Page,
    Docs,
    Asset,
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its handler.
    pub(crate) operation: Operation,
    /// Its name in the OpenAPI document.
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    /// Its path; [`NAME`] stands for the name of a model.
    pub(crate) path: &'static str,
    /// The same for a model by name, if `path` is that of the default model.
    pub(crate) named: Option<&'static str>,
    /// Other spellings of the path, which are documented in prose.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) dialect: Dialect,
    /// Answered without a key, and without counting towards the rate limit: probes have none.
    pub(crate) open: bool,
    /// Exists only if the server asks for keys.
    pub(crate) only_with_keys: bool,
    /// Answered by one model, and counted for it.
    pub(crate) of_a_model: bool,
    /// The value of `route` in the metrics; several endpoints may share one.
    pub(crate) label: &'static str,
    /// Its own failures: without [`Status::EVERYWHERE`], those of keys and rate limits, and 404 for a model that
    /// does not exist.
    pub(crate) failures: &'static [Status],
    /// One line; `{model}` and `{target}` stand for the names of a model and of its target.
    pub(crate) summary: &'static str,
    pub(crate) tag: Tag,
}

/// The name of a model in paths.
pub(crate) const NAME: &str = "NAME";

/// The paths below which a model has its name.
const NAMED: [&str; 2] = ["/models/", "/v2/models/"];

/// The `route` label of a path that is no endpoint, so that clients cannot make up label values.
const OTHER: &str = "other";

/// A GET of the server itself that needs a key: the others say how they differ.
const GET: Endpoint = Endpoint {
    operation: Operation::Livez,
    id: "",
    method: Method::Get,
    path: "",
    named: None,
    aliases: &[],
    dialect: Dialect::Problem,
    open: false,
    only_with_keys: false,
    of_a_model: false,
    label: "",
    failures: &[],
    summary: "",
    tag: Tag::Operate,
};

/// A GET that needs no key.
const PROBE: Endpoint = Endpoint { open: true, ..GET };

/// A GET of the Open Inference Protocol about one model.
const V2_MODEL: Endpoint = Endpoint {
    dialect: Dialect::V2,
    of_a_model: true,
    label: "/v2/models/NAME",
    failures: &[Status::Unavailable],
    tag: Tag::V2,
    ..GET
};

/// A GET of the Open Inference Protocol about the server.
const V2_PROBE: Endpoint = Endpoint { dialect: Dialect::V2, label: "/v2", tag: Tag::V2, ..PROBE };

/// A probe for clients of MLflow.
const MLFLOW_PROBE: Endpoint = Endpoint { label: "/ping", tag: Tag::Mlflow, ..PROBE };

/// A page for people or a file of one: it holds nothing of a model, so it needs no key.
const PAGE: Endpoint = Endpoint { tag: Tag::Page, ..PROBE };

/// A POST that needs a key.
const POST: Endpoint = Endpoint { method: Method::Post, ..GET };

/// All endpoints; those that are asked most stand first, since a path is compared in this order.
pub(crate) static ENDPOINTS: [Endpoint; 25] = [
    Endpoint {
        operation: Operation::Predict,
        id: "predict",
        path: "/predict",
        named: Some("/models/NAME/predict"),
        of_a_model: true,
        label: "/predict",
        failures: &[
            Status::Timeout,
            Status::TooLarge,
            Status::UnsupportedMedia,
            Status::Unprocessable,
            Status::Unavailable,
        ],
        summary: "Predict {target} with {model}",
        tag: Tag::Predict,
        ..POST
    },
    Endpoint {
        operation: Operation::Rank,
        id: "rank",
        path: "/rank",
        named: Some("/models/NAME/rank"),
        of_a_model: true,
        label: "/rank",
        failures: &[
            Status::Timeout,
            Status::TooLarge,
            Status::UnsupportedMedia,
            Status::Unprocessable,
            Status::Unavailable,
        ],
        summary: "Order candidates by {target} with {model}",
        tag: Tag::Predict,
        ..POST
    },
    Endpoint {
        operation: Operation::Model,
        id: "model",
        path: "/model",
        named: Some("/models/NAME"),
        of_a_model: true,
        label: "/model",
        summary: "Card, schema, metrics and importances of {model}",
        tag: Tag::Describe,
        ..GET
    },
    Endpoint {
        operation: Operation::Models,
        id: "models",
        path: "/models",
        label: "/models",
        summary: "All models of the server",
        tag: Tag::Describe,
        ..GET
    },
    Endpoint {
        operation: Operation::Report,
        id: "report",
        path: "/report",
        named: Some("/models/NAME/report"),
        of_a_model: true,
        label: "/report",
        summary: "The report of {model} as a page of HTML",
        tag: Tag::Describe,
        ..GET
    },
    Endpoint {
        operation: Operation::Livez,
        id: "livez",
        path: "/livez",
        label: "/livez",
        summary: "The process is up",
        ..PROBE
    },
    Endpoint {
        operation: Operation::Readyz,
        id: "readyz",
        path: "/readyz",
        named: Some("/models/NAME/readyz"),
        label: "/readyz",
        failures: &[Status::Unavailable],
        summary: "{model} is loaded and the server is not shutting down",
        ..PROBE
    },
    Endpoint {
        operation: Operation::Metrics,
        id: "metrics",
        path: "/metrics",
        label: "/metrics",
        summary: "Counters and histograms for Prometheus",
        ..GET
    },
    Endpoint {
        operation: Operation::Drift,
        id: "drift",
        path: "/drift",
        named: Some("/models/NAME/drift"),
        of_a_model: true,
        label: "/drift",
        summary: "Drift of the latest rows of {model}; a page for a browser",
        tag: Tag::Describe,
        ..GET
    },
    Endpoint {
        operation: Operation::Invocations,
        id: "invocations",
        path: "/invocations",
        named: Some("/models/NAME/invocations"),
        dialect: Dialect::Mlflow,
        of_a_model: true,
        label: "/invocations",
        failures: &[Status::Timeout, Status::TooLarge, Status::UnsupportedMedia, Status::Unavailable],
        summary: "Predict {target} with {model}, as MLflow does",
        tag: Tag::Mlflow,
        ..POST
    },
    Endpoint {
        operation: Operation::Readyz,
        id: "ping",
        path: "/ping",
        failures: &[Status::Unavailable],
        summary: "As /readyz, for SageMaker",
        ..MLFLOW_PROBE
    },
    Endpoint {
        operation: Operation::Readyz,
        id: "health",
        path: "/health",
        failures: &[Status::Unavailable],
        summary: "As /readyz, for MLflow",
        ..MLFLOW_PROBE
    },
    Endpoint {
        operation: Operation::Version,
        id: "version",
        path: "/version",
        summary: "The version of mlapi",
        ..MLFLOW_PROBE
    },
    Endpoint {
        operation: Operation::Infer,
        id: "v2_infer",
        path: "/v2/models/NAME/infer",
        aliases: &["/v2/models/NAME/versions/1/infer"],
        dialect: Dialect::V2,
        of_a_model: true,
        label: "/v2/models/NAME/infer",
        failures: &[Status::Timeout, Status::TooLarge, Status::UnsupportedMedia, Status::Unavailable],
        summary: "Predict {target} with {model} from tensors",
        tag: Tag::V2,
        ..POST
    },
    Endpoint {
        operation: Operation::V2Model,
        id: "v2_model",
        path: "/v2/models/NAME",
        aliases: &["/v2/models/NAME/versions/1"],
        summary: "Input and output tensors of {model}",
        ..V2_MODEL
    },
    Endpoint {
        operation: Operation::V2ModelReady,
        id: "v2_model_ready",
        path: "/v2/models/NAME/ready",
        aliases: &["/v2/models/NAME/versions/1/ready"],
        summary: "{model} is loaded and the server is not shutting down",
        ..V2_MODEL
    },
    Endpoint {
        operation: Operation::V2Server,
        id: "v2_server",
        path: "/v2",
        summary: "The server's name, version and extensions",
        ..V2_PROBE
    },
    Endpoint {
        operation: Operation::V2Live,
        id: "v2_live",
        path: "/v2/health/live",
        summary: "The process is up",
        ..V2_PROBE
    },
    Endpoint {
        operation: Operation::V2Ready,
        id: "v2_ready",
        path: "/v2/health/ready",
        failures: &[Status::Unavailable],
        summary: "{model} is loaded and the server is not shutting down",
        ..V2_PROBE
    },
    Endpoint {
        operation: Operation::Openapi,
        id: "openapi",
        path: "/openapi.json",
        label: "/openapi.json",
        summary: "All endpoints as an OpenAPI 3.1 document",
        tag: Tag::Describe,
        ..GET
    },
    Endpoint {
        operation: Operation::Feedback,
        id: "feedback",
        path: "/feedback",
        label: "/feedback",
        failures: &[
            Status::NotFound,
            Status::Timeout,
            Status::TooLarge,
            Status::Unprocessable,
            Status::Unavailable,
        ],
        summary: "Report the true labels of earlier predictions",
        ..POST
    },
    Endpoint {
        operation: Operation::Reload,
        id: "reload",
        path: "/admin/reload",
        only_with_keys: true,
        label: "/admin/reload",
        failures: &[Status::Conflict],
        summary: "Load the models and the keys again",
        ..POST
    },
    Endpoint {
        operation: Operation::Page,
        id: "page",
        path: "/",
        named: Some("/models/NAME/"),
        label: "/",
        summary: "A page to try {model}; only for clients that accept text/html",
        ..PAGE
    },
    Endpoint {
        operation: Operation::Docs,
        id: "docs",
        path: "/docs",
        label: "/docs",
        summary: "The API document as a page to read",
        ..PAGE
    },
    Endpoint {
        operation: Operation::Asset,
        id: "asset",
        path: "/page/page.css",
        aliases: &ASSETS,
        label: "/page",
        summary: "The style sheet of these pages; /page/ also has their scripts",
        ..PAGE
    },
];

/// The scripts of the pages.
const ASSETS: [&str; 10] = [
    "/page/app.js",
    "/page/charts.js",
    "/page/docs.js",
    "/page/form.js",
    "/page/live.js",
    "/page/model.js",
    "/page/shared.js",
    "/page/snippets.js",
    "/page/table.js",
    "/page/words.js",
];

impl Endpoint {
    /// The paths that documents list: that of the default model or the server, and that of a model by name.
    pub(crate) fn documented_paths(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.path).chain(self.named)
    }

    fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.documented_paths().chain(self.aliases.iter().copied())
    }

    /// The failures at one of its paths, in ascending order; those of a server with keys and a rate limit only
    /// if there are.
    pub(crate) fn failures_at(&self, path: &str, keys: bool, rate: bool) -> Vec<Status> {
        let is_named = path.contains(NAME);
        let may_be = |status: &Status| match status {
            Status::Unauthorized => keys && !self.open,
            Status::TooManyRequests => rate && !self.open,
            Status::NotFound if is_named => true,
            status => Status::EVERYWHERE.contains(status) || self.failures.contains(status),
        };
        Status::ALL.iter().copied().filter(may_be).collect()
    }

    /// The summary of the endpoint for a model and its target.
    pub(crate) fn summary_of(&self, model: &str, target: &str) -> String {
        self.summary.replace("{model}", model).replace("{target}", target)
    }

    /// Whether the table lists this status for this endpoint, on a server with keys and a rate limit. The check is
    /// per endpoint: a status of its path with a model's name counts for its path without. A preflight is answered
    /// anywhere.
    pub(crate) fn may_answer(&self, status: u16) -> bool {
        [Status::Ok, Status::NoContent, Status::NotModified].iter().any(|known| known.code() == status)
            || self
                .failures_at(self.named.unwrap_or(self.path), true, true)
                .iter()
                .any(|known| known.code() == status)
    }
}

/// The endpoint of a path, if there is one, and the model that the path names.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) endpoint: Option<&'static Endpoint>,
    /// The model that is named; `None` for the default.
    pub(crate) model: Option<Cow<'a, str>>,
    /// The error format of the path.
    pub(crate) dialect: Dialect,
    /// The position of its label in [`labels`].
    pub(crate) label: usize,
}

impl<'a> Route<'a> {
    /// Looks a path up, without its query.
    pub(crate) fn of(path: &'a str) -> Self {
        let named = NAMED.iter().find_map(|start| {
            let rest = path.strip_prefix(start)?;
            let (name, action) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            Some((start, name, action))
        });
        let is_it = |template: &str| match named {
            None => template == path,
            Some((start, _, action)) => {
                template.strip_prefix(start).and_then(|rest| rest.strip_prefix(NAME)) == Some(action)
            }
        };
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.paths().any(is_it));
        Self {
            endpoint,
            model: named.map(|(_, name, _)| unescape(name)),
            dialect: endpoint.map_or_else(|| Dialect::of_unknown(path), |endpoint| endpoint.dialect),
            label: endpoint.and_then(|endpoint| labelled(endpoint.label)).unwrap_or(OTHER_LABEL),
        }
    }
}

/// Slots for counting by label: one for each endpoint, of which the first with a label is used, and one for the
/// paths that are none.
pub(crate) const N_LABELS: usize = ENDPOINTS.len() + 1;

/// The slot of requests whose path is no endpoint, or was not read.
pub(crate) const OTHER_LABEL: usize = N_LABELS - 1;

fn labelled(label: &str) -> Option<usize> {
    ENDPOINTS.iter().position(|endpoint| endpoint.label == label)
}

/// The `route` labels of metrics with their slots.
pub(crate) fn labels() -> impl Iterator<Item = (usize, &'static str)> {
    let labels = ENDPOINTS.iter().map(|endpoint| endpoint.label).enumerate();
    labels.filter(|(i, label)| labelled(label) == Some(*i)).chain([(OTHER_LABEL, OTHER)])
}

/// A part of a path without its percent-encoding (RFC 3986, section 2.1); unchanged if that is malformed.
fn unescape(part: &str) -> Cow<'_, str> {
    let decoded = || {
        let mut bytes = Vec::with_capacity(part.len());
        let mut rest = part.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let (digits, after) = rest.split_at_checked(2)?;
            let hex = |digit: u8| char::from(digit).to_digit(16);
            bytes.push((hex(digits[0])? * 16 + hex(digits[1])?) as u8);
            rest = after;
        }
        String::from_utf8(bytes).ok()
    };
    if part.contains('%') { decoded().map_or(part.into(), Cow::from) } else { part.into() }
}

/// A name as a part of a path (RFC 3986, section 2.3).
pub(crate) fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_of_the_table_leads_to_its_own_endpoint() {
        let mut paths = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for endpoint in &ENDPOINTS {
            assert!(ids.insert(endpoint.id), "{} twice", endpoint.id);
            for path in endpoint.paths() {
                assert!(paths.insert(path), "{path} twice");
                let asked = path.replace(NAME, "a%20b");
                let route = Route::of(&asked);
                assert_eq!(route.endpoint.unwrap().id, endpoint.id, "{path}");
                assert_eq!(route.model.as_deref(), path.contains(NAME).then_some("a b"), "{path}");
                let label = labels().find(|(slot, _)| *slot == route.label).unwrap().1;
                assert_eq!(label, endpoint.label);
                // So that a path with a typing error is refused in the words of the protocol it belongs to.
                assert_eq!(Dialect::of_unknown(path), endpoint.dialect, "{path}");
            }
        }
    }

    #[test]
    fn rows_of_the_table_are_complete_and_agree_with_themselves() {
        for endpoint in &ENDPOINTS {
            let Endpoint { id, summary, label, failures, .. } = endpoint;
            assert!(!id.is_empty() && !summary.is_empty() && !label.is_empty(), "{endpoint:?}");
            assert!(endpoint.path.contains(NAME) || !endpoint.of_a_model || endpoint.named.is_some(), "{id}");
            // A body that is read may be too large or too slow.
            let reads = failures.contains(&Status::TooLarge);
            assert!(reads == failures.contains(&Status::Timeout), "{id}");
            assert!(!reads || endpoint.method == Method::Post, "{id}");
            let codes: Vec<u16> = failures.iter().map(|status| status.code()).collect();
            assert!(codes.is_sorted(), "{id}: {codes:?}");
            assert!(failures.iter().all(|status| !Status::EVERYWHERE.contains(status)), "{id}: {codes:?}");
            // These protocols answer 400 for anything that is wrong with a request.
            let is_own = endpoint.dialect == Dialect::Problem;
            assert!(is_own || !failures.contains(&Status::Unprocessable), "{id}");
        }
        assert!(Status::ALL.is_sorted_by_key(|status| status.code()));
    }

    #[test]
    fn a_version_may_stand_in_a_path_and_is_always_1() {
        let of = |path| Route::of(path).endpoint.map_or("", |endpoint| endpoint.id);
        assert_eq!(of("/v2/models/a/versions/1"), "v2_model");
        assert_eq!(of("/v2/models/a/versions/1/infer"), "v2_infer");
        for none in [
            "/v2/models/a/versions/2/infer",
            "/v2/models/a/versions/11",
            "/v2/models/a/versions",
            "/v2/models/a/config",
            "/v2/models/a/",
            "/models/a/metrics",
            "/models/a/docs",
            "/predict/",
            "/page/",
            "/page/none.js",
            "",
        ] {
            assert_eq!(of(none), "", "{none}");
            assert_eq!(Route::of(none).label, N_LABELS - 1);
        }
        assert_eq!(Route::of("/v2/nothing").dialect, Dialect::V2);
        assert_eq!(of("/models/a/"), "page");
        assert_eq!(Route::of("/models/").model.as_deref(), Some(""), "an empty name, which no model has");
    }

    #[test]
    fn a_method_accepts_exactly_those_that_allow_lists() {
        for method in [Method::Get, Method::Post] {
            for requested in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"] {
                let is_allowed = method.allow().split(", ").any(|allowed| allowed == requested);
                assert_eq!(method.accepts(requested), is_allowed, "{method:?} {requested}");
            }
        }
    }

    #[test]
    fn names_survive_a_path_and_malformed_escapes_stay_as_they_are() {
        for name in ["a b/c", "ä%", "plain"] {
            assert_eq!(unescape(&escape(name)), name);
        }
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(unescape(bad), bad);
        }
    }

    #[test]
    fn keys_and_rate_limits_concern_only_endpoints_that_are_not_open() {
        for endpoint in &ENDPOINTS {
            let minded = |status| endpoint.failures_at(endpoint.path, true, true).contains(&status);
            assert_eq!(minded(Status::Unauthorized), !endpoint.open, "{}", endpoint.id);
            assert_eq!(minded(Status::TooManyRequests), !endpoint.open, "{}", endpoint.id);
            let unminded = endpoint.failures_at(endpoint.path, false, false);
            assert!(
                !unminded.contains(&Status::Unauthorized) && !unminded.contains(&Status::TooManyRequests)
            );
        }
    }
}
