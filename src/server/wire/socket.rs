//! Listeners and connections: TCP, TLS over it, or a Unix socket.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(feature = "tls")]
use super::refusal;

/// Connections that the operating system completes before they are accepted; it may allow fewer (Linux:
/// `net.core.somaxconn`). The standard library asks for 128, which a burst of clients fills in a few milliseconds;
/// a client that comes then retries only after a second.
#[cfg(unix)]
const BACKLOG: i32 = 4096;

/// Connections that are accepted at most when the listener is closed: as many as can wait.
const MAX_WAITING: usize = 4096;

/// The address of a client; a client of a Unix socket has none.
pub(crate) type Peer = Option<IpAddr>;

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    /// An address and port.
    Tcp(TcpListener),
    /// A path.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        // It listens already, and keeps its backlog if a longer one is refused.
        #[cfg(unix)]
        let _ = rustix::net::listen(&listener, BACKLOG);
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        let _ = rustix::net::listen(&listener, BACKLOG);
        Self::Unix(listener)
    }
}

impl Listener {
    /// The next connection, and the address it is from.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                Ok((Socket::tcp(socket), Some(address.ip())))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok((Socket::Unix(listener.accept().await?.0), None)),
        }
    }

    /// Closes the listener, and gives the connections that the operating system has completed and nobody has accepted:
    /// a close alone would reset them, with the requests that they have sent. The file of a Unix socket is removed
    /// first, so that nobody connects to it any more. To be called on the runtime.
    pub(crate) fn close(self) -> Box<dyn Iterator<Item = (Socket, Peer)> + Send> {
        // The runtime may not know yet that they are there: the listener itself does.
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return Box::new(std::iter::empty()) };
                let next = move || {
                    let (socket, address) = listener.accept().ok()?;
                    socket.set_nonblocking(true).ok()?;
                    Some((Socket::tcp(TcpStream::from_std(socket).ok()?), Some(address.ip())))
                };
                Box::new(std::iter::from_fn(next).take(MAX_WAITING))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let Ok(listener) = listener.into_std() else { return Box::new(std::iter::empty()) };
                if let Ok(address) = listener.local_addr()
                    && let Some(path) = address.as_pathname()
                {
                    let _ = std::fs::remove_file(path);
                }
                let next = move || {
                    let (socket, _) = listener.accept().ok()?;
                    socket.set_nonblocking(true).ok()?;
                    Some((Socket::Unix(UnixStream::from_std(socket).ok()?), None))
                };
                Box::new(std::iter::from_fn(next).take(MAX_WAITING))
            }
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// Over TLS.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(socket: TcpStream) -> Self {
        // A response is one write, so waiting for more to send would only delay it.
        let _ = socket.set_nodelay(true);
        Self::Tcp(socket)
    }
}

macro_rules! each {
    ($self:ident, $socket:ident => $result:expr) => {
        match $self.get_mut() {
            Socket::Tcp($socket) => $result,
            #[cfg(unix)]
            Socket::Unix($socket) => $result,
            #[cfg(feature = "tls")]
            Socket::Tls($socket) => $result,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        each!(self, socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context,
        pieces: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        each!(self, socket => Pin::new(socket).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        each!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        each!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}

/// The TLS settings; none if connections are plain. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    files: Option<std::sync::Arc<CertificateFiles>>,
}

/// A certificate chain and its key, which may be replaced while the server runs.
#[cfg(feature = "tls")]
struct CertificateFiles {
    certificates: String,
    key: String,
    acceptor: arc_swap::ArcSwap<tokio_rustls::rustls::ServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(feature = "tls")]
impl Tls {
    /// TLS 1.2 and 1.3 with a certificate chain and its key, both PEM files.
    ///
    /// # Errors
    /// Files that cannot be read, or do not belong together.
    pub(crate) fn from_files(certificates: &str, key: &str) -> anyhow::Result<Self> {
        let acceptor = arc_swap::ArcSwap::from_pointee(server_config(certificates, key)?);
        let files = CertificateFiles { certificates: certificates.into(), key: key.into(), acceptor };
        Ok(Self { files: Some(std::sync::Arc::new(files)) })
    }
}

#[cfg(feature = "tls")]
fn server_config(certificates: &str, key: &str) -> anyhow::Result<tokio_rustls::rustls::ServerConfig> {
    use anyhow::{Context, ensure};
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let unusable = |path: &str| format!("{path} is not a usable PEM file");
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unusable(certificates))?;
    ensure!(!chain.is_empty(), "{certificates} holds no certificate");
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unusable(key))?;
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{key} is not the key of {certificates}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl Tls {
    /// Whether connections are encrypted.
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.files.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The files of the certificate and its key.
    pub(crate) fn files(&self) -> Vec<std::path::PathBuf> {
        #[cfg(feature = "tls")]
        return self.files.iter().flat_map(|f| [(&f.certificates).into(), (&f.key).into()]).collect();
        #[cfg(not(feature = "tls"))]
        Vec::new()
    }

    /// Reads certificate and key again, for connections to come; if that fails they stay as they are.
    ///
    /// # Errors
    /// As `from_files`.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(files) = &self.files {
            files.acceptor.store(server_config(&files.certificates, &files.key)?.into());
        }
        Ok(())
    }

    /// Does the TLS handshake on a connection, if TLS is on.
    ///
    /// # Errors
    /// The client cannot agree with the server, or goes away.
    pub(crate) async fn accept(&self, socket: Socket) -> io::Result<Socket> {
        #[cfg(feature = "tls")]
        let socket = match (&self.files, socket) {
            (Some(files), Socket::Tcp(socket)) => {
                let mut first = [0];
                socket.peek(&mut first).await?;
                // A plain HTTP request begins with a letter, TLS with a 22 (RFC 8446, section 5.1).
                if first[0].is_ascii_uppercase() {
                    refusal::refuse(socket, refusal::NOT_TLS).await?;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a request in the clear"));
                }
                let acceptor = tokio_rustls::TlsAcceptor::from(files.acceptor.load_full());
                return Ok(Socket::Tls(Box::new(acceptor.accept(socket).await?)));
            }
            (_, socket) => socket,
        };
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_pass_both_ways_and_only_tcp_clients_have_an_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Listener::from(listener);
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (socket, peer) = accepted.unwrap();
        assert_eq!(peer, Some([127, 0, 0, 1].into()));
        echo(socket, Socket::Tcp(client.unwrap())).await;
        #[cfg(unix)]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("socket");
            let listener = Listener::from(UnixListener::bind(&path).unwrap());
            let (client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
            let (socket, peer) = accepted.unwrap();
            assert_eq!(peer, None);
            echo(socket, Socket::Unix(client.unwrap())).await;
        }
    }

    async fn echo(mut one: Socket, mut other: Socket) {
        let mut answer = [0; 4];
        one.write_all(b"ping").await.unwrap();
        other.read_exact(&mut answer).await.unwrap();
        other.write_all(&answer).await.unwrap();
        one.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
    }
}
