//! TLS with an authority and client certificates of our own, made by openssl for each run.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::broker::{Broker, Subscriber, free_port};
use super::daemon::{Accepted, Daemon, configure_with, start_command};

/// Certificates in a folder.
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// An authority; `None`, with a message, where openssl is not installed.
    pub(crate) fn new(dir: &Path) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            super::tools::missing("openssl");
            return None;
        }
        let authority = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir).expect("folder");
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
        Some(authority)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&self.dir).output();
        let output = output.expect("openssl starts");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Signs a certificate for a host name: `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str, host: &str) {
        std::fs::write(self.dir.join("san"), format!("subjectAltName=DNS:{host}\n")).expect("file");
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out {name}.pem"
        ));
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// A broker with a second port that wants certificates, and that port.
pub(crate) fn broker(dir: &Path, authority: &Authority) -> Option<(Broker, u16)> {
    let port = free_port();
    let file = |name| authority.file(name);
    let extra = format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    );
    let mut broker = Broker::new(dir, &extra)?;
    broker.start();
    Some((broker, port))
}

/// A configuration that trusts `ca` and shows the client certificate of `authority`.
pub(crate) fn configuration(dir: &Path, port: u16, authority: &Authority, ca: &str) -> PathBuf {
    let more = format!(
        "mqtt.ca = {ca:?}\nmqtt.cert = {:?}\nmqtt.key = {:?}",
        authority.file("client.pem"),
        authority.file("client.key")
    );
    configure_with(dir, &format!("mqtts://localhost:{port}"), &more)
}

#[test]
fn events_go_over_tls_with_certificates_of_both_sides() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(authority) = Authority::new(&dir.path().join("authority")) else { return };
    authority.sign("server", "localhost");
    authority.sign("client", "client");
    let Some((broker, port)) = broker(dir.path(), &authority) else { return };
    let subscriber = Subscriber::start(broker.port, None);
    for protocol in ["3.1.1", "5"] {
        let config = configuration(dir.path(), port, &authority, &authority.file("ca.pem"));
        let text = std::fs::read_to_string(&config).expect("readable")
            + &format!("mqtt.protocol = \"{protocol}\"\n");
        std::fs::write(&config, text).expect("file");
        let before = subscriber.events("glint").len();
        let daemon = Daemon::start(start_command(&config), &Accepted::default());
        subscriber.wait("an event", 60, |s| s.events("glint").len() > before);
        assert_eq!(daemon.end("TERM"), Some(0), "MQTT {protocol}");
    }
}

#[test]
fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(authority) = Authority::new(&dir.path().join("authority")) else { return };
    let stranger = Authority::new(&dir.path().join("stranger")).expect("openssl is there");
    authority.sign("server", "elsewhere");
    authority.sign("client", "client");
    let Some((broker, port)) = broker(dir.path(), &authority) else { return };
    let subscriber = Subscriber::start(broker.port, None);
    // The right authority with a certificate for another host; then an authority that we do not trust.
    for (ca, words) in [
        (authority.file("ca.pem"), "certificate is for another host"),
        (stranger.file("ca.pem"), "is not that of the authority that is trusted here"),
    ] {
        let config = configuration(dir.path(), port, &authority, &ca);
        let daemon = Daemon::start(start_command(&config), &Accepted::default());
        daemon.says(words, 20);
        daemon.accept(1);
        assert_eq!(daemon.end("TERM"), Some(0));
    }
    assert!(subscriber.contents("glint/glint/status").is_empty());
    // A file that is no certificate stops the start.
    let config = configuration(dir.path(), port, &authority, &authority.file("server.key"));
    let output = super::run(&["run", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(super::stderr(&output).contains("mqtt.ca: ") && super::stderr(&output).contains("server.key"));
}
