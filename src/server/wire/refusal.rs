//! Responses to connections whose requests are not read: no permit left, or plain HTTP on a TLS port.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Refused connections that are kept open for a moment to take their response; the oldest is closed for the next.
pub(crate) const MAX_REFUSALS: usize = 1024;

/// Time for a refused connection to take its response.
pub(crate) const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// The part of it that a connection has even if another one is to be refused: a close while its request is on the way
/// would reset the connection, and many clients then never read their response. With the number above, this allows
/// 17,000 refusals a second of clients that do not read.
pub(crate) const LEAST_REFUSAL_TIME: Duration = Duration::from_millis(60);

/// Sent to a connection above the limit.
pub(crate) const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 137\r\n\
    \r\n\
    {\"type\":\"about:blank\",\"title\":\"Too many connections\",\"status\":503,\
    \"detail\":\"as many clients as allowed are connected; try again shortly\"}";

/// Sent to a connection above the limit of its address.
pub(crate) const OF_ONE_ADDRESS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 163\r\n\
    \r\n\
    {\"type\":\"about:blank\",\"title\":\"Too many connections\",\"status\":503,\
    \"detail\":\"your address has as many connections as it may; use those again, or try again shortly\"}";

/// Sent to a plain HTTP request on a port that speaks TLS.
#[cfg(any(feature = "tls", test))]
pub(crate) const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/problem+json\r\n\
    connection: close\r\n\
    content-length: 110\r\n\
    \r\n\
    {\"type\":\"about:blank\",\"title\":\"Bad request\",\"status\":400,\
    \"detail\":\"this port speaks HTTPS; ask with https://\"}";

/// Sends `response` without reading the request, then reads and drops the rest so that a reset does not destroy
/// the response.
pub(crate) async fn refuse(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    response: &[u8],
) -> io::Result<()> {
    socket.write_all(response).await?;
    socket.shutdown().await?;
    let mut scratch = [0; 4096];
    while socket.read(&mut scratch).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_written_as_they_are_have_the_length_that_they_say() {
        for (answer, status) in [(NO_ROOM, 503), (OF_ONE_ADDRESS, 503), (NOT_TLS, 400)] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
            let document: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(document["status"], status);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")));
        }
    }
}
