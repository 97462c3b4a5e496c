//! The one-time link in a reminder: the message's id and a code that only this service can make. Nothing is stored for it:
//! a forged one fails the code, an old one its age, and a second use meets the first one's request id at dispatch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use foundation::base::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use super::message::Message;
use super::{Kind, Target};

/// How long after its rung's due time a link may be used.
pub const LIFETIME: TimeDelta = TimeDelta::hours(24);

const CODE: usize = 16;

/// Why a link cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Forged, of a message that nobody may answer by, or too old.
    #[error("此链接无效或已过期 (the link is not valid or has expired): use the newest reminder's link")]
    Invalid,
    /// Somebody has answered by it.
    #[error("此链接已使用 (the link has been used)")]
    Used,
}

/// The assignment that the link in this message answers for at this time.
pub fn answerable(message: &Message, now: Timestamp) -> Result<Uuid, Unusable> {
    let of_unit = match message.target {
        Target::Duty | Target::Head | Target::Deputy => true,
        Target::DeputyMayor | Target::CentreHead => false,
    };
    let asks = message.rung.kind == Kind::Answer && now - message.rung.due_at <= LIFETIME;
    if of_unit && asks { Ok(message.rung.assignment) } else { Err(Unusable::Invalid) }
}

/// What links are made with.
#[derive(Debug, Clone)]
pub struct Links {
    /// What they begin with.
    pub base: String,
    /// The key of their codes.
    pub key: SecretString,
}

impl Links {
    /// The link in this message.
    pub fn of(&self, message: Uuid) -> String {
        format!("{}/a/{}", self.base, token(self.key.expose_secret().as_bytes(), message))
    }

    /// The message that the link with this last part was sent in; none when it was not made with this key.
    pub fn message(&self, token: &str) -> Option<Uuid> {
        message(self.key.expose_secret().as_bytes(), token)
    }
}

fn token(key: &[u8], message: Uuid) -> String {
    let mut bytes = message.as_bytes().to_vec();
    bytes.extend_from_slice(&code(key, message));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn message(key: &[u8], token: &str) -> Option<Uuid> {
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
