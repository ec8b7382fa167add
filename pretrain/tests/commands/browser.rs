//! Headless Chromium through its debugging pipe: real pages, real key strokes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser; it ends when this is dropped.
pub struct Browser {
    process: Child,
    input: File,
    messages: Receiver<Value>,
    calls: u64,
}

impl Browser {
    /// Starts Chromium with a profile in `dir`; `None` where it is not installed.
    pub fn start(dir: &Path) -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|p| {
            Command::new(p)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        })?;
        let (to, from) = (dir.join("to"), dir.join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status().expect("mkfifo");
        assert!(made.success());
        // The browser reads commands from descriptor 3 and answers on descriptor 4. The shell opens the first pipe
        // before the second one, and so does the test.
        let script = format!(
            "exec {program} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --user-data-dir=\"$0/profile\" --remote-debugging-pipe about:blank 3<\"$0/to\" 4>\"$0/from\" 2>\"$0/log\""
        );
        let process = Command::new("sh").args(["-c", &script]).arg(dir).spawn().expect("sh");
        let input = File::options().write(true).open(to).expect("pipe");
        let output = BufReader::new(File::open(from).expect("pipe"));
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                if let Ok(value) = serde_json::from_slice(&message)
                    && send.send(value).is_err()
                {
                    break;
                }
            }
        });
        Some(Self { process, input, messages, calls: 0 })
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser listens");
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// Opens a page.
    pub fn open(&mut self, url: &str) -> Page {
        let target = self.call(None, "Target.createTarget", json!({"url": url}))["targetId"].clone();
        let attached = self.call(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        Page { target, session: attached["sessionId"].as_str().expect("a session").to_owned() }
    }

    /// Closes a page as a person would close the window.
    pub fn close(&mut self, page: Page) {
        self.call(None, "Target.closeTarget", json!({"targetId": page.target}));
    }

    /// Value of an expression in the page.
    pub fn value(&mut self, page: &Page, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        self.call(Some(&page.session), "Runtime.evaluate", params)["result"]["value"].clone()
    }

    /// Waits until an expression has a value.
    pub fn wait(&mut self, page: &Page, expression: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let value = self.value(page, expression);
            if value == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{expression} is {value}, not {wanted}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Presses and releases a key.
    pub fn press(&mut self, page: &Page, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call(Some(&page.session), "Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An open page.
pub struct Page {
    target: Value,
    session: String,
}
