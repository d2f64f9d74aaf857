//! The whole way through the driver's library, which is one without a GPU: `gpu-check` as it runs on a GPU, and on what is none.

// clippy.toml allows these in tests, which it takes the helpers of an integration test not to be.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use braid_gpu::shim;

static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
    fs::create_dir_all(&folder).unwrap();
    shim::build_driver(&folder).unwrap();
    folder
});

fn check(libraries: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_gpu-check"))
        .env("LD_LIBRARY_PATH", libraries)
        .envs(variables.iter().copied())
        .args(arguments)
        .output();
    let Output { status, stdout, stderr } = run.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

#[test]
fn every_case_passes_through_the_driver() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_GPUS", "1")], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("GPU 0 (fake): ").count(), braid_gpu_check::CASES.len(), "{text}");
    assert_eq!(text.matches(": ok\n").count(), braid_gpu_check::CASES.len(), "{text}");
}

#[test]
fn what_is_no_gpu_is_said_so() {
    let said = |variables, expected: &str| {
        let (code, text) = check(&DRIVER, variables, &["--quick"]);
        assert_eq!((code, text.as_str()), (Some(3), format!("gpu-check: {expected}\n").as_str()));
    };
    said(&[("BRAID_FAKE_GPUS", "0")], "the driver shows no such GPU; is CUDA_VISIBLE_DEVICES set to none?");
    said(&[("BRAID_FAKE_CUDA", "12040")], "the driver is one of CUDA 12.4, and CUDA 13.0 is needed: driver 580 or newer");
    said(
        &[("BRAID_FAKE_ARCHITECTURE", "7")],
        "GPU 0 (fake) is of architecture 7.0, and there are kernels for 8.0 and newer alone",
    );
}

#[test]
fn a_driver_that_is_missing_or_broken_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("gpu-check: libcuda cannot be loaded (libcuda.so.1: "), "{text}");
    assert!(text.ends_with("there is no driver of NVIDIA here, or it is not where libraries are looked for\n"), "{text}");

    fs::write(folder.path().join("libcuda.so.1"), "no library at all").unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("file too short") || text.contains("invalid ELF header"), "{text}");

    // a library, but of something else
    shim::compile("stranger.cpp", &["-shared", "-fPIC"], &folder.path().join("libcuda.so.1")).unwrap();
    let (code, text) = check(folder.path(), &[], &["--quick"]);
    assert_eq!((code, text.as_str()), (Some(3), "gpu-check: libcuda is broken or too old: it has no cuInit\n"));
}

/// Lost after some launches: cases from then on fail, each with what the driver said, and the program ends as it should.
#[test]
fn a_gpu_that_is_lost_fails_its_cases() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_LAUNCHES", "2")], &["--quick"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(r#"Lost { device: "GPU 0 (fake)", problem: "cuLaunchKernel: unspecified launch failure (719)" }"#),
        "{text}"
    );
    assert!(text.contains("FAILED\n"), "{text}");
}

#[test]
fn memory_that_is_short_is_said_so() {
    let (code, text) = check(&DRIVER, &[("BRAID_FAKE_MEMORY", "100000")], &["--quick"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("OutOfMemory { device: \"GPU 0 (fake)\""), "{text}");
}

/// What the figures are is nobody's business here: that there are all of them is.
#[test]
fn what_is_measured_on_a_gpu_runs() {
    let (code, text) = check(&DRIVER, &[], &["--measure-small"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("| ") && line.ends_with(" % |")).count(), 7, "{text}");
}

#[test]
fn unknown_arguments_are_refused() {
    assert_eq!(check(&DRIVER, &[], &["--fast"]).0, Some(2));
}
