//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

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
    /// The same of each round.
    pub rounds: Vec<f64>,
    /// Whether it is asked if it has grown; no other figure tells.
    pub in_growth: bool,
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
        Figure {
            workload,
            what,
            stored: None,
            unit,
            ours,
            rounds: vec![ours],
            in_growth: true,
            limit: None,
            peers,
            goal: None,
        }
    }

    /// The mean of all rounds.
    pub fn mean(workload: &'static str, what: &str, unit: &'static str, rounds: Vec<f64>) -> Figure {
        Figure { rounds: rounds.clone(), ..Figure::new(workload, what, unit, mean(rounds)) }
    }

    /// The time below which this part of all rounds' times lies.
    pub fn time(workload: &'static str, what: &str, part: f64, rounds: &[&Times]) -> Figure {
        let each = rounds.iter().map(|times| times.at(part)).collect();
        Figure { rounds: each, ..Figure::new(workload, what, "ms", Times::all(rounds).at(part)) }
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
                let ratio = self.times_better()?;
                self.ours <= most && ratio >= times
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
        f64::INFINITY => "without end".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    /// Where, when, with which versions and settings, from which seed.
    pub of: BTreeMap<String, String>,
    /// What.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Takes them in; writes all that there is by now as JSON.
    pub fn add(&mut self, figures: Vec<Figure>, json: &Path) -> anyhow::Result<()> {
        self.figures.extend(figures);
        let figures = self.figures.iter().map(|figure| {
            let mut shown = serde_json::to_value(figure)?;
            shown["of_limit"] = json!(figure.of_limit());
            shown["times_better"] = json!(figure.times_better());
            shown["reached"] = json!(figure.reached());
            Ok(shown)
        });
        let all = json!({ "of": self.of, "figures": figures.collect::<anyhow::Result<Vec<_>>>()? });
        if let Some(folder) = json.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(json, serde_json::to_string_pretty(&all)? + "\n").with_context(|| json.display().to_string())
    }

    /// As Markdown.
    pub fn table(&self) -> String {
        let head = ["", "figure", "stored", "Haiqu", "limit", "of it", "peers", "times better", "goal", "reached"];
        let mut lines = vec![format!("| {} |", head.join(" | ")), format!("|{}", "---|".repeat(head.len()))];
        lines.extend(self.figures.iter().map(Figure::line));
        lines.join("\n")
    }

    /// As Markdown: what was measured with several numbers of whistles stored, each in the middle one of its rounds; and how much worse
    /// it is than with the fewest: in each round, where all were measured one after the other; of the rounds the one in the middle, of the
    /// numbers the worst. It is flat when that is a tenth at most. None where all was measured once.
    pub fn growth(&self) -> Option<String> {
        let mut grown: Vec<Vec<&Figure>> = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.stored.is_some() && figure.in_growth) {
            match grown.iter_mut().find(|same| (same[0].workload, &same[0].what) == (figure.workload, &figure.what)) {
                Some(same) => same.push(figure),
                None => grown.push(vec![figure]),
            }
        }
        let stored = grown.first().filter(|one| one.len() > 1)?.iter().filter_map(|figure| figure.stored);
        let head = format!(
            "| | figure | {} | worse | in the rounds | flat |",
            stored.map(|n| n.to_string()).collect::<Vec<_>>().join(" | ")
        );
        let mut lines = vec![format!("|{}", "---|".repeat(head.matches('|').count() - 1))];
        lines.insert(0, head);
        lines.extend(grown.iter().map(|same| grown_line(same)));
        Some(lines.join("\n"))
    }
}

fn grown_line(same: &[&Figure]) -> String {
    let first = same[0];
    let ratio = |(before, after): (&f64, &f64)| if first.rate() { before / after } else { after / before };
    let worse = |other: &&Figure| Times::of(first.rounds.iter().zip(&other.rounds).map(ratio).collect());
    let worst = same[1..].iter().map(worse).max_by(|one, other| one.at(0.5).total_cmp(&other.at(0.5)));
    let worst = worst.unwrap_or_else(|| Times::of(Vec::new()));
    let middle_of = |figure: &&Figure| number(Times::of(figure.rounds.clone()).at(0.5));
    let figures = same.iter().map(|figure| format!("{} {}", middle_of(figure), figure.unit)).collect::<Vec<_>>();
    let flat = if worst.at(0.5) <= 1.1 { "yes" } else { "no" };
    let [least, middle, most] = [0.0, 0.5, 1.0].map(|part| number(worst.at(part)));
    format!("| {} | {} | {} | {middle} | {least} to {most} | {flat} |", first.workload, first.what, figures.join(" | "))
}

/// Of several rounds.
#[expect(clippy::cast_precision_loss, reason = "a few")]
pub fn mean(rounds: Vec<f64>) -> f64 {
    let count = rounds.len() as f64;
    rounds.into_iter().sum::<f64>() / count
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

    /// Of all rounds together.
    pub fn all(rounds: &[&Times]) -> Times {
        Times::of(rounds.iter().flat_map(|times| times.0.iter().copied()).collect())
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
    fn what_is_worse_by_more_than_a_tenth_in_the_middle_round_has_grown() {
        let of = |what, unit, rounds: [Vec<f64>; 2]| {
            let figure = move |(stored, rounds)| Figure::mean("W2", what, unit, rounds).stored(stored);
            [10, 20].into_iter().zip(rounds).map(figure)
        };
        // The second round is on a machine of half the speed, and something held up the third.
        let time = of("time", "ms", [vec![1.0, 2.0, 1.0], vec![1.1, 2.1, 7.0]]);
        let figures = time.chain(of("rate", "whistles/s", [vec![90.0], vec![45.0]])).collect();
        let grown = Report { of: BTreeMap::new(), figures }.growth().unwrap();
        assert_eq!(
            grown.lines().collect::<Vec<_>>(),
            [
                "| | figure | 10 | 20 | worse | in the rounds | flat |",
                "|---|---|---|---|---|---|---|",
                "| W2 | time | 1.00 ms | 2.10 ms | 1.10 | 1.05 to 7.00 | yes |",
                "| W2 | rate | 90.0 whistles/s | 45.0 whistles/s | 2.00 | 2.00 to 2.00 | no |",
            ]
        );
    }

    #[test]
    fn a_rate_is_better_when_it_is_more() {
        let figure =
            Figure { limit: Some(200.0), ..Figure::new("W2", "rate", "whistles/s", 120.0).goal(Goal::OfLimit(0.5)) };
        assert_eq!(figure.reached(), Some(true));
    }
}
