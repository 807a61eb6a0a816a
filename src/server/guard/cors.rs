//! Cross-origin requests: the allowed `Origin`s, and the response headers that tell browsers so (Fetch standard,
//! section 3.3). Off unless an origin is given.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};

use crate::server::wire::body::Body;
use crate::server::wire::body::Response;

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
}
