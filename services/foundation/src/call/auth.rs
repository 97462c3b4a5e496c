//! Who calls: bearer tokens of an OpenID Connect issuer, and the table of who may call what. Default deny.
//!
//! The layer refuses a missing, bad or expired token (UNAUTHENTICATED) and a role that the table does not grant
//! (PERMISSION_DENIED), and makes of the rest a [`crate::base::Context`]: what lies outside its scope is not found.

mod claims;
mod credentials;
mod issuer;
mod keys;
mod rates;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use proto::access::{self, Role};
use secrecy::SecretString;
use tonic::Status;
use tonic::transport::server::TcpConnectInfo;

use claims::Claims;
pub use credentials::Credentials;
use keys::Keys;
use rates::Rates;
use tokens::Tokens;

use crate::base::{Actor, Context};

/// Services that every deployment may ask without a token: they tell nothing.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];
/// How a service names the person whom it calls for: `role/subject`. Believed of services only.
pub(crate) const ON_BEHALF_OF: &str = "haiqu-on-behalf-of";

/// Verifies callers, and holds this service's own credentials.
#[derive(Debug, Clone)]
pub struct Auth {
    keys: Keys,
    tokens: Tokens,
    rates: Arc<Rates>,
    /// How this service shows who it is.
    pub credentials: Credentials,
}

/// Who was let in, and how far.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// `/package.Service/Method`
    pub rpc: &'static str,
    /// Who calls, for whom, and what they may see.
    pub context: Context,
    /// When the token runs out.
    pub expires: Instant,
}

impl Auth {
    /// For this service at this issuer, whose tokens must name this audience.
    pub fn new(name: &'static str, issuer: &str, audience: &str, client_secret: SecretString) -> anyhow::Result<Auth> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let keys = Keys::new(http.clone(), issuer, audience);
        let credentials = Credentials::new(http, issuer, name, client_secret);
        Ok(Auth { keys, rates: Arc::default(), tokens: Tokens::default(), credentials })
    }

    /// The caller, if this request may be made; none where anybody may make it.
    pub async fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Option<Admitted>, Status> {
        if OPEN.iter().any(|prefix| path.starts_with(prefix)) {
            return Ok(None);
        }
        let row = access::find(path);
        if row.is_some_and(|row| row.grants.is_none()) {
            return Ok(None);
        }
        let token = header(headers, http::header::AUTHORIZATION.as_str()).and_then(bearer);
        let token = token.ok_or_else(|| Status::unauthenticated("send a bearer token in `authorization`"))?;
        let claims = self.tokens.verify(token, &self.keys).await?;
        let granted = row.and_then(|row| Some((row.rpc, claims.granted(row)?)));
        let Some((rpc, (role, scope))) = granted else {
            return Err(Status::permission_denied("your roles may not call this method"));
        };
        let expires = Instant::now() + lifetime(&claims);
        let on_behalf_of = header(headers, ON_BEHALF_OF).filter(|_| role == Role::Service).and_then(person);
        let context = Context { caller: Actor::new(claims.sub, role.name()), on_behalf_of, scope };
        Ok(Some(Admitted { rpc, context, expires }))
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The scheme's name is in any case.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

fn person(named: &str) -> Option<Actor> {
    let (role, subject) = named.split_once('/')?;
    Some(Actor::new(subject, role))
}

fn lifetime(claims: &Claims) -> Duration {
    Duration::from_secs(claims.exp.saturating_sub(jsonwebtoken::get_current_timestamp()))
}

/// Marks a request that was let in.
#[derive(Clone)]
struct Counted;

impl Auth {
    /// Lets a request in, with its caller, or says why not. Before anybody reads its body; counted once.
    pub(crate) async fn let_in(&self, request: &mut Request) -> Result<(), Status> {
        if request.extensions().get::<Counted>().is_some() {
            return Ok(());
        }
        let admitted = self.admit(request.uri().path(), request.headers()).await;
        if let Some(admitted) = self.rates.check(admitted, address(request))? {
            request.extensions_mut().insert(admitted);
        }
        request.extensions_mut().insert(Counted);
        Ok(())
    }
}

fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<TcpConnectInfo>();
    peer.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip())
}

/// The layer before every handler.
pub(super) async fn layer(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    match auth.let_in(&mut request).await {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_http(),
    }
}

/// The layer before pages that look after their own credentials: counts whoever asks for them.
pub(super) async fn anonymous(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    match auth.rates.check(Ok(None), address(&request)) {
        Ok(_) => next.run(request).await,
        Err(status) => (http::StatusCode::TOO_MANY_REQUESTS, status.message().to_owned()).into_response(),
    }
}
