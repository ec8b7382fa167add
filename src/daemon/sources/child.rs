//! A child process that does not outlive its owner, and whose stderr goes to the log.
//!
//! It has a process group of its own, so that what it starts itself ends with it. The kernel kills it when glintd is
//! killed. The hook that asks for that runs between fork and exec, and is the only unsafe code here.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader, Error, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glint::clip::{display_name, mask_logins};
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpid, getppid};

/// A program that is asked to end has so much time to let its camera go.
const GRACE: Duration = Duration::from_millis(500);
/// A process that was killed is gone within this time, unless a driver holds it.
const KILLED: Duration = Duration::from_millis(500);
/// Steps in which its end is waited for.
const STEP: Duration = Duration::from_millis(5);
/// Longest line of stderr that is passed on.
const MAX_LINE: usize = 400;
/// Lines that are passed on within [`PERIOD`]; the others are counted.
const MAX_LINES: usize = 20;
const PERIOD: Duration = Duration::from_secs(60);
/// Packages of programs that show cameras, by Debian's names (of Raspberry Pi OS too).
const PACKAGES: [(&str, &str); 6] = [
    ("ffmpeg", "ffmpeg"),
    ("gst-launch-1.0", "gstreamer1.0-tools"),
    ("libcamera-vid", "libcamera-apps"),
    ("libcamerify", "libcamera-tools"),
    ("rpicam-vid", "rpicam-apps"),
    ("v4l2-ctl", "v4l-utils"),
];

/// A running child.
pub(crate) struct Process {
    name: String,
    /// `None` once it has been waited for.
    child: Option<Child>,
    last_words: Arc<Mutex<String>>,
    listener: JoinHandle<()>,
}

impl Process {
    /// Starts a program with arguments, without a shell; also returns its standard output. The thread that calls this has
    /// to live as long as the child: the kernel takes its end for that of glintd.
    pub(crate) fn start(command: &[String]) -> Result<(Self, ChildStdout), String> {
        let (program, arguments) = command.split_first().ok_or("the command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The service manager listens to glintd alone.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        command.process_group(0);
        let parent = getpid();
        // SAFETY: the hook makes two system calls that are safe between fork and exec, and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                // Who was killed before the call above sends no signal.
                if getppid() == parent { Ok(()) } else { Err(Error::from(Errno::ESRCH)) }
            });
        }
        let mut child = command.spawn().map_err(|e| not_started(program, &e))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        let last_words = Arc::new(Mutex::new(String::new()));
        let (speaker, words) = (name.clone(), Arc::clone(&last_words));
        let mut addresses: Vec<_> =
            arguments.iter().map(|a| (a.clone(), display_name(Path::new(a)))).collect();
        addresses.retain(|(argument, name)| argument != name);
        let thread = std::thread::Builder::new().name("child-stderr".into());
        // It ends with the pipe.
        let listener = thread.spawn(move || {
            let mut log = |line: &str| {
                tracing::info!("{speaker}: {line}");
                line.clone_into(&mut words.lock().unwrap_or_else(PoisonError::into_inner));
            };
            if let Some(stderr) = stderr {
                listen(BufReader::new(stderr), &addresses, &mut log, Instant::now);
            }
        });
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                end(child, &name);
                return Err(error.to_string());
            }
        };
        let process = Self { name, child: Some(child), last_words, listener };
        Ok((process, stdout.ok_or("the program has no standard output")?))
    }

    /// The program, without its folder.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, and what it said last; waits a moment for the end.
    pub(crate) fn ending(&self, within: Duration) -> String {
        let how = match self.child.as_ref().and_then(|child| ended(child, within)) {
            None => "closed its output".to_owned(),
            Some(WaitStatus::Exited(_, code)) => format!("ended with exit status {code}"),
            Some(WaitStatus::Signaled(_, signal, _)) => format!("was ended by {signal}"),
            Some(_) => "ended".to_owned(),
        };
        let until = Instant::now() + within;
        while !self.listener.is_finished() && Instant::now() < until {
            std::thread::sleep(STEP);
        }
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let words = if words.is_empty() { words } else { format!(": {words}") };
        format!("{} {how}{words}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child, &self.name);
        }
    }
}

/// How a child has ended, where it does within a time. It stays a zombie: its number, and that of its group, belong to
/// nobody else yet.
fn ended(child: &Child, within: Duration) -> Option<WaitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let until = Instant::now() + within;
    loop {
        match waitid(Id::Pid(pid(child)), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            Ok(status) => return Some(status),
            // No such child: nothing to wait for.
            Err(_) => return Some(WaitStatus::Exited(pid(child), 0)),
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// Ends a child and everything of its group, and waits for it.
fn end(mut child: Child, name: &str) {
    let group = pid(&child);
    // Each of these fails where nobody is left: that is what is wanted.
    if ended(&child, Duration::ZERO).is_none() {
        let _ = killpg(group, Signal::SIGTERM);
        ended(&child, GRACE);
    }
    let _ = killpg(group, Signal::SIGKILL);
    if ended(&child, KILLED).is_some() {
        let _ = child.wait();
    } else {
        tracing::error!("{name}: killed, but the kernel has not ended it yet");
        // Nobody waits for a driver; where no thread can be started it stays a zombie.
        let _ = std::thread::Builder::new().spawn(move || child.wait());
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn not_started(program: &str, error: &Error) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let package = PACKAGES.iter().find(|(known, _)| *known == name).map(|(_, package)| package);
    match (error.kind(), package) {
        (ErrorKind::NotFound, Some(package)) => {
            format!("{program} is not installed (Debian: apt install {package})")
        }
        (ErrorKind::NotFound, None) => {
            format!("{program} is not installed: install the package that has it, or correct source.command")
        }
        _ => format!("{program} cannot be started: {error}"),
    }
}

/// Passes on lines, each cut at [`MAX_LINE`], until the pipe ends. Progress that overwrites itself is lines too.
fn listen(
    mut stderr: impl BufRead,
    addresses: &[(String, String)],
    log: &mut dyn FnMut(&str),
    now: fn() -> Instant,
) {
    let (mut line, mut lines, mut since) = (Vec::new(), 0usize, now());
    loop {
        let read = match stderr.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => &[],
        };
        let at_end = read.is_empty();
        let end = read.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let part = &read[..end.unwrap_or(read.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        stderr.consume(used);
        if (end.is_some() || at_end) && !line.is_empty() {
            if now().duration_since(since) >= PERIOD {
                more(lines, log);
                (lines, since) = (0, now());
            }
            lines += 1;
            let text = shown(&line, addresses);
            if lines <= MAX_LINES && !text.is_empty() {
                log(&text);
            }
            line.clear();
        }
        if at_end {
            return more(lines, log);
        }
    }
}

fn more(lines: usize, log: &mut dyn FnMut(&str)) {
    if lines > MAX_LINES {
        log(&format!("{} more lines", lines - MAX_LINES));
    }
}

/// A line as the log has it: without the logins of addresses. `addresses`: arguments of the program that have one, and
/// their names.
fn shown(line: &[u8], addresses: &[(String, String)]) -> String {
    let mut text = String::from_utf8_lossy(line).trim().to_owned();
    for (argument, name) in addresses {
        text = text.replace(argument, name);
    }
    // A line may have been cut within a login.
    if line.len() >= MAX_LINE
        && let Some(at) = text.rfind("://").filter(|at| !text[*at..].contains('@'))
    {
        text.truncate(at);
    }
    mask_logins(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stderr: &[u8], now: fn() -> Instant) -> Vec<String> {
        let mut lines = Vec::new();
        listen(BufReader::with_capacity(16, stderr), &[], &mut |line| lines.push(line.to_owned()), now);
        lines
    }

    #[test]
    fn lines_are_bounded_in_length_and_number() {
        assert_eq!(
            heard(b"one\n\n frame=1\rframe=2\r\nend", Instant::now),
            ["one", "frame=1", "frame=2", "end"]
        );
        let long = [b"x".repeat(5000), b"\nafter\n".to_vec()].concat();
        let lines = heard(&long, Instant::now);
        assert_eq!((lines[0].len(), lines[1].as_str()), (MAX_LINE, "after"));
        let many = b"again\n".repeat(MAX_LINES + 7);
        let lines = heard(&many, Instant::now);
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], "7 more lines");
    }

    #[test]
    fn logins_stay_out_of_the_log() {
        let address = "rtsp://me:se cret@camera/one";
        let addresses = [(address.to_owned(), display_name(Path::new(address)))];
        let text = format!(" {address}: refused; http://you:p@ss@10.0.0.1/a: too ");
        let expected = "rtsp://***@camera/one: refused; http://***@10.0.0.1/a: too";
        assert_eq!(shown(text.as_bytes(), &addresses), expected);
        let cut = [&b"x".repeat(MAX_LINE - 14)[..], b"rtsp://me:secr"].concat();
        assert!(!shown(&cut, &[]).contains("me"), "{}", shown(&cut, &[]));
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let start = |program: &str| Process::start(&[program.to_owned()]).err().expect("not there");
        let error = start("/nonexistent/rpicam-vid");
        assert!(error.contains("/nonexistent/rpicam-vid is not installed"), "{error}");
        assert!(error.contains("apt install rpicam-apps"), "{error}");
        assert!(start("no-such-camera").contains("no-such-camera is not installed"));
        assert!(start("/").contains("cannot be started"));
    }
}
