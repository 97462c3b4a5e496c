//! Who may learn that something has changed: written with the event by the service that knows, matched by whoever watches.

use uuid::Uuid;

use crate::base::Scope;
use crate::base::scope::Reach;

/// Between two audiences where they are one text; no id and no code has it.
const BETWEEN: char = '\u{1f}';

/// Of one event. Name those before and after the change: who loses a thing learns of it too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audiences(Vec<String>);

impl Audiences {
    /// Whoever sees this area, or one above it.
    pub fn area(mut self, area: &str) -> Audiences {
        self.0.push(format!("area:{area}"));
        self
    }

    /// A unit.
    pub fn unit(mut self, unit: Uuid) -> Audiences {
        self.0.push(format!("unit:{unit}"));
        self
    }

    /// Whoever is in charge of a matter.
    pub fn matter(mut self, matter: &str) -> Audiences {
        self.0.push(format!("matter:{matter}"));
        self
    }

    /// A subject whose own it is.
    pub fn person(mut self, subject: &str) -> Audiences {
        self.0.push(format!("person:{subject}"));
        self
    }

    pub(super) fn text(&self) -> String {
        self.0.join(&BETWEEN.to_string())
    }
}

/// What such a text names.
pub(super) fn read(text: &str) -> Vec<String> {
    text.split_terminator(BETWEEN).map(str::to_owned).collect()
}

/// What a scope watches: everything, some audiences by name, an area and below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    pub all: bool,
    pub names: Vec<String>,
    pub area: Option<String>,
}

impl Watched {
    pub fn of(scope: &Scope) -> Watched {
        let mut watched = Watched::default();
        for reach in scope.reaches() {
            match reach {
                Reach::Everything => watched.all = true,
                Reach::Area(area) => watched.area = Some(format!("area:{area}")),
                Reach::Unit(unit) => watched.names.push(format!("unit:{unit}")),
                Reach::Matters(matters) => {
                    watched.names.extend(matters.iter().map(|matter| format!("matter:{matter}")))
                }
                Reach::Own(subject) => watched.names.push(format!("person:{subject}")),
            }
        }
        watched
    }

    /// Whether an event with these audiences is for it.
    pub fn matches(&self, audiences: &[String]) -> bool {
        let area = |audience: &String| self.area.as_ref().is_some_and(|area| audience.starts_with(area.as_str()));
        self.all || audiences.iter().any(|audience| self.names.contains(audience) || area(audience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(reach: Reach) -> Watched {
        Watched::of(&Scope::new(vec![reach]))
    }

    #[test]
    fn an_area_watches_itself_and_below_and_a_unit_itself() {
        let (unit, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of = |area: &str, unit| Audiences::default().area(area).unit(unit).0;
        assert!(watched(Reach::Area("150302".into())).matches(&of("150302004", other)));
        assert!(!watched(Reach::Area("150302004".into())).matches(&of("150302", other)));
        assert!(
            watched(Reach::Unit(unit)).matches(&of("1", unit)) && !watched(Reach::Unit(unit)).matches(&of("1", other))
        );
        assert!(watched(Reach::Everything).matches(&[]));
        assert!(!watched(Reach::Own("1".into())).matches(&of("1", unit)));
    }
}
