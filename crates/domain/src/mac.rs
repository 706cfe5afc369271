//! Message authentication codes (MACs), which tell what this product wrote from what another process wrote, in a place
//! that both can write to.
//!
//! Owns the interface alone. The keys stay with the implementation (the keyring of `bulkhead-auth`), so a crate that
//! signs and checks needs no cryptography and never holds a key. Refuses to say which key signs, and how many are
//! accepted: while a key is being replaced, an implementation may accept two.

use std::fmt;

/// Signs bytes for one purpose, and recognises what was signed for it.
pub trait Mac: Send + Sync + fmt::Debug {
    /// The tag of these bytes.
    fn sign(&self, bytes: &[u8]) -> [u8; 32];

    /// Whether `tag` is the whole tag of these bytes, in constant time. `false` for a tag of any other length.
    fn verify(&self, bytes: &[u8], tag: &[u8]) -> bool;
}
