//! Where a reader of the feed is: a position in a log, sealed with a key of the deployment, so that nobody makes one up. One from a pull
//! works in a stream, and the other way round.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of the seal.
const SEAL: usize = 16;

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log.
    pub log_id: Uuid,
    /// Everything up to here has been read.
    pub position: i64,
}

/// Seals and opens cursors.
#[derive(Debug, Clone)]
pub struct Sealer(SecretString);

impl Sealer {
    /// With this key.
    pub fn new(key: SecretString) -> Sealer {
        Sealer(key)
    }

    /// As a reader keeps it.
    pub fn seal(&self, cursor: Cursor) -> String {
        let mut bytes = [cursor.log_id.as_bytes().as_slice(), &cursor.position.to_be_bytes()].concat();
        let seal = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&seal[..SEAL]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// None when it was not sealed with this key.
    pub fn open(&self, sealed: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok().filter(|bytes| bytes.len() == 24 + SEAL)?;
        let (place, seal) = bytes.split_at(24);
        self.mac(place).verify_truncated_left(seal).ok()?;
        let (log_id, position) = place.split_at(16);
        Some(Cursor { log_id: Uuid::from_slice(log_id).ok()?, position: i64::from_be_bytes(position.try_into().ok()?) })
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        match Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()) {
            Ok(mac) => mac.chain_update(bytes),
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_opened_with_the_key_that_sealed_it_and_not_when_it_was_made_up() {
        let (sealer, cursor) = (Sealer::new("key".into()), Cursor { log_id: Uuid::from_u128(7), position: 9 });
        let sealed = sealer.seal(cursor);
        assert_eq!(sealer.open(&sealed), Some(cursor));
        assert_eq!(Sealer::new("other".into()).open(&sealed), None);
        let further = sealer.seal(Cursor { position: 10, ..cursor });
        assert_eq!(sealer.open(&format!("{}{}", &further[..32], &sealed[32..])), None);
        assert_eq!(sealer.open("AAAA"), None);
    }
}
