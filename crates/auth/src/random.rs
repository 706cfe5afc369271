//! Random bytes, from aws-lc's generator.

use aws_lc_rs::rand;

/// The operating system gave no random bytes; no secret can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoEntropy;

/// `N` bytes that cannot be predicted.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_unspecified| NoEntropy)?;
    Ok(bytes)
}

/// A word of 130 random bits in letters and digits that cannot be mistaken for one another.
pub fn word() -> Result<String, NoEntropy> {
    const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 26] = bytes()?;
    let digit = |byte: &u8| DIGITS.get(usize::from(byte % 32)).map(|digit| char::from(*digit));
    Ok(bytes.iter().filter_map(digit).collect())
}
