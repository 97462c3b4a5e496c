//! A model of the core: two assignments, four rungs, and everything that may happen to them in any order, with the events on their way
//! doubled, reordered and late, and the process dying at any step. Whatever the history, each unit is reminded, carded, phoned
//! about and reported exactly as T0, the policy and the time of its answer say. Variants with one guard taken away must be caught.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use dispatch::domain::command::{Command, Event};
use dispatch::domain::ladder::{Fired, Ladder};
use dispatch::domain::policy::{Policy, Sms, Step};
use dispatch::domain::whistle::{Assignment, Whistle, decide};
use dispatch::domain::{
    AssignmentId, AssignmentState, Card, GrievanceId, Kind, LadderId, Role, Target, UnitId, WhistleId, WhistleState,
};
use foundation::base::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

const HISTORIES: u64 = 100_000;
const T0: Timestamp = Timestamp::UNIX_EPOCH;
const DUES: [i64; 4] = [0, 1_000, 4_000, 15_000];

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// A subscriber does not remember what it has received.
    SubscriberForgets,
    /// An event is not in the transaction of the change that it tells of: a crash between the two loses it.
    EventApart,
    /// An answer stops the ladder without firing what is due.
    StopsFirst,
    /// A ladder's due times are counted from when it is looked at.
    CountsFromNow,
}

/// An effect's name, as anybody can compute it.
type Name = Uuid;

struct World {
    broken: Broken,
    policy: Policy,
    now: i64,
    whistle: Whistle,
    /// Events published: on their way to the subscriber, any number of times, in any order.
    published: Vec<(AssignmentId, Fired)>,
    received: BTreeSet<(LadderId, i32)>,
    effects: BTreeMap<Name, Vec<i64>>,
    stopped: BTreeMap<AssignmentId, i64>,
    annulled: BTreeSet<(AssignmentId, i32)>,
}

fn at(milliseconds: i64) -> Timestamp {
    T0 + TimeDelta::milliseconds(milliseconds)
}

fn policy() -> Policy {
    let step = |after_ms: i64, targets: &[Target], card, callee, push| Step {
        after_ms,
        sms: (!targets.is_empty()).then(|| Sms { text: 1, targets: targets.to_vec() }),
        card,
        callee,
        push,
    };
    let red = [Target::Duty, Target::Head, Target::DeputyMayor];
    Policy {
        version: 1,
        drill: false,
        reminder_check_after: TimeDelta::seconds(60),
        platform_fault_after: TimeDelta::minutes(5),
        answer: vec![
            step(DUES[0], &[Target::Duty], None, None, false),
            step(DUES[1], &red[..2], Some(Card::Yellow), Some(Target::Head), false),
            step(DUES[2], &red, Some(Card::Red), Some(Target::DeputyMayor), false),
            step(DUES[3], &[], None, None, true),
        ],
        handling: Vec::new(),
    }
}

/// What each rung asks for, written down once more.
const ASKED: [&[&str]; 4] = [
    &["sms/duty"],
    &["sms/duty", "sms/head", "card/head", "call/head"],
    &["sms/duty", "sms/head", "sms/deputy_mayor", "card/head", "call/deputy_mayor"],
    &["push/oversight_platform"],
];

impl World {
    fn new(broken: Broken) -> World {
        let policy = policy();
        let mut published = Vec::new();
        let assignments = (1..=2).map(|number: u128| {
            let id = AssignmentId(Uuid::from_u128(number));
            let ladder = LadderId(Uuid::from_u128(100 + number));
            let mut ladder = Ladder::start(ladder, (1, Kind::Answer, 1), T0, T0, &policy);
            published.extend(ladder.fire(T0, &policy).into_iter().map(|fired| (id, fired)));
            let unit = UnitId(Uuid::from_u128(number));
            Assignment { id, unit, role: Role::Lead, state: AssignmentState::Whistled, ladders: vec![ladder] }
        });
        let assignments = assignments.collect();
        let whistle = Whistle {
            id: WhistleId(Uuid::from_u128(9)),
            grievance: GrievanceId(Uuid::from_u128(8)),
            area: "150302004".into(),
            matter: "HEATING".into(),
            state: WhistleState::Open,
            handle_due_at: at(1 << 40),
            blown_at: T0,
            version: 1,
            assignments,
        };
        World {
            broken,
            policy,
            now: 0,
            whistle,
            published,
            received: BTreeSet::new(),
            effects: BTreeMap::new(),
            stopped: BTreeMap::new(),
            annulled: BTreeSet::new(),
        }
    }

    /// One thing happens.
    fn step(&mut self, rng: &mut StdRng) {
        // Often to the very instant of a rung, or one beside it.
        if rng.random_bool(0.5) {
            let near = DUES[rng.random_range(0..4)] + rng.random_range(-1..=1);
            self.now = self.now.max(if rng.random_bool(0.5) { near } else { self.now + rng.random_range(0..3_000) });
        }
        let dies = rng.random_bool(0.2);
        let id = AssignmentId(Uuid::from_u128(rng.random_range(1..=2)));
        match rng.random_range(0..10) {
            0 | 1 => self.answer(id, dies),
            2 if rng.random_bool(0.3) => self.withdraw(dies),
            3 => self.annul(id, rng.random_range(1..=4), dies),
            4..=6 => self.fire(dies),
            _ => self.deliver(rng),
        }
    }

    /// What was decided is committed with its events, or, where the process dies, nothing is.
    fn commit(&mut self, whistle: Whistle, fired: Vec<(AssignmentId, Fired)>, dies: bool) -> bool {
        if dies && self.broken != Broken::EventApart {
            return false;
        }
        self.whistle = whistle;
        if !dies {
            self.published.extend(fired);
        }
        true
    }

    fn run(&mut self, command: Command, dies: bool) -> bool {
        let Ok((whistle, events)) = decide(Some(&self.whistle), command, at(self.now), &self.policy) else {
            return false;
        };
        let fired = events.into_iter().filter_map(|event| match event {
            Event::Fired(id, fired) => Some((id, fired)),
            _ => None,
        });
        let fired = fired.collect();
        self.commit(whistle, fired, dies)
    }

    fn answer(&mut self, id: AssignmentId, dies: bool) {
        if self.broken == Broken::StopsFirst
            && let Some(own) = self.whistle.assignments.iter_mut().find(|own| own.id == id)
            && own.state == AssignmentState::Whistled
        {
            own.ladders[0].rungs.retain(|rung| rung.fired_at.is_some());
        }
        let ladder = LadderId(Uuid::from_u128(id.0.as_u128() + 1_000));
        if self.run(Command::Answer { assignment: id, ladder, responsible_person: "甲".into() }, dies) {
            self.stopped.insert(id, self.now);
        }
    }

    fn withdraw(&mut self, dies: bool) {
        if self.run(Command::Withdraw { whistle: self.whistle.id, reason: "误吹".into() }, dies) {
            for assignment in &self.whistle.assignments {
                self.stopped.entry(assignment.id).or_insert(self.now);
            }
        }
    }

    fn annul(&mut self, id: AssignmentId, rung: i32, dies: bool) {
        let ladder = LadderId(Uuid::from_u128(id.0.as_u128() + 100));
        let command = Command::AnnulCard { assignment: id, ladder, rung, reason: "误".into() };
        if self.run(command, dies) {
            assert!(self.annulled.insert((id, rung)), "a card was annulled twice");
        }
    }

    /// What a replica's loop does with every assignment that has something due.
    fn fire(&mut self, dies: bool) {
        let mut whistle = self.whistle.clone();
        let mut fired = Vec::new();
        for assignment in &mut whistle.assignments {
            let id = assignment.id;
            let Some(ladder) = assignment.ladders.last_mut() else { continue };
            if self.broken == Broken::CountsFromNow {
                let open = ladder.rungs.iter_mut().filter(|rung| rung.fired_at.is_none());
                open.for_each(|rung| rung.due_at = rung.due_at.max(at(self.now) + TimeDelta::milliseconds(1)));
            }
            fired.extend(ladder.fire(at(self.now), &self.policy).into_iter().map(|one| (id, one)));
        }
        self.commit(whistle, fired, dies);
    }

    /// Some event reaches the subscriber: the newest, an old one, one that it has received.
    fn deliver(&mut self, rng: &mut StdRng) {
        let index = rng.random_range(0..self.published.len());
        self.receive(index);
    }

    fn receive(&mut self, index: usize) {
        let (id, fired) = &self.published[index];
        let first = self.received.insert((fired.ladder, fired.rung.number));
        if first || self.broken == Broken::SubscriberForgets {
            for effect in fired.effects(*id, &self.policy) {
                self.effects.entry(effect.id).or_default().push(self.now);
            }
        }
    }

    /// Everything heals: what is due fires, what was published is received.
    fn heal(&mut self) {
        self.now += 100_000;
        self.fire(false);
        (0..self.published.len()).for_each(|index| self.receive(index));
    }

    /// What is wrong with the outcome, recomputed from T0, the policy and when each ladder stopped.
    fn wrong(&self) -> Option<String> {
        let mut expected = BTreeSet::new();
        for number in 1..=2 {
            let id = AssignmentId(Uuid::from_u128(number));
            for (index, due) in DUES.iter().enumerate() {
                if self.stopped.get(&id).is_some_and(|stopped| due > stopped) {
                    continue;
                }
                for asked in ASKED[index] {
                    let name = format!("{}/{}/{asked}", Uuid::from_u128(100 + number), index + 1);
                    let name = Uuid::new_v5(&id.0, name.as_bytes());
                    expected.insert(name);
                    match self.effects.get(&name).map(Vec::as_slice) {
                        None => return Some(format!("lost: assignment {number}, rung {}, {asked}", index + 1)),
                        Some([once]) if once >= due => {}
                        Some([_]) => return Some(format!("early: assignment {number}, rung {}, {asked}", index + 1)),
                        Some(_) => return Some(format!("doubled: assignment {number}, rung {}, {asked}", index + 1)),
                    }
                }
            }
        }
        let more = self.effects.keys().find(|name| !expected.contains(name));
        more.map(|name| format!("not asked for: {name}")).or_else(|| self.wrongly_annulled())
    }

    /// A card is annulled if and only if the centre did it, and only one that was given.
    fn wrongly_annulled(&self) -> Option<String> {
        let rungs = self
            .whistle
            .assignments
            .iter()
            .flat_map(|assignment| assignment.ladders[0].rungs.iter().map(|r| (assignment.id, r)));
        let wrong = rungs.filter(|(id, rung)| {
            let annulled = rung.annul_reason.is_some();
            let given = rung.fired_at.is_some() && [2, 3].contains(&rung.number);
            annulled != self.annulled.contains(&(*id, rung.number)) || annulled && !given
        });
        wrong.map(|(id, rung)| format!("annulled, or not: assignment {id}, rung {}", rung.number)).next()
    }
}

/// The first of these histories that goes wrong, and how; none when all go well.
fn first_wrong(broken: Broken, mut histories: std::ops::Range<u64>) -> Option<(u64, String)> {
    histories.find_map(|seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(broken);
        for _ in 0..rng.random_range(4..24) {
            world.step(&mut rng);
        }
        world.heal();
        world.wrong().map(|wrong| (seed, wrong))
    })
}

#[test]
fn whatever_happens_in_whatever_order_every_effect_happens_once_and_in_time() {
    let half = std::thread::spawn(|| first_wrong(Broken::Nothing, 0..HISTORIES / 2));
    assert_eq!(first_wrong(Broken::Nothing, HISTORIES / 2..HISTORIES), None);
    assert_eq!(half.join().unwrap(), None);
}

#[test]
fn a_core_without_one_of_its_guards_is_caught() {
    for broken in [Broken::SubscriberForgets, Broken::EventApart, Broken::StopsFirst, Broken::CountsFromNow] {
        assert!(first_wrong(broken, 0..1_000).is_some(), "{broken:?} went unnoticed");
    }
}
