//! Who does what is done.

use super::scope::Scope;

/// A person or a service, as history and events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Opaque: `sub` of the token.
    pub subject: String,
    /// The role that it acts in, by its name in a token.
    pub role: String,
}

impl Actor {
    /// Of this subject, in this role.
    pub fn new(subject: impl Into<String>, role: impl Into<String>) -> Actor {
        Actor { subject: subject.into(), role: role.into() }
    }

    /// What time does.
    pub(crate) fn clock() -> Actor {
        Actor::new("clock", "clock")
    }
}

/// Who asks for a change, for whom, and what they may touch. It has no time: that is what Postgres says once the row is locked.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who calls; the publishing service for an event, `clock` for what time does.
    pub caller: Actor,
    /// Whom the caller acts for: a service passes on what a person did.
    pub on_behalf_of: Option<Actor>,
    /// What may be touched.
    pub scope: Scope,
}

impl Context {
    /// Who is named in history and on events.
    pub fn actor(&self) -> &Actor {
        self.on_behalf_of.as_ref().unwrap_or(&self.caller)
    }

    /// Whether this service calls.
    pub fn is_service(&self, name: &str) -> bool {
        self.caller.subject == name && self.caller.role == "service"
    }

    /// Of what a service does by itself, or for the one who did what an event tells of.
    pub(crate) fn of_the_house(caller: Actor, on_behalf_of: Option<Actor>) -> Context {
        Context { caller, on_behalf_of, scope: Scope::everything() }
    }
}
