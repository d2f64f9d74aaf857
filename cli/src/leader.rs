//! Finds the coordinator that leads among those that are given.
//!
//! All are asked at once, and whoever they name besides: a coordinator that hangs delays nothing. A worker does this each
//! time that it has lost its coordinator, and a client when an answer says that it spoke to the wrong one.

use crate::{
    address::{Address, Addresses},
    status::is_passing,
};
use braid_proto::{
    NO_LEADER,
    v1::{LeaderReply, LeaderRequest, fleet_client::FleetClient},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{future::Future, time::Duration};
use tonic::{Code, Status, transport::Channel};

/// How long a coordinator may take to say who leads.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What came of asking one coordinator.
enum Answer {
    Leads(Channel),
    Follows(Option<Address>),
    Away(Status),
}

/// A channel to the coordinator that leads, and its address. `dial` connects to one.
///
/// # Errors
/// UNAVAILABLE with the reason when no coordinator leads now, or none can be reached: see [`is_between_leaders`].
pub(crate) async fn find<F>(addresses: &Addresses, dial: impl Fn(Address) -> F) -> Result<(Address, Channel), Status>
where
    F: Future<Output = Result<Channel, Status>>,
{
    let dial = &dial;
    let ask = |address: Address| async move {
        let answer = match tokio::time::timeout(ANSWER_WITHIN, ask(dial(address.clone()))).await {
            Ok(answer) => answer,
            Err(_) => Answer::Away(Status::unavailable("it does not answer")),
        };
        (address, answer)
    };
    let mut known: Vec<Address> = addresses.iter().cloned().collect();
    let mut asked: FuturesUnordered<_> = known.iter().cloned().map(ask).collect();
    let (mut trouble, mut between) = (None::<Status>, false);
    while let Some((address, answer)) = asked.next().await {
        match answer {
            Answer::Leads(channel) => return Ok((address, channel)),
            Answer::Follows(leader) => {
                between = true;
                if let Some(leader) = leader.filter(|leader| !known.contains(leader)) {
                    known.push(leader.clone());
                    asked.push(ask(leader));
                }
            }
            // One that refuses says more than one that is away.
            Answer::Away(status) => match &trouble {
                Some(first) if is_passing(status.code()) || !is_passing(first.code()) => {}
                _ => trouble = Some(status),
            },
        }
    }
    Err(match trouble {
        Some(status) if !between => status,
        _ => Status::unavailable(NO_LEADER),
    })
}

/// Whether there are coordinators, and one of them will lead soon.
pub(crate) fn is_between_leaders(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message() == NO_LEADER
}

async fn ask(dialled: impl Future<Output = Result<Channel, Status>>) -> Answer {
    let channel = match dialled.await {
        Ok(channel) => channel,
        Err(status) => return Answer::Away(status),
    };
    match FleetClient::new(channel.clone()).leader(LeaderRequest {}).await.map(tonic::Response::into_inner) {
        Ok(LeaderReply { leads: true, .. }) => Answer::Leads(channel),
        Ok(LeaderReply { leader, .. }) => Answer::Follows(leader.and_then(|leader| leader.parse().ok())),
        // Whoever may not ask is told why by the call that follows, which every coordinator refuses alike.
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => Answer::Leads(channel),
        // A coordinator of a version that has no others beside it.
        Err(status) if status.code() == Code::Unimplemented => Answer::Leads(channel),
        Err(status) => Answer::Away(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_refuses_says_more_than_one_that_is_away() {
        let refuses = |port: &'static str| {
            let dial = move |address: Address| async move {
                match address.to_string().ends_with(port) {
                    true => Err(Status::unauthenticated("another fleet's")),
                    false => Err(Status::unavailable("refused")),
                }
            };
            async move { find(&"a:1,b:2".parse().unwrap(), dial).await.unwrap_err() }
        };
        assert_eq!(refuses(":1").await.message(), "another fleet's");
        assert_eq!(refuses(":2").await.message(), "another fleet's");
        assert_eq!(refuses(":3").await.message(), "refused");
    }
}
