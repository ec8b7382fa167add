//! The socket and its connections.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket};
use tokio::time::sleep;

use super::Watch;
use super::answer::{Client, Site, answer};
use super::patient::Patient;
use super::room::{Peer, Room};
use crate::daemon::config::Address;

/// How long a request line and its headers may take, and how long a connection may be idle.
const HEADERS: Duration = Duration::from_secs(10);
/// How long the other end may take nothing of what it is sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the other end may acknowledge nothing, or have no room for more: it has gone without a word, or hangs.
const SILENCE: Duration = Duration::from_secs(10);
/// Bytes that the system keeps for the other end, of which Linux makes twice as many. Without a bound it keeps megabytes: who
/// hangs is then noticed after minutes.
const UNSENT: usize = 64 << 10;
/// Largest request line with headers, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Wait before a socket that cannot be had is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Clients that may wait to be accepted.
const BACKLOG: u32 = 16;

/// Serves for ever. A socket that cannot be had is a problem of the page alone: the log says it, and it is tried again.
pub(super) async fn serve(address: &Address, site: Rc<Site>, watch: &Watch) {
    let room = Rc::default();
    let mut complaint = String::new();
    loop {
        match bind(address) {
            Ok(listener) => {
                watch.unusable.store(false, Relaxed);
                complaint.clear();
                let error = listener.accept(&site, &room).await;
                tracing::error!("page: the socket is given up and opened anew: {error}");
            }
            Err(error) => {
                watch.unusable.store(true, Relaxed);
                let reason = error.to_string();
                if complaint != reason {
                    tracing::error!(%address, reason, "the page cannot be served; trying again");
                    complaint = reason;
                }
            }
        }
        sleep(RETRY).await;
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: Placed },
}

/// The file of a Unix socket; it goes with the socket.
struct Placed(PathBuf);

impl Drop for Placed {
    fn drop(&mut self) {
        // The socket is closed: what is left is a name that leads nowhere, and the next start removes that too.
        _ = std::fs::remove_file(&self.0);
    }
}

fn bind(address: &Address) -> io::Result<Listener> {
    match address {
        Address::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let bound = listener.local_addr()?;
            tracing::info!("page served at http://{bound}/");
            Ok(Listener::Tcp(listener))
        }
        Address::Unix(path) => {
            remove_stale(path)?;
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            let placed = Placed(path.clone());
            // Before anybody can connect.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            let listener = socket.listen(BACKLOG)?;
            tracing::info!("page served at unix:{}", path.display());
            Ok(Listener::Unix { listener, _file: placed })
        }
    }
}

/// Removes the socket of a process that was killed; one that answers stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of this name, and it is no socket",
        )),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(e) => Err(e),
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        },
    }
}

/// Bounds what a connection may keep waiting, and for how long.
fn bound(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Short messages ten times a second: none waits for the next.
    let done = (socket.set_tcp_nodelay(true))
        .and_then(|()| socket.set_send_buffer_size(UNSENT))
        .and_then(|()| socket.set_tcp_user_timeout(Some(SILENCE)));
    if let Err(error) = done {
        // It is served all the same, with the system's own bounds.
        tracing::debug!("page: a connection has no bounds of its own: {error}");
    }
}

impl Listener {
    /// Accepts until the socket breaks.
    async fn accept(&self, site: &Rc<Site>, room: &Rc<RefCell<Room>>) -> io::Error {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => match listener.accept().await {
                    Ok((stream, peer)) => {
                        bound(&stream);
                        handle(stream, Peer::tcp(peer), site, room);
                        Ok(())
                    }
                    Err(e) => Err(e),
                },
                Self::Unix { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => {
                        let user = stream.peer_cred().ok().map(|c| c.uid());
                        handle(stream, Peer::user(user), site, room);
                        Ok(())
                    }
                    Err(e) => Err(e),
                },
            };
            match accepted.map_err(|e| (e.raw_os_error(), e)) {
                // What has been sent already is read before the next connection comes: nobody gives way unheard.
                Ok(()) => tokio::task::yield_now().await,
                // The client is gone already, or the process has no descriptor left: that passes.
                Err((_, e))
                    if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err((
                    Some(nix::libc::EMFILE | nix::libc::ENFILE | nix::libc::ENOBUFS | nix::libc::ENOMEM),
                    e,
                )) => {
                    tracing::warn!("page: no connection can be accepted: {e}");
                    sleep(RETRY).await;
                }
                Err((_, e)) => return e,
            }
        }
    }
}

/// Serves one connection in a task of its own, until it ends or has to give way.
fn handle<S>(stream: S, peer: Peer, site: &Rc<Site>, room: &Rc<RefCell<Room>>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (place, gives_way) = Room::enter(room, peer.source.clone());
    let name = peer.name.clone();
    let (site, client) = (Rc::clone(site), Rc::new(Client { peer, place }));
    tokio::task::spawn_local(async move {
        let service = service_fn(move |request| {
            let (site, client) = (Rc::clone(&site), Rc::clone(&client));
            async move { Ok::<_, Infallible>(answer(&site, &client, &request).await) }
        });
        let io = TokioIo::new(Patient::new(stream, PATIENCE));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, service);
        tokio::select! {
            served = served => if let Err(error) = served {
                tracing::debug!(peer = name, "page: {error}");
            },
            _ = gives_way => tracing::debug!(peer = name, "page: closed for another connection"),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::io::AsyncWriteExt;

    /// A connection as it is served, and its other end, which does nothing.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let far = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (near, _) = listener.accept().await.expect("accepted");
        bound(&near);
        (near, far)
    }

    #[test]
    fn a_client_that_hangs_is_noticed_after_few_bytes_and_seconds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (near, _far) = connection().await;
            let mut near = Patient::new(near, Duration::from_millis(200));
            let begun = Instant::now();
            let mut taken = 0;
            let error = loop {
                match near.write(&[0; 4096]).await {
                    Ok(bytes) => taken += bytes,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            // Some of it is in the buffer of the other end, which is the system's choice.
            assert!(taken < 1 << 20, "{taken} bytes");
            assert!(begun.elapsed() < Duration::from_secs(20));
        });
    }

    #[test]
    fn a_client_that_is_silent_has_a_few_seconds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (near, _far) = connection().await;
            let socket = SockRef::from(&near);
            assert_eq!(socket.tcp_user_timeout().expect("told"), Some(SILENCE));
            assert!(socket.send_buffer_size().expect("told") <= 4 * UNSENT);
            assert!(socket.tcp_nodelay().expect("told"));
        });
    }

    #[test]
    fn a_socket_that_was_left_behind_is_taken_over_and_one_that_answers_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("page.sock");
        let address = Address::Unix(path.clone());
        let first = bind(&address).expect("bound");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else may connect");
        assert_eq!(bind(&address).err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists(), "it goes with its socket");
        // As after a kill: the name is there, and nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists() && bind(&address).is_ok());
        std::fs::write(&path, "text").expect("file");
        assert!(bind(&address).is_err() && path.exists(), "a file is no socket");
    }
}
