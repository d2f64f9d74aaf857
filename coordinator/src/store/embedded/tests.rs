//! What only a file can suffer: other processes, other programs, damage, a creation cut short.

use super::*;
use crate::store::{Guard, Transaction};
use std::fs;
use tempfile::TempDir;

async fn put(store: &Embedded, n: u32, size: usize) {
    let fill = u8::try_from(n % 256).unwrap();
    let op = Op::put(format!("record/{n}"), vec![fill; size]);
    store.commit(Transaction::new(vec![Guard::absent(op.key())], vec![op]).unwrap()).await.unwrap();
}

/// Opens a folder whose `state.redb` has these bytes.
async fn open_bytes(bytes: &[u8]) -> (TempDir, Result<Embedded, StoreError>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file::NAME), bytes).unwrap();
    let opened = Embedded::open(folder.path()).await;
    (folder, opened)
}

fn names_the_file(error: &StoreError, folder: &TempDir) -> bool {
    error.to_string().contains(&*folder.path().join(file::NAME).to_string_lossy())
}

#[tokio::test]
async fn a_second_opener_is_told_which_file_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).await.unwrap();
    put(&first, 1, 10).await;
    let error = Embedded::open(folder.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }) && names_the_file(&error, &folder), "{error}");
    assert!(!error.is_retryable() && error.hint().unwrap().contains("--data-dir"));
    // Locks are between open files, so another process fares like a second opening in this one.
    let lock = folder.path().join("state.lock");
    let status = std::process::Command::new("flock").arg("--nonblock").arg(&lock).arg("true").status().unwrap();
    assert_eq!(status.code(), Some(1));

    let watch = first.watch("");
    drop(first);
    let second = Embedded::open(folder.path()).await.expect("a watch does not keep the file open");
    assert_eq!(second.list("").await.unwrap().records.len(), 1);
    drop(watch);
}

#[tokio::test]
async fn a_file_of_another_program_is_left_alone() {
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("other.redb");
    let database = Database::create(&path).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(redb::TableDefinition::<u64, u64>::new("numbers")).unwrap().insert(1, 1).unwrap();
    writing.commit().unwrap();
    drop(database);

    for bytes in [b"".to_vec(), b"x".to_vec(), b"PK\x03\x04".repeat(5000), fs::read(path).unwrap()] {
        let (folder, opened) = open_bytes(&bytes).await;
        let error = opened.err().unwrap();
        assert!(matches!(error, StoreError::Foreign { .. }) && names_the_file(&error, &folder), "{error}");
        if bytes.len() < 20_001 {
            assert_eq!(fs::read(folder.path().join(file::NAME)).unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, "a file").unwrap();
    let error = Embedded::open(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::Io { .. }) && error.to_string().contains(&*path.to_string_lossy()), "{error}");
    Embedded::open(&folder.path().join("new/and/deeper")).await.expect("folders are created");
}

#[tokio::test]
async fn a_creation_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.redb.new"), vec![0; 73_728]).unwrap();
    let store = Embedded::open(folder.path()).await.unwrap();
    put(&store, 1, 10).await;
    assert!(!folder.path().join("state.redb.new").exists());
}

/// Damage is found when the file is opened, or it did not touch a record.
#[tokio::test]
async fn a_damaged_file_gives_no_wrong_records() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).await.unwrap();
    for n in 0..40 {
        put(&store, n, random.usize(0..3000)).await;
    }
    let whole = store.list("").await.unwrap();
    drop(store);
    let bytes = fs::read(folder.path().join(file::NAME)).unwrap();

    let mut found = 0;
    for round in 0..80 {
        let mut broken = bytes.clone();
        match round % 4 {
            0 => broken.truncate(random.usize(1..bytes.len())),
            1 => broken[random.usize(..bytes.len())] ^= random.u8(1..),
            2 => {
                let page = random.usize(1..bytes.len() / 4096) * 4096;
                broken[page..page + 4096].fill(0);
            }
            _ => {
                // The file's own header.
                broken[random.usize(..320)] ^= random.u8(1..);
            }
        }
        let (folder, opened) = open_bytes(&broken).await;
        match opened {
            Ok(store) => assert_eq!(store.list("").await.unwrap(), whole, "round {round}"),
            Err(error) => {
                assert!(names_the_file(&error, &folder), "{error}");
                assert!(!error.is_retryable());
                found += 1;
            }
        }
    }
    assert!(found >= 20, "only {found} of 80 were found: the damage does not hit");
}

/// Writes until the file system refuses, in a process whose files may not grow: what was acknowledged is found after.
#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    const FOLDER: &str = "BRAID_TEST_FULL_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = Embedded::open(Path::new(&folder)).await.unwrap();
        for n in 0.. {
            let op = Op::put(format!("record/{n}"), vec![0; 3000]);
            let outcome = store.commit(Transaction::new(vec![], vec![op]).unwrap()).await;
            let Err(error) = outcome else { continue };
            println!("acknowledged={n} retry={} {}", error.is_retryable(), error.line());
            // It is of no more use, and says so.
            assert!(store.get(&"record/0".into()).await.is_ok() || store.list("").await.is_err());
            assert!(store.commit(Transaction::new(vec![], vec![Op::delete("record/0")]).unwrap()).await.is_err());
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact \"$1\" --nocapture";
    let name = "store::embedded::tests::a_full_disk_loses_nothing_that_was_acknowledged";
    let mut child = std::process::Command::new("sh");
    child.args(["-c", limited]).arg(std::env::current_exe().unwrap()).arg(name).env(FOLDER, folder.path());
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let (_, line) = said.split_once("acknowledged=").expect("the child says how far it came");
    let acknowledged: usize = line.split(' ').next().unwrap().parse().unwrap();
    assert!(acknowledged > 10, "{said}");
    assert!(line.contains("retry=false") && line.contains(&*folder.path().join(file::NAME).to_string_lossy()), "{said}");

    let store = Embedded::open(folder.path()).await.unwrap();
    let found = store.list("").await.unwrap().records.len();
    assert!(found == acknowledged || found == acknowledged + 1, "{found} of {acknowledged}: only the last is uncertain");
    put(&store, 100_000, 3000).await;
}
