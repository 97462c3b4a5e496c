//! `cargo demo`: the real case as it was, then an invented unit that stays silent up to 阳光+; then the verdict.

use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use proto::SERVICES;
use serde_json::json;
use tokio::sync::broadcast;

use crate::scenario::{Blown, Matter, Play, heating, smoke_duct};
use crate::servers::Given;
use crate::stack::{self, Options, Stack};
use crate::stand_ins::{Kind, Seen};
use crate::verdict::{Expected, Step, expected, ladder, verdict};

/// How to play it.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// How long an hour of the ladder lasts; loaded as a policy version, no service knows of it.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub hour: Duration,
    /// Print one JSON object a line; the last one names the stand-ins' log files.
    #[arg(long)]
    pub json: bool,
    /// Kill a service with -9 at the moment a stand-in sees an effect: <service>@<sms1|answer|yellow|red|push>.
    #[arg(long)]
    pub kill: Option<Kill>,
    /// Servers.
    #[command(flatten)]
    pub given: Given,
}

/// Which service to kill, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Whom.
    pub service: &'static str,
    /// When.
    pub moment: Moment,
}

/// When a stand-in first sees an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The first SMS arrives.
    Sms1,
    /// A phone answers by the link.
    Answer,
    /// The SMS with the yellow card arrives.
    Yellow,
    /// The SMS with the red card arrives.
    Red,
    /// The case arrives at 阳光+.
    Push,
}

impl Moment {
    /// Every moment, by its word.
    pub const ALL: [(&'static str, Moment); 5] = [
        ("sms1", Moment::Sms1),
        ("answer", Moment::Answer),
        ("yellow", Moment::Yellow),
        ("red", Moment::Red),
        ("push", Moment::Push),
    ];

    fn is(self, seen: &Seen) -> bool {
        let text = |word: &str| seen.kind == Kind::Sms && seen.text.contains(word);
        match self {
            Moment::Sms1 => text("】吹哨"),
            Moment::Answer => seen.kind == Kind::Answering,
            Moment::Yellow => text("黄牌"),
            Moment::Red => text("红牌"),
            Moment::Push => seen.kind == Kind::Push,
        }
    }
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Kill, String> {
        let wrong = || {
            format!(
                "`{text}` is not <service>@<moment>: services {SERVICES:?}, moments {:?}",
                Moment::ALL.map(|(word, _)| word)
            )
        };
        let (service, word) = text.split_once('@').ok_or_else(wrong)?;
        let service = SERVICES.into_iter().find(|known| *known == service).ok_or_else(wrong)?;
        let moment = Moment::ALL.into_iter().find(|(known, _)| *known == word).ok_or_else(wrong)?.1;
        Ok(Kill { service, moment })
    }
}

/// Plays it all on a stack of its own. True when the verdict is clean.
pub async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let given = arguments.given.clone();
    let options = Options { given, ..Options::default() };
    let stack = Stack::start(&options).await?;
    let screen = if arguments.json { Screen::Program } else { Screen::Person };
    let played = {
        let playing = play(&stack, arguments.hour, arguments.kill, &screen);
        tokio::select! {
            played = playing => played,
            reason = stack.failed() => Err(anyhow::anyhow!(reason)),
            () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        }
    };
    if played.is_err() {
        let logs = stack.servers.folder.join("logs");
        eprintln!("the logs are in {}", logs.display());
    }
    let files = stack.ledger.files.clone();
    let kept = keep(&files)?;
    screen.end(&kept);
    stack.stop().await;
    played
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The stand-ins' logs outlive the run.
fn keep(files: &[std::path::PathBuf]) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let folder = crate::binaries()?.join("haiqu-demo");
    std::fs::create_dir_all(&folder)?;
    let copy = |file: &std::path::PathBuf| {
        let to = folder.join(file.file_name().context("no name")?);
        std::fs::copy(file, &to)?;
        Ok(to)
    };
    files.iter().map(copy).collect()
}

/// Plays both matters on a running stack and judges what the stand-ins received meanwhile.
pub async fn play(stack: &Stack, hour: Duration, kill: Option<Kill>, screen: &Screen) -> anyhow::Result<bool> {
    let begun = crate::now();
    let struck = arm(stack, kill);
    let hour = TimeDelta::from_std(hour)?;
    let play = Play::new(stack)?;
    let policy = play.load_policy(hour).await?;
    screen.title("一、真实案例：康乐社区餐饮烟道（两单位应哨、交卷、评卷、办结）");
    let mut seen = stack.ledger.subscribe();
    let rungs = ladder(hour);
    let real = answered(stack, &play, (policy, &rungs), &smoke_duct(), &mut seen, screen).await?;
    screen.title("二、虚构事项：示例供热公司无人应哨，逐级升级至阳光+");
    let invented = silent(&play, (policy, &rungs), &heating(), &mut seen, screen).await?;
    let assignments: Vec<_> = real.assignments.iter().chain(&invented.assignments).cloned().collect();
    let expected = expected(&assignments, &rungs);
    // What a killed process held is taken up again within its lease of 4 s: a double shows by then.
    let linger = Duration::from_millis(if kill.is_some() { 4500 } else { 300 });
    settled(stack, &expected, linger).await?;
    let received: Vec<_> = stack.ledger.read()?.into_iter().filter(|seen| seen.at >= begun).collect();
    let clean = screen.verdict(verdict(&expected, &received));
    if let Some(kill) = kill.filter(|_| !struck.load(Ordering::SeqCst)) {
        bail!("nobody saw the moment at which {} was to be killed", kill.service);
    }
    Ok(clean)
}

/// Waits until everything expected was received, up to half a minute; then a little, for what is one too many to show itself.
async fn settled(stack: &Stack, expected: &[Expected], linger: Duration) -> anyhow::Result<()> {
    for _ in 0..300 {
        let received = stack.ledger.read()?;
        if expected.iter().all(|one| received.iter().any(|seen| seen.kind == one.kind && seen.id == one.id)) {
            break;
        }
        crate::pause(Duration::from_millis(100)).await;
    }
    crate::pause(linger).await;
    Ok(())
}

/// Kills the service when the moment comes, before the effect is confirmed to it.
fn arm(stack: &Stack, kill: Option<Kill>) -> Arc<AtomicBool> {
    let struck = Arc::new(AtomicBool::new(false));
    let replica = kill.and_then(|kill| stack.replicas.iter().find(|replica| replica.service == kill.service).cloned());
    let (flag, moment) = (Arc::clone(&struck), kill.map(|kill| kill.moment));
    stack.ledger.on_seen(move |seen| {
        let (replica, now) = (replica.clone(), moment.is_some_and(|moment| moment.is(seen)));
        let strike = now && !flag.swap(true, Ordering::SeqCst);
        Box::pin(async move {
            if let Some(replica) = replica.filter(|_| strike) {
                stack::kill(&replica).await;
            }
        })
    });
    struck
}

/// Both units answer by the links in their messages; all the way to closed.
async fn answered(
    stack: &Stack,
    play: &Play<'_>,
    (policy, rungs): (i64, &[Step]),
    matter: &Matter,
    seen: &mut broadcast::Receiver<Seen>,
    screen: &Screen,
) -> anyhow::Result<Blown> {
    play.enter(matter).await?;
    for unit in &matter.units {
        stack.gateway.answers(&unit.duty, &format!("{}责任人", unit.name));
    }
    screen.say(&format!("网格员上传照片：{}", matter.text));
    let mut blown = play.blow(matter, policy).await?;
    screen.blown(matter, &blown);
    let (all, mut received) = (expected(&blown.assignments, rungs), Vec::new());
    while blown.assignments.iter().any(|assignment| assignment.answered_at.is_none()) {
        let one = next(seen).await?;
        screen.seen(&one, &all);
        received.push(one.id.clone());
        if one.kind == Kind::Answer
            && let Some(assignment) =
                blown.assignments.iter_mut().find(|assignment| assignment.id.to_string() == one.id)
        {
            assignment.answered_at = one.answered_at;
        }
    }
    finish(play, matter, &blown, screen).await?;
    // An answer that came late leaves rungs that were due before it; they may still be on their way.
    let due = expected(&blown.assignments, rungs).into_iter().filter(|one| !received.contains(&one.id));
    show(&due.collect::<Vec<_>>(), seen, screen).await?;
    Ok(blown)
}

/// Shows what comes until all of it came.
async fn show(due: &[Expected], seen: &mut broadcast::Receiver<Seen>, screen: &Screen) -> anyhow::Result<()> {
    let mut missing: Vec<_> = due.iter().map(|one| one.id.clone()).collect();
    while !missing.is_empty() {
        let one = next(seen).await?;
        screen.seen(&one, due);
        missing.retain(|id| *id != one.id);
    }
    Ok(())
}

/// The unit is silent until the case is at 阳光+; then it answers, and the matter closes.
async fn silent(
    play: &Play<'_>,
    (policy, rungs): (i64, &[Step]),
    matter: &Matter,
    seen: &mut broadcast::Receiver<Seen>,
    screen: &Screen,
) -> anyhow::Result<Blown> {
    play.enter(matter).await?;
    screen.say(&format!("居民反映：{}", matter.text));
    let mut blown = play.blow(matter, policy).await?;
    screen.blown(matter, &blown);
    show(&expected(&blown.assignments, rungs), seen, screen).await?;
    for (unit, assignment) in matter.units.iter().zip(&mut blown.assignments) {
        assignment.answered_at = Some(play.answer(unit, assignment.id).await?);
        screen.say(&format!("{}应哨", unit.name));
    }
    finish(play, matter, &blown, screen).await?;
    Ok(blown)
}

async fn finish(play: &Play<'_>, matter: &Matter, blown: &Blown, screen: &Screen) -> anyhow::Result<()> {
    for assignment in &blown.assignments {
        let unit = matter.units.iter().find(|unit| unit.name == assignment.unit).context("unknown unit")?;
        play.submit(unit, assignment.id, matter).await?;
        screen.say(&format!("{}交卷，附现场照片", assignment.unit));
    }
    play.grade(blown).await?;
    screen.say("居民评卷：解决，满意");
    play.confirm(blown).await?;
    screen.say("街道确认，哨与诉求办结");
    Ok(())
}

async fn next(seen: &mut broadcast::Receiver<Seen>) -> anyhow::Result<Seen> {
    let next = tokio::time::timeout(Duration::from_secs(120), seen.recv()).await;
    Ok(next.context("no effect came within 2 minutes")??)
}

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Somebody, who reads Chinese.
    Person,
    /// Something: one JSON object a line.
    Program,
    /// No one.
    Nobody,
}

impl Screen {
    fn line(&self, person: &str, program: &serde_json::Value) {
        let mut out = std::io::stdout();
        // Nobody is left to tell when standard output is gone.
        let _ = match self {
            Screen::Person => writeln!(out, "{person}"),
            Screen::Program => writeln!(out, "{program}"),
            Screen::Nobody => Ok(()),
        };
    }

    fn title(&self, text: &str) {
        self.line(&format!("\n{text}\n"), &json!({ "title": text }));
    }

    fn say(&self, text: &str) {
        let at = crate::now();
        self.line(&format!("{}           {text}", clock(at)), &json!({ "at": at, "step": text }));
    }

    fn blown(&self, matter: &Matter, blown: &Blown) {
        let names: Vec<_> = matter.units.iter().map(|unit| unit.name).collect();
        let text = format!("街道三审后吹哨：“{}” → {}", matter.title, names.join("、"));
        let at = blown.assignments.first().map_or_else(crate::now, |assignment| assignment.blown_at);
        let program = json!({ "at": at, "step": text, "whistle_id": blown.whistle.whistle_id });
        self.line(&format!("{}           {text}", clock(at)), &program);
    }

    fn seen(&self, seen: &Seen, expected: &[Expected]) {
        let due = expected.iter().find(|one| one.id == seen.id).map(|one| one.due_at);
        let late = due.map(|due| (seen.at - due).num_milliseconds());
        let what = match seen.kind {
            Kind::Sms => format!("短信 → {}  {}", masked(&seen.to), seen.text),
            Kind::Answering => format!("{}点开短信链接", seen.to),
            Kind::Answer => format!("{}应哨", seen.to),
            Kind::Call => format!("电话 → {}  {}", seen.to.split(' ').next().unwrap_or_default(), seen.text),
            Kind::Push => format!("阳光+ 收到案件：{}；{}", seen.to, seen.text),
            Kind::Correction => format!("阳光+ 收到更正：{}", seen.text),
        };
        let shown = late.map(|late| format!("+{late} ms")).unwrap_or_default();
        let program = json!({ "at": seen.at, "received": seen, "late_ms": late });
        self.line(&format!("{} {shown:>9} {what}", clock(seen.at)), &program);
    }

    fn verdict(&self, verdict: Result<crate::verdict::Clean, Vec<crate::verdict::Violation>>) -> bool {
        match verdict {
            Ok(clean) => {
                let late = clean.latest.num_milliseconds();
                let text = format!("\n✔ 应到 {} 项，各到一次，无一提前；最迟 {late} ms", clean.effects);
                self.line(&text, &json!({ "verdict": "clean", "effects": clean.effects, "latest_ms": late }));
                true
            }
            Err(violations) => {
                for violation in &violations {
                    if *self == Screen::Nobody {
                        eprintln!("{violation}");
                    }
                    self.line(&format!("✘ {violation}"), &json!({ "violation": violation.to_string() }));
                }
                self.line("\n✘ 未通过", &json!({ "verdict": "violated", "violations": violations.len() }));
                false
            }
        }
    }

    fn end(&self, files: &[std::path::PathBuf]) {
        let shown: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        self.line(&format!("  外部记录：{}", shown.join("  ")), &json!({ "logs": shown }));
    }
}

fn clock(at: DateTime<Utc>) -> String {
    match FixedOffset::east_opt(8 * 3600) {
        Some(shanghai) => at.with_timezone(&shanghai).format("%H:%M:%S%.3f").to_string(),
        None => at.to_rfc3339(),
    }
}

fn masked(number: &str) -> String {
    let hidden = |index: usize| (3..7).contains(&index);
    number.chars().enumerate().map(|(index, c)| if hidden(index) { '*' } else { c }).collect()
}
