//! When a certificate is renewed, and the loop that does it.

use super::{Identity, Wish, now};
use crate::{ConnectError, WorkerError};
use std::{path::PathBuf, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// The pauses between tries stay within these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3600));

/// How long to wait before the next try, at a moment: until two thirds of the life are over; from then on a tenth of
/// what is left, and a little chance (from 0 to 1) so that a fleet that joined at once does not come back at once. `None`
/// when the certificate is over.
pub fn due(issued: u64, expires: u64, now: u64, tried: bool, chance: f64) -> Option<Duration> {
    let life = expires.saturating_sub(issued);
    let left = expires.checked_sub(now).filter(|left| *left > 0)?;
    let at = issued.saturating_add(life / 3 * 2);
    let jitter = |span: u64| (span as f64 * chance) as u64;
    if !tried {
        return Some(Duration::from_millis(at.saturating_sub(now) + jitter(life / 20)));
    }
    let pause = Duration::from_millis(left / 10 + jitter(left / 10));
    Some(pause.clamp(PAUSES.0, PAUSES.1))
}

/// What the loop works with.
pub struct Renewal<C> {
    /// The identity in use, which the loop replaces.
    pub identity: watch::Sender<Identity>,
    /// Where it is kept.
    pub data_dir: PathBuf,
    /// Connects to the coordinator with the identity given.
    pub connect: C,
}

impl<C, R> Renewal<C>
where
    C: Fn(Identity) -> R,
    R: Future<Output = Result<Channel, ConnectError>>,
{
    /// Renews the identity whenever it is time, until it is cancelled or the certificate is over.
    pub async fn run(self, cancel: CancellationToken) {
        let (mut tried, mut asked) = (false, false);
        loop {
            let identity = self.identity.borrow().clone();
            let Some(pause) = due(identity.issued, identity.expires, now(), tried, fastrand::f64()) else {
                tracing::error!("the node's certificate is over: start the worker again with a new join token");
                return;
            };
            // One that joined an older coordinator has no CA, and can be in no gang without.
            let pause = match identity.authority {
                None if !std::mem::replace(&mut asked, true) => pause.min(Duration::from_secs_f64(fastrand::f64())),
                _ => pause,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = cancel.cancelled() => return,
            }
            let renewed = tokio::select! {
                renewed = self.renew(&identity) => renewed,
                () = cancel.cancelled() => return,
            };
            match renewed {
                Ok(newer) => {
                    tried = false;
                    tracing::info!("the node's certificate is renewed");
                    if let Err(error) = newer.save(&self.data_dir) {
                        // It serves while this process lives; a restarted one has the older until that is over.
                        tracing::error!(%error, "the newer certificate is not kept");
                    }
                    self.identity.send_replace(newer);
                }
                Err(error) => {
                    tried = true;
                    tracing::warn!("cannot renew the node's certificate: {error}; trying again");
                }
            }
        }
    }

    async fn renew(&self, identity: &Identity) -> Result<Identity, ConnectError> {
        let channel = (self.connect)(identity.clone()).await?;
        let wish = Wish::new().map_err(|error: WorkerError| error.to_string())?;
        Ok(identity.renew(channel, &wish).await.map_err(|status| status.message().to_owned())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_try_is_at_two_thirds() {
        let day = 86_400_000;
        assert_eq!(due(0, 30 * day, 0, false, 0.0), Some(Duration::from_millis(20 * day)));
        assert_eq!(due(0, 30 * day, 25 * day, false, 0.0), Some(Duration::ZERO));
        assert_eq!(due(0, 30 * day, 29 * day, true, 0.0), Some(PAUSES.1));
        assert_eq!(due(0, 3000, 2900, true, 0.0), Some(PAUSES.0));
        assert_eq!(due(0, 3000, 3000, false, 0.0), None);
    }

    proptest! {
        #[test]
        fn there_is_always_time_for_several_tries(issued: u32, life in 3_000u64..100_000_000_000, chance in 0.0..1.0f64) {
            let (issued, mut tries) = (u64::from(issued), 0);
            let expires = issued + life;
            let mut at = issued;
            while let Some(pause) = due(issued, expires, at, tries > 0, chance) {
                at += u64::try_from(pause.as_millis()).unwrap().max(1);
                if at < expires {
                    tries += 1;
                }
                if tries > 3 {
                    break;
                }
            }
            prop_assert!(tries > 3, "{tries} tries");
        }

        #[test]
        fn no_numbers_overflow(issued: u64, expires: u64, now: u64, tried: bool, chance in 0.0..=1.0f64) {
            let _ = due(issued, expires, now, tried, chance);
        }
    }
}
