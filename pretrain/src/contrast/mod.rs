//! Dual-view contrastive pretraining, and what is done with its encoders.
//!
//! | module | meaning |
//! |---|---|
//! | [`views`] | appearance difference, depth difference, motion; flipped together |
//! | [`shape`] | shapes of encoders and what they cost |
//! | [`encoder`] | the networks: perceptron, residual convolutions |
//! | [`loss`] | symmetric InfoNCE, in the batch or against a memory bank |
//! | [`recipe`] | what a training fixes beforehand |
//! | [`material`] | pairs on disk to views |
//! | [`train`] | the loop, on any device |
//! | [`pretraining`] | a training as a run: encoders on disk |
//! | [`transfer`] | probe and fine-tuning on labelled pairs, subjects apart |
//! | [`experiment`] | the paper's claims, one table each |
//! | [`finetune`] | the whole network on labels |
//! | [`unlabelled`] | generated pairs whose truth only the evaluation sees |
//! | [`labelled`] | labelled pairs: databases, pair sets; folds by subject |
//!
//! After Li et al. 2025 (Neurocomputing 619, 129142) and contrastive multiview coding (Tian et al. 2020), without the
//! defects of the public code; [`recipe::Defects`] switches three of them on for comparison.

pub mod encoder;
pub mod experiment;
pub mod finetune;
pub mod labelled;
pub mod loss;
pub mod material;
pub mod pretraining;
pub mod recipe;
pub mod shape;
pub mod train;
pub mod transfer;
pub mod unlabelled;
pub mod views;
