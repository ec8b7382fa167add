//! The threshold experiment, answered in a real browser.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::browser::Browser;
use super::pretrain;

const TRIALS: usize = 6;

/// The server, and the address that it prints.
fn serve(log: &Path) -> (Child, String) {
    let mut server = pretrain()
        .args(["threshold", "run", "--aus", "12", "--trials", &TRIALS.to_string(), "--log"])
        .arg(log)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut url = String::new();
    BufReader::new(server.stdout.take().expect("stdout")).read_line(&mut url).expect("an address");
    (server, url.trim().to_owned())
}

/// Ends with the test, whatever becomes of it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers(log: &Path) -> usize {
    std::fs::read_to_string(log).expect("a log").lines().count() - 1
}

// Some 20 s: frames are shown in real time, which is what the test is about.
#[test]
fn a_participant_answers_leaves_and_comes_back() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(mut browser) = Browser::start(dir.path()) else {
        super::tools::missing("Chromium");
        return;
    };
    let log = dir.path().join("p01.jsonl");
    let (server, url) = serve(&log);
    let mut server = Server(server);
    let mut page = browser.open(&url);
    for number in 0..TRIALS {
        if number == 2 || number == 4 {
            // The window is closed in the middle of a trial; then the server stops as well.
            browser.close(page);
            let mut at = url.clone();
            if number == 4 {
                drop(server);
                let (again, address) = serve(&log);
                (server, at) = (Server(again), address);
            }
            page = browser.open(&at);
        }
        if matches!(number, 0 | 2 | 4) {
            browser.wait(&page, "document.body.dataset.ready", "yes");
            browser.press(&page, "Enter");
        }
        browser.wait(&page, "document.body.dataset.asking", &number.to_string());
        // What was shown is on the screen: a face, not one gray.
        let drawn = browser.value(
            &page,
            "new Set(document.getElementById('screen').getContext('2d').getImageData(0, 0, 320, 400).data).size",
        );
        assert!(drawn.as_u64().is_some_and(|n| n >= 2), "{drawn}");
        let known =
            browser.value(&page, "JSON.stringify(performance.getEntriesByType('resource').map(e => e.name))");
        assert!(known.as_str().is_some_and(|s| s.contains(&format!("/frames/{number}/2"))), "{known}");
        // A key that means nothing, then the answer.
        browser.press(&page, "3");
        browser.press(&page, if number % 2 == 0 { "1" } else { "2" });
        let begun = std::time::Instant::now();
        while answers(&log) <= number {
            assert!(begun.elapsed().as_secs() < 30, "answer {number} is not in the log");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    browser.wait(&page, "document.body.dataset.over", "yes");
    assert!(server.0.wait().expect("ends").success());
    assert_eq!(answers(&log), TRIALS);
    let out = dir.path().join("thresholds.toml");
    let fitted = pretrain()
        .args(["threshold", "fit", "--draws", "20", "--out"])
        .args([&out, &log])
        .output()
        .expect("runs");
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
    let text = std::fs::read_to_string(&out).expect("a file");
    let thresholds: glint::intensity::Thresholds = toml::from_str(&text).expect("the gate's format");
    thresholds.by_unit().expect("the gate accepts it");
    assert!(text.contains("Participants: p01"), "{text}");
}
