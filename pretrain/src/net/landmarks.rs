//! The landmark network: 68 points and a face logit.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use glint::face::landmarks::{INPUT_SIDE, LANDMARK_COUNT};

use super::onnx::Graph;
use super::{ConvNet, ConvSpec, export_linear};

/// The trainable network.
#[derive(Module, Debug)]
pub struct LandmarksNet<B: Backend> {
    body: ConvNet<B>,
    points: Linear<B>,
    face: Linear<B>,
}

impl<B: Backend> LandmarksNet<B> {
    /// 13 MMAC at 64 x 64, 436 k parameters.
    pub fn new(device: &B::Device) -> Self {
        const BODY: [ConvSpec; 7] = [
            ConvSpec(16, 3, 2),
            ConvSpec(32, 3, 2),
            ConvSpec(32, 3, 1),
            ConvSpec(80, 3, 2),
            ConvSpec(80, 3, 1),
            ConvSpec(80, 3, 1),
            ConvSpec(32, 1, 1),
        ];
        let points = 2 * LANDMARK_COUNT;
        Self {
            body: ConvNet::new(1, &BODY, device),
            points: LinearConfig::new(32 * 64, points).init(device),
            face: LinearConfig::new(32 * 64, 1).init(device),
        }
    }

    /// Images `[n, 1, 64, 64]` to points `[n, 136]` (x, y in half sides about the centre) and face
    /// logits `[n, 1]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let x: Tensor<B, 2> = self.body.forward(x).flatten(1, 3);
        (self.points.forward(x.clone()), self.face.forward(x))
    }

    /// The ONNX file: one output `landmarks`, the points and then the face's probability.
    pub fn export(&self) -> Vec<u8> {
        let mut graph = Graph::new("landmarks", "image", &[1, 1, INPUT_SIDE, INPUT_SIDE]);
        let x = self.body.export(&mut graph, "image");
        let x = graph.flatten(&x);
        let points = export_linear(&mut graph, &self.points, &x);
        let face = export_linear(&mut graph, &self.face, &x);
        let face = graph.sigmoid(&face);
        let all = graph.concat(&[&points, &face], 1);
        graph.output(&all, "landmarks", &[1, 2 * LANDMARK_COUNT + 1]);
        graph.finish()
    }
}
