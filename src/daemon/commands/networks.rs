//! `glintd bench --models`: what each network costs in `f32`, in int8 in plain tract, and in int8 with
//! our operator.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock.

use std::time::Instant;

use anyhow::anyhow;
use glint::int8::{fixture, onnx};
use glint::model::{Engine, Form, Network, parse_onnx};
use glint::pipeline::Models;
use serde_json::json;

use super::media::print_line;
use super::samples::{StageTimes, round};

/// Rounds over the forms of a network, so that what else the machine does hits all alike.
const ROUNDS: usize = 10;
/// Runs of a form in a round, the first ones uncounted: its weights come back into the caches.
const RUNS: usize = 60;
const WARM_UP: usize = 10;

/// The forms of one network.
struct Case {
    name: &'static str,
    shape: Vec<usize>,
    /// `f32`, plain int8, int8; `None` where the network has no such form.
    forms: [Option<Network>; 3],
}

impl Case {
    /// A network that is quantized is compared with the `f32` network that its weights stand for.
    fn new(name: &'static str, model: Result<onnx::ModelProto, String>) -> anyhow::Result<Self> {
        model.and_then(|model| Self::of_model(name, &model)).map_err(|e| anyhow!("{name}: {e}"))
    }

    fn of_model(name: &'static str, model: &onnx::ModelProto) -> Result<Self, String> {
        let shape = onnx::input_shape(model).ok_or("the file does not state the shape of its input")?;
        let network = |engine| Network::from_model(model, &shape, engine);
        let forms = match network(Engine::Plain)? {
            float if float.form() == &Form::Float => [Some(float), None, None],
            plain => [network(Engine::Float).ok(), Some(plain), Some(network(Engine::chosen())?)],
        };
        Ok(Self { name, shape, forms })
    }

    /// Median of each form in microseconds.
    fn time(&mut self) -> anyhow::Result<[Option<f64>; 3]> {
        let n: usize = self.shape.iter().product();
        let input: Vec<f32> = (0..n).map(|i| (i * 31 % 128) as f32 / 32.0 - 2.0).collect();
        let mut samples = [const { StageTimes(Vec::new()) }; 3];
        for _ in 0..ROUNDS {
            for (network, samples) in self.forms.iter_mut().zip(&mut samples) {
                let Some(network) = network else { continue };
                for i in 0..RUNS {
                    let start = Instant::now();
                    network.run(&input, |_, _| {}).map_err(|e| anyhow!("{}: {e}", self.name))?;
                    if i >= WARM_UP {
                        samples.0.push(start.elapsed().as_secs_f32() * 1e6);
                    }
                }
            }
        }
        Ok(samples.map(|mut s| s.quantile(0.5).map(round)))
    }
}

/// Times every network that ships, and the fixture that int8 is measured on, and prints the table or one
/// JSON object. A network that ships in `f32` has null for int8.
pub(crate) fn run(models: &Models, as_json: bool) -> anyhow::Result<()> {
    let mut cases = vec![
        Case::new("detector", parse_onnx(&models.detector.bytes))?,
        Case::new("landmarks", parse_onnx(&models.landmarks.bytes))?,
        Case::new("student", parse_onnx(&models.student.bytes))?,
        Case::new(fixture::STUDENT_LIKE, Ok(fixture::student_like(1)))?,
    ];
    let mut out = serde_json::Map::new();
    if !as_json {
        print_line(&format!(
            "{:<14} {:>9} {:>14} {:>9}   form",
            "us, median", "f32", "int8 in tract", "int8"
        ))?;
    }
    for case in &mut cases {
        let [float, plain, int8] = case.time()?;
        if as_json {
            let times = json!({"f32_us": float, "int8_plain_us": plain, "int8_us": int8});
            out.insert(case.name.into(), times);
            continue;
        }
        let [f, p, q] = [float, plain, int8].map(|v| v.map_or("-".into(), |v| format!("{v:.1}")));
        let form = case.forms.iter().flatten().last().map(|n| n.form().to_string()).unwrap_or_default();
        print_line(&format!("{:<14} {f:>9} {p:>14} {q:>9}   {form}", case.name))?;
    }
    if as_json {
        print_line(&json!({ "models": out }).to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use glint::int8::stack::Stack;
    use glint::int8::{Kernel, fixture};

    use crate::daemon::commands::allocations;

    #[test]
    fn a_stack_allocates_when_it_is_made_and_never_after() {
        allocations::start();
        let chain = fixture::student_like_chain(1);
        for kernel in Kernel::available() {
            let before = allocations::count().ours;
            let mut stack = Stack::new(&chain, kernel).expect("within the rules");
            let made = allocations::count().ours;
            assert!(made > before, "the allocations are counted");
            let input = vec![0.5; 3 * 28 * 28];
            let (mut means, mut all) = (vec![0.0; 96], vec![0.0; 96 * 49]);
            let ready = allocations::count().ours;
            for _ in 0..3 {
                assert!(stack.set_input(&input));
                stack.run();
                assert!(stack.read_means(&mut means) && stack.read(&mut all));
            }
            assert_eq!(allocations::count().ours, ready, "kernel {}", kernel.name());
        }
    }
}
