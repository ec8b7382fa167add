//! Signatures by the program minisign, which asks for the password of its key itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The signature of `bytes` by the secret key in the file `key`, and behind it the bytes. `comment` is signed with them.
pub fn sign(bytes: &[u8], key: &Path, comment: &str) -> Result<Vec<u8>> {
    sign_with("minisign", bytes, key, comment)
}

fn sign_with(program: &str, bytes: &[u8], key: &Path, comment: &str) -> Result<Vec<u8>> {
    let dir = std::env::temp_dir().join(format!("glint-bundle-{}", std::process::id()));
    std::fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
    let signed = run(program, &dir, bytes, key, comment);
    // What was signed is no secret; a folder that stays is named by the system's own cleaning.
    let _ = std::fs::remove_dir_all(&dir);
    signed
}

fn run(program: &str, dir: &Path, bytes: &[u8], key: &Path, comment: &str) -> Result<Vec<u8>> {
    let (file, signature) = (dir.join("bundle"), dir.join("bundle.minisig"));
    std::fs::write(&file, bytes).with_context(|| file.display().to_string())?;
    let status = Command::new(program)
        .arg("-S")
        .arg("-s")
        .arg(key)
        .arg("-m")
        .arg(&file)
        .arg("-x")
        .arg(&signature)
        .args(["-t", comment])
        // stdout is the result of the command.
        .stdout(std::io::stderr())
        .status()
        .with_context(|| {
            format!("{program} cannot be started; install it (apt install minisign), or sign the file later")
        })?;
    ensure!(status.success(), "{program} did not sign with {}: {status}", key.display());
    let text = std::fs::read(&signature).with_context(|| format!("{program} left no signature"))?;
    Ok([text.as_slice(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_stands_before_the_bytes() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("folder");
        // What minisign is called with: -S -s KEY -m FILE -x SIGNATURE -t COMMENT.
        let program = dir.path().join("minisign");
        let script = "#!/bin/sh\n[ \"$1$2$4$6$8\" = \"-S-s-m-x-t\" ] || exit 2\n[ -f \"$3\" ] || exit 1\n\
                      { echo \"$9\"; cat \"$5\" | wc -c; } >\"$7\"\n";
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
        let (program, key) = (program.to_str().expect("UTF-8"), dir.path().join("key"));
        let error = sign_with(program, b"bytes", &key, "c d").expect_err("no key").to_string();
        assert!(error.contains("did not sign with"), "{error}");
        std::fs::write(&key, "secret").expect("written");
        let signed = sign_with(program, b"bytes", &key, "c d").expect("signed");
        assert_eq!(String::from_utf8(signed).expect("text"), "c d\n5\nbytes");
        let error = format!("{:#}", sign_with("/no/minisign", b"x", &key, "c").expect_err("no program"));
        assert!(error.contains("apt install minisign"), "{error}");
    }
}
