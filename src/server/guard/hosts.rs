//! The names that a server answers to. A page whose own name resolves to this machine (DNS rebinding) could otherwise
//! read what a server on loopback answers: to the browser it is the page's own origin.

use hyper::header::HeaderValue;

/// The names that are allowed in `Host`.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    is_checked: bool,
    names: Vec<String>,
}

impl Hosts {
    /// Allows `names` (`*`: any), and what no page of another can be called. Without names everything is allowed unless
    /// `is_local`: then others reach the server through a browser on this machine only.
    ///
    /// # Errors
    /// A text that is not a name.
    pub(crate) fn new(names: &[String], is_local: bool) -> Result<Self, String> {
        if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains(['/', ':', ' '])) {
            return Err(format!("{name:?} is not the name of a host; api.example.org is one, and * is any"));
        }
        let is_checked = (is_local || !names.is_empty()) && !names.iter().any(|name| name == "*");
        Ok(Self { is_checked, names: names.to_vec() })
    }

    /// Whether a request for this `Host` is answered. Addresses cannot be rebound, `localhost` is always this machine
    /// (RFC 6761, section 6.3), and nobody can register a name without a dot.
    pub(crate) fn allow(&self, host: Option<&HeaderValue>) -> bool {
        if !self.is_checked {
            return true;
        }
        let Some(host) = host.map(HeaderValue::as_bytes) else { return true };
        if host.starts_with(b"[") {
            return true;
        }
        let name = &host[..memchr::memchr(b':', host).unwrap_or(host.len())];
        let name = name.strip_suffix(b".").unwrap_or(name);
        let Some(dot) = memchr::memrchr(b'.', name) else { return true };
        let last = &name[dot + 1..];
        // A host that ends in a number is an address (URL standard, section 3.5).
        let is_address = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        is_address
            || last.eq_ignore_ascii_case(b"localhost")
            || self.names.iter().any(|known| is(known.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &Hosts, host: &str) -> bool {
        hosts.allow(Some(&HeaderValue::from_str(host).unwrap()))
    }

    #[test]
    fn a_local_server_answers_to_addresses_and_names_that_nobody_can_register() {
        let local = Hosts::new(&[], true).unwrap();
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1",
            "[::1]:8080",
            "mlapi:80",
            "a.localhost.",
        ] {
            assert!(allowed(&local, own), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example.",
            "x.y",
            "evil.example..",
        ] {
            assert!(!allowed(&local, foreign), "{foreign}");
        }
        assert!(local.allow(None), "HTTP/1.0 has none");
        let named = Hosts::new(&["Api.Example".into()], false).unwrap();
        assert!(allowed(&named, "api.example:443") && !allowed(&named, "evil.example"));
        assert!(allowed(&Hosts::new(&[], false).unwrap(), "evil.example"));
        assert!(allowed(&Hosts::new(&["*".into()], true).unwrap(), "evil.example"));
        for wrong in ["https://api.example", "api.example:8080", ""] {
            assert!(Hosts::new(&[wrong.into()], true).is_err(), "{wrong}");
        }
    }
}
