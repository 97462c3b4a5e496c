//! The issuer's signing keys (JWKS): cached, read again when a token names an unknown one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tonic::Status;

use super::issuer::{answered, discover};

/// How long keys are used without asking again.
const LIFETIME: Duration = Duration::from_secs(600);
/// How soon an unknown key may make us ask again: anonymous callers' tokens must not make us hammer the issuer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Asymmetric algorithms only; the token's header never chooses another.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256, Algorithm::PS256];

#[derive(Debug, Clone)]
pub struct Keys {
    http: reqwest::Client,
    issuer: String,
    audience: String,
    cache: Arc<Mutex<Option<(Instant, JwkSet)>>>,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

impl Keys {
    pub fn new(http: reqwest::Client, issuer: &str, audience: &str) -> Keys {
        Keys { http, issuer: issuer.to_owned(), audience: audience.to_owned(), cache: Arc::default() }
    }

    /// The claims of a token that this issuer signed for us and that has not expired.
    pub async fn verify<C: DeserializeOwned + Clone>(&self, token: &str) -> Result<C, Status> {
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        let kid = header.kid.ok_or_else(|| Status::unauthenticated("the token names no key (`kid`)"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Status::unauthenticated(format!("tokens signed with {:?} are not accepted", header.alg)));
        }
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 5;
        validation.validate_nbf = true;
        Ok(jsonwebtoken::decode::<C>(token, &key, &validation).map_err(refused)?.claims)
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, Status> {
        let mut cache = self.cache.lock().await;
        let known = cache.as_ref().filter(|(read, _)| read.elapsed() < LIFETIME).and_then(|(_, set)| set.find(kid));
        let just_read = cache.as_ref().is_some_and(|(read, _)| read.elapsed() < PATIENCE);
        if known.is_none() && !just_read {
            match self.fetch().await {
                Ok(set) => *cache = Some((Instant::now(), set)),
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), issuer = self.issuer, "the issuer's keys cannot be read");
                    // Known keys go on while the issuer is away, and it is not asked again for every call.
                    let Some((read, _)) = cache.as_mut() else {
                        return Err(Status::unavailable("the identity provider cannot be reached; try again"));
                    };
                    *read = Instant::now();
                }
            }
        }
        let key = cache.as_ref().and_then(|(_, set)| set.find(kid));
        let key = key.ok_or_else(|| Status::unauthenticated("the token's key is not one of the issuer's"))?;
        DecodingKey::from_jwk(key).map_err(refused)
    }

    async fn fetch(&self) -> anyhow::Result<JwkSet> {
        let Discovery { jwks_uri } = discover(&self.http, &self.issuer).await?;
        answered(self.http.get(jwks_uri)).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: jsonwebtoken::errors::Error) -> Status {
    use jsonwebtoken::errors::ErrorKind;
    Status::unauthenticated(match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired; fetch a new one",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        _ => "the token is not valid",
    })
}
