//! What the system asks for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::daemon::mqtt::Command;

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    pause: Signal,
    resume: Signal,
}

pub(super) enum Asked {
    Stop,
    Reload,
    Command(Command),
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            pause: signal(SignalKind::user_defined1())?,
            resume: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.pause.recv() => Asked::Command(Command::Pause),
            _ = self.resume.recv() => Asked::Command(Command::Resume),
        }
    }
}
