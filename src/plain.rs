//! Small files that are read as a whole. A pipe or a device in the place of one might never end: plain files alone are
//! read, up to a size.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The content of a plain file of at most `most` bytes.
///
/// # Errors
/// The file cannot be read, is a folder, a pipe or a device, or has more bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let invalid = |reason: String| Error::new(ErrorKind::InvalidInput, reason);
    // Looked at before it is opened: opening a pipe waits for a writer.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(invalid("a folder; allowed: a file".into()));
    }
    if !kind.is_file() {
        return Err(invalid("a pipe, socket or device; allowed: a plain file".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(invalid(format!("more than {most} bytes; allowed: at most {most}")));
    }
    Ok(bytes)
}

/// The text of a plain file of at most `most` bytes.
///
/// # Errors
/// As [`read`]; the content is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_of_a_size_alone_are_read() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(read_text(&path, 5).expect("read"), "12345");
        let reason = |path: &Path| read_text(path, 4).expect_err("refused").to_string();
        assert!(reason(&path).contains("at most 4"));
        assert!(reason(dir.path()).contains("a folder"));
        // It has no end.
        assert!(reason(Path::new("/dev/zero")).contains("device"));
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        assert!(reason(&socket).contains("socket"));
        std::fs::write(&path, [0xff]).expect("written");
        assert_eq!(reason(&path), "not UTF-8 text");
        assert!(read(&dir.path().join("none"), 4).is_err_and(|e| e.kind() == ErrorKind::NotFound));
    }
}
