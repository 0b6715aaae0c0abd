//! Secrets: values that cannot be printed and are wiped from memory when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// A secret text: `Debug` and `Display` print `***`, there is no serialisation, and the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Only where it is used, never where something is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A secret key of 32 bytes (X25519 private key or WireGuard preshared key), kept as [`Secret`] is.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Wraps the bytes of a key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The 32 bytes themselves.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        let text = Secret::new("hunter2".into());
        let key = SecretKey::new([7; 32]);
        assert_eq!(format!("{text} {text:?} {text:#?} {key:?}"), "*** *** *** ***");
        assert_eq!(text.reveal(), "hunter2");
        assert_eq!(key.reveal(), &[7; 32]);
    }
}
