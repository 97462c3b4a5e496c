//! Who calls: bearer tokens of an OpenID Connect issuer, and the table of who may call what. Default deny.
//!
//! The layer refuses a missing, bad or expired token (UNAUTHENTICATED) and a role that the table does not grant
//! (PERMISSION_DENIED). Whether the caller relates to a record is asked with [`Caller::may`] once the record is known; a
//! record outside answers NOT_FOUND, so that nobody learns of it.

mod credentials;
mod keys;
mod rates;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use proto::access::{self, Relation, Role};
use serde::Deserialize;
use tonic::Status;
use tonic::transport::server::TcpConnectInfo;
use uuid::Uuid;

pub use credentials::Credentials;
use keys::Keys;
use rates::Rates;
use tokens::Tokens;

use crate::config;

/// Services that every deployment may ask without a token: they tell nothing.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];

/// Verifies callers, and holds this service's own credentials.
#[derive(Debug, Clone)]
pub struct Auth {
    keys: Keys,
    tokens: Tokens,
    rates: Arc<Rates>,
    /// How this service shows who it is.
    pub credentials: Credentials,
}

/// The caller of an rpc, with what the table grants it there.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `sub` of the token.
    pub subject: String,
    /// Area code; the caller's own and everything below it.
    pub area: Option<String>,
    /// The caller's unit.
    pub unit: Option<Uuid>,
    roles: Vec<String>,
    relations: Vec<Relation>,
}

/// What a record belongs to, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Belongs<'r> {
    /// Its area.
    pub area: Option<&'r str>,
    /// The units concerned.
    pub units: &'r [Uuid],
    /// The subjects whose matter it is, or who handed it in.
    pub owners: &'r [&'r str],
}

#[derive(Debug, Clone, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    roles: Vec<String>,
    area: Option<String>,
    unit: Option<Uuid>,
}

impl Caller {
    /// Whether some granted relation holds between the caller and the record.
    pub fn may(&self, record: Belongs<'_>) -> bool {
        self.relations.iter().any(|relation| match relation {
            Relation::Any => true,
            Relation::Area => self.area.as_deref().zip(record.area).is_some_and(|(own, of)| covers(own, of)),
            Relation::Unit => self.unit.is_some_and(|unit| record.units.contains(&unit)),
            Relation::Own => record.owners.contains(&self.subject.as_str()),
            Relation::Workload(name) => self.subject == *name,
        })
    }

    /// Whether the token names this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|held| held == role.name())
    }

    /// The area whose records a list may show: the asked one, or the caller's own; an error when neither is granted.
    pub fn list_area(&self, asked: &str) -> Result<String, Status> {
        let area = if asked.is_empty() { self.area.as_deref().unwrap_or_default() } else { asked };
        match self.may(Belongs { area: Some(area), ..Belongs::default() }) {
            true => Ok(area.to_owned()),
            false => Err(Status::not_found(format!("no area {asked}"))),
        }
    }

    /// A caller for tests of operations, who may do anything.
    pub fn anyone() -> Caller {
        Caller { subject: "test".into(), area: None, unit: None, roles: vec![], relations: vec![Relation::Any] }
    }
}

/// Area codes nest by prefix: 150302 covers 150302004.
fn covers(area: &str, of: &str) -> bool {
    !area.is_empty() && of.starts_with(area)
}

/// The caller that the layer has let in.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("send a bearer token"))
}

impl Auth {
    /// For this service at this issuer.
    pub fn new(name: &'static str, config: &config::Service) -> anyhow::Result<Auth> {
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).build()?;
        let keys = Keys::new(http.clone(), &config.issuer, &config.audience);
        let rates = Arc::default();
        Ok(Auth {
            keys,
            rates,
            tokens: Tokens::default(),
            credentials: Credentials::new(http, &config.issuer, name, config.client_secret.clone()),
        })
    }

    /// The caller, if this request may be made; none where anybody may make it.
    async fn admit(&self, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Status> {
        let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if OPEN.iter().any(|prefix| path.starts_with(prefix)) {
            return Ok(None);
        }
        let grants = match access::find(path) {
            Some(row) => match row.grants {
                Some(grants) => grants,
                None => return Ok(None),
            },
            None => &[],
        };
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("send a bearer token in `authorization`"))?;
        let claims = self.tokens.verify(token, &self.keys).await?;
        let relations: Vec<_> = grants.iter().filter(|grant| holds(&claims, grant)).map(|grant| grant.1).collect();
        match relations.is_empty() {
            true => Err(Status::permission_denied(format!("your roles may not call {path}"))),
            false => Ok(Some(Caller {
                subject: claims.sub,
                area: claims.area,
                unit: claims.unit,
                roles: claims.roles,
                relations,
            })),
        }
    }
}

fn holds(claims: &Claims, (role, relation): &(Role, Relation)) -> bool {
    let named = claims.roles.iter().any(|held| held == role.name());
    named && !matches!(relation, Relation::Workload(name) if claims.sub != *name)
}

/// Marks a request that was let in.
#[derive(Clone)]
struct Admitted;

impl Auth {
    /// Lets a request in, with its caller, or says why not. Before anybody reads its body; counted once.
    pub(crate) async fn let_in(&self, request: &mut Request) -> Result<(), Status> {
        if request.extensions().get::<Admitted>().is_some() {
            return Ok(());
        }
        let admitted = self.admit(request.uri().path(), request.headers()).await;
        if let Some(caller) = self.rates.check(admitted, address(request))? {
            request.extensions_mut().insert(caller);
        }
        request.extensions_mut().insert(Admitted);
        Ok(())
    }
}

fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<TcpConnectInfo>();
    peer.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip())
}

/// The layer before every handler.
pub async fn layer(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    match auth.let_in(&mut request).await {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_http(),
    }
}

/// The layer before pages that look after their own credentials: counts whoever asks for them.
pub async fn strangers(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    match auth.rates.check(Ok(None), address(&request)) {
        Ok(_) => next.run(request).await,
        Err(status) => (http::StatusCode::TOO_MANY_REQUESTS, status.message().to_owned()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn street(relations: Vec<Relation>) -> Caller {
        Caller { subject: "s".into(), area: Some("150302004".into()), unit: None, roles: vec![], relations }
    }

    #[test]
    fn an_area_covers_itself_and_what_is_below_it_and_nothing_else() {
        let caller = street(vec![Relation::Area]);
        let of = |area| caller.may(Belongs { area: Some(area), ..Belongs::default() });
        assert!(of("150302004") && of("150302004001"));
        assert!(!of("150302") && !of("150302005") && !of(""));
    }

    #[test]
    fn a_caller_without_an_area_covers_none() {
        let caller = Caller { area: Some(String::new()), ..street(vec![Relation::Area]) };
        assert!(!caller.may(Belongs { area: Some("150302"), ..Belongs::default() }));
    }

    #[test]
    fn a_caller_without_relations_may_nothing() {
        let record = Belongs { area: Some("150302004"), owners: &["s"], ..Belongs::default() };
        assert!(!street(vec![]).may(record));
        assert!(street(vec![Relation::Own]).may(record));
    }
}
