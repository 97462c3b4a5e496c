//! Asking the issuer.

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::call::http;

/// What of its metadata (OpenID Connect Discovery) is wanted.
pub async fn discover<T: DeserializeOwned>(http: &reqwest::Client, issuer: &str) -> anyhow::Result<T> {
    answered(http.get(format!("{issuer}/.well-known/openid-configuration"))).await
}

/// The answer's JSON.
pub async fn answered<T: DeserializeOwned>(asked: reqwest::RequestBuilder) -> anyhow::Result<T> {
    let answer = asked.send().await?.error_for_status()?;
    http::json(answer).await.context("the issuer's answer is too long, or is not what was asked for")
}
