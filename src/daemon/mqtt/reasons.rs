//! Why a connection failed or a broker refused something, in words: the libraries have names of types alone.

use std::fmt::Debug;

use rumqttc::{StateError, TlsError, v5};
use rustls::{CertificateError, Error};

/// A code of MQTT in its standard's words: `NotAuthorized` becomes `not authorized`.
pub(crate) fn of_code(code: &impl Debug) -> String {
    words(&format!("{code:?}"))
}

/// The words of a name that the libraries write in one: what follows in brackets is left out.
fn words(name: &str) -> String {
    let name = name.split(['(', '{', ' ']).next().unwrap_or_default();
    let name = name.replace("UserNamePassword", "UserNameOrPassword").replace("QoS", "Qos");
    let mut out = String::new();
    let mut before = None;
    for c in name.chars() {
        // An abbreviation stays together.
        if c.is_ascii_uppercase() && before.is_some_and(|b: char| b.is_ascii_lowercase()) {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
        before = Some(c);
    }
    out.replace("qos", "QoS")
}

/// An error of the socket, of TLS where that is its cause.
pub(super) fn of_socket(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => of_tls(tls),
        None => error.to_string(),
    }
}

/// An error of TLS, as whoever has to mend it needs it.
pub(crate) fn of_tls(error: &Error) -> String {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(reason) => match reason {
            C::Expired | C::ExpiredContext { .. } => {
                "the broker's certificate has expired, or the clock here is wrong".into()
            }
            C::NotValidYet | C::NotValidYetContext { .. } => {
                "the broker's certificate is not valid yet, or the clock here is wrong".into()
            }
            C::NotValidForName | C::NotValidForNameContext { .. } => {
                "the broker's certificate is for another host than that of mqtt.url".into()
            }
            C::UnknownIssuer => {
                "no authority that is trusted here has signed the broker's certificate".into()
            }
            C::BadSignature => {
                "the signature of the broker's certificate is not that of the authority that is trusted here"
                    .into()
            }
            other => format!("the broker's certificate cannot be used: {}", of_code(other)),
        },
        Error::AlertReceived(alert) => format!("the broker refuses TLS: {}", of_code(alert)),
        Error::InvalidMessage(_) => "the port speaks no TLS".into(),
        Error::PeerIncompatible(_) => "the broker and glint know no version of TLS in common".into(),
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => "the broker does not keep to TLS".into(),
        Error::InconsistentKeys(_) => "the key does not belong to the certificate".into(),
        Error::General(reason) => reason.clone(),
        other => other.to_string(),
    }
}

/// An error of the library's TLS.
fn of_library_tls(error: &TlsError) -> String {
    match error {
        TlsError::Io(e) => of_socket(e),
        TlsError::TLS(e) => of_tls(e),
        TlsError::Addr(_) | TlsError::DNSName(_) => "no certificate can be for the host of mqtt.url".into(),
        other => other.to_string(),
    }
}

const FOREIGN: &str = "what answers does not speak MQTT";
const SILENT: &str = "the broker does not answer";
const REFUSED: &str = "the broker refuses the connection";

/// Why a connection with MQTT 3.1.1 ended.
pub(super) fn of_v4(error: &rumqttc::ConnectionError) -> String {
    use rumqttc::ConnectionError as E;
    match error {
        E::ConnectionRefused(code) => format!("{REFUSED}: {}", of_code(code)),
        E::Io(e) | E::MqttState(StateError::Io(e) | StateError::Deserialization(rumqttc::Error::Io(e))) => {
            of_socket(e)
        }
        E::Tls(e) => of_library_tls(e),
        E::NetworkTimeout | E::FlushTimeout | E::MqttState(StateError::AwaitPingResp) => SILENT.into(),
        E::NotConnAck(_) | E::MqttState(StateError::Deserialization(_)) => FOREIGN.into(),
        E::MqttState(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// The same with MQTT 5.
pub(super) fn of_v5(error: &v5::ConnectionError) -> String {
    use v5::ConnectionError as E;
    use v5::StateError as S;
    match error {
        E::ConnectionRefused(code) | E::MqttState(S::ConnFail { reason: code }) => {
            format!("{REFUSED}: {}", of_code(code))
        }
        E::Io(e) | E::MqttState(S::Io(e) | S::Deserialization(v5::mqttbytes::Error::Io(e))) => of_socket(e),
        E::Tls(e) => of_library_tls(e),
        E::Timeout(_) | E::MqttState(S::AwaitPingResp) => SILENT.into(),
        E::NotConnAck(_) | E::MqttState(S::Deserialization(_)) => FOREIGN.into(),
        E::MqttState(e) => e.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words() {
        use v5::mqttbytes::v5::{ConnectReturnCode as Code, DisconnectReasonCode, PubAckReason};
        for (code, said) in [
            (of_code(&rumqttc::ConnectReturnCode::NotAuthorized), "not authorized"),
            (of_code(&Code::BadUserNamePassword), "bad user name or password"),
            (of_code(&Code::QoSNotSupported), "QoS not supported"),
            (of_code(&DisconnectReasonCode::ServerShuttingDown), "server shutting down"),
            (of_code(&PubAckReason::QuotaExceeded), "quota exceeded"),
            (of_code(&rustls::AlertDescription::UnknownCA), "unknown ca"),
            (of_code(&Some("s3cret")), "some"),
        ] {
            assert_eq!(code, said);
        }
    }

    /// No error of the libraries comes with its name in Rust.
    #[test]
    fn errors_are_words() {
        use rustls::InconsistentKeys;
        let os = || std::io::Error::from_raw_os_error(113);
        let tls = |e: Error| std::io::Error::new(std::io::ErrorKind::InvalidData, e);
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let v4 = [
            rumqttc::ConnectionError::ConnectionRefused(rumqttc::ConnectReturnCode::ServiceUnavailable),
            rumqttc::ConnectionError::MqttState(StateError::Io(os())),
            rumqttc::ConnectionError::Tls(TlsError::Io(tls(unknown()))),
            rumqttc::ConnectionError::NetworkTimeout,
            rumqttc::ConnectionError::NotConnAck(rumqttc::Packet::PingResp),
            rumqttc::ConnectionError::Io(os()),
        ];
        let v5 = [
            v5::ConnectionError::ConnectionRefused(v5::mqttbytes::v5::ConnectReturnCode::ServerBusy),
            v5::ConnectionError::MqttState(v5::StateError::Io(os())),
            v5::ConnectionError::Io(tls(Error::AlertReceived(rustls::AlertDescription::CertificateRequired))),
            v5::ConnectionError::Tls(TlsError::TLS(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))),
        ];
        let said: Vec<String> = v4.iter().map(of_v4).chain(v5.iter().map(of_v5)).collect();
        for words in [
            "the broker refuses the connection: service unavailable",
            "no authority that is trusted here has signed the broker's certificate",
            "the broker does not answer",
            "what answers does not speak MQTT",
            "the broker refuses the connection: server busy",
            "the broker refuses TLS: certificate required",
            "the key does not belong to the certificate",
        ] {
            assert!(said.iter().any(|s| s == words), "{words}: {said:#?}");
        }
        for line in &said {
            let is_name =
                |word: &str| word.chars().skip(1).any(char::is_uppercase) && word != "TLS" && word != "MQTT";
            assert!(!line.split(|c: char| !c.is_alphanumeric()).any(is_name), "{line}");
            assert!(!line.contains('{') && !line.contains("kind:"), "{line}");
        }
    }
}
