//! What a token says of its holder, and what that makes of a row of the access table.

use proto::access::{Access, Relation, Role};
use serde::Deserialize;
use uuid::Uuid;

use crate::base::scope::{Reach, Scope};

#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub exp: u64,
    #[serde(default)]
    pub roles: Vec<String>,
    pub area: Option<String>,
    pub unit: Option<Uuid>,
    #[serde(default)]
    pub matters: Vec<String>,
}

impl Claims {
    /// The role that this row grants them the call in, and what they may see in it; none when it grants nothing.
    pub fn granted(&self, row: &Access) -> Option<(Role, Scope)> {
        let granted = row.grants.unwrap_or_default().iter().filter(|(role, relation)| {
            let named = self.roles.iter().any(|held| held == role.name());
            named && !matches!(relation, Relation::Workload(name) if self.sub != *name)
        });
        let role = granted.clone().next()?.0;
        Some((role, Scope::new(granted.filter_map(|(_, relation)| self.reach(*relation)).collect())))
    }

    /// None where the token lacks what the relation goes by.
    fn reach(&self, relation: Relation) -> Option<Reach> {
        match relation {
            Relation::Any | Relation::Workload(_) => Some(Reach::Everything),
            Relation::Area => self.area.clone().filter(|area| !area.is_empty()).map(Reach::Area),
            Relation::Unit => self.unit.map(Reach::Unit),
            Relation::Matters => (!self.matters.is_empty()).then(|| Reach::Matters(self.matters.clone())),
            Relation::Own => Some(Reach::Own(self.sub.clone())),
        }
    }
}
