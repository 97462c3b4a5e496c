//! What a caller may see and touch: made by the auth layer out of the access table and the token, taken by every view and every `load`,
//! and put in its `where`. Nothing else can make one (a service's own work gets one with the event or the tick that it answers), so
//! whoever forgets to ask does not compile.

use uuid::Uuid;

/// One way in which records are the caller's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them.
    Everything,
    /// Those of an area and below it.
    Area(String),
    /// Those of a unit.
    Unit(Uuid),
    /// Those of matters that the caller is in charge of.
    Matters(Vec<String>),
    /// Those that the caller raised, or that were raised for them.
    Own(String),
}

/// What a caller may see and touch; outside of it nothing is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Vec<Reach>);

/// What a list shows: exactly one of a scope's ways, so that each has a statement, and an index, of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing<'s> {
    /// Everything.
    All,
    /// An area and what is below it.
    Area(&'s str),
    /// A unit's.
    Unit(Uuid),
    /// Of these matters.
    Matters(&'s [String]),
    /// The caller's own.
    Own(&'s str),
}

/// Area codes nest by prefix: 150302 covers 150302004.
pub fn covers(area: &str, of: &str) -> bool {
    !area.is_empty() && of.starts_with(area)
}

impl Scope {
    pub(crate) fn new(reaches: Vec<Reach>) -> Scope {
        Scope(reaches)
    }

    pub(crate) fn everything() -> Scope {
        Scope(vec![Reach::Everything])
    }

    pub(crate) fn reaches(&self) -> &[Reach] {
        &self.0
    }

    /// Whether it is everything.
    pub fn all(&self) -> bool {
        self.0.contains(&Reach::Everything)
    }

    /// The area in it.
    pub fn area(&self) -> Option<&str> {
        self.0.iter().find_map(|reach| if let Reach::Area(area) = reach { Some(area.as_str()) } else { None })
    }

    /// The unit in it.
    pub fn unit(&self) -> Option<Uuid> {
        self.0.iter().find_map(|reach| if let Reach::Unit(unit) = reach { Some(*unit) } else { None })
    }

    /// The matters in it.
    pub fn matters(&self) -> &[String] {
        let matters = self.0.iter().find_map(|reach| if let Reach::Matters(own) = reach { Some(own) } else { None });
        matters.map(Vec::as_slice).unwrap_or_default()
    }

    /// The subject whose own records are in it.
    pub fn own(&self) -> Option<&str> {
        self.0.iter().find_map(|reach| if let Reach::Own(own) = reach { Some(own.as_str()) } else { None })
    }

    /// Whether something new may be made in this area, for these people.
    pub fn admits(&self, area: &str, owners: &[&str]) -> bool {
        self.all()
            || self.area().is_some_and(|own| covers(own, area))
            || self.own().is_some_and(|own| owners.contains(&own))
    }

    /// What a list shows: of the asked area (empty for none asked) or of the widest way there is. None when there is none, or the
    /// asked area lies outside.
    pub fn listing<'s>(&'s self, asked: &'s str) -> Option<Listing<'s>> {
        match (self.all(), self.area(), asked) {
            (true, _, "") => Some(Listing::All),
            (true, _, asked) => Some(Listing::Area(asked)),
            (false, Some(own), "") => Some(Listing::Area(own)),
            (false, Some(own), asked) => covers(own, asked).then_some(Listing::Area(asked)),
            (false, None, "") => self.narrow_listing(),
            (false, None, _) => None,
        }
    }

    fn narrow_listing(&self) -> Option<Listing<'_>> {
        self.0.iter().find_map(|reach| match reach {
            Reach::Unit(unit) => Some(Listing::Unit(*unit)),
            Reach::Matters(matters) => Some(Listing::Matters(matters)),
            Reach::Own(own) => Some(Listing::Own(own)),
            Reach::Everything | Reach::Area(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn street() -> Scope {
        Scope::new(vec![Reach::Area("150302004".into())])
    }

    #[test]
    fn an_area_admits_itself_and_what_is_below_it_and_nothing_else() {
        let admits = |area| street().admits(area, &[]);
        assert!(admits("150302004") && admits("150302004001"));
        assert!(!admits("150302") && !admits("150302005") && !admits(""));
    }

    #[test]
    fn a_list_shows_the_asked_area_if_it_is_the_callers_and_their_own_without() {
        assert_eq!(street().listing(""), Some(Listing::Area("150302004")));
        assert_eq!(street().listing("150302004001"), Some(Listing::Area("150302004001")));
        assert_eq!(street().listing("150302"), None);
        assert_eq!(Scope::everything().listing("150302005"), Some(Listing::Area("150302005")));
        assert_eq!(Scope::everything().listing(""), Some(Listing::All));
    }

    #[test]
    fn a_scope_of_nothing_admits_and_lists_nothing() {
        let nothing = Scope::new(vec![]);
        assert!(!nothing.admits("150302", &["s"]));
        assert_eq!(nothing.listing(""), None);
        assert!(Scope::new(vec![Reach::Own("s".into())]).admits("150302", &["s"]));
    }
}
