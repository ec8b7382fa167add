//! What a look at one thing has found.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Good,
    /// Something to know, or that could not be looked at.
    Note,
    /// It works, and could be better.
    Warning,
    /// It does not work.
    Fault,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    /// How bad it is.
    #[serde(rename = "level")]
    pub(crate) severity: Severity,
    /// Name of the fault or warning, with the words of the topics `state` and `health` where they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<&'static str>,
    /// What was seen.
    pub(crate) text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(crate) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, severity: Severity::Good, fault: None, text: text.into(), remedy: None }
    }

    /// Something to know.
    pub(crate) fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::good(check, text) }
    }

    /// It could be better.
    pub(crate) fn warning(
        check: &'static str,
        fault: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { severity: Severity::Warning, fault: Some(fault), remedy, ..Self::good(check, text) }
    }

    /// It does not work.
    pub(crate) fn fault(
        check: &'static str,
        fault: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Fault, ..Self::warning(check, fault, text, remedy) }
    }

    /// As `doctor` prints it: the remedy is a line of its own.
    pub(crate) fn lines(&self) -> String {
        let word = match self.severity {
            Severity::Good => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Fault => "FAULT",
        };
        let name = self.fault.map(|f| format!("{f}: ")).unwrap_or_default();
        let remedy = self.remedy.as_ref().map(|r| format!("\n{:<21}remedy: {r}", "")).unwrap_or_default();
        format!("{word:<8} {:<11} {name}{}{remedy}", self.check, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_its_remedy_another() {
        let fault = Finding::fault("rate", "fps_low", "12.0 frames/s", "more light");
        assert_eq!(
            fault.lines(),
            "FAULT    rate        fps_low: 12.0 frames/s\n                     remedy: more light"
        );
        assert_eq!(Finding::good("clock", "set").lines(), "ok       clock       set");
        let json = serde_json::to_string(&Finding::good("clock", "set")).expect("JSON");
        assert_eq!(json, r#"{"check":"clock","level":"good","text":"set"}"#);
    }
}
