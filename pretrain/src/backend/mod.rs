//! What trainings run on: the CPU, or a GPU that is chosen at run time.

use burn::backend::{Autodiff, Flex};

pub(crate) mod convolution;
pub mod device;

/// The CPU backend, for inference.
pub type Cpu = Flex;
/// The CPU backend with gradients.
pub type CpuTrain = Autodiff<Flex>;
