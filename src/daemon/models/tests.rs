//! Bundles on a disk: whose are taken, which is in use, and what is left after a failure.

use std::sync::OnceLock;

use glint::bundle::{Files, GOLDENS, collect, pack};

use super::minisign::{public_key, signature, signed};
use super::store::Store;
use super::*;

/// Who is trusted.
const SITE: u8 = 7;

fn files() -> Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models"));
    FILES.get_or_init(|| collect(dir).expect("shipped models")).clone()
}

fn packed(name: &str) -> Vec<u8> {
    pack(name, THIS, &files()).expect("packed")
}

/// The files of a bundle whose goldens do not hold.
fn wrong() -> Files {
    let mut files = files();
    let mut goldens: serde_json::Value = serde_json::from_slice(&files[GOLDENS]).expect("JSON");
    goldens["au"][0]["output"][0] = 4.0.into();
    files.insert(GOLDENS.into(), goldens.to_string().into_bytes());
    files
}

fn keys() -> Vec<PublicKey> {
    vec![PublicKey::from_base64(&public_key(SITE)).expect("a key")]
}

/// A folder with a store, and files that come to it.
struct Site {
    dir: tempfile::TempDir,
    store: Store,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::in_state(dir.path());
        Self { dir, store }
    }

    fn come(&self, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.dir.path().join("come.glint");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Why a file that comes is refused.
    fn refusal(&self, bytes: &[u8]) -> String {
        let error = examine(&self.come(bytes), &keys()).err().expect("it must be refused");
        assert!(matches!(error, Refused::Unusable(_)), "{error}");
        error.to_string()
    }

    fn install(&self, name: &str) -> (String, Option<String>) {
        let path = self.come(&signed(SITE, &packed(name)));
        let sound = examine(&path, &keys()).expect("sound");
        let before = self.store.install(&sound, &keys()).expect("installed");
        (sound.id, before)
    }

    /// Id of what is in use, and why others are not.
    fn in_force(&self) -> (Option<String>, Vec<String>) {
        let selected = self.store.open(&keys(), None);
        (selected.sound.map(|sound| sound.id), selected.rejected)
    }

    fn damage(&self, id: &str) {
        let path = self.store.path(id);
        let mut bytes = std::fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).expect("written");
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("models")).expect("folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn only_what_a_trusted_key_has_signed_is_looked_at() {
    let (site, bundle) = (Site::new(), packed("x"));
    assert!(site.refusal(&bundle).contains("come.glint: not signed: "));
    let other = site.refusal(&signed(8, &bundle));
    assert!(other.ends_with("signed with the key 0808080808080808, which model.trusted_keys does not name; add its public key if you trust it"), "{other}");
    // Whatever stands behind a signature that does not fit, it is not read.
    let mut changed = signed(SITE, &bundle);
    *changed.last_mut().expect("bytes") ^= 1;
    assert!(site.refusal(&changed).contains("the signature does not fit"));
    let cut = &signed(SITE, &bundle)[..10_000];
    assert!(site.refusal(cut).contains("the signature does not fit"));
    let junk = [signature(SITE, &bundle).as_bytes(), b"../../etc/passwd"].concat();
    assert!(site.refusal(&junk).contains("the signature does not fit"));
    // Signed, and no bundle.
    assert!(site.refusal(&signed(SITE, b"hello")).contains("not a bundle"));
    let later = pack("x", "99.0.0", &Files::new()).expect("packed");
    assert!(site.refusal(&signed(SITE, &later)).contains("needs glintd 99.0.0 or later"));
    assert!(
        site.refusal(&signed(SITE, &pack("x", THIS, &wrong()).expect("packed")))
            .contains("golden au: case 0")
    );
    // The signature beside the file is as good.
    let path = site.come(&bundle);
    std::fs::write(signature::name_beside(&path), signature(SITE, &bundle)).expect("written");
    let sound = examine(&path, &keys()).expect("sound");
    assert_eq!(sound.comment, "signed by a test");
    assert_eq!(sound.file, signed(SITE, &bundle), "kept as one file");
    let missing = examine(Path::new("/no/such"), &keys()).err().expect("nothing is there");
    assert!(matches!(missing, Refused::Unreadable(_)), "{missing}");
}

#[test]
fn the_one_before_stays_and_takes_over_when_the_newer_one_fails() {
    let site = Site::new();
    assert_eq!(site.in_force(), (None, Vec::new()));
    let (first, before) = site.install("first");
    assert_eq!(before, None);
    let (second, before) = site.install("second");
    assert_eq!(
        (site.in_force(), before.as_deref()),
        ((Some(second.clone()), Vec::new()), Some(first.as_str()))
    );
    site.damage(&second);
    let (id, reasons) = site.in_force();
    assert_eq!(id.as_ref(), Some(&first));
    assert!(
        reasons.len() == 1 && reasons[0].contains(&second) && reasons[0].contains("does not fit"),
        "{reasons:?}"
    );
    // What fails is not kept beside a third.
    let (third, before) = site.install("third");
    assert_eq!(before.as_ref(), Some(&first));
    assert_eq!(site.names(), {
        let mut names =
            vec![".lock".into(), format!("{first}.glint"), format!("{third}.glint"), "index.json".into()];
        names.sort();
        names
    });
    assert_eq!(site.store.rollback().expect("there are two"), third);
    assert_eq!(site.in_force(), (Some(first.clone()), Vec::new()));
    site.damage(&first);
    let (id, reasons) = site.in_force();
    assert_eq!((id, reasons.len()), (None, 1), "the built-in models are left");
    assert_eq!(site.store.rollback().expect("there is one"), first);
    assert_eq!(site.in_force(), (None, Vec::new()));
    assert!(site.store.rollback().expect_err("nothing").to_string().contains("no bundle is installed"));
}

#[test]
fn goldens_are_run_at_every_start_and_a_key_can_be_taken_back() {
    let site = Site::new();
    let (first, _) = site.install("first");
    // As a glintd that computes otherwise would find it.
    let bytes = signed(SITE, &pack("wrong", THIS, &wrong()).expect("packed"));
    let id = "00112233445566aa";
    std::fs::write(site.store.path(id), bytes).expect("written");
    let index = format!("{{\"schema\": 1, \"bundles\": [\"{id}\", \"{first}\"]}}");
    std::fs::write(site.dir.path().join("models/index.json"), index).expect("written");
    let (in_force, reasons) = site.in_force();
    assert_eq!(in_force, Some(first));
    assert!(reasons.len() == 1 && reasons[0].contains("golden au"), "{reasons:?}");
    let selected = site.store.open(&[], None);
    assert!(selected.sound.is_none() && selected.rejected.len() == 2, "{:?}", selected.rejected);
    assert!(selected.rejected[1].contains("model.trusted_keys does not name"));
}

#[test]
fn an_installation_that_is_cut_off_leaves_the_old_bundle_in_force() {
    let site = Site::new();
    let (first, _) = site.install("first");
    let models = site.dir.path().join("models");
    // Cut off while the file is written, and before the index names it.
    std::fs::write(models.join("aaaaaaaaaaaaaaaa.glint.new"), b"half").expect("written");
    std::fs::write(models.join("bbbbbbbbbbbbbbbb.glint"), b"whole").expect("written");
    std::fs::write(models.join("index.json.new"), b"{\"schema\": 1, \"bun").expect("written");
    assert_eq!(site.in_force(), (Some(first.clone()), Vec::new()));
    // An index that cannot be written.
    std::fs::remove_file(models.join("index.json.new")).expect("there");
    std::fs::create_dir(models.join("index.json.new")).expect("folder");
    let sound = examine(&site.come(&signed(SITE, &packed("second"))), &keys()).expect("sound");
    let error = format!("{:#}", site.store.install(&sound, &keys()).expect_err("a folder is in the way"));
    assert!(error.contains("index.json: cannot be written, and nothing has changed"), "{error}");
    assert_eq!(site.in_force(), (Some(first.clone()), Vec::new()));
    std::fs::remove_dir(models.join("index.json.new")).expect("there");
    // Two at once.
    let lock = std::fs::File::open(models.join(".lock")).expect("there");
    lock.lock().expect("free");
    let error = site.store.install(&sound, &keys()).expect_err("locked").to_string();
    assert!(error.contains("try again"), "{error}");
    drop(lock);
    let before = site.store.install(&sound, &keys()).expect("installed");
    assert_eq!(before, Some(first));
    assert_eq!(site.names().len(), 4, "what was cut off is gone: {:?}", site.names());
}

#[test]
fn an_index_that_is_damaged_or_leads_elsewhere_names_nothing() {
    let site = Site::new();
    let models = site.dir.path().join("models");
    std::fs::create_dir(&models).expect("folder");
    for (text, reason) in [
        ("{", "EOF"),
        ("{\"schema\": 2, \"bundles\": []}", "schema: 2"),
        ("{\"schema\": 1, \"bundles\": [\"../../../tmp/x\"]}", "is not an id"),
    ] {
        std::fs::write(models.join("index.json"), text).expect("written");
        let (id, reasons) = site.in_force();
        assert!(id.is_none() && reasons.len() == 1 && reasons[0].contains(reason), "{reasons:?}");
    }
    assert!(site.store.rollback().is_ok(), "it can be given up");
    assert_eq!(site.in_force(), (None, Vec::new()));
}

#[test]
fn starts_are_counted_where_a_bundle_is_installed() {
    let dir = tempfile::tempdir().expect("folder");
    let counts = dir.path().join("models.attempts");
    let store = Store::in_state(dir.path());
    _ = store.begin();
    assert!(!counts.exists());
    std::fs::create_dir(dir.path().join("models")).expect("folder");
    let index = "{\"schema\": 1, \"bundles\": [\"0000000000000002\"]}";
    std::fs::write(dir.path().join("models/index.json"), index).expect("written");
    _ = store.begin();
    assert!(counts.exists());
}
