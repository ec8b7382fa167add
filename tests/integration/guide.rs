//! docs/guide/broker.md as it stands: its commands and files, with other folders, host and port.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{free_port, program};
use super::daemon::{Accepted, Daemon, start_command};

const PAGE: &str = include_str!("../../docs/guide/broker.md");

/// A block of code: its language, the file that the line before it names, its text.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks() -> Vec<Block> {
    let (mut blocks, mut before, mut open): (Vec<Block>, &str, bool) = (Vec::new(), "", false);
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(language), false) => {
                open = true;
                let file = before.strip_suffix("`:").and_then(|l| l.rsplit('`').next()).map(str::to_owned);
                blocks.push(Block { language: language.into(), file, text: String::new() });
            }
            (None, true) => {
                let text = &mut blocks.last_mut().expect("a block is open").text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) if !line.is_empty() => before = line,
            (None, false) => {}
        }
    }
    blocks
}

/// The world of the guide in a folder.
struct Site {
    dir: PathBuf,
    port: u16,
    broker: Child,
}

impl Site {
    /// What the page says, said of this folder, host and port.
    fn here(dir: &Path, port: u16, text: &str) -> String {
        let dir = dir.display();
        text.replace("install -o mosquitto", "install")
            .replace("sudo ", "")
            .replace("/etc/mosquitto", &format!("{dir}/mosquitto"))
            .replace("/etc/glint", &format!("{dir}/glint"))
            .replace("broker.example.org", "localhost")
            .replace("8883", &port.to_string())
    }

    /// Follows the page. `None`, with a message, where a program is missing.
    fn new(dir: &Path) -> Option<Self> {
        let there = |name: &str, argument: &str| {
            Command::new(name).arg(argument).output().is_ok() || {
                super::tools::missing(name);
                false
            }
        };
        let Some(mosquitto) = program() else {
            super::tools::missing("mosquitto");
            return None;
        };
        if !there("openssl", "version") || !there("mosquitto_pub", "--help") {
            return None;
        }
        let port = free_port();
        // These the packages make.
        for folder in ["mosquitto/conf.d", "glint"] {
            std::fs::create_dir_all(dir.join(folder)).expect("folder");
        }
        for block in blocks() {
            let text = Self::here(dir, port, &block.text);
            match (block.language.as_str(), &block.file) {
                ("sh", _) if text.contains("openssl") || text.contains("install") => {
                    let output = Command::new("sh").args(["-ec", &text]).current_dir(dir).output();
                    let output = output.expect("sh starts");
                    assert!(output.status.success(), "{text}{}", super::stderr(&output));
                }
                ("conf" | "acl" | "toml", file) => {
                    let file = file.as_ref().expect("the page names the file");
                    std::fs::write(Self::here(dir, port, file), text).expect("file");
                }
                _ => {}
            }
        }
        // Debian's own configuration reads the folder. The test's user may be root, whom Mosquitto would leave.
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let main = dir.join("mosquitto.conf");
        let include = format!("user {user}\ninclude_dir {}\n", dir.join("mosquitto/conf.d").display());
        std::fs::write(&main, include).expect("file");
        let (out, log) = (Stdio::null(), std::fs::File::create(dir.join("broker.log")).expect("file"));
        let broker = Command::new(mosquitto).arg("-c").arg(&main).stdout(out).stderr(log).spawn();
        let site = Self { dir: dir.to_owned(), port, broker: broker.expect("mosquitto starts") };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(dir.join("broker.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "mosquitto does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(site)
    }

    /// A client of Mosquitto with the certificate of `name`.
    fn client(&self, program: &str, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let port = self.port.to_string();
        command.args(["-h", "localhost", "-p", &port, "--cafile", "ca.pem"]).current_dir(&self.dir);
        if !name.is_empty() {
            command.args(["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")]);
        }
        command.args(arguments);
        command
    }

    fn publish(&self, name: &str, topic: &str, content: &str) {
        let status = self.client("mosquitto_pub", name, &["-t", topic, "-m", content, "-q", "1"]).status();
        assert!(status.expect("mosquitto_pub starts").success(), "{name} publishes on {topic}");
    }

    /// What `name` hears of a topic within some seconds.
    fn hears(&self, name: &str, topic: &str, seconds: u32) -> String {
        let seconds = seconds.to_string();
        let output =
            self.client("mosquitto_sub", name, &["-v", "-q", "1", "-t", topic, "-W", &seconds]).output();
        String::from_utf8_lossy(&output.expect("mosquitto_sub starts").stdout).into_owned()
    }

    /// Waits until what is retained on a topic holds `words`.
    fn retained(&self, topic: &str, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let heard = self.hears("operator", topic, 1);
            if heard.lines().last().is_some_and(|line| line.contains(words)) {
                return;
            }
            assert!(Instant::now() < deadline, "{topic} does not say {words}: {heard}");
        }
    }

    /// The command of the page that holds `words`, as it stands there.
    fn of_the_page(&self, words: &str) -> Command {
        let all = blocks();
        let line = all.iter().flat_map(|b| b.text.lines()).find(|l| l.contains(words));
        let mut command = Command::new("sh");
        let line = Self::here(&self.dir, self.port, line.expect("the page has it"));
        command.args(["-ec", &line]).current_dir(&self.dir);
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

/// Nobody gets more than the page says.
fn strangers_get_nothing(site: &Site) {
    let nobody = site.client("mosquitto_sub", "", &["-t", "#", "-W", "2"]).output().expect("starts");
    assert!(!nobody.status.success(), "without a certificate");
    // A forged event, and a look at another device's.
    let mut listener = site.client("mosquitto_sub", "dashboard", &["-v", "-t", "glint/+/event", "-W", "4"]);
    let mut listener = listener.stdout(Stdio::piped()).spawn().expect("mosquitto_sub starts");
    std::thread::sleep(Duration::from_millis(700));
    site.publish("hall", "glint/door/event", "forged");
    site.publish("dashboard", "glint/door/event", "forged");
    let mut heard = String::new();
    listener.stdout.take().expect("piped").read_to_string(&mut heard).expect("text");
    let _ = listener.wait();
    assert!(!heard.contains("forged"), "{heard}");
    assert!(site.hears("hall", "glint/door/#", 2).is_empty(), "a device hears another one");
    assert!(site.hears("dashboard", "glint/door/+/state", 2).is_empty(), "more than a reader needs");
    // Commands of those who may not give them. The camera is closed, and nothing waits that could be purged.
    site.publish("dashboard", "glint/door/resume/set", "1");
    site.publish("hall", "glint/door/resume/set", "1");
    site.publish("operator", "glint/door/purge/set", "1");
    std::thread::sleep(Duration::from_secs(1));
    site.retained("glint/door/state", "\"paused\"");
    assert!(site.hears("operator", "glint/door/purge/state", 1).is_empty(), "an operator may not purge");
    assert!(site.hears("operator", "glint/door/resume/state", 1).is_empty(), "nobody resumed");
}

#[test]
fn the_broker_guide_does_what_it_says() {
    let dir = tempfile::tempdir().expect("folder");
    let Some(site) = Site::new(dir.path()) else { return };
    let config = dir.path().join("glint/glint.toml");
    let page = std::fs::read_to_string(&config).expect("the page's configuration");
    for protocol in ["5", "3.1.1"] {
        let state = dir.path().join(format!("state-{protocol}"));
        let text = page.replace("protocol = \"5\"", &format!("protocol = \"{protocol}\""))
            + &format!(
                "[source]\nkind = \"synthetic\"\n[outbox]\npath = {:?}\n[health]\ninterval_s = 1\n",
                state.join("outbox")
            );
        std::fs::write(&config, text).expect("file");
        let accepted = Accepted::default();
        let daemon = Daemon::start(start_command(&config), &accepted);
        // The page's own command to look.
        let event = site.of_the_page("mosquitto_sub").output().expect("sh starts");
        let event = String::from_utf8_lossy(&event.stdout).into_owned();
        assert!(event.contains("\"source\":\"glint/door\""), "MQTT {protocol}: {event}");
        std::thread::sleep(Duration::from_secs(6));
        let health = site.hears("dashboard", "glint/door/health", 1);
        assert!(health.contains("\"problems\":"), "{health}");
        for problem in ["broker_refused", "events_refused", "commands_refused", "check_failed"] {
            assert!(!health.contains(&format!("\"{problem}\"")), "MQTT {protocol}: {health}");
        }
        assert!(site.of_the_page("operator.pem --key").status().expect("sh starts").success());
        site.retained("glint/door/state", "\"paused\"");
        strangers_get_nothing(&site);
        site.publish("operator", "glint/door/resume/set", "1");
        site.retained("glint/door/resume/state", "\"done\":true");
        assert_eq!(daemon.end("TERM"), Some(0));
        site.retained("glint/door/status", "offline");
        // For the next protocol.
        for reply in ["pause/state", "resume/state"] {
            let clear = site
                .client(
                    "mosquitto_pub",
                    "door",
                    &["-t", &format!("glint/door/{reply}"), "-r", "-n", "-q", "1"],
                )
                .status();
            assert!(clear.expect("starts").success());
        }
    }
}
