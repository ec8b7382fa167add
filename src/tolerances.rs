//! How far numbers may be apart that tests take for the same.

/// The same value by a few other operations.
pub(crate) const ROUNDING: f32 = 1e-6;
/// The same sums by another kernel, or another network engine: the terms come in another order.
pub(crate) const KERNELS: f32 = 1e-5;
/// Long sums, and what is divided by them.
pub(crate) const SUMS: f32 = 1e-4;
/// A thousandth of a unit: of a pixel, a frame per second, a share.
pub(crate) const THOUSANDTH: f32 = 1e-3;
