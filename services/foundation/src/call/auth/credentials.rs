//! This service's own token: OAuth 2.0 client credentials at the issuer, kept until shortly before it expires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};

use super::issuer::{answered, discover};

/// Client id and secret, and the token that they last bought.
#[derive(Debug, Clone)]
pub struct Credentials {
    http: reqwest::Client,
    issuer: String,
    client_id: &'static str,
    secret: SecretString,
    cache: Arc<Mutex<Option<Bought>>>,
}

/// A token, and until when it is used.
type Bought = (Instant, MetadataValue<Ascii>);

#[derive(Deserialize)]
struct Discovery {
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Credentials {
    pub(super) fn new(
        http: reqwest::Client,
        issuer: &str,
        client_id: &'static str,
        secret: SecretString,
    ) -> Credentials {
        Credentials { http, issuer: issuer.to_owned(), client_id, secret, cache: Arc::default() }
    }

    /// The value of `authorization` for a call of this service.
    pub async fn authorization(&self) -> Result<MetadataValue<Ascii>, Status> {
        let mut cache = self.cache.lock().await;
        if let Some((_, value)) = cache.as_ref().filter(|(until, _)| *until > Instant::now()) {
            return Ok(value.clone());
        }
        let granted = self.fetch().await.map_err(|error| {
            tracing::warn!(error = %format!("{error:#}"), issuer = self.issuer, "no token for this service's own calls");
            Status::unavailable("the identity provider gave no token; try again")
        })?;
        let value: MetadataValue<Ascii> = format!("Bearer {}", granted.access_token)
            .parse()
            .map_err(|_| Status::internal("the identity provider gave a token that no header can carry"))?;
        let lifetime = Duration::from_secs(granted.expires_in * 4 / 5);
        *cache = Some((Instant::now() + lifetime, value.clone()));
        Ok(value)
    }

    async fn fetch(&self) -> anyhow::Result<Granted> {
        let Discovery { token_endpoint } = discover(&self.http, &self.issuer).await?;
        let asked = self.http.post(token_endpoint).basic_auth(self.client_id, Some(self.secret.expose_secret()));
        answered(asked.form(&[("grant_type", "client_credentials")])).await
    }
}
