//! Cross-origin requests: the allowed `Origin`s, and the response headers that tell browsers so (Fetch standard,
//! section 3.3). Requests of pages of other origins are refused: a page may send rows, as `text/plain`, without being
//! allowed to read the answer, and they would count.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};

use crate::server::wire::body::Body;
use crate::server::wire::body::Response;

/// Set by browsers, and not to be changed by pages: where a request comes from, relative to where it goes.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins that are allowed.
#[derive(Debug, Default)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
}

impl Cors {
    /// Allows `origins`, each `SCHEME://HOST[:PORT]` or `*` for any.
    ///
    /// # Errors
    /// A text that is not an origin.
    pub(crate) fn new(origins: &[String]) -> Result<Self, String> {
        let mut cors = Self::default();
        for origin in origins {
            if origin == "*" {
                cors.any = true;
                continue;
            }
            let host = origin.split_once("://").map(|(_, host)| host);
            let fits = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ']));
            match HeaderValue::from_str(&origin.to_ascii_lowercase()) {
                Ok(value) if fits => cors.origins.push(value),
                _ => {
                    return Err(format!(
                        "{origin:?} is not an origin; https://example.org is one, and * is any"
                    ));
                }
            }
        }
        Ok(cors)
    }

    /// Whether any origin is allowed.
    pub(crate) fn is_on(&self) -> bool {
        self.any || !self.origins.is_empty()
    }

    /// The origin of a request, if it is allowed.
    pub(crate) fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        (self.any || self.origins.contains(origin)).then_some(origin)
    }

    /// Whether a request is of no page, of a page of the server's own origin, or of one that is allowed. As Go's
    /// `http.CrossOriginProtection` decides: by `Sec-Fetch-Site`, which a proxy that changes `Host` leaves as it is;
    /// without that by `Host`. A preflight is no request yet.
    pub(crate) fn admits(&self, method: &Method, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        if self.allowed(headers).is_some() || method == Method::OPTIONS {
            return true;
        }
        if let Some(site) = headers.get(SEC_FETCH_SITE) {
            return site == "same-origin" || site == "none";
        }
        let own = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let page = origin.as_bytes();
        let host = memchr::memmem::find(page, b"://").map(|at| &page[at + 3..]);
        host.is_some_and(|host| host.eq_ignore_ascii_case(own))
    }

    /// The response to a preflight request; `None` for other requests.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        self.allowed(headers)?;
        let mut response = Response::new(Body::Whole(None));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let allowed = response.headers_mut();
        allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        let names = "authorization, content-type, x-request-id, traceparent";
        allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
        allowed.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(response)
    }

    /// Adds the headers that let a page of this origin read the response.
    pub(crate) fn mark(origin: HeaderValue, answer: &mut HeaderMap) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.append(VARY, HeaderValue::from_static("origin"));
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_that_were_given_are_allowed() {
        let cors = Cors::new(&["https://Shop.example".into()]).unwrap();
        let from = |origin: &str| HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())]);
        assert!(cors.allowed(&from("https://shop.example")).is_some());
        for other in ["http://shop.example", "https://shop.example.org", "null", "https://shop.example:8443"]
        {
            assert!(cors.allowed(&from(other)).is_none(), "{other}");
        }
        assert!(Cors::new(&["shop.example".into()]).is_err());
        assert!(Cors::new(&["*".into()]).unwrap().allowed(&from("http://a.b")).is_some());
        assert!(!Cors::default().is_on());
    }

    #[test]
    fn a_page_of_another_origin_is_turned_away_and_the_servers_own_and_programs_are_not() {
        let request = |headers: &[(&'static str, &str)]| {
            let named = |(name, value): &(&'static str, &str)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            };
            HeaderMap::from_iter(headers.iter().map(named))
        };
        let cors = Cors::new(&["https://shop.example".into()]).unwrap();
        let admits = |headers: &[(&'static str, &str)]| cors.admits(&Method::POST, &request(headers));
        let host = ("host", "127.0.0.1:8080");
        assert!(admits(&[host]));
        assert!(admits(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(admits(&[host, ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")]));
        assert!(admits(&[host, ("origin", "https://a.example"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:9090",
            "http://127.0.0.1:8080.evil.example",
            "",
        ] {
            assert!(!admits(&[host, ("origin", foreign)]), "{foreign}");
        }
        assert!(!admits(&[host, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]));
        let preflight = request(&[host, ("origin", "https://evil.example")]);
        assert!(cors.admits(&Method::OPTIONS, &preflight));
        assert!(!cors.admits(&Method::GET, &preflight));
        assert!(Cors::new(&["*".into()]).unwrap().admits(&Method::POST, &preflight));
    }
}
