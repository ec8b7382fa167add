//! NumPy's array files, format 1.0, C order.

use std::path::Path;

use anyhow::{Context, Result};
use glint::flow::Flow;

/// Bytes of a file of `shape` whose elements (little endian, of NumPy's type `descr`) are `data`.
pub fn encode(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data begin at a multiple of 64 bytes.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = Vec::with_capacity(10 + length + data.len());
    bytes.extend(b"\x93NUMPY\x01\x00");
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).into_bytes());
    bytes.extend(data);
    bytes
}

/// Writes a flow field: float32, 2 x height x width.
pub fn write_flow(path: &Path, flow: &Flow) -> Result<()> {
    let data: Vec<u8> = flow.u.iter().chain(&flow.v).flat_map(|v| v.to_le_bytes()).collect();
    let bytes = encode("<f4", &[2, flow.height, flow.width], &data);
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
