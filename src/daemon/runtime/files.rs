//! Everything that a configuration names, opened: model files, thresholds, credentials.

use std::collections::BTreeMap;

use glint::intensity::Thresholds;
use glint::model::{Checked, ModelError};
use glint::pipeline::{Models, Options, Pipeline, PipelineError};
use glint::plain;

use super::memory;
use super::report::ModelBundle;
use crate::daemon::config::{Config, ConfigError, of_file};
use crate::daemon::models::Sound;
use crate::daemon::models::attempts::Attempt;
use crate::daemon::models::store::{Selected, Store};
use crate::daemon::mqtt::credentials::Credentials;
use crate::daemon::page;

/// Largest file of thresholds that is read, in bytes.
const MAX_THRESHOLDS: u64 = 1 << 20;

/// What was opened.
pub(crate) struct Opened {
    /// The model files, and where they come from.
    pub(crate) chosen: Chosen,
    /// The pipeline, with the networks loaded.
    pub(crate) pipeline: Pipeline,
    /// Password and certificates.
    pub(crate) credentials: Credentials,
    /// The commissioning page with its token, where it is configured.
    pub(crate) page: Option<page::PageSettings>,
}

/// Opens all of it; the error has a line for each file that cannot be used, with the place of its key. `attempt`: the start
/// that it is opened for.
pub(crate) fn open(config: &Config, attempt: Option<&Attempt>) -> Result<Opened, ConfigError> {
    let mut problems = Vec::new();
    let mut keep = |error: ConfigError| problems.extend(error.0);
    let vision = vision(config, attempt).map_err(&mut keep).ok();
    let credentials = Credentials::read(config).map_err(&mut keep).ok();
    let page = page::settings(config).map_err(&mut keep).ok();
    let seeing = vision.and_then(|(chosen, options)| {
        let pipeline = pipeline(config, options, &chosen.models).map_err(&mut keep).ok()?;
        Some((chosen, pipeline))
    });
    match (seeing, credentials, page) {
        (Some((chosen, pipeline)), Some(credentials), Some(page)) => {
            Ok(Opened { chosen, pipeline, credentials, page })
        }
        _ => Err(ConfigError(problems)),
    }
}

/// The model files in force.
pub(crate) struct Chosen {
    /// The files.
    pub(crate) models: Models,
    /// The installed bundle that they are of.
    pub(crate) bundle: Option<ModelBundle>,
    /// Why bundles that were installed are not used, the newest first.
    pub(crate) rejected: Vec<String>,
}

impl Chosen {
    /// The word in `health.problems` where an installed bundle is not used.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        (!self.rejected.is_empty()).then_some("models_unusable")
    }

    /// Which these are, in words.
    pub(crate) fn origin(&self) -> String {
        match &self.bundle {
            Some(ModelBundle { id, name }) => format!("of the bundle {name} ({id})"),
            None => "built in".into(),
        }
    }

    /// Says in the log what is used and what is not.
    pub(crate) fn log(&self) {
        for reason in &self.rejected {
            tracing::error!(reason, "an installed bundle of models is not used");
        }
        match &self.bundle {
            Some(ModelBundle { id, name }) => tracing::info!(id, name, "models of an installed bundle"),
            None if !self.rejected.is_empty() => tracing::error!("the built-in models are used"),
            None => {}
        }
    }
}

/// What a pipeline is made of: the files of the models, and the options.
pub(crate) fn vision(config: &Config, attempt: Option<&Attempt>) -> Result<(Chosen, Options), ConfigError> {
    match (models(config, attempt), options(config)) {
        (Ok(chosen), Ok(options)) => Ok((chosen, options)),
        (chosen, options) => {
            let problems = chosen.err().into_iter().chain(options.err()).flat_map(|error| error.0);
            Err(ConfigError(problems.collect()))
        }
    }
}

/// The model files that a configuration asks for: those of `model.path`, else of the newest installed bundle that can be
/// used, else the built-in ones. No bundle keeps a device from running. The error has a line for each file that cannot be used.
pub(crate) fn models(config: &Config, attempt: Option<&Attempt>) -> Result<Chosen, ConfigError> {
    let wrong = |errors: Vec<ModelError>| -> Vec<String> {
        errors.iter().flat_map(|e| wrong_model(config, e).0).collect()
    };
    let chosen = match &config.model.path {
        Some(dir) => Models::load_all(dir)
            .map(|models| Chosen { models, bundle: None, rejected: Vec::new() })
            .map_err(wrong),
        None => installed(config, attempt).map_err(|e| e.0),
    };
    let digest = config.face.detector_sha256.as_deref();
    let detector = config.face.detector.as_ref().map(|path| Checked::load_external(path, digest));
    match (chosen, detector.transpose()) {
        (Ok(chosen), Ok(None)) => Ok(chosen),
        (Ok(mut chosen), Ok(Some(detector))) => {
            chosen.models.detector = detector;
            Ok(chosen)
        }
        (chosen, detector) => {
            let mut problems = chosen.err().unwrap_or_default();
            problems.extend(detector.err().map(|e| wrong(vec![e])).unwrap_or_default());
            Err(ConfigError(problems))
        }
    }
}

/// Name and `sha256:` digest of each model.
pub(crate) fn digests(models: &Models) -> BTreeMap<&'static str, String> {
    models.digests().map(|(name, digest)| (name, format!("sha256:{digest}"))).into()
}

/// Those of the built-in models.
pub(crate) fn built_in() -> Result<BTreeMap<&'static str, String>, ModelError> {
    Models::embedded().map(|models| digests(&models))
}

/// The newest installed bundle that can be used, or what is built in.
fn installed(config: &Config, attempt: Option<&Attempt>) -> Result<Chosen, ConfigError> {
    // They were parsed with the configuration.
    let keys = config.model.keys().map_err(|reason| config.wrong("model.trusted_keys", reason))?;
    let Selected { sound, rejected } = Store::in_state(&memory::folder(config)).open(&keys, attempt);
    Ok(match sound {
        Some(Sound { id, bundle, .. }) => {
            let name = bundle.manifest.name;
            Chosen { models: bundle.models, bundle: Some(ModelBundle { id, name }), rejected }
        }
        None => {
            let models = Models::embedded().map_err(|e| wrong_model(config, &e))?;
            Chosen { models, bundle: None, rejected }
        }
    })
}

/// The pipeline's options that a configuration asks for.
pub(crate) fn options(config: &Config) -> Result<Options, ConfigError> {
    let thresholds = match &config.gate.thresholds {
        None => None,
        Some(path) => {
            let fail = |e: String| config.wrong("gate.thresholds", format!("{}: {e}", path.display()));
            let text = plain::read_text(path, MAX_THRESHOLDS).map_err(|e| fail(e.to_string()))?;
            let thresholds: Thresholds = toml::from_str(&text).map_err(|e| fail(of_file(&text, &e)))?;
            thresholds.by_unit().map_err(fail)?;
            Some(thresholds)
        }
    };
    Ok(Options {
        max_tracks: config.face.max_tracks,
        purpose: config.deployment.purpose,
        kinds: config.gate.kinds.clone(),
        thresholds,
    })
}

/// The pipeline: here the networks are parsed.
pub(crate) fn pipeline(config: &Config, options: Options, models: &Models) -> Result<Pipeline, ConfigError> {
    Pipeline::new(options, models).map_err(|error| match error {
        PipelineError::Model(error) => wrong_model(config, &error),
        PipelineError::Thresholds(reason) => config.wrong("gate.thresholds", reason),
        other => config.wrong("model.path", other),
    })
}

/// A problem of a model file, under the key that names it.
fn wrong_model(config: &Config, error: &ModelError) -> ConfigError {
    let text = error.to_string();
    let detector = config.face.detector.as_ref().map(|path| path.display().to_string());
    if detector.is_some_and(|path| text.starts_with(&path)) {
        config.wrong("face.detector", text)
    } else if config.model.path.is_some() {
        config.wrong("model.path", text)
    } else {
        // Built in, and damaged: there is no key to blame.
        ConfigError(vec![format!("glintd: {text}")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_missing_has_a_line_with_the_place_of_its_key() {
        let text = "[face]\ndetector = \"/no/detector\"\n[gate]\nthresholds = \"/no/thresholds\"\n[mqtt]\n\
                    url = \"mqtts://x\"\nusername = \"u\"\npassword_file = \"/no/password\"\nca = \"/no/ca\"\n\
                    cert = \"/no/cert\"\nkey = \"/no/key\"\n";
        let config = Config::parse("g", text).expect("valid");
        let lines = open(&config, None).err().expect("nothing is there").0;
        for (line, start) in lines.iter().zip([
            "g:2:12: face.detector: /no/detector: ",
            "g:4:14: gate.thresholds: /no/thresholds: ",
            "g:8:17: mqtt.password_file: /no/password: ",
            "g:9:6: mqtt.ca: /no/ca: ",
            "g:10:8: mqtt.cert: /no/cert: ",
            "g:11:7: mqtt.key: /no/key: ",
        ]) {
            assert!(line.starts_with(start), "{line}\n{start}");
        }
        assert_eq!(lines.len(), 6, "{lines:#?}");
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join("judge.toml"), "kind = \"judge\"\n").expect("file");
        let text = format!("model.path = {:?}\nface.detector = \"/no/detector\"\n", dir.path());
        let lines = open(&Config::parse("g", &text).expect("valid"), None).err().expect("nothing is there").0;
        let names =
            ["judge.toml", "student.toml", "detector.toml", "landmarks.toml", "au.toml", "/no/detector"];
        assert_eq!(lines.len(), names.len(), "{lines:#?}");
        assert!(lines.iter().zip(names).all(|(line, name)| line.contains(name)), "{lines:#?}");
        let config = Config::parse("g", "model.path = \"/no/models\"").expect("valid");
        let lines = open(&config, None).err().expect("nothing is there").0;
        assert!(lines.len() == 1 && lines[0].starts_with("g:1:14: model.path: /no/models/"), "{lines:#?}");
        // Also where the address has no use for it.
        let config = Config::parse("g", "mqtt.ca = \"/no/ca\"").expect("valid");
        assert!(open(&config, None).is_err());
    }

    #[test]
    fn the_token_of_the_page_is_read_beforehand() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("token");
        std::fs::write(&path, "short\n").expect("file");
        let text = format!("page.listen = \"0.0.0.0:8080\"\npage.token_file = {path:?}");
        let config = Config::parse("g", &text).expect("valid");
        let lines = open(&config, None).err().expect("too short").0;
        assert!(lines.len() == 1 && lines[0].starts_with("g:2:19: page.token_file: "), "{lines:#?}");
        std::fs::write(&path, "long enough as it is\n").expect("file");
        assert!(open(&config, None).is_err(), "spaces");
        std::fs::write(&path, "0123456789abcdef\n").expect("file");
        assert!(open(&config, None).expect("readable").page.is_some());
        assert!(open(&Config::default(), None).expect("nothing to read").page.is_none());
    }

    #[test]
    fn thresholds_of_the_site_are_checked() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("t.toml");
        let config = Config::parse("g", &format!("gate.thresholds = {path:?}")).expect("valid");
        std::fs::write(&path, "au12 = nan\n").expect("file");
        let error = options(&config).expect_err("NaN").to_string();
        assert!(error.starts_with("g:1:19: gate.thresholds: ") && error.contains("au12: NaN"), "{error}");
        // Another file than was meant is not quoted: it may hold a secret.
        std::fs::write(&path, "# keys\nroot:secret\n").expect("file");
        let error = options(&config).expect_err("no TOML").to_string();
        assert!(error.contains("line 2, column ") && !error.contains("secret"), "{error}");
        std::fs::write(&path, "au4 = 1\nau12 = high\n").expect("file");
        let error = options(&config).expect_err("no TOML").to_string();
        assert!(
            error.ends_with(
                "t.toml: line 2, column 8: neither a number, true nor false; text stands in quotes"
            ),
            "{error}"
        );
    }
}
