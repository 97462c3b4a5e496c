//! Whose database it is, and which schema it has. Only migration jobs change it.

use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};

/// The migrations of the tables that foundation itself keeps in every database.
static FOUNDATION: Migrator = sqlx::migrate!();

/// The migrations of foundation's own tables, for whoever keeps watch over them.
pub fn foundation() -> &'static Migrator {
    &FOUNDATION
}

/// A service's own tables.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Name of the service.
    pub name: &'static str,
    /// Its migrations, numbered from 1 without gaps.
    pub migrations: &'static Migrator,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not migrated, or too far.
    #[error("the schema of {name} is at version {found}, this program runs on {own} and {}: run `haiqu migrate {name}` of the right release", own + 1)]
    Version {
        /// The service.
        name: &'static str,
        /// What the database has.
        found: i64,
        /// What this program was built with.
        own: i64,
    },
    /// A migration was applied with another text than this program has.
    #[error(
        "migration {version} of {name} was applied with another text than this program's: the database is of another build"
    )]
    Text {
        /// The service.
        name: &'static str,
        /// Which.
        version: i64,
    },
    /// It is another service's.
    #[error("this database belongs to {found}, not to {name}: look at HAIQU_DATABASE_URL")]
    Foreign {
        /// The service.
        name: &'static str,
        /// Whose it is.
        found: String,
    },
    /// It cannot be asked.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

/// Refuses a database of another service, and a schema that is neither this program's nor the next.
pub(super) async fn check(pool: &PgPool, schema: Schema) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await?;
    owned(&mut connection, schema).await?;
    let foundation = "select version, checksum from _foundation_migrations where success order by version";
    let own = "select version, checksum from _sqlx_migrations where success order by version";
    for (applied, migrations) in [(foundation, &FOUNDATION), (own, schema.migrations)] {
        let applied: Vec<(i64, Vec<u8>)> =
            if_there(sqlx::query_as(applied).fetch_all(&mut *connection).await)?.unwrap_or_default();
        compare(schema.name, &applied, migrations)?;
    }
    Ok(())
}

fn compare(name: &'static str, applied: &[(i64, Vec<u8>)], migrations: &Migrator) -> Result<(), SchemaError> {
    let found = applied.last().map_or(0, |(version, _)| *version);
    let own = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found != own && found != own + 1 {
        return Err(SchemaError::Version { name, found, own });
    }
    for migration in migrations.iter() {
        let applied = applied.iter().find(|(version, _)| *version == migration.version);
        if applied.is_none_or(|(_, checksum)| *checksum != *migration.checksum) {
            return Err(SchemaError::Text { name, version: migration.version });
        }
    }
    Ok(())
}

/// Fine where nobody has said yet whose it is: then it is not migrated, or is just being.
async fn owned(connection: &mut PgConnection, schema: Schema) -> Result<(), SchemaError> {
    let owner = sqlx::query_scalar("select service from log_head").fetch_one(connection).await;
    match if_there::<Option<String>>(owner)?.flatten() {
        Some(found) if found != schema.name => Err(SchemaError::Foreign { name: schema.name, found }),
        Some(_) | None => Ok(()),
    }
}

/// None where the table, or the column, is not there yet.
fn if_there<T>(read: sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "42703")) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Brings the database to this program's schema. Only migration jobs do this.
pub async fn migrate(url: &SecretString, schema: Schema) -> anyhow::Result<()> {
    // A role's limits are for its services; building an index may take longer.
    let unlimited = [("transaction_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];
    let options = PgConnectOptions::from_str(url.expose_secret())?.application_name("migrate").options(unlimited);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    owned(&mut *pool.acquire().await?, schema).await?;
    FOUNDATION.run(&pool).await?;
    sqlx::query!("update log_head set service = $1 where service is null", schema.name).execute(&pool).await?;
    schema.migrations.run(&pool).await?;
    pool.close().await;
    Ok(())
}
