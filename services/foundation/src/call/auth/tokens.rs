//! Tokens that were verified a moment ago: a caller sends the same one with every call, and a signature costs more than all the rest of
//! letting it in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::claims::Claims;
use super::keys::Keys;

/// How long a token is not looked at again. Short, since nothing else withdraws one.
const LIFETIME: Duration = Duration::from_secs(30);
/// No more are remembered: only the issuer makes any, but nobody says how many.
const MANY: usize = 4096;

#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<Mutex<Known>>);

/// By the token's digest: the token itself is not kept.
type Known = HashMap<[u8; 32], (Instant, Claims)>;

impl Tokens {
    /// The claims of a valid token.
    pub async fn verify(&self, token: &str, keys: &Keys) -> Result<Claims, Status> {
        let digest = Sha256::digest(token).into();
        if let Some(claims) = self.known(&digest) {
            return Ok(claims);
        }
        let claims: Claims = keys.verify(token).await?;
        let left = claims.exp.saturating_sub(jsonwebtoken::get_current_timestamp());
        let left = Duration::from_secs(left).min(LIFETIME);
        let mut known = self.lock();
        if known.len() >= MANY {
            known.retain(|_, (until, _)| Instant::now() < *until);
        }
        if known.len() < MANY {
            known.insert(digest, (Instant::now() + left, claims.clone()));
        }
        Ok(claims)
    }

    fn known(&self, digest: &[u8; 32]) -> Option<Claims> {
        self.lock().get(digest).filter(|(until, _)| Instant::now() < *until).map(|(_, claims)| claims.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
