//! The page in headless Chromium: `tests/page`.

use std::process::Command;

#[test]
fn an_operator_with_a_phone_or_a_desktop_gets_through() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/run.sh");
    let output = match Command::new(script).arg(env!("CARGO_BIN_EXE_glintd")).output() {
        Ok(output) => output,
        Err(error) => panic!("{script}: {error}"),
    };
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    eprintln!("{said}");
    match output.status.code() {
        Some(77) => super::super::tools::missing("chromium"),
        Some(127) => super::super::tools::missing("python3"),
        code => assert_eq!(code, Some(0), "{said}"),
    }
}
