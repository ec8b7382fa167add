//! NumPy's array files, format 1.0, C order.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
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

/// Shape and values of a file of f32 or f16.
pub fn decode(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>)> {
    ensure!(bytes.len() > 10 && bytes.starts_with(b"\x93NUMPY\x01"), "not a .npy file of format 1.0");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = bytes.get(10..10 + length).context("header is truncated")?;
    let header = std::str::from_utf8(header).context("header")?;
    ensure!(header.contains("'fortran_order': False"), "Fortran order");
    let shape =
        header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).context("no shape")?.0;
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.parse::<usize>().with_context(|| format!("shape: {s}")))
        .collect::<Result<Vec<_>>>()?;
    let data = &bytes[10 + length..];
    let values: Vec<f32> = if header.contains("'<f4'") {
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    } else if header.contains("'<f2'") {
        data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
    } else {
        bail!("neither <f4 nor <f2: {}", header.trim());
    };
    let count = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).context("shape")?;
    ensure!(values.len() == count, "{} values; the shape says {count}", values.len());
    Ok((shape, values))
}

/// Writes a flow field: float32, 2 x height x width.
pub fn write_flow(path: &Path, flow: &Flow) -> Result<()> {
    let data: Vec<u8> = flow.u.iter().chain(&flow.v).flat_map(|v| v.to_le_bytes()).collect();
    let bytes = encode("<f4", &[2, flow.height, flow.width], &data);
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let values: Vec<f32> = (0..24).map(|i| i as f32 - 3.5).collect();
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = encode("<f4", &[2, 3, 4], &data);
        assert_eq!(decode(&bytes).expect("own file"), (vec![2, 3, 4], values.clone()));
        assert!(decode(&bytes[..bytes.len() - 4]).expect_err("cut").to_string().contains("23 values"));
        let data: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        assert_eq!(decode(&encode("<f2", &[24], &data)).expect("own file"), (vec![24], values));
        assert!(decode(b"PK").is_err());
    }
}
