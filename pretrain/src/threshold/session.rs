//! One participant's session: interleaved staircases, a log that survives anything, the next trial.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::psychometric::{Level, levels};
use super::quest::Quest;
use crate::augment::generator;

/// Intensities that are shown.
const RANGE: (f64, f64) = (0.05, 5.0);
/// Where staircases begin.
const FIRST: f64 = 1.0;
/// Every so-many-th trial of an AU shows twice the estimate, so that lapses show.
const EASY: usize = 10;

/// What a session fixes beforehand: the first line of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPlan {
    /// Version of the log's format.
    pub version: u32,
    /// Who answers: a code of the laboratory's, no name.
    pub participant: String,
    /// AUs, each with a staircase of its own.
    pub aus: Vec<u8>,
    /// Trials of each AU.
    pub trials: usize,
    /// Chooses order, people and intervals.
    pub seed: u64,
}

/// What is shown in one trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Number from 0.
    pub number: usize,
    /// The AU that moves.
    pub au: u8,
    /// Its intensity at the apex, 0 to 5.
    pub intensity: f64,
    /// In which interval it moves: 1 or 2.
    pub interval: u8,
    /// Chooses face and noise.
    pub seed: u64,
}

/// One answer: a line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Number of the trial.
    pub trial: usize,
    /// The AU that moved.
    pub au: u8,
    /// Its intensity.
    pub intensity: f64,
    /// Where it moved.
    pub interval: u8,
    /// Where it was seen.
    pub answer: u8,
    /// Time from the end of the second interval to the answer.
    pub reaction_ms: f64,
}

impl Answer {
    /// Whether it is right.
    pub fn right(&self) -> bool {
        self.answer == self.interval
    }
}

/// A session with its log.
pub struct Session {
    plan: SessionPlan,
    path: PathBuf,
    log: File,
    staircases: Vec<Quest>,
    answers: Vec<Answer>,
}

impl Session {
    /// Begins a session whose log is `path`, or goes on with the one that is there: its plan must be the same.
    pub fn open(path: &Path, plan: SessionPlan) -> Result<Self> {
        let file = || path.display().to_string();
        ensure!(!plan.aus.is_empty() && plan.trials > 0, "no AU or no trial");
        ensure!(plan.trials * plan.aus.len() <= 100_000, "more than 100000 trials");
        let answers = if path.exists() {
            let (old, answers) = read(path)?;
            ensure!(old == plan, "{}: another plan; choose another file", file());
            answers
        } else {
            let mut line = serde_json::to_string(&plan)?;
            line.push('\n');
            let mut new = File::create_new(path).with_context(file)?;
            new.write_all(line.as_bytes()).and_then(|()| new.sync_all()).with_context(file)?;
            Vec::new()
        };
        let mut log = File::options().append(true).open(path).with_context(file)?;
        // Power was lost between an answer and the end of its line.
        if !std::fs::read(path).with_context(file)?.ends_with(b"\n") {
            log.write_all(b"\n").with_context(file)?;
        }
        let staircases = vec![Quest::new(FIRST, RANGE); plan.aus.len()];
        let mut session = Self { plan, path: path.to_owned(), log, staircases, answers: Vec::new() };
        for answer in answers {
            let trial = session.next().with_context(|| format!("{}: more answers than trials", file()))?;
            ensure!(
                (trial.number, trial.au, trial.interval) == (answer.trial, answer.au, answer.interval),
                "{}: trial {} is not the one of its plan",
                file(),
                answer.trial
            );
            session.take(answer);
        }
        Ok(session)
    }

    /// What was fixed.
    pub fn plan(&self) -> &SessionPlan {
        &self.plan
    }

    /// Answers so far.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Trials of the whole session.
    pub fn total(&self) -> usize {
        self.plan.trials * self.plan.aus.len()
    }

    /// The trial that waits for its answer; `None` at the end. Always the same until it is answered.
    pub fn next(&self) -> Option<Trial> {
        let number = self.answers.len();
        if number >= self.total() {
            return None;
        }
        let mut rng = generator(self.plan.seed, number as u64);
        // Blocks in which each AU comes once, in an order of their own.
        let count = self.plan.aus.len();
        let mut order: Vec<usize> = (0..count).collect();
        let mut shuffler = generator(self.plan.seed ^ 0x6f_7264_6572, (number / count) as u64);
        for i in (1..count).rev() {
            order.swap(i, shuffler.random_range(0..=i));
        }
        let index = order[number % count];
        let quest = &self.staircases[index];
        let factor = if quest.trials % EASY == EASY - 1 { 2.0 } else { 1.0 };
        // Levels on a fine grid, so that answers at one level are gathered.
        let intensity = ((factor * quest.next()).clamp(RANGE.0, RANGE.1) * 50.0).round().max(1.0) / 50.0;
        let interval = 1 + u8::from(rng.random::<bool>());
        Some(Trial { number, au: self.plan.aus[index], intensity, interval, seed: rng.random() })
    }

    /// Takes the answer to trial `number`: it is on disk when this returns. An answer that was taken before changes
    /// nothing (a browser may send it again). Returns whether it was new.
    pub fn answer(&mut self, number: usize, choice: u8, reaction_ms: f64) -> Result<bool> {
        ensure!(matches!(choice, 1 | 2), "answer {choice}; allowed: 1 or 2");
        if number < self.answers.len() {
            return Ok(false);
        }
        let trial = self.next().context("the session is over")?;
        ensure!(trial.number == number, "trial {number} is not the next one");
        let reaction_ms = if reaction_ms.is_finite() { reaction_ms } else { -1.0 };
        let Trial { au, intensity, interval, .. } = trial;
        let answer = Answer { trial: number, au, intensity, interval, answer: choice, reaction_ms };
        let mut line = serde_json::to_string(&answer)?;
        line.push('\n');
        let name = || self.path.display().to_string();
        self.log.write_all(line.as_bytes()).and_then(|()| self.log.sync_data()).with_context(name)?;
        self.take(answer);
        Ok(true)
    }

    fn take(&mut self, answer: Answer) {
        if let Some(i) = self.plan.aus.iter().position(|au| *au == answer.au) {
            self.staircases[i].answer(answer.intensity, answer.right());
        }
        self.answers.push(answer);
    }
}

/// Reads a log: its plan and its answers. A last line that was cut (the machine lost power) is dropped.
pub fn read(path: &Path) -> Result<(SessionPlan, Vec<Answer>)> {
    let file = || path.display().to_string();
    let text = BufReader::new(File::open(path).with_context(file)?);
    let lines = text.lines().collect::<Result<Vec<_>, _>>().with_context(file)?;
    let first = lines.first().with_context(|| format!("{}: empty", file()))?;
    let plan: SessionPlan = serde_json::from_str(first).with_context(|| format!("{}, line 1", file()))?;
    ensure!(plan.version == 1, "{}: version {}; this program reads 1", file(), plan.version);
    let mut answers: Vec<Answer> = Vec::new();
    for (i, line) in lines.iter().enumerate().skip(1).filter(|(_, l)| !l.is_empty()) {
        match serde_json::from_str(line) {
            Ok(answer) => answers.push(answer),
            Err(_) if i + 1 == lines.len() => {
                // What follows must begin on a line of its own.
                let intact: u64 = lines[..i].iter().map(|l| l.len() as u64 + 1).sum();
                let cut = File::options().write(true).open(path).with_context(file)?;
                cut.set_len(intact).with_context(file)?;
            }
            Err(e) => return Err(e).with_context(|| format!("{}, line {}", file(), i + 1)),
        }
    }
    Ok((plan, answers))
}

/// Levels of one AU out of the answers of any number of participants.
pub fn levels_of(au: u8, answers: &[Answer]) -> Vec<Level> {
    levels(answers.iter().filter(|a| a.au == au).map(|a| (a.intensity, a.right())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SessionPlan {
        SessionPlan { version: 1, participant: "p1".into(), aus: vec![4, 12], trials: 15, seed: 3 }
    }

    #[test]
    fn a_session_goes_on_where_it_was_left() {
        let dir = tempfile::tempdir().expect("folder");
        let (whole, parts) = (dir.path().join("whole.jsonl"), dir.path().join("parts.jsonl"));
        let reply = |t: &Trial| if t.intensity > 0.6 { t.interval } else { 1 };
        let mut session = Session::open(&whole, plan()).expect("opens");
        let mut shown = Vec::new();
        while let Some(trial) = session.next() {
            shown.push(trial);
            assert!(session.answer(trial.number, reply(&trial), 500.0).expect("takes"));
        }
        assert_eq!((shown.len(), session.total()), (30, 30));
        assert!([4, 12].iter().all(|au| shown.iter().filter(|t| t.au == *au).count() == 15));
        let firsts = shown.iter().filter(|t| t.interval == 1).count();
        assert!((5..=25).contains(&firsts), "{firsts}");
        // The same with a new process for each answer, an answer sent twice, and a line that was cut.
        for (i, trial) in shown.iter().enumerate() {
            let mut session = Session::open(&parts, plan()).expect("opens");
            assert_eq!(session.next().as_ref(), Some(trial));
            session.answer(i, reply(trial), 500.0).expect("takes");
            assert!(!session.answer(i, 3 - reply(trial), 1.0).expect("is known"));
            assert!(session.answer(i + 2, 1, 1.0).is_err());
            if i == 7 {
                let mut log = File::options().append(true).open(&parts).expect("opens");
                log.write_all(b"{\"trial\":8,\"au\"").expect("writes");
            }
        }
        let text = |p: &Path| std::fs::read_to_string(p).expect("reads");
        assert_eq!(text(&whole), text(&parts));
        let other = SessionPlan { seed: 4, ..plan() };
        assert!(Session::open(&whole, other).err().expect("refused").to_string().contains("another plan"));
        let (_, answers) = read(&whole).expect("reads");
        assert_eq!(levels_of(4, &answers).iter().map(|l| l.trials).sum::<f64>(), 15.0);
    }

    #[test]
    fn a_spoilt_log_names_its_line() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("log.jsonl");
        let header = serde_json::to_string(&plan()).expect("json");
        std::fs::write(&path, format!("{header}\nnonsense\n{{}}\n")).expect("writes");
        let error = format!("{:#}", read(&path).expect_err("spoilt"));
        assert!(error.contains("log.jsonl, line 2"), "{error}");
    }
}
