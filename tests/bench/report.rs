//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

/// A figure beside its limit and its peers, of the same run.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// W1, W2, W3 or W5, as `README.md` numbers them.
    pub workload: &'static str,
    /// What was measured.
    pub what: String,
    /// How many whistles were stored.
    pub stored: Option<i64>,
    /// Of all figures of the row.
    pub unit: &'static str,
    /// Haiqu's.
    pub ours: f64,
    /// What the servers can do without us.
    pub limit: Option<f64>,
    /// What others take for a smaller task.
    pub peers: BTreeMap<String, f64>,
    /// What we want.
    pub goal: Option<Goal>,
}

/// What a figure shall be.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this part of the limit.
    OfLimit(f64),
    /// At least this many times better than the best peer, and at most this.
    TimesBetter(f64, f64),
}

impl Figure {
    /// A figure that stands alone.
    pub fn new(workload: &'static str, what: &str, unit: &'static str, ours: f64) -> Figure {
        let (what, peers) = (what.to_owned(), BTreeMap::new());
        Figure { workload, what, stored: None, unit, ours, limit: None, peers, goal: None }
    }

    /// With so many whistles stored.
    pub fn stored(self, stored: i64) -> Figure {
        Figure { stored: Some(stored), ..self }
    }

    /// With what it shall be.
    pub fn goal(self, goal: Goal) -> Figure {
        Figure { goal: Some(goal), ..self }
    }

    /// A rate is better when it is more; everything else when it is less.
    fn rate(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// Of the limit, where there is one.
    fn of_limit(&self) -> Option<f64> {
        self.limit.map(|limit| if self.rate() { self.ours / limit } else { limit / self.ours })
    }

    /// Against the best peer, where there is one.
    fn times_better(&self) -> Option<f64> {
        self.peers.values().copied().reduce(f64::min).map(|best| best / self.ours)
    }

    fn reached(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::AtMost(most) => self.ours <= most,
            Goal::OfLimit(part) => self.of_limit()? >= part,
            Goal::TimesBetter(times, most) => {
                self.ours <= most && self.times_better().is_none_or(|ratio| ratio >= times)
            }
        })
    }

    fn line(&self) -> String {
        let shown = |value: Option<f64>| value.map_or(String::new(), number);
        let peers = self.peers.iter().map(|(name, figure)| format!("{name} {}", number(*figure)));
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::AtMost(most)) => format!("≤ {}", number(most)),
            Some(Goal::OfLimit(part)) => format!("≥ {part} of the limit"),
            Some(Goal::TimesBetter(times, most)) => format!("≤ {}, {times} times the best peer", number(most)),
        };
        let reached = self.reached().map_or("", |reached| if reached { "yes" } else { "no" });
        let cells = [
            self.workload.to_owned(),
            self.what.clone(),
            self.stored.map_or(String::new(), |stored| stored.to_string()),
            format!("{} {}", number(self.ours), self.unit),
            shown(self.limit),
            shown(self.of_limit()),
            peers.collect::<Vec<_>>().join(", "),
            shown(self.times_better()),
            goal,
            reached.to_owned(),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// Enough digits to compare, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where, when, with which versions and settings, from which seed.
    pub of: BTreeMap<String, String>,
    /// What.
    pub figures: Vec<Figure>,
}

impl Report {
    /// As Markdown.
    pub fn table(&self) -> String {
        let head = ["", "figure", "stored", "Haiqu", "limit", "of it", "peers", "times better", "goal", "reached"];
        let mut lines = vec![format!("| {} |", head.join(" | ")), format!("|{}", "---|".repeat(head.len()))];
        lines.extend(self.figures.iter().map(Figure::line));
        lines.join("\n")
    }
}

/// Sorted times.
#[derive(Debug, Clone)]
pub struct Times(Vec<f64>);

impl Times {
    /// Milliseconds.
    pub fn of(mut milliseconds: Vec<f64>) -> Times {
        milliseconds.sort_by(f64::total_cmp);
        Times(milliseconds)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which this part of them lies; 1 for the greatest.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    pub fn at(&self, part: f64) -> f64 {
        let index = ((self.0.len() as f64 * part).ceil() as usize).clamp(1, self.0.len().max(1)) - 1;
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_at_a_part_is_one_that_was_measured() {
        let times = Times::of((1..=100).rev().map(f64::from).collect());
        assert_eq!([times.at(0.5), times.at(0.99), times.at(1.0)], [50.0, 99.0, 100.0]);
    }

    #[test]
    fn a_goal_beside_peers_is_reached_only_when_both_are() {
        let figure = |ours| Figure {
            peers: BTreeMap::from([("a".into(), 40.0), ("b".into(), 90.0)]),
            ..Figure::new("W1", "p99", "ms", ours).goal(Goal::TimesBetter(4.0, 20.0))
        };
        assert_eq!([10.0, 15.0, 25.0].map(|ours| figure(ours).reached()), [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn a_rate_is_better_when_it_is_more() {
        let figure =
            Figure { limit: Some(200.0), ..Figure::new("W2", "rate", "whistles/s", 120.0).goal(Goal::OfLimit(0.5)) };
        assert_eq!(figure.reached(), Some(true));
    }
}
