//! What makes the first five minutes need no ceremony: credentials for whoever started the coordinator, and, once, a
//! token for the first machine.

use crate::{
    address::Address,
    console::Console,
    error::{Error, Result},
    trust::{Credentials, home, read_token},
};
use braid_coordinator::security::{Caller, Role, Roster, SecurityError, tokens::Grant};
use std::{path::Path, time::Duration};

/// The file in the data folder.
const NAME: &str = "admin.json";
/// How long the credentials of whoever started the coordinator are good; each start makes them anew when they are not.
const ADMIN: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long the first join token is good.
const JOIN: Duration = Duration::from_secs(3600);
/// Who makes these tokens, as lists show it.
const BY: &str = "braid coordinator";

/// Where the coordinator is.
pub(super) struct Place<'a> {
    pub(super) data_dir: &'a Path,
    /// As seen from this machine.
    pub(super) here: Address,
    /// As seen from others.
    pub(super) there: Address,
}

/// Leaves credentials in the data folder, and among the user's own unless those are for another fleet.
pub(super) async fn credentials(roster: &Roster, place: &Place<'_>, console: &Console) -> Result {
    let path = place.data_dir.join(NAME);
    let kept = Credentials::read(&path).ok().filter(|kept| is_good(roster, &kept.token));
    let token = match kept {
        Some(kept) => kept.token,
        None => roster.create(Grant::Role(Role::Admin), "local", BY.into(), ADMIN).await.map_err(unable)?.token.reveal(),
    };
    let credentials = Credentials { coordinators: vec![place.here.clone()], token };
    let write = |path: &Path| {
        credentials.write(path).map_err(|error| Error::unavailable(format!("cannot write {}: {error}", path.display())))
    };
    write(&path)?;
    let Some(own) = home() else { return Ok(()) };
    let others = match Credentials::read(&own) {
        Ok(other) => read_token(&other.token).is_ok_and(|token| token.ca != roster.ca().fingerprint()),
        Err(_) => own.exists(),
    };
    if others {
        console.note(&format!("{} is kept as it is; for this fleet: --credentials {}", own.display(), path.display()));
        return Ok(());
    }
    if let Err(error) = write(&own) {
        // A service without a home is none the worse for it.
        tracing::warn!("{}; --credentials {} does as well", error.message, path.display());
    }
    Ok(())
}

/// Says how the first machine joins.
pub(super) async fn invite(roster: &Roster, place: &Place<'_>, console: &Console) -> Result {
    let made = roster.create(Grant::Node, "first", BY.into(), JOIN).await.map_err(unable)?;
    console.note(&format!(
        "this is a new fleet. A machine joins it within the hour with\n  braid worker --join {} --data-dir DIR --token {}\nand \
         others with what `braid token create` prints",
        place.there,
        made.token.reveal()
    ));
    Ok(())
}

fn is_good(roster: &Roster, token: &str) -> bool {
    let caller = read_token(token).ok().and_then(|token| roster.person(&token.secret).ok());
    matches!(caller, Some(Caller::Person { role: Role::Admin, .. }))
}

fn unable(error: SecurityError) -> Error {
    Error::unavailable(format!("cannot make a token: {error}"))
}
