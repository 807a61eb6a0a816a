//! `mlapi healthcheck`: asks a server whether it is ready, for images that have neither a shell nor curl.
//!
//! One request over a plain socket, with a limit on the time of each step.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::args::Healthcheck;
use super::term::Term;
use crate::error::usage;

/// The status line of any response is shorter.
const MAX_HEAD_BYTES: u64 = 4096;

/// Asks once; success is a 2xx answer.
pub(super) fn run(args: &Healthcheck, term: &Term) -> Result<()> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => format!("http://{}:{}/readyz", within_reach(&args.host), args.port),
    };
    let (authority, path) = parts(&url)?;
    let status = ask(&authority, &path, Duration::from_secs(args.seconds))
        .with_context(|| format!("{url} does not answer"))?;
    ensure!((200..300).contains(&status), "{url} answers {status}");
    term.line(format_args!("{url} answers {status}"));
    Ok(())
}

/// A server that listens on every address is asked on the loopback one.
fn within_reach(host: &str) -> String {
    match host {
        "0.0.0.0" => "127.0.0.1".into(),
        "::" | "[::]" => "[::1]".into(),
        _ if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        _ => host.into(),
    }
}

/// Host and port, and the path of a URL.
fn parts(url: &str) -> Result<(String, String)> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(usage(format!("--url {url}: only http:// is spoken here")));
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(usage(format!("--url {url:?}: not of the form http://HOST:PORT/PATH")));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_string() } else { format!("{authority}:80") };
    Ok((authority, if path.is_empty() { "/readyz".into() } else { path.into() }))
}

/// The status of the answer to `GET path`.
fn ask(authority: &str, path: &str, limit: Duration) -> Result<u16> {
    let ends = Instant::now() + limit;
    let left = || {
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut failure = anyhow::anyhow!("{authority} has no address");
    for address in authority.to_socket_addrs().with_context(|| format!("cannot find {authority}"))? {
        let mut socket = match TcpStream::connect_timeout(&address, left()?) {
            Ok(socket) => socket,
            Err(error) => {
                failure = error.into();
                continue;
            }
        };
        socket.set_write_timeout(Some(left()?))?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.contains(&b'\n') && (head.len() as u64) < MAX_HEAD_BYTES {
            socket.set_read_timeout(Some(left()?))?;
            let mut piece = [0; 256];
            match socket.read(&mut piece)? {
                0 => break,
                n => head.extend_from_slice(&piece[..n]),
            }
        }
        let head = String::from_utf8_lossy(&head);
        let mut words = head.split(' ');
        let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and(words.next());
        match status.and_then(|status| status.parse().ok()) {
            Some(status) => return Ok(status),
            None => bail!("what answers there does not speak HTTP"),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_perhaps_a_port_and_a_path() {
        let of = |url| parts(url).ok();
        let pair = |a: &str, b: &str| Some((a.to_string(), b.to_string()));
        assert_eq!(of("http://a:1/livez"), pair("a:1", "/livez"));
        assert_eq!(of("http://a"), pair("a:80", "/readyz"));
        assert_eq!(of("http://[::1]:8080"), pair("[::1]:8080", "/readyz"));
        for wrong in ["https://a", "a:1", "http://", "http:///x", "http://a/\r\nx"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (host, asked) in
            [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")]
        {
            assert_eq!(within_reach(host), asked);
        }
    }
}
