//! The one-time link in a reminder: the message's id and a code that only this service can make. Nothing is stored for it:
//! a forged one fails the code, an old one its age, and a second use meets the first one's request id at dispatch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// How long after its rung's due time a link may be used.
pub const LIFETIME: TimeDelta = TimeDelta::hours(24);

const CODE: usize = 16;

/// The last part of the link in this message.
pub fn token(key: &[u8], message: Uuid) -> String {
    let mut bytes = message.as_bytes().to_vec();
    bytes.extend_from_slice(&code(key, message));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The message that the link was sent in; none when it was not made with this key.
pub fn message(key: &[u8], token: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == 16 + CODE)?;
    let (id, code) = bytes.split_at(16);
    let id = Uuid::from_slice(id).ok()?;
    mac(key, id).verify_truncated_left(code).ok().map(|()| id)
}

fn code(key: &[u8], message: Uuid) -> Vec<u8> {
    mac(key, message).finalize().into_bytes().iter().take(CODE).copied().collect()
}

fn mac(key: &[u8], message: Uuid) -> Hmac<Sha256> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message.as_bytes()),
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_message_and_no_other_key_or_text_does() {
        let id = Uuid::from_u128(7 << 120);
        let token = token(b"key", id);
        assert_eq!(message(b"key", &token), Some(id));
        assert_eq!(message(b"other", &token), None);
        assert_eq!(message(b"key", &token[1..]), None);
        let other = super::token(b"key", Uuid::from_u128(8 << 120));
        let mixed = format!("{}{}", &token[..20], &other[20..]);
        assert_eq!(message(b"key", &mixed), None);
    }
}
