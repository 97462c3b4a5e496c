//! The statements that a service really sends, with the values that it sends them with, as Postgres logs them; and the same as a
//! script for `pgbench`: ids become new in every transaction, all other values stay.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use local::stack::Stack;
use sqlx::PgConnection;
use uuid::Uuid;

/// One transaction, from BEGIN to COMMIT.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction(pub Vec<Sent>);

/// A statement and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// With `$1`.
    pub statement: String,
    /// `$1` first; none for null.
    pub values: Vec<Option<String>>,
}

/// Logs every statement while this lasts; returns the transactions in which some statement contains `mark`.
pub async fn during<F: Future<Output = anyhow::Result<()>>>(
    stack: &Stack,
    mark: &str,
    work: F,
) -> anyhow::Result<Vec<Transaction>> {
    let log = stack
        .servers
        .postgres
        .as_ref()
        .context("the limit needs a Postgres of our own: its log is read")?
        .spec
        .log
        .clone();
    let mut connection = stack.servers.superuser("postgres").await?;
    let before = std::fs::metadata(&log)?.len();
    set(
        &mut connection,
        &["set log_statement = 'all'", "set log_line_prefix = '%p|'", "set log_parameter_max_length = -1"],
    )
    .await?;
    let worked = work.await;
    set(&mut connection, &["reset log_statement", "reset log_line_prefix", "reset log_parameter_max_length"]).await?;
    worked?;
    let text = std::fs::read(&log)?;
    let text = String::from_utf8_lossy(&text[usize::try_from(before)?..]).into_owned();
    let marked = |one: &Transaction| one.0.iter().any(|sent| sent.statement.contains(mark));
    let found: Vec<_> = transactions(&text).into_iter().filter(marked).collect();
    anyhow::ensure!(!found.is_empty(), "no transaction with {mark} was logged");
    Ok(found)
}

async fn set(connection: &mut PgConnection, settings: &[&str]) -> anyhow::Result<()> {
    for setting in settings {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter system {setting}"))).execute(&mut *connection).await?;
    }
    sqlx::raw_sql("select pg_reload_conf()").execute(connection).await?;
    // Sessions read it when they next do something.
    local::pause(std::time::Duration::from_millis(300)).await;
    Ok(())
}

/// What the log tells of. Pure.
fn transactions(log: &str) -> Vec<Transaction> {
    let (mut open, mut done): (BTreeMap<&str, Transaction>, _) = (BTreeMap::new(), Vec::new());
    for (pid, entry) in entries(log) {
        if let Some(values) = entry.strip_prefix("DETAIL:  Parameters: ") {
            if let Some(last) = open.get_mut(pid).and_then(|one| one.0.last_mut()) {
                last.values = parse(values);
            }
            continue;
        }
        let Some(said) = entry.strip_prefix("LOG:  ") else { continue };
        let statement = said.strip_prefix("statement: ").or_else(|| {
            let (_, statement) = said.strip_prefix("execute ")?.split_once(": ")?;
            Some(statement)
        });
        match statement {
            Some("BEGIN") => drop(open.insert(pid, Transaction::default())),
            Some("COMMIT") => done.extend(open.remove(pid)),
            Some(statement) => {
                if let Some(one) = open.get_mut(pid) {
                    one.0.push(Sent { statement: statement.to_owned(), values: Vec::new() });
                }
            }
            None => {}
        }
    }
    done
}

/// Lines with their process; what is continued begins with a tab.
fn entries(log: &str) -> Vec<(&str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), line.split_once('|')) {
            (Some(more), _) => {
                if let Some((_, last)) = all.last_mut() {
                    last.push('\n');
                    last.push_str(more);
                }
            }
            (None, Some((pid, entry))) if pid.bytes().all(|byte| byte.is_ascii_digit()) => {
                all.push((pid, entry.to_owned()))
            }
            (None, Some(_) | None) => {}
        }
    }
    all
}

/// `$1 = 'it''s', $2 = NULL`
fn parse(mut text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((_, value)) = text.split_once(" = ") {
        if let Some(rest) = value.strip_prefix("NULL") {
            values.push(None);
            text = rest;
            continue;
        }
        let (mut read, mut characters) = (String::new(), value.char_indices().skip(1).peekable());
        let mut end = value.len();
        while let Some((at, character)) = characters.next() {
            if character == '\'' && characters.next_if(|(_, next)| *next == '\'').is_none() {
                end = at + 1;
                break;
            }
            read.push(character);
        }
        values.push(Some(read));
        text = &value[end..];
    }
    values
}

/// What stays as it was sent, and what is counted on from one transaction to the next.
pub struct Script<'s> {
    /// Ids that are stored and stay.
    pub stored: &'s BTreeSet<Uuid>,
    /// How far the number in a generated id goes on from one transaction to the next; every other id is new.
    pub step: i64,
}

impl Script<'_> {
    /// As pgbench reads it. `:n` counts transactions of one client.
    pub fn of(&self, transaction: &Transaction) -> String {
        let mut new = BTreeMap::new();
        let mut lines = vec![
            "\\set n :n + 1".to_owned(),
            format!("\\set due :n * {}", self.step),
            "\\set new (:client_id + 1) * 1000000000000 + :run * 100000000 + :n * 1000".to_owned(),
            "BEGIN;".to_owned(),
        ];
        for sent in &transaction.0 {
            let statement = sent.statement.split_whitespace().collect::<Vec<_>>().join(" ");
            let values = sent.values.iter().enumerate().map(|(index, value)| {
                let value = value.as_ref().map_or("null".to_owned(), |value| self.value(value, &mut new));
                // Where a value stands twice, its type may stand once.
                format!("{value}{}", cast(&statement, &format!("${}", index + 1)))
            });
            let statement = filled(&statement, &values.collect::<Vec<_>>());
            lines.push(format!("{statement};"));
        }
        lines.push("COMMIT;".to_owned());
        lines.join("\n") + "\n"
    }

    fn value(&self, value: &str, new: &mut BTreeMap<Uuid, usize>) -> String {
        let elements = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).map(|inner| inner.split(','));
        let ids: Option<Vec<Uuid>> = elements.and_then(|all| all.map(|one| one.parse().ok()).collect());
        let shown = match (ids, value.parse()) {
            (Some(ids), _) => self.ids(&ids, new),
            (None, Ok(id)) => self.ids(&[id], new).map(|all| format!("({all})[1]")),
            (None, Err(_)) => None,
        };
        shown.unwrap_or_else(|| quoted(value))
    }

    /// An array of them; none when they stay. pgbench has few places for variables: all of an array's ids have one.
    fn ids(&self, ids: &[Uuid], new: &mut BTreeMap<Uuid, usize>) -> Option<String> {
        if ids.iter().any(|id| self.stored.contains(id) || id.is_nil()) {
            return None;
        }
        let list = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let known: Option<Vec<_>> = ids.iter().map(|id| generated(*id)).collect();
        if let Some(known) = known {
            let kind = known.first()?.0;
            let numbers = list(known.iter().map(|(_, number)| *number).collect());
            return Some(format!("bench_ids({kind}, '{{{numbers}}}', :due::bigint)"));
        }
        let indexes = ids.iter().map(|id| {
            let next = new.len();
            i64::try_from(*new.entry(*id).or_insert(next)).unwrap_or_default()
        });
        Some(format!("bench_new('{{{}}}', :new::bigint)", list(indexes.collect())))
    }
}

/// Kind and number of an id that the generator made.
fn generated(id: Uuid) -> Option<(u16, i64)> {
    let (high, low) = id.as_u64_pair();
    let (time, number) = (i64::try_from(high >> 16).ok()?, i64::try_from(low & 0xffff_ffff_ffff).ok()?);
    (low >> 48 == 0x8000 && time == 1_700_000_000_000 + number).then_some(((high & 0xfff) as u16, number))
}

/// The statement with its values in their places; what stands in a value is not looked at.
fn filled(statement: &str, values: &[String]) -> String {
    let mut parts = statement.split('$');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|next: char| !next.is_ascii_digit()).unwrap_or(part.len());
        let value = part[..digits].parse::<usize>().ok().and_then(|place| values.get(place.checked_sub(1)?));
        match value {
            Some(value) => all.extend([value.as_str(), &part[digits..]]),
            None => all.extend(["$", part]),
        }
    }
    all
}

/// `::type`, where it follows this value somewhere.
fn cast<'s>(statement: &'s str, place: &str) -> &'s str {
    let casts = statement.match_indices(place).map(|(at, _)| &statement[at + place.len()..]);
    let cast = casts.filter(|rest| rest.starts_with("::")).map(|rest| {
        let end = rest[2..].find(|next: char| !next.is_ascii_alphanumeric() && !"_[]".contains(next));
        &rest[..end.map_or(rest.len(), |end| end + 2)]
    });
    cast.last().unwrap_or_default()
}

/// A colon in it would begin a variable of pgbench, which looks into strings as well.
fn quoted(value: &str) -> String {
    format!("e'{}'", value.replace('\\', "\\\\").replace('\'', "''").replace(':', "\\x3a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "7|LOG:  statement: BEGIN
7|LOG:  execute sqlx_s_1: insert into t
\tvalues ($1, $2, $3)
7|DETAIL:  Parameters: $1 = '0190b3c2-0000-7000-8000-000000000001', $2 = 'it''s, $1 = a:b', $3 = NULL
8|LOG:  statement: BEGIN
7|LOG:  statement: COMMIT
";

    #[test]
    fn the_log_is_read_as_it_was_sent() {
        let [one] = &transactions(LOG)[..] else { panic!("one transaction has ended") };
        let values = [Some("0190b3c2-0000-7000-8000-000000000001".to_owned()), Some("it's, $1 = a:b".to_owned()), None];
        assert_eq!(one.0, [Sent { statement: "insert into t\nvalues ($1, $2, $3)".into(), values: values.into() }]);
    }

    #[test]
    fn ids_are_new_in_every_transaction_and_other_values_stay() {
        let stored = BTreeSet::new();
        let script = Script { stored: &stored, step: 100 }.of(&transactions(LOG)[0]);
        let expected = r"insert into t values ((bench_new('{0}', :new::bigint))[1], e'it''s, $1 = a\x3ab', null);";
        assert_eq!(script.lines().nth(4), Some(expected));
    }
}
