//! Which people are kept apart from training: one rule, used by every command.

/// FNV-1a, 64 bits.
pub fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Whether the person `id` is held out: FNV-1a 64 of the id, modulo 10, is 0.
pub fn is_held_out(id: &str) -> bool {
    fnv1a_64(id.as_bytes()).is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tenth_is_held_out() {
        let held = (0..10_000).filter(|i| is_held_out(&format!("{i:06}"))).count();
        assert!((850..1150).contains(&held), "{held}");
    }
}
