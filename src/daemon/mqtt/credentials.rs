//! Files that the broker's connection needs: the password, the certificates. Read once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glint::plain;

use super::reasons::of_tls;
use crate::daemon::config::{Config, ConfigError};

/// Where Debian keeps the authorities of the system.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Longest password: MQTT counts its bytes with 16 bits.
const MAX_PASSWORD: u64 = 65_535;
/// Largest file of certificates or keys that is read, in bytes; the authorities of a system have a quarter of a MiB.
const MAX_PEM: u64 = 4 << 20;

/// A user and a password.
#[derive(Clone)]
pub(crate) struct Login {
    /// `mqtt.username`.
    pub(crate) username: String,
    /// Content of `mqtt.password_file`.
    pub(crate) password: String,
}

/// Password and certificates.
pub(crate) struct Credentials {
    /// Who logs in; none without `mqtt.username`.
    pub(crate) login: Option<Login>,
    /// With `mqtts://`.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl Credentials {
    /// Reads every file that the configuration names for the broker, also where the address does not need it. The error
    /// has a line for each file.
    pub(crate) fn read(config: &Config) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut keep = |(key, reason): (&str, String)| problems.push(config.places.line(key, reason));
        let login = login(config).unwrap_or_else(|problem| {
            keep(problem);
            None
        });
        let mqtt = &config.mqtt;
        let encrypted = mqtt.broker().is_ok_and(|broker| broker.tls);
        let mut tls = None;
        if encrypted || mqtt.ca.is_some() || mqtt.cert.is_some() || mqtt.key.is_some() {
            match client_config(config) {
                Ok(made) => tls = Some(Arc::new(made)).filter(|_| encrypted),
                Err(faults) => faults.into_iter().for_each(keep),
            }
        }
        if problems.is_empty() { Ok(Self { login, tls }) } else { Err(ConfigError(problems)) }
    }
}

/// The file that the password is read from, if there is one.
pub(crate) fn password_file(config: &Config) -> Option<PathBuf> {
    let handed_over = || {
        std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|dir| Path::new(&dir).join("mqtt-password"))
            .filter(|path| path.exists())
    };
    config.mqtt.password_file.clone().or_else(handed_over)
}

fn login(config: &Config) -> Result<Option<Login>, (&'static str, String)> {
    let Some(username) = &config.mqtt.username else { return Ok(None) };
    let password = match password_file(config) {
        None => String::new(),
        Some(path) => {
            let text = plain::read_text(&path, MAX_PASSWORD)
                .map_err(|e| ("mqtt.password_file", format!("{}: {e}", path.display())))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    Ok(Some(Login { username: username.clone(), password }))
}

/// Certificates of both sides; ring does the arithmetic. The host's name is always checked.
fn client_config(config: &Config) -> Result<rustls::ClientConfig, Vec<(&'static str, String)>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = |key: &'static str, path: &Path| -> Result<Vec<CertificateDer<'static>>, _> {
        let fail = |e: String| (key, format!("{}: {e}", path.display()));
        let pem = plain::read(path, MAX_PEM).map_err(|e| fail(e.to_string()))?;
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let parsed = parsed.map_err(|e| fail(of_pem(&e)))?;
        if parsed.is_empty() { Err(fail("the file holds no certificate".into())) } else { Ok(parsed) }
    };
    let mut problems = Vec::new();
    let system = PathBuf::from(SYSTEM_AUTHORITIES);
    let authorities = config.mqtt.ca.as_ref().unwrap_or(&system);
    let mut roots = rustls::RootCertStore::empty();
    match certificates("mqtt.ca", authorities) {
        Ok(trusted) => {
            roots.add_parsable_certificates(trusted);
            if roots.is_empty() {
                problems.push((
                    "mqtt.ca",
                    format!("{}: the file holds no usable certificate", authorities.display()),
                ));
            }
        }
        Err(problem) => problems.push(problem),
    }
    let mut client = None;
    if let (Some(cert), Some(key)) = (&config.mqtt.cert, &config.mqtt.key) {
        let chain = certificates("mqtt.cert", cert).map_err(|p| problems.push(p));
        let key = plain::read(key, MAX_PEM)
            .map_err(|e| e.to_string())
            .and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).map_err(|e| of_pem(&e)))
            .map_err(|e| problems.push(("mqtt.key", format!("{}: {e}", key.display()))));
        client = chain.ok().zip(key.ok());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| vec![("mqtt.url", of_tls(&e))])?
            .with_root_certificates(roots);
    match client {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|e| vec![of_pair(config, &e)])
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What is wrong with a PEM file.
fn of_pem(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(e) => e.to_string(),
        Error::NoItemsFound => "the file holds none of this kind in PEM format".into(),
        Error::MissingSectionEnd { .. } => "a section of the PEM file has no end".into(),
        Error::IllegalSectionStart { .. } => "a line that begins a section of the PEM file is damaged".into(),
        Error::Base64Decode(_) => "a section of the PEM file is damaged".into(),
        other => other.to_string(),
    }
}

/// What is wrong with the client certificate and its key together.
fn of_pair(config: &Config, error: &rustls::Error) -> (&'static str, String) {
    use rustls::Error;
    let (key, words) = match error {
        Error::InconsistentKeys(_) => {
            ("mqtt.key", "the key does not belong to the certificate of mqtt.cert".into())
        }
        Error::InvalidCertificate(_) => ("mqtt.cert", "the first certificate in it cannot be used".into()),
        Error::General(_) => ("mqtt.key", "not a private key that TLS can use".into()),
        other => ("mqtt.cert", of_tls(other)),
    };
    let path = if key == "mqtt.key" { &config.mqtt.key } else { &config.mqtt.cert };
    let name = path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default();
    (key, format!("{name}{words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_cannot_be_sent_and_files_that_are_no_pem_are_refused_in_words() {
        let dir = tempfile::tempdir().expect("folder");
        let (password, key) = (dir.path().join("password"), dir.path().join("key.pem"));
        std::fs::write(&password, "x".repeat(MAX_PASSWORD as usize + 1)).expect("file");
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n").expect("file");
        let text = format!(
            "[mqtt]\nusername = \"u\"\npassword_file = {password:?}\nca = {key:?}\ncert = {key:?}\nkey = {key:?}\n"
        );
        let config = Config::parse("g", &text).expect("valid");
        let lines = Credentials::read(&config).err().expect("must be refused").0;
        for (line, (start, end)) in lines.iter().zip([
            ("g:3:17: mqtt.password_file: ", "password: more than 65535 bytes; allowed: at most 65535"),
            ("g:4:6: mqtt.ca: ", ""),
            ("g:5:8: mqtt.cert: ", ""),
            ("g:6:7: mqtt.key: ", "key.pem: a section of the PEM file is damaged"),
        ]) {
            assert!(line.starts_with(start) && line.ends_with(end), "{line}");
        }
        assert_eq!(lines.len(), 4, "{lines:#?}");
    }

    #[test]
    fn a_key_of_another_certificate_is_called_so() {
        let config = Config::parse("g", "mqtt.url = \"mqtts://x\"\nmqtt.cert = \"/c\"\nmqtt.key = \"/k\"")
            .expect("valid");
        let error = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
        let (key, words) = of_pair(&config, &error);
        assert_eq!(
            (key, words.as_str()),
            ("mqtt.key", "/k: the key does not belong to the certificate of mqtt.cert")
        );
    }
}
