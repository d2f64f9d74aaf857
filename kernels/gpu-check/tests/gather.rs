//! Gathers over NCCL between processes, with libraries that need no GPU: through the same program, the same calls.

// clippy.toml allows these in tests, which it takes the helpers of an integration test not to be.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
};

use braid_gpu::shim;

static LIBRARIES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gather");
    fs::create_dir_all(&folder).unwrap();
    shim::build_driver(&folder).unwrap();
    shim::build_nccl(&folder).unwrap();
    folder
});

fn rank(libraries: &Path, folder: &Path, rank: usize, size: usize, seconds: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gpu-check"))
        .env("LD_LIBRARY_PATH", libraries)
        .env("TMPDIR", folder)
        .args(["--gather", &rank.to_string(), &size.to_string()])
        .arg(folder.join("id"))
        .arg(seconds)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

#[test]
fn everyone_has_what_everyone_brings_in_rank_order() {
    let folder = tempfile::tempdir().unwrap();
    let ranks: Vec<Child> = (0..3).map(|place| rank(&LIBRARIES, folder.path(), place, 3, "60")).collect();
    for (place, child) in ranks.into_iter().enumerate() {
        let expected = format!("rank {place} of 3: 3 gathers, the bytes of all in rank order\n");
        assert_eq!(ended(child), (Some(0), expected));
    }
}

#[test]
fn a_rank_whose_others_do_not_come_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = ended(rank(&LIBRARIES, folder.path(), 0, 2, "0.2"));
    assert_eq!((code, text.as_str()), (Some(3), "gpu-check: NCCL: the other ranks did not come within 0.2 s\n"));
}

/// The second rank leaves after it was met, as one that was killed: the first one's gather stops, and is not waited for any longer.
#[test]
fn a_rank_that_is_lost_in_a_gather_hangs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let first = rank(&LIBRARIES, folder.path(), 0, 2, "1.5");
    let id = folder.path().join("id");
    let group = loop {
        if let Ok(bytes) = fs::read(&id) {
            break PathBuf::from(String::from_utf8(bytes.into_iter().take_while(|byte| *byte != 0).collect()).unwrap());
        }
        std::thread::yield_now();
    };
    // what a rank leaves when it has come
    fs::write(group.join("0-1"), "").unwrap();
    assert_eq!(ended(first), (Some(3), "gpu-check: NCCL: rank 0 waited in vain\n".to_owned()));
}

#[test]
fn a_library_that_is_missing_or_broken_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = ended(rank(folder.path(), folder.path(), 0, 1, "1"));
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("gpu-check: NCCL cannot be loaded (libnccl.so: cannot open shared object file"), "{text}");
    shim::compile("stranger.cpp", &["-shared", "-fPIC"], &folder.path().join("libnccl.so.2")).unwrap();
    let (code, text) = ended(rank(folder.path(), folder.path(), 0, 1, "1"));
    assert_eq!((code, text.as_str()), (Some(3), "gpu-check: libnccl is broken or too old: it has no ncclGetUniqueId\n"));
}
