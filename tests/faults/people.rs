//! Who takes part: streets, units with their contacts, the grievances that whistles are blown over.

use anyhow::Context as _;
use chrono::TimeDelta;
use futures::future::try_join_all;
use local::issuer::Issuer;
use local::people::{DISTRICT, Somebody, channel};
use local::scenario::Play;
use local::stack::Stack;
use proto::common::v1::TargetRole;
use proto::dispatch::v1 as dispatch;
use proto::dispatch::v1::directory_service_client::DirectoryServiceClient;
use rand::RngExt as _;
use rand::rngs::StdRng;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// The one matter.
pub const MATTER: &str = "FAULTS";
const STREETS: usize = 40;
const UNITS: usize = 120;

/// Everybody.
pub struct People {
    /// Grievances that whistles are blown over, each of the area of its number.
    pub grievances: Vec<Uuid>,
    issuer: Issuer,
    streets: Vec<Somebody>,
    units: Vec<Uuid>,
}

impl People {
    /// Enters units and deputy mayor over the API, and puts grievances in place that are ready to be whistled: raising and
    /// reviewing them is not what is tried here.
    pub async fn enter(stack: &Stack, grievances: usize) -> anyhow::Result<People> {
        let street =
            |number| Somebody::new(&stack.issuer, &format!("street-{number}"), "street", Some(&area(number)), None);
        let people = People {
            grievances: (0..grievances).map(|_| Uuid::now_v7()).collect(),
            issuer: stack.issuer.clone(),
            streets: (0..STREETS).map(street).collect::<anyhow::Result<_>>()?,
            units: (0..UNITS).map(|_| Uuid::now_v7()).collect(),
        };
        let centre = Somebody::new(&stack.issuer, "centre", "centre", None, None)?;
        let directory = DirectoryServiceClient::new(channel(stack, "dispatch")?);
        let entries = people.units.iter().enumerate().map(|(number, id)| put(&centre, &directory, number, *id));
        try_join_all(entries).await?;
        let mayor = dispatch::DeputyMayor {
            matter: MATTER.into(),
            name: "分管副区长".into(),
            phone: phone(0, "deputy_mayor"),
            ..dispatch::DeputyMayor::default()
        };
        let request =
            dispatch::PutDeputyMayorRequest { request_id: local::people::request_id(), deputy_mayor: Some(mayor) };
        centre.call(request, |request| async { directory.clone().put_deputy_mayor(request).await }).await?;
        people.put_grievances(&stack.databases["grievances"]).await?;
        Ok(people)
    }

    async fn put_grievances(&self, database: &str) -> anyhow::Result<()> {
        let areas: Vec<String> = (0..self.grievances.len()).map(area).collect();
        let mut connection = PgConnection::connect(database).await?;
        sqlx::query(
            "insert into grievance (id, channel, text, place, area, photo_ids, owner, submitter, state, version,
                                    created_at, updated_at)
             select id, 'GRID_PATROL', '示例', '示例小区', area, '{}', 'faults', 'faults', 'reviewed', 1, now(), now()
             from unnest($1::uuid[], $2::text[]) as raised (id, area)",
        )
        .bind(&self.grievances)
        .bind(&areas)
        .execute(&mut connection)
        .await?;
        Ok(connection.close().await?)
    }

    /// The area of the grievance with this number.
    pub fn area(&self, number: usize) -> String {
        area(number)
    }

    /// The street of that area.
    pub fn street(&self, number: usize) -> &Somebody {
        &self.streets[number % STREETS]
    }

    /// A unit's own system.
    pub fn unit(&self, id: Uuid) -> anyhow::Result<Somebody> {
        Somebody::new(&self.issuer, &format!("unit-{id}"), "unit", None, Some(id))
    }

    /// Every unit.
    pub fn units(&self) -> &[Uuid] {
        &self.units
    }

    /// The number of a unit.
    pub fn number(&self, id: Uuid) -> anyhow::Result<usize> {
        self.units.iter().position(|unit| *unit == id).context("no unit of ours")
    }

    /// One to four units; 1.55 on average, as it is where this was first used.
    pub fn some_units(&self, rng: &mut StdRng) -> Vec<Uuid> {
        let count = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4][rng.random_range(0..20)];
        let first = rng.random_range(0..UNITS);
        (0..count).map(|index| self.units[(first + index * 7) % UNITS]).collect()
    }
}

fn area(number: usize) -> String {
    format!("{DISTRICT}{:03}", 100 + number % STREETS)
}

/// The number of whoever has this role for the unit with this number.
pub fn phone(unit: usize, target: &str) -> String {
    match target {
        "duty" => format!("138{unit:07}1"),
        "head" => format!("138{unit:07}2"),
        "deputy" => format!("138{unit:07}3"),
        _ => "13900000001".to_owned(),
    }
}

async fn put(
    centre: &Somebody,
    directory: &DirectoryServiceClient<tonic::transport::Channel>,
    number: usize,
    id: Uuid,
) -> anyhow::Result<()> {
    let contact = |role: TargetRole, target| dispatch::Contact {
        role: role.into(),
        name: "某人".into(),
        phone: phone(number, target),
    };
    let contacts = vec![
        contact(TargetRole::Duty, "duty"),
        contact(TargetRole::Head, "head"),
        contact(TargetRole::Deputy, "deputy"),
    ];
    let unit = dispatch::Unit {
        unit_id: id.to_string(),
        name: format!("示例单位{number}"),
        contacts,
        ..dispatch::Unit::default()
    };
    let request = dispatch::PutUnitRequest { request_id: local::people::request_id(), unit: Some(unit) };
    centre.call(request, |request| async { directory.clone().put_unit(request).await }).await?;
    Ok(())
}

/// Loads the domain's ladder with an hour of this length and these bounds, as a new policy version.
pub async fn load_policy(stack: &Stack, hour: TimeDelta, bounds: (TimeDelta, TimeDelta)) -> anyhow::Result<i64> {
    Play::new(stack)?.load_bounded_policy(hour, Some(bounds)).await
}
