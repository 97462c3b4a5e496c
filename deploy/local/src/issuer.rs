//! A development issuer: OpenID Connect discovery, JWKS, client credentials for the services, and tokens for every role.
//! Production refuses it: it has no TLS, and a service accepts that on loopback only.

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// How long a token is good for, seconds.
const LIFETIME: i64 = 12 * 3600;
const KEY_ID: &str = "development";

/// Whom a token is for.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Person {
    /// `sub`
    pub sub: String,
    /// Role names.
    pub roles: Vec<String>,
    /// Area code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Unit id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Codes of the matters that they are in charge of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matters: Vec<String>,
}

/// The issuer, serving.
#[derive(Clone)]
pub struct Issuer {
    /// Its URL, as tokens name it.
    pub url: String,
    /// What every service shows for its token.
    pub client_secret: String,
    key: Arc<EncodingKey>,
    jwks: Value,
}

impl Issuer {
    /// Starts serving on a free port.
    pub async fn start() -> anyhow::Result<Issuer> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1()?.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(KEY_ID.into());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let client_secret = format!("{:032x}", rand::random::<u128>());
        let issuer = Issuer { url, client_secret, key: Arc::new(key), jwks: json!({ "keys": [jwk] }) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(issuer)
    }

    /// A token for somebody, good for 12 hours.
    pub fn token(&self, person: &Person) -> anyhow::Result<String> {
        self.token_until(person, crate::now().timestamp() + LIFETIME)
    }

    /// A token that expires at an instant, seconds since 1970.
    pub fn token_until(&self, person: &Person, expires: i64) -> anyhow::Result<String> {
        let mut claims = serde_json::to_value(person)?;
        claims["iss"] = json!(self.url);
        claims["aud"] = json!("haiqu");
        claims["exp"] = json!(expires);
        claims["iat"] = json!(crate::now().timestamp());
        let header = Header { kid: Some(KEY_ID.into()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", issuer.url);
    Json(json!({ "issuer": issuer.url, "jwks_uri": at("jwks"), "token_endpoint": at("token") }))
}

async fn jwks(State(issuer): State<Issuer>) -> Json<Value> {
    Json(issuer.jwks)
}

async fn token(State(issuer): State<Issuer>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    use base64::Engine as _;
    let basic = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let shown = basic.and_then(|basic| base64::engine::general_purpose::STANDARD.decode(basic).ok());
    let shown = shown.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let Some((sub, secret)) = shown.split_once(':') else { return Err(StatusCode::UNAUTHORIZED) };
    if secret != issuer.client_secret {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let person = Person { sub: sub.to_owned(), roles: vec!["service".into()], ..Person::default() };
    let token = issuer.token(&person).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME })))
}
