//! A request on its way to a handler.

use std::time::Instant;

use tonic::{Request, Status};

use super::auth::Admitted;
use crate::base::{Context, Scope, Violations};

/// A request that the auth layer has let in.
pub struct Call<Q> {
    /// What is asked.
    pub message: Q,
    admitted: Admitted,
}

impl<Q> Call<Q> {
    /// The request, with who calls and what they may see.
    pub fn of(mut request: Request<Q>) -> Result<Call<Q>, Status> {
        let admitted = request.extensions_mut().remove::<Admitted>();
        let admitted = admitted.ok_or_else(|| Status::unauthenticated("send a bearer token"))?;
        Ok(Call { message: request.into_inner(), admitted })
    }

    /// Who calls, and for whom.
    pub fn context(&self) -> &Context {
        &self.admitted.context
    }

    /// What the caller may see.
    pub fn scope(&self) -> &Scope {
        &self.admitted.context.scope
    }

    /// `/package.Service/Method`
    pub fn rpc(&self) -> &'static str {
        self.admitted.rpc
    }

    /// When the caller's token runs out.
    pub fn expires(&self) -> Instant {
        self.admitted.expires
    }

    /// Reads the request; everything that is wrong is said at once.
    pub fn parse<C>(&self, parse: impl FnOnce(&mut Violations, &Q) -> C) -> Result<C, Status> {
        let mut violations = Violations::default();
        let parsed = parse(&mut violations, &self.message);
        violations.finish()?;
        Ok(parsed)
    }
}
