//! The commissioning page: whether its socket can be had.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::daemon::config::{Address, Config};
use crate::daemon::finding::Finding;
use crate::daemon::outbox::is_held;

/// Tries the address, where there is one. A socket that a running daemon has is in good hands.
pub(crate) fn look(config: &Config) -> Option<Finding> {
    // One that is none is a problem of the configuration.
    let address = config.page.address().ok().flatten()?;
    let listen = config.page.listen.as_deref().unwrap_or_default();
    let tried = match &address {
        Address::Tcp(address) => TcpListener::bind(address).map(drop),
        Address::Unix(path) => free(path),
    };
    Some(match tried {
        Ok(()) => Finding::good("page", format!("{listen} can be served")),
        Err(e) if e.kind() == ErrorKind::AddrInUse && is_held(&config.outbox.path) => {
            Finding::note("page", format!("{listen}: in use, by the running glintd as it seems"))
        }
        Err(e) => Finding::fault("page", "page_unusable", format!("{listen}: {e}"), remedy(&e)),
    })
}

/// What to do about an address that cannot be had.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "end the other program (sudo ss -ltnp), or choose another port or path in page.listen"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has the address: correct page.listen, or bring the network up"
        }
        ErrorKind::PermissionDenied => {
            "choose a port from 1024 on, or a folder that the user of glintd may write"
        }
        _ => "correct page.listen",
    }
}

/// Whether a socket could be made at a path. Nothing is made.
fn free(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "there is a file of this name, and it is no socket",
            ));
        }
        // One that was left behind is taken over.
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(ErrorKind::AddrInUse.into()),
        Ok(_) => {}
    }
    Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::finding::Severity;

    fn config(listen: &str) -> Config {
        Config::parse("g", &format!("page.listen = {listen:?}")).expect("valid")
    }

    #[test]
    fn a_port_that_another_program_has_is_a_fault_and_that_of_the_daemon_is_not() {
        assert!(look(&Config::default()).is_none(), "no page, nothing to say");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut config = config(&taken.local_addr().expect("an address").to_string());
        let dir = tempfile::tempdir().expect("folder");
        config.outbox.path = dir.path().join("outbox");
        assert_eq!(look(&config).and_then(|f| f.fault), Some("page_unusable"));
        let outbox = std::fs::File::create(&config.outbox.path).expect("file");
        outbox.lock().expect("locked");
        assert_eq!(look(&config).map(|f| f.severity), Some(Severity::Note));
        drop(taken);
        assert_eq!(look(&config).map(|f| f.severity), Some(Severity::Good));
    }

    #[test]
    fn a_path_is_tried_and_nothing_is_made() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("page.sock");
        let config = config(&format!("unix:{}", path.display()));
        let severity = || look(&config).map(|f| f.severity);
        assert_eq!(severity(), Some(Severity::Good));
        assert!(!path.exists());
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        assert_eq!(severity(), Some(Severity::Fault), "somebody answers");
        drop(listener);
        assert_eq!(severity(), Some(Severity::Good), "left behind");
        std::fs::remove_file(&path).expect("there");
        std::fs::write(&path, "text").expect("file");
        assert_eq!(severity(), Some(Severity::Fault), "a file is no socket");
        let away = look(&self::config("unix:/no/such/page.sock")).expect("a finding");
        assert!(away.severity == Severity::Fault && away.text.contains("No such file"), "{}", away.text);
    }
}
