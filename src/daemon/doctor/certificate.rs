//! What a TLS error means to whoever has to mend it.

use rustls::{AlertDescription, CertificateError, Error};

use crate::daemon::config::Config;
use crate::daemon::finding::Finding;

/// A fault of the connection; of its certificates where TLS says so.
pub(super) fn finding(config: &Config, error: &std::io::Error) -> Finding {
    let url = &config.mqtt.url;
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
        let remedy =
            "the port may speak no TLS, which mqtt:// is for, or the network is cut: correct mqtt.url";
        return Finding::fault("broker", "broker_unreachable", format!("{url}: {error}"), remedy);
    };
    let (text, remedy) = explain(tls);
    Finding::fault("certificate", "broker_certificate", format!("{url}: {text}"), remedy)
}

fn explain(error: &Error) -> (String, &'static str) {
    let client_remedy = "set mqtt.cert and mqtt.key to a certificate that the broker's authority has signed";
    match error {
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "the broker's certificate has ended, or the clock here is wrong".into(),
                "renew the broker's certificate; set the clock",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "the broker's certificate is not valid yet: the clock here is wrong".into(),
                "set the clock (timedatectl)",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                "the broker's certificate is of another host".into(),
                "name the host in mqtt.url as the certificate does, or sign one for this name",
            ),
            _ => (
                format!("no authority that is trusted here has signed the broker's certificate ({reason})"),
                "set mqtt.ca to the authority of the broker's certificate",
            ),
        },
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::HandshakeFailure,
        ) => (format!("the broker does not accept our certificate ({error})"), client_remedy),
        Error::InvalidMessage(_) => (
            format!("the port speaks no TLS ({error})"),
            "use mqtt:// in mqtt.url, or the port of the broker that speaks TLS",
        ),
        other => (other.to_string(), "see what the broker logs of this connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_own_remedy() {
        let config = Config::default();
        let finding_of =
            |error: Error| finding(&config, &std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        let unknown = finding_of(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(unknown.fault, Some("broker_certificate"));
        assert!(unknown.remedy.is_some_and(|r| r.contains("mqtt.ca")));
        let name = finding_of(Error::InvalidCertificate(CertificateError::NotValidForName));
        assert!(name.text.contains("another host"), "{}", name.text);
        let alert = finding_of(Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(alert.remedy.is_some_and(|r| r.contains("mqtt.cert")));
        let cut = finding(&config, &std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(cut.fault, Some("broker_unreachable"));
    }
}
