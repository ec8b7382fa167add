//! A running `glintd`, watched through its log.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Ids that daemons have accepted, from their logs: more than one daemon may add to it.
pub(crate) type Accepted = Arc<Mutex<BTreeSet<String>>>;

/// A running `glintd`.
pub(crate) struct Daemon {
    child: Child,
    accepted: Accepted,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it; ids that it accepts are added to `accepted`.
    pub(crate) fn start(mut command: Command, accepted: &Accepted) -> Self {
        command.env_remove("JOURNAL_STREAM").env_remove("RUST_LOG");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("glintd starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (ids, sink) = (Arc::clone(accepted), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("glintd: {line}");
                if let Some((_, id)) = line.split_once("event accepted id=\"") {
                    let id = id.split('"').next().expect("one part at least");
                    ids.lock().expect("not poisoned").insert(id.to_owned());
                }
                sink.lock().expect("not poisoned").push(line);
            }
        });
        Self { child, accepted: Arc::clone(accepted), log }
    }

    /// Waits until `count` more events are accepted.
    pub(crate) fn accept(&self, count: usize) {
        let before = self.accepted.lock().expect("not poisoned").len();
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.accepted.lock().expect("not poisoned").len() < before + count {
            assert!(Instant::now() < deadline, "{count} events within 60 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a line of the log that holds `words`.
    pub(crate) fn says(&self, words: &str, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !self.log.lock().expect("not poisoned").iter().any(|line| line.contains(words)) {
            assert!(Instant::now() < deadline, "{words:?} within {seconds} s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().expect("not poisoned").clone()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|s| s.success()), "signal {name}");
    }

    /// Sends HUP to a process that may have ended.
    pub(crate) fn hang_up_if_there(&self) {
        let _ = Command::new("kill").args(["-s", "HUP", &self.child.id().to_string()]).status();
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("glintd ends").code()
    }

    /// Ends it with a signal; its exit code.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.child.wait().expect("glintd ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a configuration in `dir`: the synthetic subject, an outbox in the same folder, a broker at `url`, and more lines.
/// The device is `glint` if these say nothing else.
pub(crate) fn configure_with(dir: &Path, url: &str, more: &str) -> PathBuf {
    let file = dir.join("g.toml");
    let more =
        if more.contains("device.") { more.to_owned() } else { format!("device.id = \"glint\"\n{more}") };
    let text = format!(
        "source.kind = \"synthetic\"\nmqtt.url = \"{url}\"\noutbox.path = {:?}\n\
         deployment.purpose = \"research\"\nhealth.interval_s = 1\n{more}\n",
        dir.join("outbox.redb")
    );
    std::fs::write(&file, text).expect("file");
    file
}

/// [`configure_with`] a broker on a loopback port.
pub(crate) fn configure(dir: &Path, port: u16) -> PathBuf {
    configure_with(dir, &format!("mqtt://127.0.0.1:{port}"), "")
}

/// `glintd run` with a configuration.
pub(crate) fn start_command(config: &Path) -> Command {
    super::glintd(&["run", "--config", config.to_str().expect("UTF-8")])
}
