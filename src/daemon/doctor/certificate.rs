//! What a TLS error means to whoever has to mend it.

use rustls::{AlertDescription, CertificateError, Error};

use crate::daemon::config::Config;
use crate::daemon::finding::Finding;
use crate::daemon::mqtt::reasons::{of_code, of_tls};

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

/// What is wrong, and what to do about it.
fn explain(error: &Error) -> (String, &'static str) {
    use CertificateError as C;
    let remedy = match error {
        Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "renew the broker's certificate; set the clock"
        }
        Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "set the clock (timedatectl)"
        }
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "name the host in mqtt.url as the certificate does, or sign one for this name"
        }
        Error::InvalidCertificate(_) => "set mqtt.ca to the authority of the broker's certificate",
        Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::HandshakeFailure),
        ) => {
            let text = format!("the broker does not accept our certificate ({})", of_code(alert));
            return (
                text,
                "set mqtt.cert and mqtt.key to a certificate that the broker's authority has signed",
            );
        }
        Error::InvalidMessage(_) => "use mqtt:// in mqtt.url, or the port of the broker that speaks TLS",
        _ => "see what the broker logs of this connection",
    };
    (of_tls(error), remedy)
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
