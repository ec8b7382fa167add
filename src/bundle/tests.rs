//! What is read, and what is refused by name.

use std::sync::OnceLock;

use super::*;

const THIS: &str = "0.2.0";

/// The files of a bundle of the models of this repository.
fn files() -> Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models"));
    FILES.get_or_init(|| collect(dir).expect("shipped models")).clone()
}

fn read(packed: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::read(Path::new("b"), packed, THIS)
}

/// Why a bundle is refused.
fn refusal(packed: &[u8]) -> String {
    match read(packed) {
        Ok(_) => panic!("it must be refused"),
        Err(error) => error.to_string(),
    }
}

fn packed(files: &Files) -> Vec<u8> {
    pack("2026-11", THIS, files).expect("packed")
}

/// An archive of entries that [`pack`] would not write: name, kind, content.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // As bytes: the crate itself writes no name that leads elsewhere.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, *bytes).expect("memory");
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory")
}

/// A manifest that lists these.
fn manifest(format: u32, glintd: &str, files: &[(&str, &[u8])]) -> String {
    let rows: String =
        files.iter().map(|(name, bytes)| format!("\"{name}\" = \"{}\"\n", sha256_hex(bytes))).collect();
    format!("format = {format}\nname = \"x\"\nglintd = \"{glintd}\"\n[files]\n{rows}")
}

#[test]
fn what_was_packed_is_read_and_answers_the_same() {
    let packed = packed(&files());
    assert_eq!(packed, self::packed(&files()), "the same files give the same bytes");
    let bundle = read(&packed).expect("whole");
    assert_eq!((bundle.manifest.name.as_str(), bundle.manifest.glintd.as_str()), ("2026-11", THIS));
    assert_eq!(bundle.models.digests(), Models::embedded().expect("models").digests());
    assert!(bundle.manifest.files.contains_key(NOTICE), "licences travel with the models");
    bundle.check().expect("on the same machine");
}

#[test]
fn a_file_that_was_changed_removed_or_added_is_named() {
    let whole = files();
    let text = self::manifest(1, THIS, &[("au.bin", b"weights")]);
    let file = tar::EntryType::Regular;
    let changed = archive(&[(MANIFEST, file, text.as_bytes()), ("au.bin", file, b"weighty")]);
    assert!(refusal(&changed).starts_with("b/au.bin: the digest is sha256:"), "{}", refusal(&changed));
    let removed = archive(&[(MANIFEST, file, text.as_bytes())]);
    assert_eq!(refusal(&removed), "b/au.bin: the bundle does not hold it");
    let added =
        archive(&[(MANIFEST, file, text.as_bytes()), ("au.bin", file, b"weights"), ("more", file, b"x")]);
    assert_eq!(refusal(&added), "b/more: manifest.toml does not list it");
    // Listed nowhere, and needed.
    for name in [GOLDENS, "student.toml", "judge.bin"] {
        let mut less = whole.clone();
        less.remove(name).expect("it was there");
        assert_eq!(refusal(&packed(&less)), format!("b/{name}: the bundle does not hold it"));
    }
    assert_eq!(refusal(&archive(&[("au.bin", file, b"x")])), "b: it holds no manifest.toml");
}

#[test]
fn a_bundle_that_is_cut_off_is_refused_wherever() {
    let packed = packed(&files());
    for share in [0.0, 0.0001, 0.1, 0.5, 0.9, 0.999] {
        let cut = &packed[..(share * packed.len() as f64) as usize];
        let reason = refusal(cut);
        let is_named = reason.contains("truncated") || reason.contains("the bundle does not hold it");
        assert!(reason.starts_with("b") && is_named, "{share}: {reason}");
    }
    assert!(refusal(b"no archive at all").contains("not a bundle"));
}

#[test]
fn names_that_lead_elsewhere_and_entries_that_are_no_files_are_refused() {
    let file = tar::EntryType::Regular;
    for name in ["../au.bin", "/etc/passwd", "a/b", "..", ".hidden", "a\\b"] {
        let error = refusal(&archive(&[(name, file, b"x")]));
        assert_eq!(error, format!("b: {name:?} in it is not a plain file name"));
    }
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Fifo]
    {
        let error = refusal(&archive(&[("au.bin", kind, b"")]));
        assert_eq!(error, "b: \"au.bin\" in it is not a plain file");
    }
    let error = refusal(&archive(&[("au.bin", file, b"x"), ("au.bin", file, b"y")]));
    assert_eq!(error, "b: \"au.bin\" in it is there twice");
    // The card in it names its neighbour and nothing else.
    let mut files = files();
    let card = String::from_utf8(files["student.toml"].clone()).expect("text");
    files.insert("student.toml".into(), card.replace("student.onnx", "../student.onnx").into_bytes());
    assert!(refusal(&packed(&files)).contains("allowed: a plain file name"));
}

#[test]
fn sizes_are_bounded() {
    let file = tar::EntryType::Regular;
    let many: Vec<String> = (0..=MAX_FILES).map(|n| format!("f{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), file, &b"x"[..])).collect();
    assert_eq!(refusal(&archive(&many)), "b: it holds more than 32 files");
    // A kilobyte that becomes more than there may be.
    let zeros = vec![0; MAX_CONTENT as usize + 1];
    let bomb = archive(&[("zeros", file, &zeros)]);
    assert!(bomb.len() < zeros.len() / 100, "{}", bomb.len());
    assert_eq!(refusal(&bomb), format!("b: it holds more than {MAX_CONTENT} bytes"));
}

#[test]
fn later_forms_and_later_versions_are_refused_with_what_to_do() {
    let refusal_of = |format, glintd| {
        let text = manifest(format, glintd, &[]);
        refusal(&archive(&[(MANIFEST, tar::EntryType::Regular, text.as_bytes())]))
    };
    assert!(
        refusal_of(2, THIS)
            .starts_with("b/manifest.toml: format: 2; glintd 0.2.0 reads 1; update glintd first")
    );
    assert_eq!(
        refusal_of(1, "0.10.0"),
        "b: this bundle needs glintd 0.10.0 or later, and this is 0.2.0; update glintd first"
    );
    assert!(refusal_of(1, "new").contains("glintd: \"new\"; allowed: a version"));
    assert_eq!(refusal_of(1, "0.1.9"), "b/goldens.json: the bundle does not hold it", "an older one will do");
    assert!(pack("a/b", THIS, &Files::new()).is_err() && pack("a", "1", &Files::new()).is_err());
}

#[test]
fn models_that_answer_otherwise_are_told_by_the_golden() {
    for (golden, path, change) in [
        ("au", "/au/0/output/3", 0.4),
        ("judge", "/judge/1/output/0", 0.3),
        ("student", "/student/0/output/1", 3.0),
        ("film", "/seen/intensity", 1.0),
        ("film", "/seen/landmarks/30/1", 400.0),
        ("film", "/seen/onset_ms", 90.0),
    ] {
        let mut files = files();
        let mut goldens: serde_json::Value = serde_json::from_slice(&files[GOLDENS]).expect("JSON");
        let number = goldens.pointer_mut(path).expect("a number");
        *number = (number.as_f64().expect("a number") + change).into();
        files.insert(GOLDENS.into(), goldens.to_string().into_bytes());
        let error = read(&packed(&files)).expect("whole").check().expect_err("another answer").to_string();
        assert!(error.starts_with(&format!("b: golden {golden}: ")), "{error}");
    }
    // A film that would take a board minutes, and a file that checks nothing.
    for (path, value) in [("/film/frames", 100_000.into()), ("/au", serde_json::json!([]))] {
        let mut files = files();
        let mut goldens: serde_json::Value = serde_json::from_slice(&files[GOLDENS]).expect("JSON");
        *goldens.pointer_mut(path).expect("there") = value;
        files.insert(GOLDENS.into(), goldens.to_string().into_bytes());
        assert!(refusal(&packed(&files)).starts_with("b/goldens.json: "));
    }
}

#[test]
fn versions_are_compared_as_numbers() {
    assert_eq!(version("0.10.2-rc.1"), Some([0, 10, 2]));
    assert!(version("0.10.0") > version("0.9.9"));
    for text in ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0"] {
        assert_eq!(version(text), None, "{text}");
    }
}
