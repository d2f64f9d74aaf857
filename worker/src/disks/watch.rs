//! Looks at the disks now and then, and says when something has changed that is worth telling.

use super::{Disk, look};
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// How long a worker waits for the first look before it introduces itself without its disks.
const FIRST: Duration = Duration::from_secs(1);
/// A change of fewer bytes is not worth a message.
const LITTLE: u64 = 64 << 20;
/// Lists of folders on their way to the thread; it takes the newest.
const WAITING: usize = 4;

/// What tasks may use, as far as it decides about disks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folders {
    /// These, and what is below.
    pub(crate) list: Vec<PathBuf>,
    /// And any other.
    pub(crate) any: bool,
}

/// The end of the thread that others hold. The thread ends soon after this is dropped.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    seen: watch::Receiver<Vec<Disk>>,
    folders: SyncSender<Folders>,
    last: Folders,
}

impl DiskWatch {
    /// Begins to look, and waits for what is seen first, within bounds.
    pub(crate) async fn start(folders: Folders) -> Self {
        let (send, mut seen) = watch::channel(Vec::new());
        let (ask, asked) = sync_channel(WAITING);
        let last = folders.clone();
        let looking = thread::Builder::new().name("disks".into()).spawn(move || run(folders, &asked, &send));
        match looking {
            Ok(_) => {
                // Without an answer the disks are told of later.
                let _ = tokio::time::timeout(FIRST, seen.changed()).await;
            }
            Err(error) => tracing::warn!("nobody looks at the disks: no thread for it: {error}"),
        }
        Self { seen, folders: ask, last }
    }

    /// Looks at the disks of these folders from now on.
    pub(crate) fn set(&mut self, folders: Folders) {
        if self.last == folders {
            return;
        }
        match self.folders.try_send(folders.clone()) {
            Ok(()) => self.last = folders,
            // The thread waits for a disk that does not answer; the next welcome tries again.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// As they were seen last; they then count as told.
    pub(crate) fn tell(&mut self) -> Vec<Disk> {
        self.seen.borrow_and_update().clone()
    }

    /// The same, if they have changed since they were told.
    pub(crate) fn news(&mut self) -> Option<Vec<Disk>> {
        self.seen.has_changed().is_ok_and(|changed| changed).then(|| self.tell())
    }
}

fn run(mut folders: Folders, asked: &Receiver<Folders>, seen: &watch::Sender<Vec<Disk>>) {
    let mut is_first = true;
    loop {
        let now = look(&folders);
        seen.send_if_modified(|last| {
            let differs = std::mem::take(&mut is_first) || is_news(last, &now);
            if differs {
                *last = now;
            }
            differs
        });
        folders = match asked.recv_timeout(EVERY) {
            Ok(newer) => newer,
            Err(RecvTimeoutError::Timeout) => folders,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// Whether somebody should hear of it.
fn is_news(last: &[Disk], now: &[Disk]) -> bool {
    let same = |(last, now): (&Disk, &Disk)| {
        (&last.mount, &last.device, last.total) == (&now.mount, &now.device, now.total) && last.free.abs_diff(now.free) < LITTLE
    };
    last.len() != now.len() || !last.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(mount: &str, free: u64) -> Disk {
        Disk { mount: mount.into(), device: "/dev/sda".into(), kind: "xfs".into(), total: 1 << 40, free }
    }

    #[test]
    fn little_changes_are_not_told() {
        let last = [disk("/a", 1 << 30), disk("/b", 1 << 30)];
        for (now, told) in [
            (vec![disk("/a", 1 << 30), disk("/b", 1 << 30)], false),
            (vec![disk("/a", (1 << 30) + LITTLE - 1), disk("/b", 1 << 30)], false),
            (vec![disk("/a", (1 << 30) + LITTLE), disk("/b", 1 << 30)], true),
            (vec![disk("/a", 1 << 30), disk("/b", (1 << 30) - LITTLE)], true),
            (vec![disk("/a", 1 << 30)], true),
            (vec![disk("/a", 1 << 30), disk("/c", 1 << 30)], true),
            (vec![disk("/a", 1 << 30), Disk { total: 1, ..disk("/b", 1 << 30) }], true),
        ] {
            assert_eq!(is_news(&last, &now), told, "{now:?}");
        }
    }

    #[tokio::test]
    async fn what_is_seen_is_told_once_and_again_when_other_folders_count() {
        let mut watch = DiskWatch::start(Folders::default()).await;
        assert_eq!(watch.tell(), []);
        assert_eq!(watch.news(), None);
        watch.set(Folders { list: vec![std::env::temp_dir()], any: false });
        watch.seen.changed().await.unwrap();
        watch.seen.mark_changed();
        assert_eq!(watch.news().map(|disks| disks.len()), Some(1));
        assert_eq!(watch.news(), None);
    }
}
